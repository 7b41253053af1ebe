/* See undo.h. */
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "rights.h"
#include "undo.h"

struct undo {
    void (*run)(void *opaque);
    void *opaque;
    pthread_t thread;
    sem_t wanted;
};

static void *sleep_until_wanted(void *opaque)
{
    struct undo *undo = opaque;

    rights_drop(RIGHT(CAP_NET_ADMIN), NULL);
    while (sem_wait(&undo->wanted) < 0)
        continue;
    undo->run(undo->opaque);
    return NULL;
}

int undo_create(void (*run)(void *opaque), void *opaque, struct undo **undo, struct error *error)
{
    struct undo *made = calloc(1, sizeof *made);
    int failed = made ? 0 : ENOMEM;

    if (made) {
        made->run = run;
        made->opaque = opaque;
        sem_init(&made->wanted, 0, 0);
        failed = pthread_create(&made->thread, NULL, sleep_until_wanted, made);
    }
    if (failed) {
        free(made);
        return error_set(error, failed, "network: the thread that gives back what was changed: %s", strerror(failed));
    }
    pthread_setname_np(made->thread, "undo");
    *undo = made;
    return 0;
}

void undo_run(struct undo *undo)
{
    if (!undo)
        return;
    sem_post(&undo->wanted);
    pthread_join(undo->thread, NULL);
    sem_destroy(&undo->wanted);
    free(undo);
}
