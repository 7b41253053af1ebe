/*
 * Makes the answer disc: libisofs yields the image in blocks, and they go into a memfd, which is sealed.
 *
 * Of the passwords on it there are three more copies on the way, none of which stays: what the library has last read of
 * a file, and its queue of blocks, are written over by a file of zeroes that is the last on the disc and has no name in
 * it; our own block is wiped. What stays is the memfd, for as long as somebody has it open; the host may put its pages
 * into swap space, which only locking all of it in memory would keep it from, and containers may seldom lock that much.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "disc_private.h"

/* Its header wants those of integers before it, and declares functions without prototypes. */
#define LIBISOFS_WITHOUT_LIBBURN /* for struct burn_source */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <libisofs/libisofs.h>
#pragma GCC diagnostic pop

#define VOLUME "CASEMENT"
#define BLOCK 2048U
#define QUEUE_BLOCKS 32U /* the fewest that libisofs takes */
/* No file of the tree can have this name, and none is shown. */
#define SCRUB_NAME ":"

/*
 * libisofs has one message queue and one character set for the process. Who is between these two has the library to
 * itself; its messages go nowhere but into library_failed().
 */
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

static void end_library(void)
{
    iso_finish();
    pthread_mutex_unlock(&library);
}

static int begin_library(struct error *error)
{
    pthread_mutex_lock(&library);
    /* 1: the process' locale stays as it is. */
    if (iso_init_with_flag(1) >= 0 && iso_set_local_charset((char *)"UTF-8", 0) > 0 &&
        iso_set_msgs_severities((char *)"SORRY", (char *)"NEVER", (char *)"") > 0)
        return 0;
    end_library();
    return error_set(error, ENOMEM, "answer disc: libisofs does not start; is there memory left?");
}

/* -errno for a code of the library, with the text that it has for what went wrong. */
static int library_failed(int code, const char *what, struct error *error)
{
    char text[ISO_MSGS_MESSAGE_LEN] = "", severity[80];
    int number, image;
    const char *reason = iso_error_to_msg(code);
    int err = code == (int)ISO_OUT_OF_MEM ? ENOMEM : EIO;

    if (iso_obtain_msgs((char *)"SORRY", &number, &image, text, severity) == 1 && text[0])
        reason = text;
    error_set(error, err, "%s: libisofs: %.200s", what, reason);
    return -err;
}

/* A file as the library reads it, on its own thread. */
struct source {
    struct disc_node *node;
    struct making *making;
    int fd;
    uint64_t at;
};

struct making {
    struct disc *disc;
    struct source *sources;
    unsigned used;
    struct disc_node scrub;
    struct error *error;
    int failed; /* of the first file that could not be read: the library goes on with zeroes */
    struct error read_error;
};

static int source_failed(struct source *source, int failed)
{
    if (source->making->failed == 0)
        source->making->failed = failed;
    return (int)ISO_FILE_READ_ERROR;
}

static int source_open(IsoStream *stream)
{
    struct source *source = stream->data;
    const struct disc_node *node = source->node;
    struct error error = {""};
    int fd;

    source->at = 0;
    if (!node->origin || !node->from)
        return ISO_SUCCESS;
    fd = disc_open_host_file(node, &error);
    if (fd < 0) {
        if (source->making->failed == 0)
            source->making->read_error = error;
        return source_failed(source, fd);
    }
    source->fd = fd;
    return ISO_SUCCESS;
}

static int source_close(IsoStream *stream)
{
    struct source *source = stream->data;

    if (source->fd >= 0)
        close(source->fd);
    source->fd = -1;
    return ISO_SUCCESS;
}

static off_t source_size(IsoStream *stream)
{
    return (off_t)((struct source *)stream->data)->node->size;
}

static int read_source(const struct source *source, uint8_t *to, size_t length)
{
    const struct disc_node *node = source->node;

    return node->from ? file_read_at(source->fd, to, length, source->at)
                      : file_read_at(node->origin->fd, to, length, node->offset + source->at);
}

static int source_read(IsoStream *stream, void *to, size_t count)
{
    struct source *source = stream->data;
    const struct disc_node *node = source->node;
    size_t length = (size_t)MIN(node->size - source->at, (uint64_t)count);
    char path[DISC_PATH];
    int failed = 0;

    if (node->origin)
        failed = read_source(source, to, length);
    else if (node->bytes)
        memcpy(to, node->bytes + source->at, length);
    else
        memset(to, 0, length);
    if (failed < 0) {
        if (source->making->failed == 0)
            error_set(&source->making->read_error, -failed, "%s: the file for %s cannot be read: %s; start again",
                      node->origin->name, disc_node_path(node, path), strerror(-failed));
        return source_failed(source, failed);
    }
    source->at += length;
    return (int)length;
}

static int source_repeatable(IsoStream *stream)
{
    (void)stream;
    return 1;
}

/* Those with the same id would be written once, under both names. */
static void source_id(IsoStream *stream, unsigned *file_system, dev_t *device, ino_t *number)
{
    *file_system = 0;
    *device = 0;
    *number = ((struct source *)stream->data)->node->number;
}

static void source_free(IsoStream *stream)
{
    (void)stream;
}

static int source_update_size(IsoStream *stream)
{
    (void)stream;
    return ISO_SUCCESS;
}

static IsoStream *source_input(IsoStream *stream, int flag)
{
    (void)stream;
    (void)flag;
    return NULL;
}

static IsoStreamIface source_class = {
    .version = 2,
    .type = {'u', 's', 'e', 'r'},
    .open = source_open,
    .close = source_close,
    .get_size = source_size,
    .read = source_read,
    .is_repeatable = source_repeatable,
    .get_id = source_id,
    .free = source_free,
    .update_size = source_update_size,
    .get_input_stream = source_input,
};

static int add_file(struct making *making, IsoDir *folder, struct disc_node *node, IsoFile **file)
{
    struct source *source = &making->sources[making->used++];
    IsoStream *stream = calloc(1, sizeof *stream);
    int result;

    if (!stream)
        return disc_no_memory(making->error);
    *source = (struct source){node, making, -1, 0};
    *stream = (IsoStream){.class = &source_class, .refcount = 1, .data = source};
    result = iso_tree_add_new_file(folder, node->name, stream, file);
    if (result >= 0)
        return 0; /* NOLINT(clang-analyzer-unix.Malloc): the image has the stream now */
    iso_stream_unref(stream);
    return library_failed(result, node->name, making->error);
}

static int collect(struct disc_node *child, void *opaque)
{
    struct disc_node ***next = opaque;

    *(*next)++ = child;
    return 0;
}

static int last_first(const void *a, const void *b)
{
    return strcmp((*(struct disc_node *const *)b)->name, (*(struct disc_node *const *)a)->name);
}

/* The last name comes first, because the library looks for a name's place from the beginning of its list. */
static int add_children(struct making *making, IsoDir *folder, const struct disc_node *node)
{
    struct disc_node **children = calloc(node->child_count + 1, sizeof(struct disc_node *)), **next = children;
    int failed = children ? disc_each_child(node, collect, &next) : disc_no_memory(making->error);

    if (failed < 0)
        return failed;
    qsort(children, node->child_count, sizeof(struct disc_node *), last_first);
    for (size_t n = 0; n < node->child_count && failed == 0; n++) {
        IsoDir *made;
        IsoFile *file;
        int result;

        if (!children[n]->folder) {
            failed = add_file(making, folder, children[n], &file);
            continue;
        }
        result = iso_tree_add_new_dir(folder, children[n]->name, &made);
        failed = result < 0 ? library_failed(result, children[n]->name, making->error)
                            : add_children(making, made, children[n]);
    }
    free(children);
    return failed;
}

static int add_scrub(struct making *making, IsoDir *root)
{
    IsoFile *file;
    int failed;

    making->scrub = (struct disc_node){
        .name = (char *)SCRUB_NAME, .number = making->disc->count + 1, .size = (uint64_t)QUEUE_BLOCKS * BLOCK};
    failed = add_file(making, root, &making->scrub, &file);
    if (failed < 0)
        return failed;
    iso_node_set_sort_weight((IsoNode *)file, -1);
    iso_node_set_hidden((IsoNode *)file, LIBISO_HIDE_ON_RR | LIBISO_HIDE_ON_JOLIET | LIBISO_HIDE_BUT_WRITE);
    return 0;
}

static int make_image(struct making *making, IsoImage **image)
{
    int result = iso_image_new(VOLUME, image);

    if (result < 0)
        return library_failed(result, "answer disc", making->error);
    iso_image_set_volset_id(*image, VOLUME);
    making->sources = calloc((size_t)making->disc->count + 1, sizeof *making->sources);
    if (!making->sources)
        return disc_no_memory(making->error);
    result = add_children(making, iso_image_get_root(*image), &making->disc->root);
    return result < 0 ? result : add_scrub(making, iso_image_get_root(*image));
}

/* Joliet names as they are given; the ISO 9660 ones, which nobody reads, as the library shortens them. */
static int start(struct making *making, IsoImage *image, struct burn_source **blocks)
{
    IsoWriteOpts *options = NULL;
    int result = iso_write_opts_new(&options, 0);

    if (result >= 0) {
        iso_write_opts_set_iso_level(options, 3);
        iso_write_opts_set_allow_deep_paths(options, 1);
        iso_write_opts_set_allow_longer_paths(options, 1);
        iso_write_opts_set_joliet(options, 1);
        iso_write_opts_set_joliet_utf16(options, 1);
        iso_write_opts_set_joliet_longer_paths(options, 1);
        iso_write_opts_set_no_force_dots(options, 2); /* of Joliet */
        iso_write_opts_set_sort_files(options, 1);
        iso_write_opts_set_fifo_size(options, QUEUE_BLOCKS);
        result = iso_image_create_burn_source(image, options, blocks);
        iso_write_opts_free(options);
    }
    return result < 0 ? library_failed(result, "answer disc", making->error) : 0;
}

static int copy_blocks(struct making *making, struct burn_source *blocks, int fd)
{
    off_t size = blocks->get_size(blocks), at = 0;
    uint8_t block[BLOCK];
    int failed = 0;

    while (at < size && failed == 0 && blocks->read_xt(blocks, block, BLOCK) == (int)BLOCK) {
        failed = file_write(fd, block, BLOCK);
        at += BLOCK;
    }
    explicit_bzero(block, sizeof block);
    if (failed < 0)
        blocks->cancel(blocks);
    blocks->free_data(blocks); /* waits for the library's thread */
    free(blocks);
    if (failed < 0)
        return error_set(making->error, -failed, "answer disc: no memory for an image of %llu MiB: %s; give more",
                         (unsigned long long)((uint64_t)size / MiB), strerror(-failed));
    if (making->failed < 0) {
        if (making->error)
            *making->error = making->read_error;
        return making->failed;
    }
    return at == size ? 0 : library_failed((int)ISO_WRITE_ERROR, "answer disc", making->error);
}

static int write_image(struct making *making, int fd)
{
    struct burn_source *blocks = NULL;
    IsoImage *image = NULL;
    int failed = begin_library(making->error);

    if (failed < 0)
        return failed;
    failed = make_image(making, &image);
    if (failed == 0)
        failed = start(making, image, &blocks);
    if (failed == 0)
        failed = copy_blocks(making, blocks, fd);
    if (image)
        iso_image_unref(image);
    end_library();
    free(making->sources);
    return failed;
}

int disc_finish(struct disc *disc, struct error *error)
{
    struct making making = {.disc = disc, .error = error};
    int fd = memfd_create("answer-disc", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int failed = fd < 0 ? error_set(error, errno,
                                    "answer disc: no memory file: %s; it needs Linux 3.17 and a seccomp "
                                    "profile that has memfd_create",
                                    strerror(errno))
                        : write_image(&making, fd);

    if (failed == 0 &&
        (fchmod(fd, 0400) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0))
        failed = error_set(error, errno, "answer disc: its memory file cannot be sealed: %s", strerror(errno));
    disc_destroy(disc);
    if (failed == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return failed;
}
