/*
 * Where a disk's requests wait before they reach its image: for their turn under the disk's limits, and, when the host
 * has no space left, for space. What belongs to a queue is used on its loop only.
 */
#ifndef CASEMENT_GATE_H
#define CASEMENT_GATE_H

#include <pthread.h>

#include "casement/block.h"

/* Of an image. */
struct gate {
    struct block_limits limits;
    pthread_mutex_t lock;                    /* what follows */
    int64_t operations_due_ns, bytes_due_ns; /* when the next request's turn is, by either limit */
    void (*full)(void *opaque, bool full);   /* NULL: no request waits for space */
    void *full_opaque;
    unsigned held; /* requests that wait for space */
};

/* Requests in the order in which they came. */
struct request_list {
    struct block_request *first, **last;
};
void request_list_init(struct request_list *list);
void request_append(struct request_list *list, struct block_request *request);
struct block_request *request_take(struct request_list *list); /* the first; NULL: none */

/* Of a queue. */
struct gate_queue {
    struct request_list turn, space;
    struct loop_timer turn_timer, space_timer;
    bool open; /* nothing waits: the queue is drained */
};

void gate_init(struct gate *gate, const struct block_limits *limits);
void gate_destroy(struct gate *gate);
void gate_queue_init(struct block_queue *queue);
void gate_queue_destroy(struct block_queue *queue); /* drained */

/* Passes a request on (block_admit()), now or when its turn comes. */
void gate_submit(struct block_queue *queue, struct block_request *request);
/* A request has ended. true: it is tried again later, and is not to be told. */
bool gate_keeps(struct block_queue *queue, struct block_request *request, int result);
/* Lets all pass that waits for its turn, ends what waits for space with -ENOSPC, and holds nothing back until it is
 * closed again. */
void gate_open(struct block_queue *queue);
void gate_close(struct block_queue *queue);

#endif
