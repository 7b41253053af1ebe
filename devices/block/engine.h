/* What an I/O engine is to the block layer. An engine moves bytes of one step; queue.c cuts requests into steps. */
#ifndef CASEMENT_ENGINE_H
#define CASEMENT_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "casement/block.h"
#include "gate.h"

/* Bytes of a step that goes through a buffer of our own. */
#define BOUNCE_BYTES (256U * 1024)

/* What struct block_totals is made of; every queue adds. */
struct block_counters {
    _Atomic uint64_t read_bytes, written_bytes, reads, writes, flushes, errors, delayed;
};

struct block {
    int fd;
    _Atomic uint64_t size; /* only ever grows once queues are there */
    bool read_only, direct, device, can_discard, can_zero;
    unsigned memory_alignment; /* of buffers, when direct */
    const struct block_engine_ops *engine;
    enum block_engine kind;
    struct block_counters counters;
    struct gate gate;
    /* Of a qcow2 image; NULL of a raw one. */
    struct qcow2 *qcow2;
    struct qcow2_workers *workers;
    struct block *backing;
    char *name; /* for texts */
    const struct block_terms *terms;
    pthread_mutex_t watch_lock; /* the two that follow */
    void (*resized)(void *opaque);
    void *resized_opaque;
};

/* Never NULL. */
const struct block_terms *block_terms_of(const struct block_options *options);

/* The file alone, opened and locked, without what its format makes of it. */
int block_open_file(const struct block_options *options, struct block **block, struct error *error);

struct block_queue {
    struct block *block;
    struct loop *loop;
    unsigned depth, in_flight;      /* requests that an engine has */
    struct request_list waiting;    /* submitted, not started */
    struct block_request *finished; /* to be told at the next kick or completion */
    void (*batch)(void *opaque);
    void *batch_opaque;
    void *engine;              /* the engine's own */
    struct qcow2_queue *qcow2; /* NULL: raw */
    struct gate_queue gate;
};

/* grow.c: whether the image may become of this size; the text names no image. */
int block_check_growth(const struct block *block, uint64_t size, struct error *error);

/* What is behind a format: a request for the file itself. Its range is the caller's to check; it is not counted. */
void block_start_piece(struct block_queue *queue, struct block_request *piece);
/* A request whose turn it is, on its way to the image; it starts at the next kick. */
void block_admit(struct block_queue *queue, struct block_request *request);
/* A request has ended; it is told at the next kick. */
void block_finish(struct block_queue *queue, struct block_request *request, int result);

enum step_kind { STEP_READ, STEP_WRITE, STEP_SYNC, STEP_ALLOCATE };
/* What the engine does next for a request. */
struct block_step {
    enum step_kind kind;
    const struct iovec *iov;
    unsigned iov_count;
    uint64_t offset, length;
    int mode; /* of fallocate() */
};
void block_next_step(const struct block_request *request, struct block_step *step);
/* The engine says how a step ended: bytes for reads and writes, else 0, or -errno. On the queue's loop. */
void block_step_done(struct block_queue *queue, struct block_request *request, int64_t result);

struct block_engine_ops {
    const char *name;
    /* 0 or -errno; queue->engine is set. */
    int (*create)(struct block_queue *queue);
    void (*destroy)(struct block_queue *queue);
    /* Takes the request's next step; at most depth are there at a time. */
    void (*start)(struct block_queue *queue, struct block_request *request);
    /* Hands what was started to the host. */
    void (*kick)(struct block_queue *queue);
    /* Sleeps until a step is done, and tells all that are. */
    void (*wait)(struct block_queue *queue);
};
extern const struct block_engine_ops block_engine_uring, block_engine_threads;
/* Whether this process may use io_uring at all. */
bool block_uring_usable(void);

#endif
