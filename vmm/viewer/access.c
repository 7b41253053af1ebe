/* Secrets, sessions, delays, names (see access.h). */
#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "access.h"
#include "casement/bytes.h"

#define SECOND_NS INT64_C(1000000000)
#define DIGEST_BYTES 32

#define SESSIONS 64
#define SESSION_IDLE_NS (12 * 3600 * SECOND_NS)
#define SESSION_AGE_NS (7 * 24 * 3600 * SECOND_NS)

/* Wrong secrets that cost nothing, the longest delay, and after how long all is forgotten. */
#define FREE_FAILURES 5
#define DELAY_MAX 60
#define FORGET_NS (900 * SECOND_NS)
#define ADDRESSES 512
/* Guessers with many addresses: so many wrong passwords at once from all of them, then so many a second. */
#define ALL_BURST 100
#define ALL_EACH_SECOND 2

struct session {
    uint8_t digest[DIGEST_BYTES];
    int64_t opened_ns, used_ns;
    bool used;
};

struct failures {
    uint8_t address[16];
    unsigned count;
    int64_t last_ns, allowed_ns;
};

struct access {
    enum access_mode mode;
    uint8_t secret[DIGEST_BYTES]; /* its digest: lengths do not show in the time that a comparison takes */
    char *name, *token;           /* token: NULL but in mode ACCESS_TOKEN */
    const char *const *hosts;
    struct session sessions[SESSIONS];
    struct failures failures[ADDRESSES];
    int64_t all_ns; /* when the last of all wrong passwords would be forgotten at ALL_EACH_SECOND */
};

static void digest(const char *text, uint8_t out[DIGEST_BYTES])
{
    unsigned length = DIGEST_BYTES;

    memset(out, 0, DIGEST_BYTES);
    EVP_Digest(text, strlen(text), out, &length, EVP_sha256(), NULL);
}

struct access *access_create(const struct access_options *options)
{
    struct access *access = calloc(1, sizeof *access);

    if (!access)
        return NULL;
    access->mode = options->mode;
    access->hosts = options->hosts;
    access->name = strdup(options->name ? options->name : "");
    if (options->mode == ACCESS_TOKEN)
        access->token = strdup(options->secret);
    if (!access->name || (options->mode == ACCESS_TOKEN && !access->token)) {
        access_destroy(access);
        return NULL;
    }
    if (options->mode != ACCESS_OPEN)
        digest(options->secret, access->secret);
    return access;
}

void access_destroy(struct access *access)
{
    if (!access)
        return;
    if (access->token)
        OPENSSL_cleanse(access->token, strlen(access->token));
    free(access->token);
    free(access->name);
    OPENSSL_cleanse(access, sizeof *access);
    free(access);
}

bool access_is_open(const struct access *access)
{
    return access->mode == ACCESS_OPEN;
}

const char *access_token(const struct access *access)
{
    return access->token;
}

/* Secrets. */

/* Who holds an IPv6 prefix has all of its addresses, so they count as one. */
static void group_of(const uint8_t address[16], uint8_t group[16])
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};

    memcpy(group, address, 16);
    if (memcmp(address, mapped, sizeof mapped) != 0)
        memset(group + 8, 0, 8);
}

static struct failures *find_failures(struct access *access, const uint8_t address[16], int64_t now)
{
    uint8_t group[16];

    group_of(address, group);
    for (unsigned n = 0; n < ADDRESSES; n++) {
        struct failures *entry = &access->failures[n];

        if (entry->count && now - entry->last_ns > FORGET_NS)
            *entry = (struct failures){0};
        if (entry->count && !memcmp(entry->address, group, sizeof group))
            return entry;
    }
    return NULL;
}

/* A place for an address that has none: a free one, or that of the address that has been quiet for the longest time. */
static struct failures *take_place(struct access *access, const uint8_t address[16])
{
    struct failures *oldest = &access->failures[0];

    for (unsigned n = 0; n < ADDRESSES && oldest->count; n++)
        if (!access->failures[n].count || access->failures[n].last_ns < oldest->last_ns)
            oldest = &access->failures[n];
    *oldest = (struct failures){0};
    group_of(address, oldest->address);
    return oldest;
}

static void note_failure(struct access *access, struct failures *entry, const uint8_t address[16], int64_t now)
{
    unsigned delay = 0;

    if (!entry)
        entry = take_place(access, address);
    if (entry->count < FREE_FAILURES + 16)
        entry->count++;
    entry->last_ns = now;
    if (entry->count >= FREE_FAILURES)
        delay = MIN(1U << (entry->count - FREE_FAILURES), DELAY_MAX);
    entry->allowed_ns = now + delay * SECOND_NS;
    access->all_ns = MAX(access->all_ns, now) + SECOND_NS / ALL_EACH_SECOND;
}

/* Seconds until this address may try again; 0: now. */
static unsigned delay_of(const struct access *access, const struct failures *entry, int64_t now)
{
    int64_t until = entry ? entry->allowed_ns : now;

    if (access->mode == ACCESS_PASSWORD)
        until = MAX(until, access->all_ns - ALL_BURST * (SECOND_NS / ALL_EACH_SECOND));
    return until > now ? (unsigned)((until - now + SECOND_NS - 1) / SECOND_NS) : 0;
}

enum access_verdict access_try(struct access *access, const char *secret, const uint8_t address[16], int64_t now_ns,
                               unsigned *wait)
{
    struct failures *entry;
    uint8_t given[DIGEST_BYTES];
    bool right;

    *wait = 0;
    if (access->mode == ACCESS_OPEN)
        return ACCESS_GRANTED;
    entry = find_failures(access, address, now_ns);
    *wait = delay_of(access, entry, now_ns);
    if (*wait && access->mode == ACCESS_PASSWORD)
        return ACCESS_TOO_SOON;
    digest(secret, given);
    right = CRYPTO_memcmp(given, access->secret, sizeof given) == 0;
    if (right) {
        *wait = 0;
        if (entry)
            *entry = (struct failures){0};
        return ACCESS_GRANTED;
    }
    if (*wait)
        return ACCESS_TOO_SOON;
    note_failure(access, entry, address, now_ns);
    return ACCESS_DENIED;
}

bool access_make_token(char text[ACCESS_TEXT])
{
    uint8_t bytes[ACCESS_TOKEN_BYTES + 1] = {0};
    char padded[48];

    if (RAND_bytes(bytes, ACCESS_TOKEN_BYTES) != 1)
        return false;
    /* 33 bytes make 44 signs without padding; the last sign stands for the byte that was added, but for 4 bits. */
    EVP_EncodeBlock((unsigned char *)padded, bytes, sizeof bytes);
    for (unsigned n = 0; n < ACCESS_TEXT - 1; n++)
        text[n] = padded[n] == '+' ? '-' : padded[n] == '/' ? '_' : padded[n];
    text[ACCESS_TEXT - 1] = 0;
    OPENSSL_cleanse(bytes, sizeof bytes);
    OPENSSL_cleanse(padded, sizeof padded);
    return true;
}

/* Sessions. */

static struct session *find_session(struct access *access, const char *text, int64_t now)
{
    struct session *found = NULL;
    uint8_t wanted[DIGEST_BYTES];

    digest(text, wanted);
    for (unsigned n = 0; n < SESSIONS; n++) {
        struct session *session = &access->sessions[n];

        if (session->used && (now - session->used_ns > SESSION_IDLE_NS || now - session->opened_ns > SESSION_AGE_NS))
            session->used = false;
        if (session->used && CRYPTO_memcmp(session->digest, wanted, sizeof wanted) == 0)
            found = session;
    }
    return found;
}

bool access_session_open(struct access *access, int64_t now_ns, char text[ACCESS_TEXT])
{
    struct session *place = &access->sessions[0];

    if (!access_make_token(text))
        return false;
    for (unsigned n = 0; n < SESSIONS && place->used; n++)
        if (!access->sessions[n].used || access->sessions[n].used_ns < place->used_ns)
            place = &access->sessions[n];
    *place = (struct session){.used = true, .opened_ns = now_ns, .used_ns = now_ns};
    digest(text, place->digest);
    return true;
}

bool access_session_valid(struct access *access, const char *text, int64_t now_ns)
{
    struct session *session = find_session(access, text, now_ns);

    if (session)
        session->used_ns = now_ns;
    return session;
}

void access_session_close(struct access *access, const char *text)
{
    struct session *session = find_session(access, text, 0);

    if (session)
        session->used = false;
}

/* Names. */

/* The host of a Host header without its port, in place; false when it has none or is no such header. */
static bool cut_port(char *host)
{
    char *end = host[0] == '[' ? strchr(host, ']') : NULL, *port;

    if (host[0] == '[' && !end)
        return false;
    port = end ? end + 1 : strchr(host, ':');
    if (port && *port == ':') {
        if (strspn(port + 1, "0123456789") != strlen(port + 1))
            return false;
        *port = 0;
    } else if (port && *port) {
        return false;
    }
    return host[0];
}

static bool is_address(char *host)
{
    uint8_t bytes[16];
    size_t length = strlen(host);

    if (host[0] != '[')
        return inet_pton(AF_INET, host, bytes) == 1;
    host[length - 1] = 0; /* cut_port() has seen the bracket */
    return inet_pton(AF_INET6, host + 1, bytes) == 1;
}

/* A name that the public DNS gives to nobody: of one label (nas), or below .local (RFC 6762, 3). */
static bool is_local_name(const char *host)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
                      domain[] = ".local";
    size_t length = strlen(host), tail = sizeof domain - 1, labels = length;

    if (length > tail && !strcasecmp(host + length - tail, domain))
        labels = length - tail;
    for (size_t n = 0; n < labels; n++)
        if (!strchr(letters, host[n]) && (host[n] != '.' || labels == length || n == 0))
            return false;
    return labels;
}

bool access_host_allowed(const struct access *access, const char *given)
{
    char host[256];
    size_t length = strlen(given);

    if (length >= sizeof host)
        return false;
    memcpy(host, given, length + 1);
    if (!cut_port(host))
        return false;
    length = strlen(host);
    if (length > 1 && host[length - 1] == '.')
        host[length - 1] = 0;
    if (!strcasecmp(host, "localhost") || (access->name[0] && !strcasecmp(host, access->name)))
        return true;
    for (const char *const *name = access->hosts; name && *name; name++)
        if (!strcasecmp(host, *name))
            return true;
    /* Who is on the same network may give such a name to anything, so it is good only where a secret is asked for. */
    return is_address(host) || (access->mode != ACCESS_OPEN && is_local_name(host));
}

/* The length of a Host header or an Origin's authority without the port that its scheme has anyway. */
static size_t without_default_port(const char *authority, const char *port)
{
    size_t length = strlen(authority), tail = strlen(port);

    return length > tail && !strcmp(authority + length - tail, port) ? length - tail : length;
}

bool access_origin_allowed(const char *origin, const char *host, bool secure)
{
    const char *port = ":443";
    size_t length;

    if (!strncasecmp(origin, "https://", 8)) {
        origin += 8; /* over plain HTTP too: a proxy in front may have taken TLS off */
    } else if (!secure && !strncasecmp(origin, "http://", 7)) {
        origin += 7;
        port = ":80";
    } else {
        return false;
    }
    length = without_default_port(origin, port);
    return length && length == without_default_port(host, port) && !strncasecmp(origin, host, length);
}
