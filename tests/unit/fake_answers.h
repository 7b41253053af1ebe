/* Systems and wishes for the tests of what Setup is told. */
#ifndef CASEMENT_TESTS_FAKE_ANSWERS_H
#define CASEMENT_TESTS_FAKE_ANSWERS_H

#include <stdbool.h>

#include "../../vmm/windows/answers.h"

enum fake_system { W10, W11, SERVER };

struct fake_target {
    enum fake_system system;
    unsigned build;
    const char *edition, *type;
    bool evaluation;
    const char *key; /* the generic one; NULL: none is known, or none is taken */
};
#define FAKE_TARGETS 38
extern const struct fake_target fake_targets[FAKE_TARGETS];
/* Windows 11 Professional among them. */
#define FAKE_PROFESSIONAL 16

/* None; those of a machine in a workgroup; those of one in a domain with a TPM and little memory. */
#define FAKE_WISHES 3
extern const struct answers fake_wishes[FAKE_WISHES];
#define FAKE_KEY "BCDFG-HJKMP-QRTVW-XY234-6789N"

/* The wishes without what that system does not take. */
void fake_answers_wish(const struct fake_target *target, size_t wish, struct answers *answers);

/* Image 6 of a medium in that language. */
void fake_answers_image(const struct fake_target *target, const char *language, struct medium_image *image);

#endif
