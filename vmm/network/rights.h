/*
 * What the process may do (capabilities(7)), and giving up what it needs no more. Rights belong to each thread: a
 * thread has what its maker had when it was made.
 */
#ifndef CASEMENT_NETWORK_RIGHTS_H
#define CASEMENT_NETWORK_RIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/error.h"

#define RIGHT(capability) (UINT64_C(1) << (capability)) /* of linux/capability.h */

/* Is the capability in force in this thread? */
bool rights_have(unsigned capability);
/*
 * Takes all capabilities but those in `keep` out of every set of this thread (effective, permitted, inheritable,
 * ambient, bounding), and sets no_new_privs. Before other threads are made. What is not there cannot be kept, which is
 * no error.
 */
int rights_drop(uint64_t keep, struct error *error);

#endif
