/*
 * Operations that may wait for vCPUs run on the main loop. The server's thread hands them over and goes on; what comes
 * back wakes it. Neither thread ever waits for the other, so the machine can end at any time.
 */
#include <stdlib.h>

#include "web_private.h"

static void put(struct queue *queue, struct exchange *exchange)
{
    exchange->next = NULL;
    *queue->last = exchange;
    queue->last = &exchange->next;
}

static struct exchange *take(struct queue *queue)
{
    struct exchange *exchange = queue->first;

    if (exchange)
        queue->first = exchange->next;
    if (!queue->first)
        queue->last = &queue->first;
    return exchange;
}

/* On the main loop's thread. */
static void run_calls(void *opaque)
{
    struct web *web = opaque;
    struct exchange *exchange;

    pthread_mutex_lock(&web->lock);
    while ((exchange = take(&web->to_main))) {
        const struct api_request request = {
            .name = exchange->name, .body = exchange->body, .body_size = exchange->body_size};

        pthread_mutex_unlock(&web->lock);
        exchange->operation->run(&web->api, &request, &exchange->answer);
        pthread_mutex_lock(&web->lock);
        put(&web->done, exchange);
    }
    pthread_mutex_unlock(&web->lock);
    lws_cancel_service(web->context);
}

void calls_init(struct web *web)
{
    pthread_mutex_init(&web->lock, NULL);
    web->call = (struct loop_timer){.expired = run_calls, .opaque = web};
    web->to_main.last = &web->to_main.first;
    web->done.last = &web->done.first;
}

bool calls_run(struct web *web, struct exchange *exchange)
{
    bool taken;

    pthread_mutex_lock(&web->lock);
    taken = !web->closed;
    if (taken)
        put(&web->to_main, exchange);
    pthread_mutex_unlock(&web->lock);
    if (taken)
        loop_timer_set(web->options.main_loop, &web->call, 1);
    return taken;
}

void calls_finish(struct web *web)
{
    struct exchange *exchange;

    for (;;) {
        pthread_mutex_lock(&web->lock);
        exchange = take(&web->done);
        pthread_mutex_unlock(&web->lock);
        if (!exchange)
            return;
        if (!exchange->connection) {
            exchange_free(exchange);
            continue;
        }
        exchange->returned = true;
        lws_callback_on_writable(exchange->connection->wsi);
    }
}

void calls_close(struct web *web)
{
    struct exchange *exchange;

    loop_timer_remove(web->options.main_loop, &web->call);
    pthread_mutex_lock(&web->lock);
    web->closed = true;
    while ((exchange = take(&web->to_main))) {
        api_problem(&exchange->answer, 503, "the machine ends");
        put(&web->done, exchange);
    }
    pthread_mutex_unlock(&web->lock);
}
