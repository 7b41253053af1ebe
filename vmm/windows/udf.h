/* Finding and reading files in a UDF file system, by libudfread within bounds. */
#ifndef CASEMENT_WINDOWS_UDF_H
#define CASEMENT_WINDOWS_UDF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"
#include "medium.h"

struct udf;
struct udf_file;

/* Does the image say that it has one (volume recognition sequence, ECMA-167, 2/8.3)? Any thread. */
bool udf_is_there(const struct medium_source *image);
/*
 * Opens it; the image has to live until udf_close(). One thread at a time for what follows. 0 or with a text -EILSEQ:
 * damaged, -ENOMEM, or what reading says.
 */
int udf_open(const struct medium_source *image, struct udf **result, struct error *error);
/* NULL is fine. */
void udf_close(struct udf *udf);
/* The volume's name, UTF-8; size bytes with the NUL. */
void udf_volume(const struct udf *udf, char *name, size_t size);
/*
 * Looks for a file by a path of ASCII characters in any case. 0 and the file, to be closed before the file system;
 * -ENOENT without a text: there is none; -EILSEQ with a text: damaged, or it goes on behind the image's end; -ENOMEM,
 * or what reading says.
 */
int udf_find(struct udf *udf, const char *path, struct udf_file **result, struct error *error);
/* NULL is fine. */
void udf_file_close(struct udf_file *file);
uint64_t udf_file_size(const struct udf_file *file);
/* The read() of a struct medium_source; opaque is a struct udf_file, and the bytes lie in it. */
int udf_read(void *opaque, void *to, size_t length, uint64_t offset);

#endif
