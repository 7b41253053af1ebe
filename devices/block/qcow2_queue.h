/* Requests on a qcow2 image: cut into pieces on the file, on the backing image, and work for threads that may wait. */
#ifndef CASEMENT_QCOW2_QUEUE_H
#define CASEMENT_QCOW2_QUEUE_H

#include "engine.h"
#include "qcow2.h"

struct qcow2_queue;

/* One request on its way. Its queue's loop has it, or a worker. */
struct qcow2_job {
    struct block_request *request;
    struct qcow2_queue *queue;
    uint64_t at;     /* bytes of the request for which all has been started */
    unsigned pieces; /* under way in an engine */
    unsigned tries;  /* since the last step forward */
    bool busy;       /* is being cut, or at a worker: it does not end with its last piece */
    unsigned parity; /* of qcow2_enter() */
    int result;
    struct qcow2_extent extent; /* what a worker is to do; kind QCOW2_ZEROES: qcow2_zero() of length */
    uint64_t done;              /* bytes that the worker did */
    int worked;                 /* how it ended: 0 or -errno */
    struct qcow2_job *next;
};

/*
 * Two threads for each image: one reads and copies, the other commits, so that reading never waits for a commit. The
 * second also commits by itself what has been waiting for QCOW2_COMMIT_SECONDS, so that a guest which never flushes
 * does not lose more than that when the process is killed. While nothing changes both sleep.
 */
#define QCOW2_COMMIT_SECONDS 5
struct qcow2_workers;
int qcow2_workers_create(struct qcow2_workers **workers, struct qcow2 *q);
void qcow2_workers_destroy(struct qcow2_workers *workers); /* no job is there */
/* Hands the job over; it comes back by qcow2_returned(), on the worker's thread. */
void qcow2_work(struct qcow2_workers *workers, struct qcow2_job *job);
void qcow2_returned(struct qcow2_job *job);
/* Runs it on the first thread between two jobs, and waits for its end. Any thread but the two, one call at a time. */
void qcow2_workers_call(struct qcow2_workers *workers, void (*run)(void *opaque), void *opaque);

/* Bytes into the request's buffers from at on; from NULL: zeroes. */
void qcow2_fill(const struct block_request *request, uint64_t at, const uint8_t *from, uint64_t length);

/* For raw.c: makes a qcow2 image of a block whose file is open, with its backing images; and the reverse. */
int qcow2_attach(struct block *block, const struct block_options *options, struct error *error);
void qcow2_detach(struct block *block);

/* For queue.c. */
int qcow2_queue_create(struct block_queue *queue, struct error *error);
void qcow2_queue_destroy(struct block_queue *queue); /* drained */
void qcow2_submit(struct block_queue *queue, struct block_request *request);
void qcow2_queue_kick(struct block_queue *queue);
bool qcow2_queue_busy(const struct block_queue *queue);
/* Waits until a worker or the backing image has done something. Busy, and nothing in the engine. */
void qcow2_queue_wait(struct block_queue *queue);

#endif
