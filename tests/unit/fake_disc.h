/* Answer discs for tests: how they are made, and a reader of ISO 9660 with Joliet that shares no code with the maker.
 */
#ifndef CASEMENT_TESTS_FAKE_DISC_H
#define CASEMENT_TESTS_FAKE_DISC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../vmm/windows/disc.h"

#define FAKE_DISC_SECTOR 2048U

struct fake_disc_entry {
    char path[1024];
    bool folder;
    const uint8_t *bytes; /* of the image */
    uint32_t size;
};

struct fake_disc {
    uint8_t *bytes;
    size_t size;
    struct fake_disc_entry *entries; /* by path */
    unsigned count;
};

/* A disc, a file of text on it, its descriptor: each must go well. */
struct disc *fake_disc_new(void);
void fake_disc_add(struct disc *disc, const char *path, const char *text);
int fake_disc_finish(struct disc *disc);

/* The whole image, which must be as the two standards want it. Freed by fake_disc_free(). */
void fake_disc_read(struct fake_disc *image, int fd);
void fake_disc_free(struct fake_disc *image);
/* By the Joliet names; NULL: there is none. */
const struct fake_disc_entry *fake_disc_find(const struct fake_disc *image, const char *path);
/* A file with just these bytes; with this text; a folder. */
void fake_disc_has_file(const struct fake_disc *image, const char *path, const void *bytes, size_t size);
void fake_disc_has_text(const struct fake_disc *image, const char *path, const char *text);
void fake_disc_has_folder(const struct fake_disc *image, const char *path);

/* A part so often, then the end. */
#define FAKE_DISC_PATH 400
void fake_disc_repeat(char to[FAKE_DISC_PATH], unsigned count, const char *part, const char *end);
/* xorriso with these arguments; it must find nothing to be sorry about. */
void fake_disc_xorriso(const char *arguments);

#endif
