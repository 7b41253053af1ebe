/*
 * The serial port's other end: standard input and output, a file, or nothing. What the guest sends is written by a
 * thread of its own, so that no vCPU waits for a disk or a terminal at each byte.
 */
#ifndef CASEMENT_CONSOLE_H
#define CASEMENT_CONSOLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <termios.h>

#include "casement/chipset.h"
#include "casement/error.h"
#include "casement/loop.h"

/* How far the guest may be ahead of what is written. */
#define CONSOLE_WAITING 65536

struct console {
    struct serial *serial;
    struct loop *loop;
    void (*tap)(void *opaque, const uint8_t *bytes, size_t length);
    void *tap_opaque;
    int out; /* -1: nowhere */
    bool owns_out;
    bool terminal;
    struct termios saved;
    struct loop *writer; /* its thread; NULL: there is no target */
    struct loop_task write;
    pthread_mutex_t lock; /* of what waits */
    pthread_cond_t room;
    size_t waiting_count;
    bool stuck; /* nothing moves, and what is sent is lost */
    _Atomic bool ending;
    uint8_t waiting[CONSOLE_WAITING];
    uint8_t writing[CONSOLE_WAITING]; /* the writer's */
    struct loop_watch in;
    bool watched;
    struct loop_timer retry; /* the guest reads slowly: input waits */
    unsigned char pending[256];
    size_t pending_count;
};

/* Opens "stdio", "none", or a file, which is emptied first. 0, or -errno with a text. */
int console_open(struct console *console, const char *target, struct error *error);
/* The file, if it is one, by its name anew, so that another program may have moved it. 0, or -errno with a text. Any
 * thread.
 */
int console_reopen(struct console *console, const char *target, struct error *error);
/* What the guest sends goes there as well, on a vCPU's thread. Before the guest runs. */
void console_tap(struct console *console, void (*tap)(void *opaque, const uint8_t *bytes, size_t length), void *opaque);
/* What serial_options.output is: opaque is the console. Any thread. It waits for room, but not for a reader
 * that takes nothing: then what is sent is lost. */
void console_output(void *opaque, const uint8_t *bytes, size_t length);
/* From now on standard input reaches the guest, if it is the target. Before the loop runs. */
void console_connect(struct console *console, struct serial *serial, struct loop *loop);
/* After the loop ended, and when no vCPU runs: all that was sent is written, if somebody still reads. Restores the
 * terminal. Safe after a failed open. */
void console_close(struct console *console);

#endif
