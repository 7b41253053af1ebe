/* Downloads over TLS, and what else is asked of servers and files: pages, targets of links, digests. */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../vmm/viewer/tls.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_fetch_disk.h"

/* Certificates. */

/* A key, and a certificate for 127.0.0.1 that signs itself; expired: since an hour. */
static void make_certificate(const char *certificate, const char *key, bool expired)
{
    static const char *const names[] = {NULL};
    EVP_PKEY *pair;
    X509 *made;
    FILE *file;

    if (tls_self_sign(certificate, key, names, &download.error) < 0)
        fail_msg("%s", download.error.text);
    if (!expired)
        return;
    file = fopen(certificate, "r");
    made = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    file = fopen(key, "r");
    pair = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    X509_gmtime_adj(X509_getm_notAfter(made), -3600);
    assert_true(X509_sign(made, pair, EVP_sha256()) > 0);
    file = fopen(certificate, "w");
    assert_int_equal(PEM_write_X509(file, made), 1);
    fclose(file);
    X509_free(made);
    EVP_PKEY_free(pair);
}

static void certificates(void **state)
{
    char certificate[128], key[128];

    (void)state;
    snprintf(certificate, sizeof certificate, "%s/cert.pem", download.folder);
    snprintf(key, sizeof key, "%s/key.pem", download.folder);
    for (unsigned expired = 0; expired < 2; expired++) {
        fake_http_stop(download.server);
        make_certificate(certificate, key, expired);
        download.server = fake_http_start(download.page, certificate, key);
        download.options.url = fake_http_url(download.server, "/file");
        download.options.connections = 4;
        download.page[0].requests = 0;
        download.options.ca_file = NULL;
        assert_fails(EPROTO, "is the clock right");
        download.options.ca_file = "/nonexistent/ca.pem";
        assert_fails(EPROTO, "authorities' certificates");
        download.options.ca_file = certificate;
        if (expired)
            assert_fails(EPROTO, "expired");
        assert_int_equal(download.page[0].requests, 0);
        assert_nothing_left();
        if (!expired)
            assert_fetched(download.data);
    }
    unlink(certificate);
    unlink(key);
}

static void https_never_leads_to_http(void **state)
{
    char certificate[128], key[128];
    struct fake_http *plain = download.server;

    (void)state;
    snprintf(certificate, sizeof certificate, "%s/cert.pem", download.folder);
    snprintf(key, sizeof key, "%s/key.pem", download.folder);
    make_certificate(certificate, key, false);
    download.page[1] = (struct fake_http_page){.path = "/down", .location = fake_http_url(plain, "/file")};
    download.server = fake_http_start(download.page, certificate, key);
    download.options.ca_file = certificate;
    download.options.url = fake_http_url(download.server, "/down");
    assert_fails(EPROTONOSUPPORT, "leads away from https");
    assert_int_equal(download.page[0].requests, 0);
    /* The other way is fine. */
    download.page[1].location = fake_http_url(download.server, "/file");
    download.options.url = fake_http_url(plain, "/down");
    assert_fetched(download.data);
    fake_http_stop(plain);
    unlink(certificate);
    unlink(key);
}

/* Pages and targets. */

static int get_text(uint64_t limit, char **text)
{
    download.error.text[0] = 0;
    return fetch_text(&download.options, limit, text, &download.error);
}

static void pages(void **state)
{
    static const uint8_t html[] = "<html>links</html>";
    char *text = NULL;

    (void)state;
    download.page[1] = (struct fake_http_page){.path = "/page", .now = {html, sizeof html - 1, NULL, NULL}, .chunk = 5};
    download.page[2] = (struct fake_http_page){.path = "/to", .location = "/page"};
    download.options.url = fake_http_url(download.server, "/to");
    for (unsigned n = 0; n < 2; n++) {
        download.page[1].chunked = n;
        assert_int_equal(get_text(sizeof html - 1, &text), 0);
        assert_string_equal(text, (const char *)html);
        free(text);
        assert_int_equal(get_text(sizeof html - 2, &text), -EFBIG);
        assert_says("more than 17 bytes");
    }
    download.page[1].status = 503;
    download.page[1].times = 2;
    assert_int_equal(get_text(100, &text), 0);
    assert_string_equal(text, (const char *)html);
    free(text);
    download.options.tries = 2;
    download.page[1].times = FAKE_HTTP_ALWAYS;
    assert_int_equal(get_text(100, &text), -ETIMEDOUT);
    download.page[1].status = 404;
    assert_int_equal(get_text(100, &text), -ENOENT);
    assert_says("127.0.0.1/to: the server answers 404");
    download.page[1].times = 0;
    download.page[1].now.size = 0;
    assert_int_equal(get_text(100, &text), 0);
    assert_string_equal(text, "");
    free(text);
    download.options.url = "gopher://a";
    assert_int_equal(get_text(100, &text), -EINVAL);
}

static bool stop_at_once(void *opaque, const struct fetch_progress *progress)
{
    (void)opaque;
    (void)progress;
    return true;
}

/* Both while it comes and while it is waited for. */
static void pages_can_be_stopped(void **state)
{
    char *text = NULL;

    (void)state;
    download.options.progress = stop_at_once;
    download.page[0].hold_at = 10;
    assert_int_equal(get_text(MiB, &text), -ECANCELED);
    assert_says("stopped");
    download.page[0].hold_at = 0;
    download.options.progress = NULL;
    download.page[0].status = 503;
    download.page[0].times = FAKE_HTTP_ALWAYS;
    download.options.pause_ms = 60000;
    download.options.tries = 2;
    download.options.progress = stop_at_once;
    assert_int_equal(get_text(MiB, &text), -ECANCELED);
}

static void targets(void **state)
{
    char *url = NULL;

    (void)state;
    download.page[1] = (struct fake_http_page){.path = "/a", .location = "/b?x=1"};
    download.page[2] = (struct fake_http_page){.path = "/b", .location = "/file?lang=de-de"};
    download.options.url = fake_http_url(download.server, "/a");
    if (fetch_target(&download.options, &url, &download.error) < 0)
        fail_msg("%s", download.error.text);
    assert_string_equal(url, fake_http_url(download.server, "/file?lang=de-de"));
    free(url);
    assert_int_equal(download.page[0].sent, 0);
    download.page[2].location = "/absent";
    assert_int_equal(fetch_target(&download.options, &url, &download.error), -ENOENT);
    assert_int_equal(fetch_target(&(struct fetch_options){.url = ""}, &url, &download.error), -EINVAL);
}

static void digests(void **state)
{
    (void)state;
    download_store("", "abc", 3);
    assert_int_equal(fetch_digest(download.path, NULL, NULL, download.got, &download.error), 0);
    assert_string_equal(download.got, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    download_store("", download.data, FILE_SIZE);
    assert_int_equal(fetch_digest(download.path, NULL, NULL, download.got, &download.error), 0);
    assert_string_equal(download.got, download.digest);
    assert_int_equal(fetch_digest(download.path, stop_at_once, NULL, download.got, &download.error), -ECANCELED);
    unlink(download.path);
    assert_int_equal(fetch_digest(download.path, NULL, NULL, download.got, &download.error), -ENOENT);
    assert_says(download.path);
    assert_int_equal(fetch_digest(download.folder, NULL, NULL, download.got, &download.error), -EISDIR);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, download_setup, download_teardown)
    const struct CMUnitTest tests[] = {
        TEST(certificates), TEST(https_never_leads_to_http), TEST(pages), TEST(pages_can_be_stopped), TEST(targets),
        TEST(digests),
    };
#undef TEST

    return cmocka_run_group_tests(tests, download_prepare, download_clean_up);
}
