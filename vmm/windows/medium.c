/* See medium.h: the file, its file system, and the installer in that. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "iso9660.h"
#include "medium_parts.h"
#include "udf.h"

struct volume {
    int fd;
    struct medium_source image;
    struct udf *udf; /* NULL: iso */
    struct iso9660 iso;
};

/* A file in a volume. */
struct file {
    struct medium_source source; /* without a name */
    struct udf_file *udf;
    struct iso9660_file iso;
};

int medium_source_read(const struct medium_source *source, void *to, size_t length, uint64_t offset,
                       struct error *error)
{
    int failed;

    if (offset > source->size || length > source->size - offset)
        return error_set(error, EILSEQ,
                         "%s: ends with byte %" PRIu64 ", but refers to %zu bytes at %" PRIu64
                         ": cut off or damaged; " MEDIUM_AGAIN,
                         source->name, source->size, length, offset);
    failed = source->read(source->opaque, to, length, offset);
    if (failed == -EILSEQ)
        return error_set(error, EILSEQ, "%s: its file system is damaged, byte %" PRIu64 " is nowhere; " MEDIUM_AGAIN,
                         source->name, offset);
    if (failed < 0)
        return error_set(error, -failed, "%s: cannot be read at byte %" PRIu64 ": %s; copy it to another disk",
                         source->name, offset, strerror(-failed));
    return 0;
}

static int read_descriptor(void *opaque, void *to, size_t length, uint64_t offset)
{
    return file_read_at(*(const int *)opaque, to, length, offset);
}

int medium_source_open(const char *path, const char *what, int *fd, struct medium_source *source, struct error *error)
{
    struct stat info;
    off_t size;

    *fd = -1;
    /* Before it is opened: opening a pipe waits for its other end. */
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
        return error_set(error, S_ISDIR(info.st_mode) ? EISDIR : EINVAL,
                         "%s: is neither a file nor a block device; name %s", path, what);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return error_set(error, errno, "%s: %s; name %s", path, strerror(errno), what);
    size = lseek(*fd, 0, SEEK_END);
    if (size < 0)
        return error_set(error, errno, "%s: its size cannot be read: %s; copy it to another disk", path,
                         strerror(errno));
    *source = (struct medium_source){read_descriptor, fd, (uint64_t)size, path};
    return 0;
}

static int volume_open(struct volume *volume, const char *path, struct error *error)
{
    int failed = medium_source_open(path, "the ISO of Windows", &volume->fd, &volume->image, error);

    if (failed < 0)
        return failed;
    return udf_is_there(&volume->image) ? udf_open(&volume->image, &volume->udf, error)
                                        : iso9660_open(&volume->image, &volume->iso, error);
}

static void volume_close(struct volume *volume)
{
    udf_close(volume->udf);
    if (volume->fd >= 0)
        close(volume->fd);
}

/* -ENOENT without a text. The file stays where it is until it is closed. */
static int file_open(struct volume *volume, const char *path, struct file *file, struct error *error)
{
    int failed;

    *file = (struct file){.udf = NULL};
    if (volume->udf) {
        failed = udf_find(volume->udf, path, &file->udf, error);
        if (failed == 0)
            file->source = (struct medium_source){udf_read, file->udf, udf_file_size(file->udf), NULL};
    } else {
        failed = iso9660_find(&volume->iso, path, &file->iso, error);
        if (failed == 0)
            file->source = (struct medium_source){iso9660_read, &file->iso, file->iso.size, NULL};
    }
    return failed;
}

static void file_close(struct file *file)
{
    udf_file_close(file->udf);
}

static int file_exists(struct volume *volume, const char *path, bool *exists, struct error *error)
{
    struct file file;
    int failed = file_open(volume, path, &file, error);

    *exists = failed == 0;
    file_close(&file);
    return failed == -ENOENT ? 0 : failed;
}

static int no_installer(struct volume *volume, struct error *error)
{
    bool split = false;
    int failed = file_exists(volume, "sources/install.swm", &split, error);

    if (failed < 0)
        return failed;
    if (split)
        return error_set(error, ENODATA,
                         "%s: its installer is split (sources/install.swm), which is not supported; " MEDIUM_OTHER,
                         volume->image.name);
    return error_set(error, ENODATA,
                     "%s: is no Windows installation medium: sources/install.wim is missing; " MEDIUM_OTHER,
                     volume->image.name);
}

static int open_installer(struct volume *volume, struct medium *medium, struct file *file, struct error *error)
{
    static const char *const paths[] = {"sources/install.wim", "sources/install.esd"};

    for (size_t n = 0; n < ARRAY_SIZE(paths); n++) {
        int failed = file_open(volume, paths[n], file, error);

        if (failed == 0) {
            snprintf(medium->install, sizeof medium->install, "%s", paths[n]);
            medium->install_bytes = file->source.size;
        }
        if (failed != -ENOENT)
            return failed;
    }
    return no_installer(volume, error);
}

static int read_installer(struct volume *volume, struct medium *medium, struct error *error)
{
    struct file file;
    char *name = NULL;
    int failed = open_installer(volume, medium, &file, error);

    if (failed == 0 && asprintf(&name, "%s: %s", volume->image.name, medium->install) < 0) {
        name = NULL;
        failed = error_set(error, ENOMEM, "%s: out of memory", volume->image.name);
    }
    if (failed == 0) {
        file.source.name = name;
        failed = medium_read_wim(&file.source, medium, error);
    }
    free(name);
    file_close(&file);
    return failed;
}

static int identify(const char *path, struct medium *medium, struct error *error)
{
    struct volume volume = {.fd = -1};
    int failed = volume_open(&volume, path, error);

    *medium = (struct medium){.udf = volume.udf != NULL};
    if (failed == 0) {
        if (volume.udf)
            udf_volume(volume.udf, medium->volume, sizeof medium->volume);
        else
            memcpy(medium->volume, volume.iso.volume, sizeof medium->volume);
        failed = read_installer(&volume, medium, error);
    }
    if (failed == 0)
        failed = file_exists(&volume, "efi/boot/bootx64.efi", &medium->boots_efi, error);
    volume_close(&volume);
    return failed;
}

/*
 * libudfread says on the stream of standard error what it does not like, of which the one line here is made. So that
 * stream leads nowhere meanwhile, for all threads; lines of the log do not go through it. Nowhere stays open: another
 * thread may have taken the stream just before it came back.
 */
int medium_identify(const char *path, struct medium *medium, struct error *error)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static FILE *nowhere;
    FILE *kept;
    int failed;

    pthread_mutex_lock(&lock);
    if (!nowhere)
        nowhere = fopen("/dev/null", "we");
    kept = stderr;
    stderr = nowhere ? nowhere : kept;
    failed = identify(path, medium, error);
    stderr = kept;
    pthread_mutex_unlock(&lock);
    return failed;
}
