/* Journeys for tests. */
#ifndef CASEMENT_TESTS_FAKE_JOURNEY_H
#define CASEMENT_TESTS_FAKE_JOURNEY_H

#include "../../vmm/windows/journey.h"

/* In the middle of an installation; each field has a value of its own. */
extern const struct journey fake_journey;

void fake_journey_same(const struct journey *a, const struct journey *b);
/* Writes to, and reads from, the test's folder (fake_folder.h), which must go well. */
void fake_journey_write(const struct journey *journey);
void fake_journey_read(struct journey *journey);

/* What is in the folder's backups: disks with that text, journeys, places with both, places that are unfinished. */
struct fake_backups {
    unsigned disks, journeys, together, parts;
};
struct fake_backups fake_journey_backups(const char *disk);

#endif
