/* A qcow2 image as a struct block: its backing images, which the operator names, and its workers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2_queue.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/*
 * A guest that may write the whole file could name any file of the host in the header, and read it at the next start
 * (CVE-2026-27211): what the header names is compared with what the operator names, never opened. Folders may have
 * moved.
 */
static int check_backing(const struct block *block, const struct block_options *options, struct error *error)
{
    const char *named = block->qcow2->header.backing;
    const struct block_terms *terms = block->terms;

    if (named[0] && !options->backing)
        return error_set(
            error, EPERM,
            "%s%s: lies on the image %s, which is read only if you name it; add %s, or make one image of both with "
            "`casement image convert`",
            terms->prefix, options->path, named, terms->backing);
    if (!named[0] && options->backing)
        return error_set(error, EINVAL,
                         "%s%s: lies on no other image; leave %s out (%s), or add it with `casement image rebase`",
                         terms->prefix, options->path, terms->backing, options->backing->path);
    if (named[0] && strcmp(base_name(named), base_name(options->backing->path)) != 0)
        return error_set(error, EINVAL,
                         "%s%s: lies on %s, not on %s; name that, or change it with `casement image rebase`",
                         terms->prefix, options->path, named, options->backing->path);
    return 0;
}

static int open_backing(struct block *block, const struct block_options *options, struct error *error)
{
    struct block_options backing;
    int failed = check_backing(block, options, error);

    if (failed < 0 || !options->backing)
        return failed;
    backing = *options->backing;
    backing.read_only = true;
    failed = block_open(&backing, &block->backing, error);
    if (failed == 0) {
        block->qcow2->backing = block->backing;
        block->qcow2->backing_size = block_size(block->backing);
    }
    return failed;
}

int qcow2_attach(struct block *block, const struct block_options *options, struct error *error)
{
    int failed = 0;

    if (asprintf(&block->name, "%s%s", block->terms->prefix, options->path) < 0) {
        block->name = NULL;
        return error_set(error, ENOMEM, "%s%s: out of memory", block->terms->prefix, options->path);
    }
    failed = qcow2_open(&block->qcow2, block->fd, block->name, block->read_only, block->can_discard,
                        options->metadata_cache, error);
    if (failed == 0)
        failed = open_backing(block, options, error);
    if (failed < 0)
        return failed;
    block->size = block->qcow2->header.size;
    block->can_discard = !block->read_only;
    failed = qcow2_workers_create(&block->workers, block->qcow2);
    if (failed < 0)
        return error_set(error, -failed, "%s%s: its threads cannot start: %s", block->terms->prefix, options->path,
                         strerror(-failed));
    return 0;
}

void qcow2_detach(struct block *block)
{
    qcow2_workers_destroy(block->workers);
    if (block->qcow2)
        qcow2_close(block->qcow2);
    block_close(block->backing);
    free(block->name);
}
