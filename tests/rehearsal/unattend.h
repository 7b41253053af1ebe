/*
 * The player's reading of an answer file. It is strict where Setup would stop to ask or fail, and also where Setup
 * might forgive: every setting has to be one that the table (unattend_schema.c) knows, in the pass and form that are
 * documented. Single-threaded; the first complaint ends the program.
 */
#ifndef CASEMENT_REHEARSAL_UNATTEND_H
#define CASEMENT_REHEARSAL_UNATTEND_H

#include <stdbool.h>
#include <stddef.h>

/* Says "REHEARSAL-REFUSED: why" and ends the program with status 1. */
_Noreturn void refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * An element with all its parents: "windowsPE/Microsoft-Windows-Setup/DiskConfiguration/Disk[1]/DiskID". Elements of
 * lists have their number. Those that have elements have no text.
 */
struct element {
    char *path, *text;
    bool is_list_item, has_children;
};

struct document {
    struct element *elements;
    size_t count;
};

/* Answer files: the namespace, the attributes, and the passes are looked at. */
void read_answers(const char *path, struct document *document);
/* Any XML: "WIM/IMAGE[1]/NAME"; attributes are elements with a @: "WIM/IMAGE[1]/@INDEX". */
void read_description(const char *path, struct document *document);

void destroy_document(struct document *document);

/* The text of an element; NULL: there is none. */
const char *text_of(const struct document *document, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* How many of a list: the path without its number. */
unsigned count_of(const struct document *document, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Is every element known and of its form; complete: and is what Setup would ask for there? */
void check_schema(const struct document *document, bool complete);
/* Does the list keep its elements' numbers? */
bool is_list(const char *name);

#endif
