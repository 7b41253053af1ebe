/* A folder of another disc image on the answer disc: libisofs says where its files lie, and they are read there. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "disc_library.h"
#include "disc_private.h"

#define SECTOR UINT64_C(2048)
#define LIMIT (1 * GiB) /* of all that is taken from an image: drivers have a tenth of it */

struct import {
    struct disc *disc;
    const struct disc_origin *origin;
    uint64_t size, left;
    struct error *error;
};

static int damaged(const struct import *import, const char *name, const char *reason)
{
    return error_set(import->error, EILSEQ, "%s: the file %.100s in it %s; get the image anew", import->origin->name,
                     name, reason);
}

static int add_file(struct import *import, IsoFile *file, struct disc_node *folder)
{
    const char *name = iso_node_get_name((IsoNode *)file);
    off_t size = iso_file_get_size(file);
    struct iso_file_section *sections = NULL, first = {0};
    struct disc_node *node;
    int count = 0, failed;

    iso_file_get_old_image_sections(file, &count, &sections, 0);
    if (count > 0)
        first = sections[0];
    free(sections);
    failed = disc_node_add(import->disc, folder, name, false, &node, import->error);
    if (failed < 0)
        return failed;
    failed = disc_take_space(name, (uint64_t)size, LIMIT, &import->left, import->error);
    if (failed < 0)
        return failed;
    /* Compressed files have another size where they lie than where they are read (zisofs). */
    if (size && (count != 1 || (uint64_t)first.size != (uint64_t)size))
        return damaged(import, name, "lies in pieces or is compressed, which is not known here");
    if (first.block * SECTOR + (uint64_t)size > import->size)
        return damaged(import, name, "lies behind the image's end");
    node->size = (uint64_t)size;
    node->origin = import->origin;
    node->offset = first.block * SECTOR;
    return 0;
}

static int add_children(struct import *import, IsoDir *from, struct disc_node *folder)
{
    IsoDirIter *children = NULL;
    IsoNode *child;
    int failed = iso_dir_get_children(from, &children) < 0 ? disc_no_memory(import->error) : 0;

    while (failed == 0 && iso_dir_iter_next(children, &child) == 1) {
        struct disc_node *node;

        if (ISO_NODE_IS_FILE(child))
            failed = add_file(import, ISO_FILE(child), folder);
        if (!ISO_NODE_IS_DIR(child))
            continue;
        failed = disc_node_add(import->disc, folder, iso_node_get_name(child), true, &node, import->error);
        if (failed == 0)
            failed = add_children(import, ISO_DIR(child), node);
    }
    if (children)
        iso_dir_iter_free(children);
    return failed;
}

static IsoDir *find_child(IsoDir *folder, const char *name, size_t length)
{
    IsoDirIter *children = NULL;
    IsoNode *child, *found = NULL;

    if (iso_dir_get_children(folder, &children) < 0)
        return NULL;
    while (!found && iso_dir_iter_next(children, &child) == 1) {
        const char *given = iso_node_get_name(child);

        if (ISO_NODE_IS_DIR(child) && strlen(given) == length && !strncasecmp(given, name, length))
            found = child;
    }
    iso_dir_iter_free(children);
    return (IsoDir *)found;
}

static IsoDir *find_folder(IsoDir *folder, const char *path)
{
    while (folder && *path) {
        size_t length = strcspn(path, "/");

        if (length)
            folder = find_child(folder, path, length);
        path += length + (path[length] == '/');
    }
    return folder;
}

static int add_folder(struct import *import, IsoDir *root, const char *from, const char *path)
{
    IsoDir *found = find_folder(root, from);
    struct disc_node *folder;
    int failed;

    if (!found)
        return error_set(import->error, ENOENT, "%s: has no folder %s in it; name an image that has one",
                         import->origin->name, from);
    failed = disc_make_folders(import->disc, path, strlen(path), &folder, import->error);
    return failed < 0 ? failed : add_children(import, found, folder);
}

/* The image's tree. Its Joliet names come first: they are what Windows would see. */
static int read_tree(const struct import *import, IsoImage **image)
{
    char path[32];
    IsoReadOpts *options = NULL;
    IsoDataSource *source = NULL;
    int result;

    snprintf(path, sizeof path, "/proc/self/fd/%d", import->origin->fd);
    result = iso_image_new("", image);
    if (result >= 0)
        result = iso_data_source_new_from_file(path, &source);
    if (result >= 0)
        result = iso_read_opts_new(&options, 0);
    if (result >= 0) {
        iso_read_opts_set_preferjoliet(options, 1);
        iso_read_opts_set_no_md5(options, 1);
        iso_read_opts_set_no_aaip(options, 1);
        iso_read_opts_set_input_charset(options, "UTF-8");
        result = iso_image_import(*image, source, options, NULL);
    }
    if (options)
        iso_read_opts_free(options);
    if (source)
        iso_data_source_unref(source);
    if (result >= 0)
        return 0;
    if (result == (int)ISO_OUT_OF_MEM)
        return disc_no_memory(import->error);
    disc_library_failed(result, import->origin->name, import->error);
    return -EINVAL;
}

static int open_image(struct import *import, const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat info;

    if (fd < 0)
        return error_set(import->error, errno, "%s: %s; name a disc image that can be read", path, strerror(errno));
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return error_set(import->error, EINVAL, "%s: is no file; name a disc image", path);
    }
    import->size = (uint64_t)info.st_size;
    import->origin = disc_origin_add(import->disc, fd, path);
    return import->origin ? 0 : disc_no_memory(import->error);
}

int disc_add_from_image(struct disc *disc, const char *path, const char *image, const char *from, struct error *error)
{
    struct import import = {.disc = disc, .left = LIMIT, .error = error};
    IsoImage *tree = NULL;
    int failed = open_image(&import, image);

    if (!import.origin)
        return failed;
    failed = disc_library_begin(error);
    if (failed < 0)
        return failed;
    failed = read_tree(&import, &tree);
    if (failed == 0)
        failed = add_folder(&import, iso_image_get_root(tree), from, path);
    if (tree)
        iso_image_unref(tree);
    disc_library_end();
    return failed;
}
