/* What the parts of the translation share: the rows of the table, and the reader that they work with. */
#ifndef CASEMENT_CONTAINER_ENVIRONMENT_PRIVATE_H
#define CASEMENT_CONTAINER_ENVIRONMENT_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "environment.h"

struct reader {
    const struct container_place *place;
    struct container_settings *settings;
    struct error *error;
    bool no_memory; /* checked once, at the end */
};

enum variable_kind {
    VARIABLE_OPTION,  /* the value is the option's */
    VARIABLE_SWITCH,  /* yes and no are the option's on and off, or the two of words; an empty one is not given */
    VARIABLE_WORDS,   /* one of words: "theirs>ours|...", or "theirs" alone for what is so without an option */
    VARIABLE_OWN,     /* translate() does it, and is called with NULL when the variable is not set */
    VARIABLE_PART,    /* another row's translate() reads it */
    VARIABLE_PLACE,   /* no variable but a path, whose presence gives the option; without one as VARIABLE_NOTHING */
    VARIABLE_NOTHING, /* a warning with `here`, unless the value is one of words, which say what is so anyway */
    VARIABLE_REFUSED, /* an error with `here`, with the same exception */
};

/* A name that ends in _FILE is a path whose first line is the value of the name without it, and excludes that. */
struct variable {
    const char *group; /* of the first in each group; NULL: as before */
    const char *name;
    const char *fallback; /* of dockurr/windows; NULL: none */
    const char *meaning;
    const char *option; /* without hyphens; NULL: none */
    const char *here;   /* what has to be said besides the option; with a remedy where a message ends in it */
    const char *words;
    int (*translate)(struct reader *reader, const struct variable *variable, const char *value);
    enum variable_kind kind;
    bool verbatim; /* quotes and spaces around the value belong to it */
};

extern const struct variable container_variables[];
extern const size_t container_variable_count;

/* Both stand for no memory in reader->no_memory, and the first returns NULL then. */
char *reader_text(struct reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reader_warn(struct reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* variable: what texts name instead of the option; NULL: nothing that the user has set. value is kept as it is. */
void reader_give(struct reader *reader, const char *option, const char *variable, const char *value);

/* The variable's value without spaces and quotes around it (but see verbatim); NULL: not set, or empty. */
const char *reader_value(struct reader *reader, const char *name);
/* Yes or no in the words that are taken for it; unset: fallback. 1, 0, or -EINVAL with a text. */
int reader_switch(struct reader *reader, const char *name, bool fallback);
/* The value is none of these: -EINVAL with a text. */
int reader_refuse(struct reader *reader, const char *name, const char *value, const char *allowed);
/* The storage folder, by STORAGE or at its place. */
const char *reader_storage(struct reader *reader);
/* Where something of this name is: at the root, else in the storage folder; NULL: nowhere. */
const char *reader_find(struct reader *reader, const char *name);
bool reader_exists(const char *path);
/* What further disks are on. */
const char *reader_disk_bus(struct reader *reader);
/* The device or image that is the system disk; NULL: it is in the storage folder, or what is named is no disk. */
const char *reader_system_disk(struct reader *reader);
/* Is a system installed here, or begun? */
bool reader_has_system(struct reader *reader);

/* A size as dockurr/windows takes them: 4G, 4 GB, 1.5T, 512M; a number alone is in units of `unit`. 0 or -EINVAL. */
int reader_size(struct reader *reader, const char *name, const char *value, uint64_t unit, uint64_t *bytes);

/* Rows' own translations. environment_machine.c: */
int variable_cpu_cores(struct reader *reader, const struct variable *variable, const char *value);
int variable_ram_size(struct reader *reader, const struct variable *variable, const char *value);
int variable_timeout(struct reader *reader, const struct variable *variable, const char *value);
/* environment_disks.c: */
int variable_storage(struct reader *reader, const struct variable *variable, const char *value);
int variable_disk_size(struct reader *reader, const struct variable *variable, const char *value);
int variable_disk_format(struct reader *reader, const struct variable *variable, const char *value);
int variable_device(struct reader *reader, const struct variable *variable, const char *value);
int variable_further_disk(struct reader *reader, const struct variable *variable, const char *value);
/* environment_profile.c: */
int variable_disk_type(struct reader *reader, const struct variable *variable, const char *value);
int variable_adapter(struct reader *reader, const struct variable *variable, const char *value);
/* environment_network.c: */
int variable_network(struct reader *reader, const struct variable *variable, const char *value);
int variable_interface(struct reader *reader, const struct variable *variable, const char *value);
int variable_mac(struct reader *reader, const struct variable *variable, const char *value);
int variable_ports(struct reader *reader, const struct variable *variable, const char *value);
int variable_share(struct reader *reader, const struct variable *variable, const char *value);
/* environment_viewer.c: */
int variable_screen(struct reader *reader, const struct variable *variable, const char *value);
int variable_web(struct reader *reader, const struct variable *variable, const char *value);
int variable_vnc(struct reader *reader, const struct variable *variable, const char *value);
int variable_access(struct reader *reader, const struct variable *variable, const char *value);
/* environment_windows.c: */
int variable_version(struct reader *reader, const struct variable *variable, const char *value);
int variable_account(struct reader *reader, const struct variable *variable, const char *value);

/* takeover.c: is there a Windows that dockurr/windows has installed, and that was never started here? */
bool reader_takes_over(struct reader *reader);
/* What that needs. 0, or -EINVAL with a text: it cannot be started here. */
int environment_take_over(struct reader *reader);

/* The port of a variable, 1 to 65535; fallback when it is not set. The port, or -EINVAL with a text. */
int reader_port(struct reader *reader, const char *name, int fallback);
/* Is there a network, a page, a VNC port? */
bool reader_has_network(struct reader *reader);
bool reader_has_web(struct reader *reader);
bool reader_has_vnc(struct reader *reader);

#endif
