/* Certificates: the operator's, or one that the machine signs itself. PEM files throughout. */
#ifndef CASEMENT_TLS_H
#define CASEMENT_TLS_H

#include <openssl/ssl.h>

#include "casement/error.h"

/* Loads chain and key and sets what the protocol is at least. 0, or -EINVAL with a text that begins with --web-cert or
 * --web-key. */
int tls_load(SSL_CTX *context, const char *certificate, const char *key, struct error *error);
/* Whether tls_load() would succeed. Nothing is changed. */
int tls_check(const char *certificate, const char *key, struct error *error);
/*
 * Makes a key and a certificate in these files (mode 0600), for localhost, the names (ended by NULL) and the loopback
 * addresses; leaves those alone that are there and good for 30 more days. 0, or -errno with a text.
 */
int tls_self_sign(const char *certificate, const char *key, const char *const *names, struct error *error);

#endif
