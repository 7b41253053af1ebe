/* The page's files, compressed into the program. */
#ifndef CASEMENT_ASSETS_H
#define CASEMENT_ASSETS_H

#include <stddef.h>
#include <stdint.h>

struct asset {
    const char *path;       /* "/", "/app.js" */
    const char *type;       /* Content-Type */
    const uint8_t *gzip;    /* the content, compressed by gzip (RFC 1952) */
    size_t gzip_size, size; /* compressed, and of the content itself */
    const char *etag;       /* quoted, of the content */
};
/* NULL: none. Any thread. */
const struct asset *asset_find(const char *path);

#endif
