/*
 * What the readers of a medium (medium.h) share: sources of bytes, and text out of files that nobody trusts. Each of
 * these is for any thread.
 */
#ifndef CASEMENT_WINDOWS_MEDIUM_PARTS_H
#define CASEMENT_WINDOWS_MEDIUM_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"
#include "medium.h"

/* Sectors of an optical medium, whichever the file system. */
#define MEDIUM_SECTOR 2048U

/* What to do about a medium that is not as it should be, for the end of a text. */
#define MEDIUM_AGAIN "download it again"
#define MEDIUM_OTHER "give the ISO as the vendor publishes it"

/*
 * All of the bytes, or a text: -EILSEQ they lie beyond the source's end, or its file system is damaged there; else what
 * read() says.
 */
int medium_source_read(const struct medium_source *source, void *to, size_t length, uint64_t offset,
                       struct error *error);

/*
 * The image at path, a file or a block device, as a source that reads *fd for as long as fd points there; path and *fd
 * are the caller's, who closes it (-1: there is none), after failures too. what it should be, "the ISO of Windows", is
 * for texts, which are as medium_identify() has them.
 */
int medium_source_open(const char *path, const char *what, int *fd, struct medium_source *source, struct error *error);

/*
 * The description of a WIM: length bytes of UTF-16LE at offset, which lie within the source. Adds its images to the
 * medium; of an ESD only those that Setup installs. 0, or with a text -EILSEQ, -EFBIG more images than there is room
 * for, -ENOMEM, or as above.
 */
int wim_xml_read(const struct medium_source *source, uint64_t offset, uint64_t length, bool esd, struct medium *medium,
                 struct error *error);

/* The character that UTF-16 begins with, and how many bytes it takes; 0: a surrogate alone, or cut off. */
unsigned utf16_take(const uint8_t *from, size_t length, bool big_endian, uint32_t *character);
/*
 * Copies UTF-8 as one line without blanks at its ends, cut between two characters where it is too long for size bytes
 * with the NUL: control characters become blanks, and what is no UTF-8 question marks.
 */
void utf8_copy_line(char *to, size_t size, const char *from, size_t length);

#endif
