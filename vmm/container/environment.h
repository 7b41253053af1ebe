/*
 * The environment of the dockurr/windows container as options of `casement windows`, so that a compose file keeps its
 * variables when its image changes.
 *
 * A table (environment_table.c) has every variable: what it means there, what it becomes here, or why it has no meaning
 * here and what does the same. A variable without meaning is a warning, and the machine starts; it is an error where
 * the machine would be another one than was asked for in what data it touches, who reaches it, or how it is protected.
 */
#ifndef CASEMENT_CONTAINER_ENVIRONMENT_H
#define CASEMENT_CONTAINER_ENVIRONMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../options.h"
#include "casement/block.h"
#include "casement/error.h"

#define CONTAINER_DISKS 5

/* Where the container's world is looked at. */
struct container_place {
    const char *root;       /* stands in front of every path, also of those that variables name; "" but in tests */
    char *const *variables; /* NAME=VALUE, NULL at the end, as environ */
    const char *no_nat;     /* why --net nat cannot be had here; NULL: it can */
    bool six;               /* a socket can take IPv6 and IPv4 */
};

/* A further disk that is wanted and not there yet; the options name it already. */
struct container_disk {
    const char *path, *variable;
    uint64_t size; /* bytes, a multiple of 1 MiB */
    enum block_format format;
};

struct container_settings {
    struct option_value *options; /* for options_parse_with() */
    size_t option_count;
    const char **warnings; /* one line each, for the log; no secrets */
    size_t warning_count;
    struct container_disk disks[CONTAINER_DISKS];
    unsigned disk_count;
    int password; /* a file in memory with the viewers' password, which an option may name; -1: none */
    char **texts; /* what the strings above are parts of */
    size_t text_count;
};

/*
 * Reads the environment and what is bound at the container's root (/storage, /custom.iso, /oem, ...), without changing
 * anything. settings is filled and the caller's to free, also on failure; keep it until the machine has ended. 0, or
 * -errno with a text that begins with the variable's name and is fit for EXIT_CODE_CONFIGURATION. Any thread, while
 * nobody changes the environment.
 */
int container_settings_read(const struct container_place *place, struct container_settings *settings,
                            struct error *error);
/* Makes the disks that are not there yet, empty. 0, or -errno with a text that begins with the variable's name. */
int container_settings_make_disks(const struct container_settings *settings, struct error *error);
/* Wipes them first: there are passwords among them. */
void container_settings_free(struct container_settings *settings);

/* The table as Markdown, for docs/container.md. */
void container_reference(FILE *to);

#endif
