/* Sizes as users write them. */
#ifndef CASEMENT_SIZE_H
#define CASEMENT_SIZE_H

#include <stdint.h>

#include "casement/error.h"

/* A positive number of bytes, or with K, M, G or T behind it: 20G. 0, or -EINVAL with a text that begins with value. */
int size_parse(const char *value, uint64_t *size, struct error *error);

#endif
