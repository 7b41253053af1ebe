/*
 * A machine: the board with its devices, the vCPUs, and their life from power-on to the exit status.
 *
 * Two threads belong to it besides the vCPUs: the calling thread serves signals, what operators ask for, reset and
 * power-off; the board's loop serves slow devices. They are two because a reset waits for every vCPU, and a vCPU may
 * wait for a device.
 */
#ifndef CASEMENT_MACHINE_H
#define CASEMENT_MACHINE_H

#include "casement/block.h"
#include "casement/board.h"
#include "casement/chipset.h"
#include "casement/display.h"
#include "casement/firmware.h"
#include "casement/input.h"
#include "casement/net.h"
#include "config.h"
#include "console.h"
#include "kvm.h"
#include "operations.h"
#include "service.h"
#include "share/share.h"
#include "viewer/rfb.h"

/* Slots of PCI bus 0; what is not here has a place of its own in the chipset. */
enum {
    SLOT_DISPLAY = 1,
    SLOT_USB = 2,
    SLOT_ENTROPY = 3,
    SLOT_NETWORK = 4,
    SLOT_FIRST_DISK = 5, /* one for each disk that is a PCI function of its own */
    SLOT_CHIPSET = 31    /* LPC bridge, AHCI */
};

struct machine;

/* Who follows a machine's life, such as an installation. On the main thread unless it says otherwise; all optional. */
struct machine_follower {
    void *opaque;
    /* Its parts are there, and no vCPU has run yet. 0, or -errno with a text: it will not be started. */
    int (*begin)(void *opaque, struct machine *machine, struct error *error);
    /* What the guest sends on its serial port. On a vCPU's thread, one at a time: it waits for nothing. */
    void (*serial)(void *opaque, const uint8_t *bytes, size_t length);
    /* The vCPUs stand still; they run anew in a moment. */
    void (*reset)(void *opaque);
    /* The most seconds that the guest may take to power off, where that can be less than what the operator grants. */
    uint64_t (*stop_seconds)(void *opaque);
    /* Any thread. */
    void (*progress)(void *opaque, struct machine_progress *progress);
    /* Behind begin(): the vCPUs are gone, the machine's parts are not yet. */
    void (*end)(void *opaque);
};

/*
 * Runs a machine until it ends; follower may be NULL. Returns the exit status (exit_codes.h); what went wrong has been
 * logged.
 */
int machine_main(const struct config *config, const struct machine_follower *follower);
/* vmm/lifecycle.c: SIGTERM, SIGINT, SIGHUP and SIGPIPE are blocked in this thread and those that it starts from now on.
 */
void lifecycle_block_signals(void);
/* A signalfd for the first three, for which they have to be blocked; or -errno with a text. */
int lifecycle_open_signals(struct error *error);

struct machine {
    const struct config *config;
    struct board board;
    struct kvm_vm *vm;
    struct vcpus *vcpus;
    struct loop *main_loop; /* the calling thread's */
    struct acpi_pm *pm;
    struct input *input;
    struct console console;
    struct display *display;
    struct xhci *xhci;
    struct rfb *rfb; /* NULL without a display */
    struct fw_cfg *fw_cfg;
    struct share *shares[NET_SHARES]; /* NULL: no folder is shared there */
    struct net_backend *net;
    int share_listeners[NET_SHARES]; /* of the network, where it has them; 0: none */
    struct net_counters net_counters;
    struct block *disks[CONFIG_DISKS];
    struct disk_watch {
        struct machine *machine;
        unsigned number;
    } disk_watch[CONFIG_DISKS];
    _Atomic uint32_t full_disks;                               /* bits of those that wait for space on the host */
    unsigned disk_count, ahci_drives, disk_port[CONFIG_DISKS]; /* of AHCI or USB */
    struct ahci *ahci;                                         /* NULL without a drive */
    struct virtio *virtio_disks[CONFIG_DISKS];                 /* NULL: behind another controller */
    struct nvme *nvme_disks[CONFIG_DISKS];                     /* the same */
    struct acpi_options acpi;
    uint32_t apic_ids[KVM_MAX_VCPUS];
    /* Life: */
    const struct machine_follower *follower;
    struct service service;
    struct statistics statistics;
    int64_t created_ns;
    _Atomic unsigned phase; /* enum machine_phase */
    struct loop_watch signals;
    struct loop_task event_task;
    struct loop_timer second_press, stop_deadline;
    _Atomic unsigned events; /* bits of enum machine_event that the main thread has not seen yet */
    char fault_text[512];
    pthread_mutex_t fault_lock;
    bool stopping, finished, followed;
    int exit_code;
    _Atomic uint64_t resets;
};

enum machine_event {
    EVENT_RESET = 1,
    EVENT_POWER_OFF = 2,
    EVENT_TRIPLE_FAULT = 4,
    EVENT_INTERNAL_ERROR = 8,
    EVENT_SPACE = 16 /* full_disks has changed */
};

/* vmm/machine.c: the parts. On failure the text is set, and machine_destroy() takes away what was made. */
int machine_create(struct machine *machine, struct error *error);
void machine_destroy(struct machine *machine);
/* With no firmware, what firmware would have done, and the kernel; after each reset too. */
int machine_load_kernel(struct machine *machine, struct error *error);

/* vmm/disks.c: opens the images, makes the controllers, tells firmware the order. On failure the text is set. */
int disks_create(struct machine *machine, struct error *error);
/* Makes the disk that operators call so larger (block_grow()), which its guest is told. 0, -ENOENT or -errno with a
 * text. On the main thread. */
int disks_grow(struct machine *machine, const char *name, uint64_t size, struct error *error);
/* The index-th disk for operators; false behind the last. Any thread. */
bool disks_describe(const struct machine *machine, unsigned index, struct machine_disk *disk);
/* Whether the guest's own driver, not just firmware's, drives the index-th disk, by virtio_driven() or nvme_driven();
 * false for one behind another controller. Any thread. */
bool disks_driven(const struct machine *machine, unsigned index);
/* Whether the machine has to wait for space on the host, and for whose; the text is empty when not. Any thread. */
bool disks_full(const struct machine *machine, char *text, size_t size);
/* From here on no disk says that it waits for space, and none does: before vCPUs and main loop go. */
void disks_unwatch(struct machine *machine);
void disks_close(struct machine *machine);

/* vmm/operations.c: what the API can ask of it. */
extern const struct machine_ops machine_operations;

/* vmm/lifecycle.c: from the first instruction to the end. */
int lifecycle_create(struct machine *machine, struct error *error);
void lifecycle_destroy(struct machine *machine);
int lifecycle_run(struct machine *machine);
/* Tells the follower that it is over, if it was told the begin. The vCPUs are gone. */
void lifecycle_unfollow(struct machine *machine);
/* What the operator asks for. On the main thread. */
int lifecycle_operate(struct machine *machine, enum machine_power power);
/* board.power and the vCPUs' fault hook: any thread. */
void lifecycle_power(void *machine, enum power_request request, const char *source);
void lifecycle_fault(void *machine, enum vcpu_fault fault, const char *text);
/* A disk begins to wait for space, or none does any more: any thread. */
void lifecycle_space(struct machine *machine);

#endif
