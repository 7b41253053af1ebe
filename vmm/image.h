/* What the files of `casement image` share. */
#ifndef CASEMENT_IMAGE_COMMAND_H
#define CASEMENT_IMAGE_COMMAND_H

#include "casement/image.h"

/* An image that the operator names, with what it lies on. */
struct image_source {
    const char *path;
    enum block_format format;
    bool format_given;
    const char *backing; /* NULL: nothing */
    enum block_format backing_format;
    const struct block_terms *terms, *backing_terms; /* how the operator says what they are */
};

/*
 * Copies the source's contents into a new image; holes and zeroes take no space. progress (any may be NULL) is told
 * bytes out of all, again and again. 0 or -errno with a text; a file that could not be finished is removed.
 */
int image_convert(const struct image_source *source, const struct image_options *to,
                  void (*progress)(uint64_t done, uint64_t all), struct error *error);
/*
 * Copies into the image what would read otherwise on its new backing image (path NULL: none); the caller then changes
 * the header.
 */
int image_copy_differences(const struct image_source *image, const struct image_source *new_backing,
                           void (*progress)(uint64_t done, uint64_t all), struct error *error);

#endif
