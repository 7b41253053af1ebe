/* An answer file that was made and read back by an independent parser, for tests of what is in it. */
#ifndef CASEMENT_TESTS_FAKE_UNATTEND_H
#define CASEMENT_TESTS_FAKE_UNATTEND_H

#include "fake_answers.h"
#include "fake_xml.h"

struct fake_unattend {
    struct medium_image image;
    struct answers answers;
    char *document;
    size_t size;
    struct fake_xml *tree;
};

/* Of a medium in that language. What goes wrong fails the test, here and below. */
void fake_unattend_open(struct fake_unattend *use, const struct fake_target *target, const char *language,
                        const struct answers *answers);
void fake_unattend_close(struct fake_unattend *use);

const struct fake_xml *fake_unattend_pass(const struct fake_unattend *use, const char *name);
/* NULL: the pass has none. */
const struct fake_xml *fake_unattend_component(const struct fake_unattend *use, const char *pass, const char *name);

/* That path has that text. */
void fake_unattend_text(const struct fake_xml *element, const char *path, const char *expected);
/* The same in a component. */
void fake_unattend_setting(const struct fake_unattend *use, const char *pass, const char *name, const char *path,
                           const char *expected);
/* That path has that password, decoded the other way round than it was made. */
void fake_unattend_password(const struct fake_xml *element, const char *path, const char *expected);
/* Passes and components are there as they should be, and lists are counted. */
void fake_unattend_frame(const struct fake_unattend *use);

#endif
