/* The table of options: what there is to say about a machine, told once. */
#ifndef CASEMENT_OPTIONS_TABLE_H
#define CASEMENT_OPTIONS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

enum option_type { FLAG, NUMBER, SIZE, TEXT, CHOICE, SPECIAL };

struct option {
    const char *group; /* of the first in each group; NULL: as before */
    const char *name, *metavar, *fallback, *help;
    const char *windows; /* the fallback of `casement windows`, where it is another */
    size_t member;
    uint64_t least, most; /* NUMBER, SIZE */
    const char *choices;  /* CHOICE: "first|second"; the value is the index, as an enum or bool of this size: */
    size_t choice_size;
    int (*apply)(struct config *config, const char *value, struct error *error); /* SPECIAL */
    /* Where the value comes from that nobody gave, and for SPECIAL what it is (config.h). */
    const char *derived;
    void (*show)(const struct config *config, char *text, size_t size);
    enum option_type type;
    bool repeats, secret;
    unsigned char only; /* enum options_command; 0: of both */
};

/* In the order in which help and reference show them. */
#define OPTIONS_MOST 128
extern const struct option option_table[];
extern const size_t option_count;

#endif
