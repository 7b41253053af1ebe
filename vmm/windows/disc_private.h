/* What the files of the answer disc share: its tree, and where the bytes of its files come from. */
#ifndef CASEMENT_WINDOWS_DISC_PRIVATE_H
#define CASEMENT_WINDOWS_DISC_PRIVATE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "disc.h"

/* A folder of the host or an image; closed with the disc. */
struct disc_origin {
    struct disc_origin *next;
    int fd;
    char *name; /* for texts */
};

/* A folder, or a file whose bytes are in memory, in a folder of the host, or in an image. */
struct disc_node {
    char *name;
    struct disc_node *parent; /* NULL: the root */
    unsigned number;          /* from 1 on, none twice on a disc */
    unsigned depth, units;    /* folders above it; UTF-16 units of its path */
    bool folder;
    void *children; /* by tsearch() */
    size_t child_count;
    uint64_t size;                    /* bytes of a file, at most UINT32_MAX */
    uint8_t *bytes;                   /* in memory, the disc's own */
    const struct disc_origin *origin; /* NULL: in memory, or zeroes where bytes is NULL too */
    char *from;                       /* in a folder of the host: the path below it; NULL: in an image */
    uint64_t offset;                  /* in an image: where it begins */
};

struct disc {
    struct disc_node root;
    unsigned count; /* of nodes */
    struct disc_origin *origins;
};

#define DISC_DEPTH 16U
#define DISC_NODES 100000U
#define DISC_PATH 512 /* of texts */

/* The name that texts have for a node. */
const char *disc_node_path(const struct disc_node *node, char path[DISC_PATH]);
/*
 * A new file, or a folder that is there or made. Windows takes names for the same that differ in case only, so they are
 * the same here: as far as ASCII goes. -EEXIST for a file, -EINVAL, -ENAMETOOLONG, -ELOOP (too deep), -EFBIG (too
 * many).
 */
int disc_node_add(struct disc *disc, struct disc_node *parent, const char *name, bool folder, struct disc_node **node,
                  struct error *error);
/* The folder of that path, made where it is not there. Only length bytes of path count. */
int disc_make_folders(struct disc *disc, const char *path, size_t length, struct disc_node **folder,
                      struct error *error);
/* Calls visit for each child, in no order that counts, until one returns less than 0, which is returned. */
int disc_each_child(const struct disc_node *folder, int (*visit)(struct disc_node *child, void *opaque), void *opaque);
/* Takes the descriptor over, closes it when it fails. NULL: no memory. */
const struct disc_origin *disc_origin_add(struct disc *disc, int fd, const char *name);
/* Takes the bytes of a file from those that are left of a limit. -EFBIG: too few, or too many for one file. */
int disc_take_space(const char *name, uint64_t size, uint64_t limit, uint64_t *left, struct error *error);
/* Opens a file of a host's folder again: the same kind, the same size, no link on the way. A descriptor. */
int disc_open_host_file(const struct disc_node *file, struct error *error);
static inline int disc_no_memory(struct error *error)
{
    error_set(error, ENOMEM, "answer disc: out of memory");
    return -ENOMEM;
}

#endif
