/* The SHA-256 of a file (see fetch.h). */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "fetch_private.h"

#define CHUNK MiB

static int unreadable(const char *path, int err, struct error *error)
{
    return error_set(error, err, "%s: cannot be read: %s; look at the disk that it is on", path, strerror(err));
}

static int no_memory(const char *path, struct error *error)
{
    return error_set(error, ENOMEM, "%s: no memory to verify it; free some", path);
}

static int read_all(int fd, const char *path, struct fetch_meter *meter, EVP_MD_CTX *context, struct error *error)
{
    uint8_t *chunk = malloc(CHUNK);
    uint64_t done = 0;
    ssize_t count = 1;
    int failed = chunk ? 0 : no_memory(path, error);

    while (failed == 0 && count != 0) {
        count = read(fd, chunk, CHUNK);
        if (count < 0 && errno != EINTR)
            failed = unreadable(path, errno, error);
        else if (count > 0 && EVP_DigestUpdate(context, chunk, (size_t)count) != 1)
            failed = no_memory(path, error);
        done += count > 0 ? (uint64_t)count : 0;
        if (failed == 0 && fetch_meter_tell(meter, done, count == 0))
            failed =
                error_set(error, ECANCELED, "%s: stopped while it was verified; the next call does it again", path);
    }
    free(chunk);
    return failed;
}

int fetch_digest(const char *path, bool (*progress)(void *opaque, const struct fetch_progress *progress), void *opaque,
                 char *digest, struct error *error)
{
    struct fetch_meter meter = {.progress = progress, .opaque = opaque, .title = "Verifying"};
    int fd = open(path, O_RDONLY | O_CLOEXEC), failed;
    uint8_t bytes[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context;
    struct stat info;

    if (fd < 0)
        return unreadable(path, errno, error);
    meter.size = fstat(fd, &info) == 0 ? (uint64_t)info.st_size : 0;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    context = EVP_MD_CTX_new();
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        failed = no_memory(path, error);
    else
        failed = read_all(fd, path, &meter, context, error);
    if (failed == 0 && EVP_DigestFinal_ex(context, bytes, NULL) != 1)
        failed = no_memory(path, error);
    for (unsigned n = 0; n < 32 && failed == 0; n++)
        snprintf(digest + 2 * n, 3, "%02x", bytes[n]);
    EVP_MD_CTX_free(context);
    close(fd);
    return failed;
}
