/* Secrets from files (see secret.h). They are never written anywhere but where they are kept. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "secret.h"

static const char signs[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int make_token(const char *path, int fd, char token[ACCESS_TEXT], struct error *error)
{
    char line[ACCESS_TEXT + 1];
    ssize_t written;

    if (!access_make_token(token))
        return error_set(error, EIO, "%s: the host has no random numbers", path);
    snprintf(line, sizeof line, "%s\n", token);
    written = pwrite(fd, line, strlen(line), 0);
    OPENSSL_cleanse(line, sizeof line);
    if (written != ACCESS_TEXT || ftruncate(fd, written) < 0 || fsync(fd) < 0)
        return error_set(error, errno ? errno : EIO, "%s: the token cannot be written: %s; is there space?", path,
                         strerror(errno));
    return 0;
}

int secret_token(const char *path, char token[ACCESS_TEXT], bool *made, struct error *error)
{
    char text[ACCESS_TEXT + 16] = "";
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), failed = 0;
    ssize_t count = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);

    *made = false;
    if (count < 0)
        failed = error_set(error, errno, "%s: %s; the token is kept here, so it has to be readable and writable", path,
                           strerror(errno));
    text[strcspn(text, "\n")] = 0;
    if (failed == 0 && count == 0) { /* new, or empty as after a power failure */
        *made = true;
        failed = make_token(path, fd, token, error);
    } else if (failed == 0 && strlen(text) == ACCESS_TEXT - 1 && strspn(text, signs) == ACCESS_TEXT - 1) {
        memcpy(token, text, ACCESS_TEXT);
    } else if (failed == 0) {
        failed = error_set(error, EINVAL, "%s: holds no token; remove it, and a new one is made", path);
    }
    OPENSSL_cleanse(text, sizeof text);
    if (fd >= 0)
        close(fd);
    return failed;
}

int secret_line(const char *option, const char *path, char *text, size_t size, bool *exposed, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), failed = 0;
    struct stat info = {0};
    ssize_t count = fd < 0 || fstat(fd, &info) < 0 ? -1 : read(fd, text, size);

    text[0] = count > 0 ? text[0] : 0;
    if (count < 0) {
        failed = error_set(error, errno, "%s %s: %s; name a file that can be read, with the secret in its first line",
                           option, path, strerror(errno));
    } else {
        text[MIN((size_t)count, size - 1)] = 0;
        if (strcspn(text, "\r\n") == size - 1)
            failed = error_set(error, EINVAL, "%s %s: its first line has more than %zu characters; shorten it", option,
                               path, size - 2);
        text[strcspn(text, "\r\n")] = 0;
        if (failed == 0 && !*text)
            failed = error_set(error, EINVAL, "%s %s: its first line is empty; write the secret there", option, path);
    }
    if (exposed)
        *exposed = info.st_mode & (S_IRGRP | S_IROTH);
    if (fd >= 0)
        close(fd);
    return failed;
}

int secret_password(const char *path, char **password, bool *exposed, struct error *error)
{
    char text[ACCESS_SECRET_MAX + 1] = "";
    int failed = secret_line("--web-password-file", path, text, sizeof text, exposed, error);

    if (failed == 0 && strlen(text) < SECRET_PASSWORD_MIN)
        failed = error_set(error, EINVAL,
                           "--web-password-file %s: the password has less than %d characters; choose a longer one",
                           path, SECRET_PASSWORD_MIN);
    *password = failed == 0 ? strdup(text) : NULL;
    if (failed == 0 && !*password)
        failed = error_set(error, ENOMEM, "--web-password-file %s: out of memory", path);
    OPENSSL_cleanse(text, sizeof text);
    return failed;
}
