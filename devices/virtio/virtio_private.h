/* What queue, common configuration and transport share. */
#ifndef CASEMENT_VIRTIO_PRIVATE_H
#define CASEMENT_VIRTIO_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "casement/pci.h"
#include "casement/virtio.h"

/* device_status (section 2.1). */
#define STATUS_ACKNOWLEDGE 1
#define STATUS_DRIVER 2
#define STATUS_DRIVER_OK 4
#define STATUS_FEATURES_OK 8
#define STATUS_NEEDS_RESET 64
#define STATUS_FAILED 128

/* A queue's registers, as the driver sees them. */
struct virtq_state {
    uint16_t size, vector, enabled;
    uint64_t descriptors, driver, device; /* guest addresses of the three areas */
};

struct virtq {
    struct virtio *virtio;
    unsigned index;
    struct virtq_state state;
    /* Frozen when the queue is enabled: nothing that the driver writes afterwards reaches these. */
    const uint8_t *descriptors;
    uint8_t *driver_area, *device_area;
    uint16_t size, vector;
    bool running; /* enabled, and DRIVER_OK is set */
    bool event_index;
    /* The queue's thread only: */
    uint16_t next_available; /* chains taken */
    uint16_t seen_available; /* the driver's index, as last read */
    uint16_t next_used, published_used;
    uint64_t in_flight[VIRTIO_QUEUE_MAX / 64];
    /* Kicks: */
    int kick_fd;
    struct loop *loop;
    struct loop_watch watch; /* of kicks; of a queue that is handed over, of its server's calls */
    bool watching;
    /* Handed over: */
    bool handed_over;
    int call_fd; /* where its server's calls come to, unless they are an interrupt at once; -1: none was needed yet */
    uint64_t ioeventfd_at; /* where it is registered, or PCI_NO_ADDRESS */
};

/* What the driver sees of the transport. */
struct virtio_state {
    uint64_t driver_features;
    uint32_t device_feature_select, driver_feature_select;
    uint16_t config_vector, queue_select;
    uint8_t status, generation;
};

struct virtio {
    struct device device;
    struct pci_function function;
    struct board *board;
    struct virtio_options options;
    uint64_t features; /* offered */
    /*
     * lock guards the registers and is held for moments. life is held while the device starts or stops, which waits for
     * the queues' threads; those may take lock, never life.
     */
    pthread_mutex_t lock, life;
    struct virtio_state state;
    _Atomic uint8_t isr;
    _Atomic bool broken;
    bool started; /* under life */
    struct virtq *queues;
    unsigned window_capability; /* VIRTIO_PCI_CAP_PCI_CFG */
};

/* Lets the queues run, or takes the device back to power-on: on return no queue's thread touches guest memory. life is
 * held. */
void virtio_start(struct virtio *virtio);
void virtio_stop(struct virtio *virtio);

/* The common configuration (common.c): any access within its bytes, by any vCPU. */
#define VIRTIO_COMMON_BYTES 0x40
uint64_t virtio_common_read(struct virtio *virtio, unsigned offset, unsigned size);
void virtio_common_write(struct virtio *virtio, unsigned offset, unsigned size, uint64_t value);

/* Interrupts for a queue (its frozen vector) or for the configuration. Any thread. */
void virtio_interrupt_queue(struct virtq *queue);
void virtio_interrupt_config(struct virtio *virtio);
/* Takes the queue's registers over. false: its areas are not whole, aligned RAM. */
bool virtq_freeze(struct virtq *queue);
/* Nothing in flight, no areas, registers as at power-on. */
void virtq_reset(struct virtq *queue);

#endif
