/* The answer disc's tree (see disc.h): names that Joliet and Windows can have, and files in memory. */
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/utf8.h"
#include "disc_private.h"

#define NAME_UNITS 64U  /* Joliet Specification, "Allowed Identifier Lengths" */
#define PATH_UNITS 240U /* with a drive's letter in front it is below Windows' MAX_PATH of 260 */

const char *disc_node_path(const struct disc_node *node, char path[DISC_PATH])
{
    size_t at = DISC_PATH - 1;

    path[at] = 0;
    for (; node->parent; node = node->parent) {
        size_t length = strlen(node->name);

        if (length + 1 > at)
            break;
        at -= length;
        memcpy(path + at, node->name, length);
        if (node->parent->parent)
            path[--at] = '/';
    }
    return path + at;
}

/* How many UTF-16 units it takes; -EILSEQ: it is not UTF-8. */
static int count_units(const char *name)
{
    int units = 0;

    for (uint32_t code = utf8_next(&name); code; code = utf8_next(&name)) {
        if (code == UTF8_BAD)
            return -EILSEQ;
        units += code > 0xFFFF ? 2 : 1;
    }
    return units;
}

static int bad_name(const struct disc_node *parent, const char *name, int err, const char *reason, struct error *error)
{
    char path[DISC_PATH];
    const char *folder = disc_node_path(parent, path);

    return error_set(error, err, "answer disc: %.200s%s%.127s: %s; rename it or leave it out", folder,
                     *folder ? "/" : "", name, reason);
}

static int check_name(const struct disc_node *parent, const char *name, struct error *error)
{
    size_t length = strlen(name);
    int units;

    if (length == 0 || !strcmp(name, ".") || !strcmp(name, ".."))
        return bad_name(parent, name, EINVAL, "no name of a file", error);
    for (size_t n = 0; n < length; n++)
        if ((unsigned char)name[n] < ' ' || strchr("*/:;?\\\"<>|", name[n]))
            return bad_name(parent, name, EINVAL,
                            "has a character that Windows or a disc cannot have in a name (* / : ; ? \\ \" < > | or a "
                            "control character)",
                            error);
    if (name[length - 1] == '.' || name[length - 1] == ' ')
        return bad_name(parent, name, EINVAL, "ends in a dot or a space, which Windows does not find", error);
    units = count_units(name);
    if (units > (int)NAME_UNITS)
        return bad_name(parent, name, ENAMETOOLONG, "longer than the 64 characters that a name on a disc can have",
                        error);
    if (units == -EILSEQ)
        return bad_name(parent, name, EINVAL, "a name that is not UTF-8", error);
    if (parent->units + (unsigned)units > PATH_UNITS)
        return bad_name(parent, name, ENAMETOOLONG, "its path has more than 240 characters", error);
    return units;
}

static int compare(const void *a, const void *b)
{
    return strcasecmp(((const struct disc_node *)a)->name, ((const struct disc_node *)b)->name);
}

static void free_node(struct disc_node *node)
{
    if (node->bytes)
        explicit_bzero(node->bytes, node->size);
    free(node->bytes);
    free(node->from);
    free(node->name);
    free(node);
}

/* Its children are in the tree by pointers, so what tfind() and tsearch() give are pointers to those. */
static int insert(struct disc *disc, struct disc_node *parent, const struct disc_node *like, struct disc_node **result,
                  struct error *error)
{
    struct disc_node *node = malloc(sizeof *node);

    if (!node)
        return disc_no_memory(error);
    *node = *like;
    node->name = strdup(like->name);
    node->parent = parent;
    node->number = disc->count + 1;
    if (!node->name || !tsearch(node, &parent->children, compare)) {
        free_node(node);
        return disc_no_memory(error);
    }
    disc->count++;
    parent->child_count++;
    *result = node;
    return 0;
}

int disc_node_add(struct disc *disc, struct disc_node *parent, const char *name, bool folder, struct disc_node **node,
                  struct error *error)
{
    struct disc_node like = {.name = (char *)name, .folder = folder, .depth = parent->depth + 1};
    int units = check_name(parent, name, error);
    struct disc_node **found;

    if (units < 0)
        return units;
    found = tfind(&like, &parent->children, compare);
    if (found) {
        *node = *found;
        if (folder && (*node)->folder)
            return 0;
        bad_name(parent, name, EEXIST, "is on the disc already (Windows tells no capitals from small letters)", error);
        return -EEXIST;
    }
    if (folder && like.depth > DISC_DEPTH) {
        bad_name(parent, name, ELOOP, "more than 16 folders deep", error);
        return -ELOOP;
    }
    if (disc->count >= DISC_NODES) {
        bad_name(parent, name, EFBIG, "more than the 100000 files and folders that a disc can have", error);
        return -EFBIG;
    }
    like.units = parent->units + (unsigned)units + 1;
    return insert(disc, parent, &like, node, error);
}

int disc_make_folders(struct disc *disc, const char *path, size_t length, struct disc_node **folder,
                      struct error *error)
{
    int failed = 0;

    *folder = &disc->root;
    for (size_t at = 0; length && at <= length && failed == 0;) {
        size_t part = MIN(strcspn(path + at, "/"), length - at);
        char *name = strndup(path + at, part);

        failed = name ? disc_node_add(disc, *folder, name, true, folder, error) : disc_no_memory(error);
        free(name);
        at += part + 1;
    }
    return failed;
}

struct visiting {
    int (*visit)(struct disc_node *child, void *opaque);
    void *opaque;
    int result;
};

static void visit_one(const void *at, VISIT when, void *closure)
{
    struct visiting *visiting = closure;

    if ((when == postorder || when == leaf) && visiting->result == 0)
        visiting->result = visiting->visit(*(struct disc_node *const *)at, visiting->opaque);
}

int disc_each_child(const struct disc_node *folder, int (*visit)(struct disc_node *child, void *opaque), void *opaque)
{
    struct visiting visiting = {visit, opaque, 0};

    twalk_r(folder->children, visit_one, &visiting);
    return visiting.result;
}

const struct disc_origin *disc_origin_add(struct disc *disc, int fd, const char *name)
{
    struct disc_origin *origin = malloc(sizeof *origin);
    char *copy = strdup(name);

    if (!origin || !copy) {
        free(origin);
        free(copy);
        close(fd);
        return NULL;
    }
    origin->next = disc->origins;
    origin->fd = fd;
    origin->name = copy;
    disc->origins = origin;
    return origin;
}

int disc_take_space(const char *name, uint64_t size, uint64_t limit, uint64_t *left, struct error *error)
{
    if (size > UINT32_MAX)
        return error_set(error, EFBIG,
                         "answer disc: %.200s: larger than the 4 GiB that a file on a disc can have; leave it out",
                         name);
    if (size > *left)
        return error_set(error, EFBIG,
                         "answer disc: %.200s: with it there are more than %llu MiB, and the disc is kept in memory; "
                         "leave out what Setup does not need",
                         name, (unsigned long long)(limit / MiB));
    *left -= size;
    return 0;
}

struct disc *disc_create(struct error *error)
{
    struct disc *disc = calloc(1, sizeof *disc);

    if (disc)
        disc->root.folder = true;
    else
        disc_no_memory(error);
    return disc;
}

int disc_add(struct disc *disc, const char *path, const void *content, size_t size, struct error *error)
{
    const char *slash = strrchr(path, '/'), *name = slash && slash > path ? slash + 1 : path;
    uint64_t left = UINT64_MAX;
    struct disc_node *folder, *file;
    int failed = disc_take_space(path, size, left, &left, error);
    uint8_t *bytes;

    if (failed < 0)
        return failed;
    bytes = malloc(size + 1);
    if (!bytes)
        return disc_no_memory(error);
    failed = disc_make_folders(disc, path, name > path ? (size_t)(slash - path) : 0, &folder, error);
    if (failed == 0)
        failed = disc_node_add(disc, folder, name, false, &file, error);
    if (failed < 0) {
        free(bytes);
        return failed;
    }
    if (size)
        memcpy(bytes, content, size);
    file->bytes = bytes;
    file->size = size;
    return 0;
}

static void destroy_node(void *opaque)
{
    struct disc_node *node = opaque;

    tdestroy(node->children, destroy_node);
    free_node(node);
}

void disc_destroy(struct disc *disc)
{
    if (!disc)
        return;
    tdestroy(disc->root.children, destroy_node);
    while (disc->origins) {
        struct disc_origin *origin = disc->origins;

        disc->origins = origin->next;
        close(origin->fd);
        free(origin->name);
        free(origin);
    }
    free(disc);
}
