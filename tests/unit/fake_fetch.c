/* Downloads under test (see fake_fetch.h). */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/log.h"
#include "cmocka_all.h"
#include "fake_fetch.h"

struct fake_fetch download;

static void fill(uint8_t *data, uint32_t seed, char digest[65])
{
    uint8_t sum[32];

    for (size_t n = 0; n < FILE_SIZE; n++) {
        seed = seed * 1664525 + 1013904223;
        data[n] = (uint8_t)(seed >> 24);
    }
    EVP_Digest(data, FILE_SIZE, sum, NULL, EVP_sha256(), NULL);
    for (unsigned n = 0; n < 32; n++)
        snprintf(digest + 2 * n, 3, "%02x", sum[n]);
}

const char *download_path(const char *suffix)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s%s", download.path, suffix);
    return path;
}

bool download_exists(const char *suffix)
{
    return access(download_path(suffix), F_OK) == 0;
}

static void remove_all(void)
{
    static const char *const suffixes[] = {"", ".part", ".part.state", ".bad"};

    for (size_t n = 0; n < ARRAY_SIZE(suffixes); n++)
        unlink(download_path(suffixes[n]));
}

int download_prepare(void **state)
{
    (void)state;
    for (const char *const *name = (const char *const[]){"http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY",
                                                         "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", NULL};
         *name; name++)
        unsetenv(*name);
    log_set_level(LOG_WARNING);
    fill(download.data, 1, download.digest);
    fill(download.other, 2, download.other_digest);
    snprintf(download.folder, sizeof download.folder, "build/fetch-XXXXXX");
    if (!mkdtemp(download.folder))
        return -1;
    snprintf(download.path, sizeof download.path, "%s/file.iso", download.folder);
    return 0;
}

int download_clean_up(void **state)
{
    (void)state;
    return rmdir(download.folder);
}

int download_setup(void **state)
{
    (void)state;
    memset(download.page, 0, sizeof download.page);
    download.disk = (struct fake_disk){.room = UINT64_MAX};
    download.page[0].path = "/file";
    download.page[0].now = (struct fake_http_version){download.data, FILE_SIZE, "\"first\"", DATE};
    download.server = fake_http_start(download.page, NULL, NULL);
    download.tuning = (struct fetch_tuning){.piece = PIECE, .pause_most_ms = 5};
    download.options = (struct fetch_options){.url = fake_http_url(download.server, "/file"),
                                              .path = download.path,
                                              .sha256 = download.digest,
                                              .connections = 1,
                                              .pause_ms = 1,
                                              .stall_seconds = 60};
    download.error.text[0] = 0;
    return 0;
}

int download_teardown(void **state)
{
    (void)state;
    fake_http_stop(download.server);
    remove_all();
    return download.disk.noted_too_early ? -1 : 0;
}

int download_run(void)
{
    download.error.text[0] = download.got[0] = 0;
    return fetch_tuned(&download.options, &download.tuning, download.got, &download.error);
}

void assert_says(const char *text)
{
    assert_null(strchr(download.error.text, '\n'));
    if (!strstr(download.error.text, text))
        fail_msg("\"%s\" does not say \"%s\"", download.error.text, text);
}

void assert_content(const char *suffix, const uint8_t *wanted, uint64_t size)
{
    static uint8_t read_back[FILE_SIZE + 1];
    int fd = open(download_path(suffix), O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, read_back, sizeof read_back), size);
    close(fd);
    assert_memory_equal(read_back, wanted, size);
}

void assert_fetched(const uint8_t *wanted)
{
    int failed = download_run();

    if (failed < 0)
        fail_msg("%d: %s", failed, download.error.text);
    assert_content("", wanted, FILE_SIZE);
    assert_false(download.disk.name_unsynced);
    assert_string_equal(download.got, wanted == download.data ? download.digest : download.other_digest);
    assert_false(download_exists(".part") || download_exists(".part.state") || download_exists(".bad"));
    unlink(download.path);
}

void assert_fails(int err, const char *text)
{
    int failed = download_run();

    /* What is sent into a connection that is closed counts no more. */
    fake_http_settle(download.server);
    if (failed != -err)
        fail_msg("%d and not %d: %s", failed, -err, download.error.text);
    assert_says(text);
    assert_false(download_exists(""));
}

void assert_nothing_left(void)
{
    assert_false(download_exists("") || download_exists(".part") || download_exists(".part.state") ||
                 download_exists(".bad"));
}

void download_some(uint64_t count)
{
    unsigned tries = download.options.tries;

    download.page[0].hold_at = download.page[0].sent + count;
    download.page[0].cut = true;
    download.options.tries = 1;
    assert_fails(ETIMEDOUT, "what is there is kept");
    assert_true(download_exists(".part") && download_exists(".part.state"));
    download.options.tries = tries;
    download.page[0].cut = false;
    download.page[0].hold_at = 0;
}

void download_store(const char *suffix, const void *from, size_t size)
{
    int fd = open(download_path(suffix), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, from, size), size);
    close(fd);
}
