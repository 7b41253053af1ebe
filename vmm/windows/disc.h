/*
 * The answer disc: an ISO 9660 image with Joliet names that is made in memory and never written to storage, because it
 * has passwords in it. Its name is CASEMENT; Setup finds Autounattend.xml in its root. One thread at a time for each
 * disc; discs of several threads wait for each other while an image is made.
 */
#ifndef CASEMENT_WINDOWS_DISC_H
#define CASEMENT_WINDOWS_DISC_H

#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"

struct disc;
/* NULL with a text: no memory, or the library does not start. */
struct disc *disc_create(struct error *error);
/*
 * A file of that content, which is copied (and wiped with the disc). path has slashes; its folders are made. Windows
 * tells no capitals from small letters in names, so a file that differs in them only is there already, and a folder is
 * the same folder. -EEXIST; -EINVAL: a name that Windows or Joliet cannot have; -ENAMETOOLONG: more than 64 UTF-16
 * units in a name, or 240 in the path; -ELOOP: more than 16 folders deep; -EFBIG: 4 GiB or more, or more than 100000
 * files and folders on the disc; -ENOMEM. The disc is as it was then, but for folders.
 */
int disc_add(struct disc *disc, const char *path, const void *content, size_t size, struct error *error);
/*
 * The folder `from` ("": all) of the host's folder with all that is in it, as path ("": the root). Symbolic links,
 * devices and sockets are left out, and none is followed on the way to `from`. The size of all is bounded by limit
 * bytes: -EFBIG with a text. Files are read when the image is made, and what has another size then, or is no file any
 * more, makes that fail. When this fails the disc is good for disc_destroy() only.
 */
int disc_add_folder(struct disc *disc, const char *path, const char *folder, const char *from, uint64_t limit,
                    struct error *error);
/*
 * The same from another image (a virtio-win ISO): the folder `from` in it, in capitals or not, under its Joliet names
 * if it has such, else those of ISO 9660; 1 GiB at most. -ENOENT: no such folder there; -EILSEQ: no image, or a damaged
 * one.
 */
int disc_add_from_image(struct disc *disc, const char *path, const char *image, const char *from, struct error *error);
/*
 * Makes the image and ends the disc, whatever happens. A sealed memfd, the caller's to close, that a machine opens as
 * /proc/self/fd/N; or -errno with a text.
 */
int disc_finish(struct disc *disc, struct error *error);
/* Ends it without making one. NULL is fine. */
void disc_destroy(struct disc *disc);

#endif
