/*
 * Guest RAM and the one checked way into it.
 *
 * RAM starts at 0; what exceeds 2 GiB continues at 4 GiB (platform contract 1.2), so that both firmware releases find
 * room for PCI windows. The layout never changes while the machine lives. Reads and writes race with the guest by
 * nature: a caller copies a guest-owned word once and works on the copy.
 */
#ifndef CASEMENT_MEMORY_H
#define CASEMENT_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/error.h"
#include "casement/vm.h"

#define MEMORY_LOW_LIMIT UINT64_C(0x80000000)
#define MEMORY_HIGH_BASE UINT64_C(0x100000000)

struct memory;

struct memory_options {
    uint64_t size;   /* bytes, a multiple of 2 MiB */
    bool shared;     /* memfd-backed, for later sharing with other processes; otherwise private anonymous memory */
    bool huge_pages; /* from the host's hugetlb pool; fails when the pool is too small */
};

/* Reserves the RAM. The caller owns the result. Fails with a text when the host has not got it. */
int memory_create(const struct memory_options *options, struct memory **memory, struct error *error);

/* Adds the slots to the VM. They are removed by memory_destroy(), which also frees the RAM. vm may be NULL in tests. */
int memory_attach(struct memory *memory, struct vm *vm, struct error *error);
void memory_destroy(struct memory *memory);

/*
 * The accessor: the host address of len bytes of guest RAM at gpa, or NULL when any byte of the range is not RAM, the
 * range wraps, or len is 0. Valid until memory_destroy(). Any thread.
 */
void *memory_at(const struct memory *memory, uint64_t gpa, uint64_t len);

/* Copies; 0, or -EFAULT with nothing copied. len 0 succeeds. Any thread. */
int memory_read(const struct memory *memory, uint64_t gpa, void *to, uint64_t len);
int memory_write(const struct memory *memory, uint64_t gpa, const void *from, uint64_t len);

/* Bytes of RAM below 4 GiB, from 4 GiB up, and in all. */
uint64_t memory_low_size(const struct memory *memory);
uint64_t memory_high_size(const struct memory *memory);
uint64_t memory_size(const struct memory *memory);

#endif
