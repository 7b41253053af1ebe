/*
 * Writes XML that is well-formed whatever the texts are: there is no way to write anything but elements, attributes and
 * text. The document may hold passwords, so no copy of it is left in memory but the one that is handed out.
 */
#ifndef CASEMENT_XML_H
#define CASEMENT_XML_H

#include <stddef.h>

#include "casement/error.h"

struct xml;

/* NULL: no memory. */
struct xml *xml_create(void);

/*
 * All of these remember the first thing that fails, and xml_finish() tells it: so no caller looks at each. Names of
 * elements and attributes are the program's own, constant while the document is made; values and texts are UTF-8 from
 * anywhere. An attribute follows the opening of its element, before any text or child.
 */
void xml_open(struct xml *xml, const char *name);
void xml_attribute(struct xml *xml, const char *name, const char *value);
void xml_text(struct xml *xml, const char *text);
void xml_close(struct xml *xml);
/* An element with nothing but a text in it. */
void xml_element(struct xml *xml, const char *name, const char *text);
void xml_number(struct xml *xml, const char *name, unsigned number);

/*
 * For a document that leaves in pieces: what was written since the last piece if it is at least so many bytes, else
 * nothing (*size 0). Valid until the next call, and not kept. NULL: something has failed.
 */
const char *xml_piece(struct xml *xml, size_t least, size_t *size);

/*
 * Ends the writer, whatever happens. The document with its declaration, NUL-terminated; its size may be NULL. The
 * caller's to free, wiped when it holds secrets. NULL with a text: no memory, a text that XML cannot hold (control
 * characters, bytes that are no UTF-8; the text names the element), or elements that were not closed.
 */
char *xml_finish(struct xml *xml, size_t *size, struct error *error);

#endif
