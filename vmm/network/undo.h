/*
 * What has to be given back at the end with rights that the rest of the process has given up by then. A thread that is
 * made before, keeps CAP_NET_ADMIN alone, and sleeps until it is needed: the only holder of that right meanwhile, and
 * there only where something is to be given back.
 */
#ifndef CASEMENT_NETWORK_UNDO_H
#define CASEMENT_NETWORK_UNDO_H

#include "casement/error.h"

struct undo;

/* Starts the thread; before rights_drop(). run is called on it by undo_run(). */
int undo_create(void (*run)(void *opaque), void *opaque, struct undo **undo, struct error *error);
/* Runs it, waits until it is done, and frees it. NULL is nothing. */
void undo_run(struct undo *undo);

#endif
