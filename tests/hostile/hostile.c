/*
 * A hostile driver: hostile RAM-BYTES [ROW...]. Prints "ROW n name ok" or "ROW n name FAILED why" for each attack, and
 * at the end how many there were. Exit status: 0 when every device survived and served good requests again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "rows.h"
#include "victim.h"
#include "xhci.h"

static const struct {
    unsigned row;
    const char *name;
    const char *(*run)(void);
} rows[] = {
    {1, "registers-after-driver-ok", registers_after_driver_ok},
    {2, "addresses-outside-ram", addresses_outside_ram},
    {2, "xhci-contexts-outside-ram", xhci_contexts_outside_ram},
    {5, "huge-chains-and-index-jumps", huge_chains_and_index_jumps},
    {6, "the-same-head-twice", the_same_head_twice},
    {8, "vectors-out-of-table", vectors_out_of_table},
    {9, "queues-that-do-not-exist", queues_that_do_not_exist},
    {11, "resets-under-load", resets_under_load},
    {11, "resets-under-a-producer", resets_under_a_producer},
    {13, "sectors-at-the-limits", sectors_at_the_limits},
    {17, "xhci-accesses-at-every-edge", xhci_accesses_at_every_edge},
    {18, "xhci-slots-at-their-limits", xhci_slots_at_their_limits},
    {19, "xhci-every-doorbell", xhci_every_doorbell},
    {20, "descriptors-that-change", descriptors_that_change},
    {20, "xhci-rings-that-change", xhci_rings_that_change},
    {21, "xhci-rings-of-no-size", xhci_rings_of_no_size},
    {22, "accesses-at-every-edge", accesses_at_every_edge},
    {25, "buffers-without-length", buffers_without_length},
    {27, "chains-over-queue-size", chains_over_queue_size},
    {28, "areas-at-address-zero", areas_at_address_zero},
    {29, "a-torn-index", a_torn_index},
    {30, "errors-latch", errors_latch},
    {30, "xhci-rings-that-loop", xhci_rings_that_loop},
};

static const char *all_serve(void)
{
    struct victim *const victims[] = {&field.disk, &field.entropy, &field.card};
    const char *why = NULL;

    for (unsigned n = 0; n < 3 && !why; n++)
        why = victim_serves(victims[n]);
    return why ? why : xhci_serves();
}

static bool wanted(unsigned row, int count, char **names)
{
    for (int n = 2; n < count; n++)
        if (strtoul(names[n], NULL, 10) == row)
            return true;
    return count <= 2;
}

int main(int count, char **arguments)
{
    const char *why;
    unsigned bad = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count < 2)
        die("usage: hostile RAM-BYTES [ROW...]");
    field_open(strtoull(arguments[1], NULL, 0));
    xhci_open();
    why = all_serve();
    if (why)
        die("before any attack: %s", why);
    for (unsigned n = 0; n < sizeof rows / sizeof *rows; n++) {
        double start = seconds_now();

        if (!wanted(rows[n].row, count, arguments))
            continue;
        why = rows[n].run();
        if (!why)
            why = all_serve();
        if (why)
            printf("ROW %u %s FAILED %s\n", rows[n].row, rows[n].name, why);
        else
            printf("ROW %u %s ok %.1f s\n", rows[n].row, rows[n].name, seconds_now() - start);
        bad += why != NULL;
    }
    device_reset(&field.disk.device);
    device_reset(&field.entropy.device);
    device_reset(&field.card.device);
    xhci_reset();
    printf("ATTACKS %lu BREAKS %lu FAILED %u\n", field.attacks, field.breaks, bad);
    return bad != 0;
}
