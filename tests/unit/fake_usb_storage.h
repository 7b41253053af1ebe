/* The host of a USB mass storage device for unit tests: its transport (BBB), a command at a time, over fake_xhci.h. */
#ifndef CASEMENT_TESTS_FAKE_USB_STORAGE_H
#define CASEMENT_TESTS_FAKE_USB_STORAGE_H

#include "casement/block.h"
#include "fake_xhci.h"

#define STICK_BYTES (4 * MiB)
#define STICK_PORT 3
#define IN 3 /* device context indices */
#define OUT 4
#define M_COMMAND M_DATA
#define M_STATUS (M_DATA + 0x1000)
#define M_BUFFER (M_DATA + 0x10000)
#define CODE_SUCCESS 1
#define CODE_STALL 6
#define CODE_SHORT 13

struct stick {
    struct driver *driver;
    struct block *block;
    unsigned slot, tag;
    uint8_t *content; /* what the image held at first, STICK_BYTES */
};

/* A board with a stick (or a drive with a disc) named "stick", not yet found by its host. */
struct stick *stick_create(bool cdrom);
void stick_destroy(struct stick *stick);
/* Resets the controller, finds the device and configures its endpoints. */
void stick_start(struct stick *stick);

/* Starts one transfer; its TRB. */
uint64_t stick_begin(struct stick *stick, unsigned index, uint64_t at, unsigned length);
/* Waits for its end; the completion code, and what was not moved in *left (or NULL). */
unsigned stick_end(struct stick *stick, uint64_t trb, unsigned *left);
/* Both. */
unsigned stick_move(struct stick *stick, unsigned index, uint64_t at, unsigned length, unsigned *left);
/* What a host does about a stalled endpoint. */
void stick_clear_halt(struct stick *stick, unsigned index);
/* A command block at M_COMMAND; sent as well by the second. */
void stick_put_command(struct stick *stick, const uint8_t *cdb, unsigned cdb_length, bool in, unsigned length);
void stick_command(struct stick *stick, const uint8_t *cdb, unsigned cdb_length, bool in, unsigned length);
/* The status block: its status, and its residue in *residue. */
unsigned stick_status(struct stick *stick, unsigned *residue);
/* The attention that a unit has after power-on, taken as hosts do. */
void stick_become_ready(struct stick *stick);

#define STICK_COMMAND(stick, in, length, ...) \
    stick_command(stick, (const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}), in, length)

#endif
