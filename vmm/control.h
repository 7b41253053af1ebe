/*
 * The control socket of a running machine: one line asks, one line answers.
 *
 *     status | screenshot PATH | type TEXT | key NAMES | powerdown | reset | stop
 *
 * The answer is "ok" or "error", a space and a text when there is one, and a line end. Within a line \n, \t, \r and \\
 * stand for what they mean in C. A client may ask many times; at most 64 KiB each. Whoever can open the socket (its
 * mode is 0600) rules the machine.
 */
#ifndef CASEMENT_CONTROL_H
#define CASEMENT_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "casement/error.h"
#include "casement/loop.h"

#define CONTROL_LINE_MAX 65536U /* bytes of a request or an answer, with its line end */
#define CONTROL_CLIENTS 8

/* What the machine does. Called on the loop's thread; 0, or -errno with a text. */
struct control_ops {
    int (*status)(void *machine, char *text, size_t size);
    int (*screenshot)(void *machine, const char *path, struct error *error);
    int (*type)(void *machine, const char *text, struct error *error);
    int (*key)(void *machine, const char *names, struct error *error);
    int (*powerdown)(void *machine, struct error *error);
    int (*reset)(void *machine, struct error *error);
    int (*stop)(void *machine, struct error *error);
};

struct control;
/*
 * Listens on path and serves clients on the loop. A socket file that nobody listens on any more is replaced; one that a
 * machine answers on is refused. Before the loop runs, or on its thread. ops stays the caller's. 0, or -errno with a
 * text.
 */
int control_create(struct loop *loop, const char *path, const struct control_ops *ops, void *machine,
                   struct control **control, struct error *error);
/* Whether control_create() would find the path usable, without making or removing anything. 0, or -errno with a text.
 */
int control_check(const char *path, struct error *error);
/* Drops the clients and unlinks the socket, if it is still this one. On the loop's thread or while it does not run. */
void control_destroy(struct control *control);

/* Writes text to out as one line's worth, without line end. The length, or 0 and nothing written when it does not fit.
 */
size_t control_escape(const char *text, char *out, size_t size);
/* Undoes control_escape() in place. false: a backslash that nothing known follows. */
bool control_unescape(char *text);

#endif
