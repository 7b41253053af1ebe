/* What a guest of a private network has, for tests of what it is told. */
#ifndef CASEMENT_TESTS_FAKE_LEASE_H
#define CASEMENT_TESTS_FAKE_LEASE_H

#include "../../vmm/network/lease.h"

extern const struct lease fake_lease;

#endif
