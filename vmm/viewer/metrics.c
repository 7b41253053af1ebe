/* GET /metrics: the machine in Prometheus's text format 0.0.4, names and units as its naming rules have them. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "api.h"
#include "casement/bytes.h"

static void describe(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP casement_%s %s\n# TYPE casement_%s %s\n", name, help, name, type);
}

static void integer(FILE *to, const char *name, const char *type, const char *help, uint64_t value)
{
    describe(to, name, type, help);
    fprintf(to, "casement_%s %" PRIu64 "\n", name, value);
}

static void seconds(FILE *to, const char *name, const char *type, const char *help, int64_t nanoseconds)
{
    describe(to, name, type, help);
    fprintf(to, "casement_%s %" PRId64 ".%09" PRId64 "\n", name, nanoseconds / 1000000000, nanoseconds % 1000000000);
}

static void phases(FILE *to, enum machine_phase phase)
{
    describe(to, "phase", "gauge", "1 for the phase that the machine is in.");
    for (unsigned n = 0; n <= PHASE_STOPPING; n++)
        fprintf(to, "casement_phase{phase=\"%s\"} %d\n", machine_phase_names[n], n == (unsigned)phase);
}

static const struct {
    const char *name, *help;
    size_t at; /* in struct block_totals */
} of_disks[] = {
    {"disk_read_bytes_total", "Bytes that the guest has read from a disk.", offsetof(struct block_totals, read_bytes)},
    {"disk_written_bytes_total", "Bytes that the guest has written to a disk.",
     offsetof(struct block_totals, written_bytes)},
    {"disk_reads_total", "Read requests that were done.", offsetof(struct block_totals, reads)},
    {"disk_writes_total", "Write requests that were done.", offsetof(struct block_totals, writes)},
    {"disk_flushes_total", "Flush requests that were done.", offsetof(struct block_totals, flushes)},
    {"disk_errors_total", "Requests that failed.", offsetof(struct block_totals, errors)},
    {"disk_delayed_total", "Requests that a limit has put off.", offsetof(struct block_totals, delayed)},
};

static void disks(FILE *to, const struct api *api)
{
    struct machine_disk disk;

    for (size_t n = 0; n < ARRAY_SIZE(of_disks); n++) {
        describe(to, of_disks[n].name, "counter", of_disks[n].help);
        for (unsigned index = 0; api->ops->disk(api->machine, index, &disk); index++)
            fprintf(to, "casement_%s{disk=\"%s\"} %" PRIu64 "\n", of_disks[n].name, disk.id,
                    *(const uint64_t *)(const void *)((const char *)&disk.totals + of_disks[n].at));
    }
    describe(to, "disk_full", "gauge", "1 while a disk waits for space on the host.");
    for (unsigned index = 0; api->ops->disk(api->machine, index, &disk); index++)
        fprintf(to, "casement_disk_full{disk=\"%s\"} %d\n", disk.id, disk.full);
}

static void network(FILE *to, const struct net_totals *totals)
{
    integer(to, "network_receive_bytes_total", "counter", "Bytes of the frames that the guest has received.",
            totals->received_bytes);
    integer(to, "network_receive_packets_total", "counter", "Frames that the guest has received.",
            totals->received_packets);
    integer(to, "network_transmit_bytes_total", "counter", "Bytes of the frames that the guest has sent.",
            totals->transmitted_bytes);
    integer(to, "network_transmit_packets_total", "counter", "Frames that the guest has sent.",
            totals->transmitted_packets);
}

static void write_all(FILE *to, const struct api *api, const struct machine_status *status,
                      const struct machine_counters *counters)
{
    describe(to, "build_info", "gauge", "1, with the version of the program.");
    fprintf(to, "casement_build_info{version=\"%s\"} 1\n", CASEMENT_VERSION);
    phases(to, status->phase);
    seconds(to, "uptime_seconds", "gauge", "Time since the machine was made.", status->uptime_ns);
    integer(to, "resets_total", "counter", "Resets since the machine was made.", status->resets);
    integer(to, "vcpus", "gauge", "vCPUs of the machine.", status->cpus);
    integer(to, "guest_memory_bytes", "gauge", "RAM that the guest has.", status->memory);
    integer(to, "resident_memory_bytes", "gauge", "Memory of the host that the process holds, guest RAM included.",
            counters->totals.memory_resident);
    seconds(to, "cpu_seconds_total", "counter", "CPU time of the host that the process has used, vCPUs included.",
            counters->totals.cpu_ns);
    disks(to, api);
    network(to, &counters->totals.network);
    integer(to, "viewers", "gauge", "Viewers that see the screen now.", status->viewers);
    integer(to, "viewer_frames_total", "counter", "Updates of the screen that viewers were sent.",
            counters->viewer_frames);
    integer(to, "viewer_bytes_total", "counter", "Bytes that viewers were sent.", counters->viewer_bytes);
}

void api_metrics(const struct api *api, const struct api_request *request, struct api_answer *answer)
{
    struct machine_status status = {0};
    struct machine_counters counters = {0};
    FILE *to;

    (void)request;
    *answer = (struct api_answer){.status = 200, .type = "text/plain; version=0.0.4; charset=utf-8"};
    api->ops->status(api->machine, &status);
    api->ops->counters(api->machine, &counters);
    to = open_memstream(&answer->body, &answer->size);
    if (to)
        write_all(to, api, &status, &counters);
    if (!to || fclose(to) != 0) {
        free(answer->body);
        api_problem(answer, 500, "out of memory");
    }
}
