/* The page's files, compressed into the program by tools/embed. Constant: any thread, valid for ever. */
#ifndef CASEMENT_ASSETS_H
#define CASEMENT_ASSETS_H

#include <stddef.h>
#include <stdint.h>

struct asset {
    const char *path;    /* "/" (index.html), "/app.js", "/novnc/core/rfb.js" ... */
    const char *type;    /* Content-Type */
    const uint8_t *gzip; /* the content, compressed by gzip (RFC 1952) */
    size_t gzip_size;
    size_t size;      /* of the content itself */
    const char *etag; /* of the content, quoted (RFC 9110 8.8.3) */
};

/* All of them, sorted by path. */
extern const struct asset assets[];
extern const size_t asset_count;

/* The asset of exactly that path, without a query. NULL: none. */
const struct asset *asset_find(const char *path);

#endif
