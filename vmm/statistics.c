/* Sums and rates (see statistics.h). */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "statistics.h"

#define SECOND_NS INT64_C(1000000000)
#define WINDOW_NS (SECOND_NS * 9 / 10) /* a second less what a timer may be early */

static uint64_t resident_memory(void)
{
    char text[128];
    uint64_t pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    if (count <= 0)
        return 0;
    text[count] = 0;
    return sscanf(text, "%*u %" SCNu64, &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void statistics_totals(struct block *const *disks, unsigned disk_count, const struct net_counters *network,
                       struct totals *totals)
{
    struct timespec cpu = {0};

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    *totals = (struct totals){.cpu_ns = cpu.tv_sec * SECOND_NS + cpu.tv_nsec, .memory_resident = resident_memory()};
    for (unsigned n = 0; n < disk_count; n++) {
        struct block_totals one;

        block_totals(disks[n], &one);
        totals->disks.read_bytes += one.read_bytes;
        totals->disks.written_bytes += one.written_bytes;
        totals->disks.reads += one.reads;
        totals->disks.writes += one.writes;
        totals->disks.flushes += one.flushes;
        totals->disks.errors += one.errors;
        totals->disks.delayed += one.delayed;
    }
    if (network)
        net_totals(network, &totals->network);
}

static double rate(uint64_t now, uint64_t before, int64_t nanoseconds)
{
    return now > before ? (double)(now - before) * (double)SECOND_NS / (double)nanoseconds : 0;
}

void statistics_usage(struct statistics *statistics, const struct totals *totals, int64_t now_ns, struct usage *usage)
{
    const struct totals *last = &statistics->last;
    int64_t past;

    pthread_mutex_lock(&statistics->lock);
    past = now_ns - statistics->last_ns;
    if (!statistics->last_ns) {
        statistics->last = *totals;
        statistics->last_ns = now_ns;
    } else if (past >= WINDOW_NS) {
        statistics->usage = (struct usage){
            .cpu_percent = 100.0 * (double)(totals->cpu_ns - last->cpu_ns) / (double)past,
            .disk_read = rate(totals->disks.read_bytes, last->disks.read_bytes, past),
            .disk_write = rate(totals->disks.written_bytes, last->disks.written_bytes, past),
            .network_receive = rate(totals->network.received_bytes, last->network.received_bytes, past),
            .network_transmit = rate(totals->network.transmitted_bytes, last->network.transmitted_bytes, past),
        };
        statistics->last = *totals;
        statistics->last_ns = now_ns;
    }
    *usage = statistics->usage;
    usage->memory_resident = totals->memory_resident;
    pthread_mutex_unlock(&statistics->lock);
}
