/* Certificates (see tls.h). */
#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tls.h"

/* Browsers take no certificate that is valid for longer. */
#define VALID_DAYS 397
#define RENEW_DAYS 30
#define DAY_SECONDS 86400L

/* A key that asks for a passphrase is refused, not asked about on the terminal. */
static int no_passphrase(char *text, int size, int writing, void *opaque)
{
    (void)text;
    (void)size;
    (void)writing;
    (void)opaque;
    return 0;
}

static const char *reason(void)
{
    unsigned long code = ERR_peek_error();
    const char *text = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);

    return text ? text : "unknown reason";
}

int tls_load(SSL_CTX *context, const char *certificate, const char *key, struct error *error)
{
    int failed = 0;

    ERR_clear_error();
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        failed = error_set(error, EINVAL, "--web-cert %s: %s; give a certificate with its chain as PEM", certificate,
                           reason());
    else if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        failed = error_set(error, EINVAL, "--web-key %s: %s; give the certificate's key as PEM without passphrase", key,
                           reason());
    ERR_clear_error();
    return failed;
}

int tls_check(const char *certificate, const char *key, struct error *error)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    int failed =
        context ? tls_load(context, certificate, key, error) : error_set(error, ENOMEM, "--web-tls: out of memory");

    SSL_CTX_free(context);
    return failed;
}

static bool still_good(const char *path)
{
    FILE *file = fopen(path, "re");
    X509 *certificate = file ? PEM_read_X509(file, NULL, no_passphrase, NULL) : NULL;
    time_t later = time(NULL) + RENEW_DAYS * DAY_SECONDS;
    bool good = certificate && X509_cmp_time(X509_get0_notAfter(certificate), &later) > 0;

    X509_free(certificate);
    if (file)
        fclose(file);
    return good;
}

static bool add_extension(X509 *certificate, int kind, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
    bool added = extension && X509_add_ext(certificate, extension, -1) == 1;

    X509_EXTENSION_free(extension);
    return added;
}

/* The names that the certificate is for (RFC 5280, 4.2.1.6). They are host names, so no sign in them is special. */
static bool add_names(X509 *certificate, const char *const *names)
{
    char text[4096];
    size_t used = (size_t)snprintf(text, sizeof text, "DNS:localhost,IP:127.0.0.1,IP:::1");

    for (; *names && used < sizeof text; names++)
        used += (size_t)snprintf(text + used, sizeof text - used, ",DNS:%s", *names);
    return used < sizeof text && add_extension(certificate, NID_subject_alt_name, text);
}

static bool sign(X509 *certificate, EVP_PKEY *key, const char *const *names)
{
    X509_NAME *name = X509_get_subject_name(certificate);
    uint64_t serial = 0;

    return RAND_bytes((unsigned char *)&serial, sizeof serial) == 1 && X509_set_version(certificate, 2) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_SECONDS) &&
           X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_DAYS * DAY_SECONDS) &&
           X509_set_pubkey(certificate, key) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"casement", -1, -1, 0) == 1 &&
           X509_set_issuer_name(certificate, name) == 1 &&
           add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(certificate, NID_ext_key_usage, "serverAuth") && add_names(certificate, names) &&
           X509_sign(certificate, key, EVP_sha256()) > 0;
}

static FILE *create_private(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    return fd < 0 ? NULL : fdopen(fd, "w");
}

static bool write_key(const char *path, EVP_PKEY *key)
{
    FILE *file = create_private(path);
    bool written = file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;

    return (!file || fclose(file) == 0) && written;
}

static bool write_certificate(const char *path, X509 *certificate)
{
    FILE *file = create_private(path);
    bool written = file && PEM_write_X509(file, certificate) == 1;

    return (!file || fclose(file) == 0) && written;
}

int tls_self_sign(const char *certificate, const char *key, const char *const *names, struct error *error)
{
    EVP_PKEY *pair;
    X509 *made;
    int failed = 0;

    if (still_good(certificate) && tls_check(certificate, key, NULL) == 0)
        return 0;
    pair = EVP_EC_gen("P-256");
    made = X509_new();
    errno = 0;
    if (!pair || !made || !sign(made, pair, names))
        failed = error_set(error, ENOMEM, "--web-tls: a certificate cannot be made: %s; give --web-cert", reason());
    else if (!write_key(key, pair) || !write_certificate(certificate, made))
        failed = error_set(error, errno ? errno : EIO, "--web-tls: %s cannot be written: %s; is there space?",
                           certificate, strerror(errno));
    X509_free(made);
    EVP_PKEY_free(pair);
    ERR_clear_error();
    return failed;
}
