/* Where the secret of the web server comes from: a token that is kept, or the operator's password file. */
#ifndef CASEMENT_SECRET_H
#define CASEMENT_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "access.h"
#include "casement/error.h"

#define SECRET_PASSWORD_MIN 8

/* Reads the token that is kept in the file, or makes it there (mode 0600). *made: it is new. 0, or -errno with a text.
 */
int secret_token(const char *path, char token[ACCESS_TEXT], bool *made, struct error *error);
/*
 * The first line of a file that holds a secret, for the caller to cleanse: at most size - 1 bytes. *exposed (may be
 * NULL): others may read the file. 0, or -errno with a text that begins with the option.
 */
int secret_line(const char *option, const char *path, char *text, size_t size, bool *exposed, struct error *error);
/*
 * The first line of a password file; *password is the caller's to cleanse and free. *exposed: others may read the file.
 * 0, or -errno with a text that begins with --web-password-file.
 */
int secret_password(const char *path, char **password, bool *exposed, struct error *error);

#endif
