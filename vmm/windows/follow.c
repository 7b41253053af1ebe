/* An installation while its machine runs (see follow.h). Main thread, but where it says otherwise. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "casement/ahci.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "follow.h"

/*
 * The stock boot program waits for about five seconds after it was loaded (platform contract 6.6). A slow host may need
 * long to load it, so the key is pressed until much was read from the medium: then what the key starts is being loaded.
 */
#define KEY_EVERY_NS INT64_C(250000000)
#define KEY_FOR_NS INT64_C(30000000000)
#define LOADED_BYTES (8 * MiB)
/*
 * Setup does nothing about the power button, and what is not finished goes on with the next start in any case. What may
 * be a whole Windows is given the time that any system gets.
 */
#define SETUP_STOP_SECONDS 20
/* Which driver a disk has changes with no event here. */
#define LOOK_EVERY_NS INT64_C(1000000000)

enum event { MEDIUM_STARTED = 1, OTHER_STARTED = 2, REPORTED = 4 };

static const char starting[] = "BdsDxe: starting Boot", report[] = "CASEMENT-INSTALLED ";

static void tell(struct follow *f, unsigned event)
{
    atomic_fetch_or(&f->events, event);
    loop_post(f->machine->main_loop, &f->task);
}

/* On a vCPU's thread. Firmware says what it starts, and at the end Windows that it is there. */
static void take_line(struct follow *f)
{
    const char *at = strstr(f->line, starting);
    char drive[32];

    snprintf(drive, sizeof drive, "/Sata(0x%X,0x", f->machine->disk_port[f->medium]);
    if (at)
        tell(f, strstr(at, drive) ? MEDIUM_STARTED : OTHER_STARTED);
    at = strstr(f->line, report);
    if (!at)
        return;
    pthread_mutex_lock(&f->lock);
    if (!*f->report)
        snprintf(f->report, sizeof f->report, "%s", at + sizeof report - 1);
    pthread_mutex_unlock(&f->lock);
    tell(f, REPORTED);
}

/* What is not printable ends a line: firmware moves the cursor with escape sequences. */
static void on_serial(void *opaque, const uint8_t *bytes, size_t length)
{
    struct follow *f = opaque;

    for (size_t n = 0; n < length; n++) {
        bool sign = bytes[n] >= ' ' && bytes[n] < 0x7F;

        if (sign && f->used < sizeof f->line - 1)
            f->line[f->used++] = (char)bytes[n];
        if (sign || !f->used)
            continue;
        f->line[f->used] = 0;
        f->used = 0;
        take_line(f);
    }
}

static uint64_t read_of_medium(const struct follow *f)
{
    struct block_totals totals;

    block_totals(f->machine->disks[f->medium], &totals);
    return totals.read_bytes;
}

static void press(void *opaque)
{
    struct follow *f = opaque;
    int64_t now = clock_ns();
    struct error ignored;

    if (now >= f->key_until_ns || read_of_medium(f) - f->read_before >= LOADED_BYTES)
        return;
    input_chord(f->machine->input, "enter", &ignored);
    loop_timer_set(f->machine->main_loop, &f->key, now + KEY_EVERY_NS);
}

static void write_down(struct follow *f)
{
    struct error error;

    if (journey_write(f->folder, f->journey, &error) < 0)
        log_error("%s", error.text);
}

/* The guest is asked to let go of a medium that it has locked; it is gone at the next start in any case. */
static void take_media_out(struct follow *f)
{
    struct machine *m = f->machine;

    ahci_change_medium(m->ahci, m->disk_port[f->medium], NULL);
    ahci_change_medium(m->ahci, m->disk_port[f->disc], NULL);
    if (!f->remove_medium || !f->journey->fetched_by_us)
        return;
    journey_delete_medium(f->journey);
    /* What is put there from now on is the user's. */
    f->journey->fetched_by_us = false;
    write_down(f);
}

static void installed(struct follow *f)
{
    struct journey *journey = f->journey;
    time_t now = time(NULL);
    struct tm utc;

    if (journey->step == JOURNEY_INSTALLED)
        return;
    journey->step = JOURNEY_INSTALLED;
    strftime(journey->installed_at, sizeof journey->installed_at, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    pthread_mutex_lock(&f->lock);
    memcpy(journey->report, f->report, sizeof journey->report);
    f->title[0] = 0;
    pthread_mutex_unlock(&f->lock);
    log_info("Windows is installed: %s", journey->report);
    write_down(f);
    take_media_out(f);
}

static void on_events(void *opaque)
{
    struct follow *f = opaque;
    unsigned events = atomic_exchange(&f->events, 0);
    int64_t now = clock_ns();

    if (events & OTHER_STARTED)
        loop_timer_set(f->machine->main_loop, &f->key, 0);
    if (events & (OTHER_STARTED | MEDIUM_STARTED))
        f->on_disk = !(events & MEDIUM_STARTED);
    if ((events & MEDIUM_STARTED) && f->journey->step != JOURNEY_INSTALLED) {
        log_info("firmware starts the medium; the key that it asks for is pressed");
        f->read_before = read_of_medium(f);
        f->key_until_ns = now + KEY_FOR_NS;
        loop_timer_set(f->machine->main_loop, &f->key, now + 1);
    }
    if (events & REPORTED)
        installed(f);
}

static void name_phase(struct follow *f)
{
    pthread_mutex_lock(&f->lock);
    snprintf(f->title, sizeof f->title, "Installing Windows, start %u", f->journey->phase);
    pthread_mutex_unlock(&f->lock);
}

static void look(void *opaque)
{
    struct follow *f = opaque;

    if (!disks_driven(f->machine, f->watched)) {
        loop_timer_set(f->machine->main_loop, &f->look, clock_ns() + LOOK_EVERY_NS);
        return;
    }
    profile_driven(&f->profile, f->journey);
    write_down(f);
}

static int on_begin(void *opaque, struct machine *machine, struct error *error)
{
    struct follow *f = opaque;

    f->machine = machine;
    if (f->profile.change != PROFILE_STAYS)
        loop_timer_set(machine->main_loop, &f->look, clock_ns() + LOOK_EVERY_NS);
    if (f->journey->step == JOURNEY_INSTALLED)
        return 0;
    f->journey->step = JOURNEY_INSTALLING;
    f->journey->phase++;
    name_phase(f);
    return journey_write(f->folder, f->journey, error);
}

static void on_reset(void *opaque)
{
    struct follow *f = opaque;

    loop_timer_set(f->machine->main_loop, &f->key, 0);
    f->on_disk = false;
    if (f->journey->step == JOURNEY_INSTALLED)
        return;
    f->journey->phase++;
    log_info("the installation goes on with start %u", f->journey->phase);
    name_phase(f);
    write_down(f);
}

static uint64_t on_stop_seconds(void *opaque)
{
    const struct follow *f = opaque;

    return f->journey->step == JOURNEY_INSTALLED || (f->silent && f->on_disk) ? UINT64_MAX : SETUP_STOP_SECONDS;
}

static void on_progress(void *opaque, struct machine_progress *progress)
{
    struct follow *f = opaque;

    pthread_mutex_lock(&f->lock);
    progress->active = *f->title;
    memcpy(progress->title, f->title, sizeof f->title);
    progress->per_second = progress->seconds_left = -1;
    pthread_mutex_unlock(&f->lock);
}

static void on_end(void *opaque)
{
    struct follow *f = opaque;

    loop_timer_remove(f->machine->main_loop, &f->key);
    loop_timer_remove(f->machine->main_loop, &f->look);
    if (profile_ended(&f->profile, f->journey))
        write_down(f);
}

const struct machine_follower *follow_start(struct follow *f)
{
    pthread_mutex_init(&f->lock, NULL);
    f->task = (struct loop_task){.run = on_events, .opaque = f};
    f->key = (struct loop_timer){.expired = press, .opaque = f};
    f->look = (struct loop_timer){.expired = look, .opaque = f};
    f->follower = (struct machine_follower){.opaque = f,
                                            .begin = on_begin,
                                            .serial = on_serial,
                                            .reset = on_reset,
                                            .stop_seconds = on_stop_seconds,
                                            .progress = on_progress,
                                            .end = on_end};
    return &f->follower;
}
