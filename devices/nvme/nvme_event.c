/* Asynchronous events (NVMe 5.2): requests are held until there is something to tell. */
#include "nvme_private.h"

static const struct {
    uint8_t type, info, log_page;
} events[EVENTS] = {
    [EVENT_DOORBELL_REGISTER] = {EVENT_TYPE_ERROR, 0, 1},
    [EVENT_DOORBELL_VALUE] = {EVENT_TYPE_ERROR, 1, 1},
    [EVENT_TEMPERATURE] = {EVENT_TYPE_HEALTH, 1, 2},
    [EVENT_NAMESPACE] = {EVENT_TYPE_NOTICE, 0, 4},
};

/* A request that is held owes a completion, but not yet: a queue of two entries must stay usable meanwhile. */
void nvme_event_hold(struct nvme *nvme, const struct nvme_command *command)
{
    struct nvme_state *state = &nvme->state;

    if (state->held_count == HELD_EVENTS) {
        nvme_complete(nvme, 0, command->cid, 0, S_EVENT_LIMIT);
        return;
    }
    state->held[state->held_count++] = command->cid;
    nvme_release(nvme, 0);
}

void nvme_event_raise(struct nvme *nvme, enum nvme_event event)
{
    if (nvme->state.events >> event & 1)
        return;
    nvme->state.events |= 1U << event;
    nvme_wake(nvme);
}

void nvme_event_unmask(struct nvme *nvme, enum nvme_event_type type)
{
    nvme->state.event_masked[type] = false;
}

/* The next event whose type may be told; EVENTS when there is none. */
static unsigned next_event(struct nvme *nvme)
{
    uint32_t pending;

    pthread_mutex_lock(&nvme->lock);
    pending = nvme->state.events;
    pthread_mutex_unlock(&nvme->lock);
    for (unsigned event = 0; event < EVENTS; event++)
        if ((pending >> event & 1) && !nvme->state.event_masked[events[event].type])
            return event;
    return EVENTS;
}

void nvme_events_deliver(struct nvme *nvme)
{
    struct nvme_state *state = &nvme->state;

    while (state->held_count) {
        unsigned event = next_event(nvme);
        uint16_t cid = state->held[0];

        if (event == EVENTS || !nvme_reserve(nvme, 0))
            return;
        pthread_mutex_lock(&nvme->lock);
        state->events &= ~(1U << event);
        pthread_mutex_unlock(&nvme->lock);
        state->event_masked[events[event].type] = true;
        memmove(state->held, state->held + 1, --state->held_count * sizeof state->held[0]);
        if (events[event].type == EVENT_TYPE_ERROR)
            nvme_log_error(nvme, 0, UINT16_MAX, S_OK, 0, 0);
        nvme_complete(nvme, 0, cid,
                      events[event].type | (uint32_t)events[event].info << 8 | (uint32_t)events[event].log_page << 16,
                      S_OK);
    }
}

uint8_t nvme_critical_warning(const struct nvme *nvme)
{
    const struct nvme_features *features = &nvme->state.features;
    bool out = TEMPERATURE >= features->over_temperature || TEMPERATURE <= features->under_temperature;

    return out ? 1U << 1 : 0;
}
