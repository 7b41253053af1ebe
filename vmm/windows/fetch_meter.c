/* How fast it goes and how long it will take, for people (see fetch_private.h). */
#include "casement/bytes.h"
#include "casement/loop.h"
#include "fetch_private.h"

#define TELL_NS (FETCH_SECOND_NS / 4)
#define SAMPLE_NS FETCH_SECOND_NS

static void take_sample(struct fetch_meter *meter, uint64_t done, int64_t now)
{
    unsigned last = (meter->count - 1) % FETCH_SAMPLES;

    if (meter->count && done < meter->samples[last].done)
        meter->count = 0; /* it began anew */
    if (meter->count && now - meter->samples[last].ns < SAMPLE_NS)
        return;
    meter->samples[meter->count % FETCH_SAMPLES].ns = now;
    meter->samples[meter->count++ % FETCH_SAMPLES].done = done;
}

static uint64_t rate_of(const struct fetch_meter *meter, uint64_t done, int64_t now)
{
    unsigned oldest = meter->count > FETCH_SAMPLES ? meter->count % FETCH_SAMPLES : 0;
    int64_t passed = now - meter->samples[oldest].ns;

    return passed > 0 ? (uint64_t)((double)(done - meter->samples[oldest].done) * FETCH_SECOND_NS / (double)passed) : 0;
}

bool fetch_meter_tell(struct fetch_meter *meter, uint64_t done, bool force)
{
    struct fetch_progress progress = {.title = meter->title, .done = done, .size = meter->size, .seconds_left = -1};
    int64_t now = clock_ns();

    if (!meter->progress || (now < meter->next_ns && !force))
        return false;
    meter->next_ns = now + TELL_NS;
    take_sample(meter, done, now);
    progress.rate = rate_of(meter, done, now);
    if (progress.rate && meter->size >= done)
        progress.seconds_left = (int64_t)((meter->size - done + progress.rate - 1) / progress.rate);
    return meter->progress(meter->opaque, &progress);
}
