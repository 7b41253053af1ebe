/* Pictures as PNG files (ISO/IEC 15948), compressed with zlib. */
#ifndef CASEMENT_PNG_H
#define CASEMENT_PNG_H

#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"

/*
 * Writes width x height pixels, little-endian XRGB8888 with stride bytes between rows, to path through a temporary file
 * beside it and rename(). pixels may change meanwhile. 0, or -errno with a text. Any thread.
 */
int png_write(const char *path, const uint8_t *pixels, unsigned width, unsigned height, unsigned stride,
              struct error *error);
/* The same into memory of its own, which is the caller's to free. 0 or -errno. Any thread. */
int png_write_memory(uint8_t **png, size_t *size, const uint8_t *pixels, unsigned width, unsigned height,
                     unsigned stride);

#endif
