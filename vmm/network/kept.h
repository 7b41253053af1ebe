/* What --net nat keeps in the machine's state folder: the private network, so that the guest's address stays. */
#ifndef CASEMENT_NETWORK_KEPT_H
#define CASEMENT_NETWORK_KEPT_H

#include <stdbool.h>
#include <stdint.h>

/* false: none is kept, or nothing that can be read as one. */
bool kept_subnet_read(const char *folder, uint8_t subnet[4]);
/* Says so in the log when it cannot be kept: the guest does without. */
void kept_subnet_write(const char *folder, const uint8_t subnet[4]);

#endif
