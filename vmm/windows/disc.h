/*
 * The answer disc: an ISO 9660 image with Joliet names that is made in memory and never written to storage, because it
 * has passwords in it. Its name is CASEMENT; Setup finds Autounattend.xml in its root.
 */
#ifndef CASEMENT_WINDOWS_DISC_H
#define CASEMENT_WINDOWS_DISC_H

#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"

struct disc;
/* NULL with a text: no memory, or the library does not start. */
struct disc *disc_create(struct error *error);
/* A file of that content, which is copied (and wiped with the disc). path has slashes; its folders are made. -EEXIST,
 * -ENAMETOOLONG (Joliet: 64 characters a name), -ENOMEM. */
int disc_add(struct disc *disc, const char *path, const void *content, size_t size, struct error *error);
/* The host's folder with all that is in it, as path. Symbolic links, devices and sockets are left out. The size of all
 * is bounded by limit bytes: -EFBIG with a text. Files are read when the image is made. */
int disc_add_folder(struct disc *disc, const char *path, const char *folder, uint64_t limit, struct error *error);
/*
 * The same from another image (a virtio-win ISO): the folder `from` in it, as path. -ENOENT: no such folder there.
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
