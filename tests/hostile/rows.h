/* One function for each row of the table of bugs that really happened. NULL, or why the device failed. */
#ifndef HOSTILE_ROWS_H
#define HOSTILE_ROWS_H

/* rows_registers.c */
const char *registers_after_driver_ok(void);
const char *vectors_out_of_table(void);
const char *queues_that_do_not_exist(void);
const char *accesses_at_every_edge(void);
const char *areas_at_address_zero(void);
/* rows_chains.c */
const char *addresses_outside_ram(void);
const char *huge_chains_and_index_jumps(void);
const char *sectors_at_the_limits(void);
const char *buffers_without_length(void);
const char *chains_over_queue_size(void);
const char *errors_latch(void);
/* rows_races.c */
const char *the_same_head_twice(void);
const char *resets_under_load(void);
const char *resets_under_a_producer(void);
const char *descriptors_that_change(void);
const char *a_torn_index(void);
/* rows_xhci.c */
const char *xhci_contexts_outside_ram(void);
const char *xhci_accesses_at_every_edge(void);
const char *xhci_slots_at_their_limits(void);
const char *xhci_every_doorbell(void);
const char *xhci_rings_that_change(void);
const char *xhci_rings_of_no_size(void);
const char *xhci_rings_that_loop(void);

#endif
