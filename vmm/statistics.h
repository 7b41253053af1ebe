/*
 * What the machine uses of its host: CPU, memory, disks, network. Counters that other threads add to are read without
 * locks; rates are what they grew by since the last look, so nobody works while nobody looks.
 */
#ifndef CASEMENT_STATISTICS_H
#define CASEMENT_STATISTICS_H

#include <pthread.h>
#include <stdint.h>

#include "casement/block.h"
#include "casement/net.h"

/* Sums since the machine was made. */
struct totals {
    int64_t cpu_ns;           /* of the whole process, vCPUs included */
    uint64_t memory_resident; /* bytes now */
    struct block_totals disks;
    struct net_totals network;
};

struct usage {
    double cpu_percent; /* 100: one host CPU */
    uint64_t memory_resident;
    double disk_read, disk_write, network_receive, network_transmit; /* bytes each second */
};

/* Rates between two looks; zero-initialised but for the lock. */
struct statistics {
    pthread_mutex_t lock;
    struct totals last;
    struct usage usage;
    int64_t last_ns;
};

/* Adds up what there is. Any thread. */
void statistics_totals(struct block *const *disks, unsigned disk_count, const struct net_counters *network,
                       struct totals *totals);
/* The rates since the look before this one, which is at least a second ago; within that second the same again. Any
 * thread. */
void statistics_usage(struct statistics *statistics, const struct totals *totals, int64_t now_ns, struct usage *usage);

#endif
