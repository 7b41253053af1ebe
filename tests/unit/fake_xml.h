/* A small tree of an XML document, read by expat, for tests that judge what the program writes. */
#ifndef CASEMENT_TESTS_FAKE_XML_H
#define CASEMENT_TESTS_FAKE_XML_H

#include <stddef.h>

#define FAKE_XML_CHILDREN 64
#define FAKE_XML_ATTRIBUTES 8

struct fake_xml {
    char *name, *text; /* the text without that of children */
    char *attributes[FAKE_XML_ATTRIBUTES][2];
    struct fake_xml *parent, *children[FAKE_XML_CHILDREN];
    unsigned attribute_count, child_count;
};

/* The root; NULL: not well-formed, or more than the tree has room for. */
struct fake_xml *fake_xml_parse(const char *text, size_t size);
void fake_xml_destroy(struct fake_xml *root);

/* NULL: no such attribute. */
const char *fake_xml_attribute(const struct fake_xml *element, const char *name);
/* How many children have the name. */
unsigned fake_xml_count(const struct fake_xml *element, const char *name);
/* By names with slashes between them, of several the first, or the n-th: "Disk/CreatePartition[2]/Type". NULL: none. */
const struct fake_xml *fake_xml_find(const struct fake_xml *element, const char *path);
/* The text of that; "" when there is none. */
const char *fake_xml_text(const struct fake_xml *element, const char *path);

#endif
