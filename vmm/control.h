/*
 * The control socket of a running machine: a UNIX socket on which the web server (viewer/web.h) serves the API without
 * an access check. Whoever can open it (its mode is 0600) rules the machine. This is about its place in the file
 * system.
 */
#ifndef CASEMENT_CONTROL_H
#define CASEMENT_CONTROL_H

#include "casement/error.h"

struct control;
/*
 * Listens on path. A socket file that nobody listens on any more is replaced; one that a machine answers on is refused.
 * 0, or -errno with a text.
 */
int control_create(const char *path, struct control **control, struct error *error);
/* The socket that listens; it stays the control's. */
int control_socket(const struct control *control);
/* Whether control_create() would find the path usable, without making or removing anything. 0, or -errno with a text.
 */
int control_check(const char *path, struct error *error);
/* Unlinks the socket, if it is still this one. NULL is fine. */
void control_destroy(struct control *control);

#endif
