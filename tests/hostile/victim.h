/* The devices under attack: how each is brought up, and the good request that shows that it serves again. */
#ifndef HOSTILE_VICTIM_H
#define HOSTILE_VICTIM_H

#include "driver.h"

#define SECTOR 512U
#define RING_SIZE 64 /* fits every device */

/* Places in the area of rings: queues in three pages each, then what requests point to. */
#define QUEUE_AT 0x0000
#define OTHER_QUEUE_AT 0x3000
#define INDIRECT_AT 0x10000
#define HEADERS_AT 0x100000 /* 64 bytes for each head: request header, status at 32 */
#define STATUS_IN_HEADER 32
#define FRAMES_AT 0x180000

struct victim {
    struct device device;
    unsigned queue_number; /* the one that is attacked */
    unsigned direction;    /* D_WRITE when the device writes into its buffers */
    struct queue queue, other;
    /* NULL, or why a good request was not served. The device is running, with fresh queues. */
    const char *(*good)(struct victim *victim);
};

/* All attacks share these. */
struct field {
    struct victim disk, entropy, card;
    struct area rings, data;
    uint64_t ram_end;  /* first address behind guest RAM */
    uint64_t capacity; /* of the disk, in sectors; each sector holds its number, the upper half is for writing */
    unsigned long attacks, breaks;
};
extern struct field field;

/* Opens all three. */
void field_open(uint64_t ram_end);
/* A text to return from a row. */
const char *failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Reset, and set up with these features and that size of the attacked queue, up to DRIVER_OK. */
void victim_start(struct victim *victim, uint32_t features, unsigned size);
/* The same, and a good request. NULL, or what went wrong. */
const char *victim_serves(struct victim *victim);
/* Kicks and waits; counts. */
enum outcome victim_attack(struct victim *victim);

/* Disk requests: three descriptors from head on. */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13, T_UNKNOWN = 99 };
uint8_t *disk_header(unsigned head);
void disk_set_header(unsigned head, uint32_t type, uint64_t sector);
volatile uint8_t *disk_status(unsigned head);
/* data: place in the data area. */
void disk_describe(struct queue *queue, unsigned head, uint32_t type, uint64_t sector, unsigned data, uint32_t length);
/* Reads the sector in the running device: NULL when it holds what it must. */
const char *disk_read_checked(struct victim *victim, unsigned head, uint64_t sector);

#endif
