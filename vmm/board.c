/* The board's list of devices. */
#include <stddef.h>

#include "casement/board.h"

void board_add(struct board *board, struct device *device)
{
    device->next = board->devices;
    board->devices = device;
}

void board_remove(struct board *board, struct device *device)
{
    for (struct device **at = &board->devices; *at; at = &(*at)->next)
        if (*at == device) {
            *at = device->next;
            return;
        }
}

/* The list is newest first; the reset goes in the order of adding. */
static void reset_from(struct device *device)
{
    struct device *reversed = NULL;

    for (struct device *next; device; device = next) {
        next = device->next;
        device->next = reversed;
        reversed = device;
    }
    /* Turning the list twice visits it in the order of adding without recursion. */
    for (struct device *next, *back = NULL; reversed; reversed = next) {
        next = reversed->next;
        if (reversed->ops->reset)
            reversed->ops->reset(reversed);
        reversed->next = back;
        back = reversed;
    }
}

void board_reset(struct board *board)
{
    reset_from(board->devices);
}

void board_destroy_devices(struct board *board)
{
    while (board->devices) {
        struct device *device = board->devices;

        board->devices = device->next;
        if (device->ops->destroy)
            device->ops->destroy(device);
    }
}
