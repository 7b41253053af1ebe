/* A folder of another disc image on the answer disc: its files are read where they lie in the image. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "disc_private.h"
#include "iso9660.h"

#define LIMIT (1 * GiB) /* of all that is taken from an image: drivers have a tenth of it */

struct import {
    struct disc *disc;
    const struct disc_origin *origin;
    struct iso9660 iso;
    uint64_t left;
    struct error *error;
};

static int add_folder(struct import *import, const struct iso9660_file *from, struct disc_node *folder);

static int add_entry(struct import *import, const struct iso9660_entry *entry, struct disc_node *folder)
{
    const struct iso9660_file *file = &entry->file;
    struct disc_node *node;
    /* Lists of folders count as well: that bounds folders that are in themselves. */
    int failed = disc_take_space(entry->name, file->size, LIMIT, &import->left, import->error);

    if (failed == 0)
        failed = disc_node_add(import->disc, folder, entry->name, entry->is_folder, &node, import->error);
    if (failed != 0)
        return failed;
    if (entry->is_folder)
        return add_folder(import, file, node);
    if (file->extent_count != 1)
        return error_set(import->error, EILSEQ, "%s: the file %.200s in it lies in pieces; get the image anew",
                         import->origin->name, entry->name);
    node->size = file->size;
    node->origin = import->origin;
    node->offset = file->extents[0].offset;
    return 0;
}

static int add_folder(struct import *import, const struct iso9660_file *from, struct disc_node *folder)
{
    struct iso9660_list list = {.iso = &import->iso, .folder = *from};
    struct iso9660_entry entry;
    int result, failed = 0;

    while (failed == 0 && (result = iso9660_next(&list, &entry, import->error)) != 0)
        failed = result < 0 ? result : add_entry(import, &entry, folder);
    return failed;
}

static int add_from(struct import *import, const struct medium_source *image, const char *from, const char *path)
{
    struct iso9660_file folder;
    struct disc_node *node;
    int failed = iso9660_open(image, &import->iso, import->error);

    if (failed == 0)
        failed = iso9660_find_folder(&import->iso, from, &folder, import->error);
    if (failed == -ENOENT)
        return error_set(import->error, ENOENT, "%s: has no folder %.200s; name an image that has it", image->name,
                         from);
    if (failed == 0)
        failed = disc_make_folders(import->disc, path, strlen(path), &node, import->error);
    return failed == 0 ? add_folder(import, &folder, node) : failed;
}

int disc_add_from_image(struct disc *disc, const char *path, const char *image, const char *from, struct error *error)
{
    struct import import = {.disc = disc, .left = LIMIT, .error = error};
    struct medium_source source;
    int fd, failed = medium_source_open(image, "a disc image", &fd, &source, error);

    if (failed < 0) {
        if (fd >= 0)
            close(fd);
        return failed;
    }
    import.origin = disc_origin_add(disc, fd, image);
    return import.origin ? add_from(&import, &source, from, path) : disc_no_memory(error);
}
