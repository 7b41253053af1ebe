/* A shared folder below a temporary one, and a client of it that writes its requests by hand. */
#ifndef CASEMENT_TESTS_FAKE_DAV_H
#define CASEMENT_TESTS_FAKE_DAV_H

#include <stdbool.h>
#include <stddef.h>

#include "../../vmm/share/share.h"

struct fake_dav {
    char base[64], folder[80]; /* the folder is base/shared */
    struct share *share;
    int fd; /* -1: not connected */
    /* The last answer: its head and its body without the chunks' frames, each ended by NUL. */
    char head[16384];
    char *body;
    size_t body_size;
};

void fake_dav_open(struct fake_dav *dav, bool read_only);
void fake_dav_close(struct fake_dav *dav);
/*
 * One request; fields are whole lines with their ends, or empty; body NULL: none. The status, or 0 when the connection
 * was ended without an answer. Connects again when it has to.
 */
unsigned fake_dav_ask(struct fake_dav *dav, const char *method, const char *target, const char *fields,
                      const char *body);
/* The parts of it: false when the share does not take the bytes. */
bool fake_dav_send(struct fake_dav *dav, const void *bytes, size_t size);
unsigned fake_dav_receive(struct fake_dav *dav, bool head_only);
/* Whether the last answer's head has the line. */
bool fake_dav_has(const struct fake_dav *dav, const char *line);
/* A file below base: written, or its text (the caller's to free), NULL when there is none. */
void fake_dav_write(const struct fake_dav *dav, const char *name, const char *text);
char *fake_dav_read(const struct fake_dav *dav, const char *name);

#endif
