/*
 * An installation while its machine runs, with a machine of an adapter with two CD-ROM drives, a keyboard that counts
 * and an NVMe disk: what is pressed and when, what the journey says on the disk after each event, what the end of an
 * installation takes away.
 */
#include <errno.h>
#include <linux/input-event-codes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../vmm/windows/follow.h"
#include "casement/ahci.h"
#include "casement/bytes.h"
#include "casement/nvme.h"
#include "cmocka_all.h"
#include "fake_ahci.h"
#include "fake_block.h"
#include "fake_folder.h"
#include "fake_journey.h"
#include "fake_nvme.h"

#define MEDIUM 1U /* places among the disks; the ports of the drives are the same */
#define DISC 2U
#define MEDIUM_BYTES (16 * MiB)
#define LIMIT_NS INT64_C(120000000000)

#define FIRMWARE(drive) \
    "\x1B[2J\x1B[01;01HBdsDxe: starting Boot0002 \"UEFI CASEMENT\" from PciRoot(0x0)/Pci(0x1F,0x2)" drive "\r\n"
#define REPORT "build=26100.1742 edition=Professional time=2026-01-02T03:04:05+01:00"

static struct machine *machine;
static struct journey journey;
static struct follow *follow;
static const struct machine_follower *follower;
static struct ahci_driver *adapter;
static struct block *disc;
static struct host *nvme;
static struct error error;
static char disc_path[64], medium[96];
static _Atomic unsigned presses;

static bool count_key(void *device, unsigned code, bool down)
{
    (void)device;
    if (code == KEY_ENTER && down)
        atomic_fetch_add(&presses, 1);
    return true;
}
static struct input_sink keyboard = {.key = count_key};

static int set_up(void **state)
{
    fake_folder_make(state);
    snprintf(medium, sizeof medium, "%s/medium.iso", fake_folder);
    fake_text(medium, "a medium");
    adapter = ahci_driver_create(MiB, MEDIUM_BYTES);
    disc = ahci_image(disc_path, MiB, true);
    assert_int_equal(ahci_add_cdrom(adapter->ahci, disc, &error), 0);
    nvme = host_create(NULL);
    machine = calloc(1, sizeof *machine);
    follow = calloc(1, sizeof *follow);
    assert_true(machine && follow);
    machine->main_loop = loop_create("main");
    machine->input = input_create(machine->main_loop);
    input_add_sink(machine->input, &keyboard);
    machine->ahci = adapter->ahci;
    machine->disks[MEDIUM] = adapter->medium;
    machine->disks[DISC] = disc;
    machine->disk_port[MEDIUM] = MEDIUM;
    machine->disk_port[DISC] = DISC;
    machine->nvme_disks[0] = nvme->nvme;
    machine->disk_count = 3;
    journey = fake_journey;
    snprintf(journey.medium, sizeof journey.medium, "%s", medium);
    snprintf(journey.profile, sizeof journey.profile, "inbox");
    journey.report[0] = journey.installed_at[0] = journey.tried[0] = 0;
    atomic_store(&presses, 0);
    return loop_start(machine->main_loop);
}

static int tear_down(void **state)
{
    loop_stop(machine->main_loop);
    input_destroy(machine->input);
    loop_destroy(machine->main_loop);
    free(follow);
    free(machine);
    ahci_driver_destroy(adapter);
    block_close(disc);
    unlink(disc_path);
    host_destroy(nvme);
    return fake_folder_remove(state);
}

/* What the machine's life calls is called on the main thread. */

static int begun;

static void on_main_begin(void *opaque)
{
    (void)opaque;
    begun = follower->begin(follower->opaque, machine, &error);
}

static int begin(enum journey_step step, unsigned phase)
{
    journey.step = step;
    journey.phase = phase;
    follow->folder = fake_folder;
    follow->journey = &journey;
    follow->medium = MEDIUM;
    follow->disc = DISC;
    follower = follow_start(follow);
    loop_call(machine->main_loop, on_main_begin, NULL);
    return begun;
}

static void reset(void)
{
    loop_call(machine->main_loop, follower->reset, follower->opaque);
}

static void end(void)
{
    loop_call(machine->main_loop, follower->end, follower->opaque);
}

static void nothing(void *opaque)
{
    (void)opaque;
}

/* What has been posted is done on return: it was there before. */
static void settle(void)
{
    loop_call(machine->main_loop, nothing, NULL);
}

static void send(const char *text)
{
    follower->serial(follower->opaque, (const uint8_t *)text, strlen(text));
    settle();
}

static void on_main_deadline(void *opaque)
{
    *(int64_t *)opaque = follow->key.deadline_ns;
}

static void on_main_press_on(void *opaque)
{
    (void)opaque;
    follow->key_until_ns = INT64_MAX;
}

static bool is_pressing(void)
{
    int64_t deadline;

    loop_call(machine->main_loop, on_main_deadline, &deadline);
    return deadline;
}

static void wait_presses(unsigned count)
{
    int64_t limit = clock_ns() + LIMIT_NS;

    while (atomic_load(&presses) < count)
        if (clock_ns() > limit || sched_yield() < 0)
            fail_msg("%u presses, and not %u", atomic_load(&presses), count);
}

static void wait_no_presses(void)
{
    int64_t limit = clock_ns() + LIMIT_NS;

    while (is_pressing())
        if (clock_ns() > limit)
            fail_msg("the key is pressed without an end");
}

static struct journey on_disk(void)
{
    struct journey found;

    fake_journey_read(&found);
    return found;
}

static const char *title(void)
{
    static struct machine_progress progress;

    memset(&progress, 0xFF, sizeof progress);
    follower->progress(follower->opaque, &progress);
    assert_int_equal(progress.active, *progress.title != 0);
    return progress.title;
}

static void read_medium(uint64_t bytes)
{
    struct loop *loop = loop_create("reader");
    struct block_queue *queue = block_queue_create(adapter->medium, loop, 4, &error);
    uint8_t *buffer = malloc(bytes);
    struct iovec iov = {buffer, bytes};

    assert_true(queue && buffer);
    assert_int_equal(fake_block_run(queue, BLOCK_READ, 0, bytes, &iov, 1), 0);
    block_queue_destroy(queue);
    loop_destroy(loop);
    free(buffer);
}

/* Starts of the machine. */

static void starts_are_counted(void **state)
{
    (void)state;
    assert_int_equal(begin(JOURNEY_PREPARED, 0), 0);
    assert_int_equal(on_disk().step, JOURNEY_INSTALLING);
    assert_int_equal(on_disk().phase, 1);
    assert_string_equal(title(), "Installing Windows, start 1");
    reset();
    assert_int_equal(on_disk().phase, 2);
    assert_string_equal(title(), "Installing Windows, start 2");
    end();
    /* Another run of the program goes on counting. */
    assert_int_equal(begin(on_disk().step, on_disk().phase), 0);
    assert_int_equal(on_disk().phase, 3);
    end();
}

static void no_start_without_a_word_of_it(void **state)
{
    (void)state;
    snprintf(journey.language, sizeof journey.language, "\xFF");
    fake_refused(&error, begin(JOURNEY_PREPARED, 0), EINVAL, "language", "UTF-8");
    end();
}

static void an_installed_system_is_left_alone(void **state)
{
    (void)state;
    assert_int_equal(begin(JOURNEY_INSTALLED, 2), 0);
    assert_string_equal(title(), "");
    reset();
    send(FIRMWARE("/Sata(0x1,0xFFFF,0x0)"));
    send("CASEMENT-INSTALLED " REPORT "\r\n");
    assert_false(is_pressing());
    assert_int_equal(journey.phase, 2);
    assert_string_equal(journey.report, "");
    assert_false(fake_is_there(fake_below("journey.json")));
    assert_true(fake_is_there(medium));
    end();
}

/* The key. */

static void the_key_is_pressed_until_it_loads(void **state)
{
    (void)state;
    assert_int_equal(begin(JOURNEY_PREPARED, 0), 0);
    send("BdsDxe: loading Boot0002\r\n");
    assert_false(is_pressing());
    send("BdsDxe: start");
    assert_false(is_pressing());
    send("ing Boot0002 \"UEFI CASEMENT\" from PciRoot(0x0)/Pci(0x1F,0x2)/Sata(0x1,0xFFFF,0x0)\r");
    loop_call(machine->main_loop, on_main_press_on, NULL);
    wait_presses(3);
    read_medium(7 * MiB);
    wait_presses(atomic_load(&presses) + 2);
    assert_true(is_pressing());
    read_medium(MiB);
    wait_no_presses();
    /* The second start of the medium: only what is read from then on counts. */
    reset();
    send(FIRMWARE("/Sata(0x1,0xFFFF,0x0)"));
    wait_presses(atomic_load(&presses) + 2);
    reset();
    assert_false(is_pressing());
    end();
}

static void only_the_medium_gets_the_key(void **state)
{
    (void)state;
    assert_int_equal(begin(JOURNEY_PREPARED, 0), 0);
    send(FIRMWARE("/Sata(0x2,0xFFFF,0x0)"));
    send("BdsDxe: starting Boot0001 \"Windows Boot Manager\" from HD(1,GPT)\r\n");
    send("/Sata(0x1,0xFFFF,0x0)\r\n");
    assert_false(is_pressing());
    assert_int_equal(atomic_load(&presses), 0);
    send(FIRMWARE("/Sata(0x1,0xFFFF,0x0)"));
    wait_presses(1);
    send("BdsDxe: starting Boot0001 \"Windows Boot Manager\" from HD(1,GPT)\r\n");
    assert_false(is_pressing());
    send(FIRMWARE("/Sata(0x1,0xFFFF,0x0)"));
    assert_true(is_pressing());
    end();
}

/* The report. */

static void the_report_ends_it(void **state)
{
    (void)state;
    journey.fetched_by_us = true;
    follow->remove_medium = true;
    assert_int_equal(begin(JOURNEY_INSTALLING, 1), 0);
    send("CASEMENT-INSTALLED");
    send(" ");
    send(REPORT);
    assert_int_equal(on_disk().step, JOURNEY_INSTALLING);
    send("\r\nCASEMENT-INSTALLED another\r\n");
    assert_int_equal(on_disk().step, JOURNEY_INSTALLED);
    assert_int_equal(on_disk().phase, 2);
    assert_string_equal(on_disk().report, REPORT);
    assert_int_equal(strlen(on_disk().installed_at), strlen("2026-01-02T03:04:05Z"));
    assert_string_equal(title(), "");
    assert_false(fake_is_there(medium));
    assert_false(on_disk().fetched_by_us); /* what is put there later is no medium of ours */
    reset();
    assert_int_equal(on_disk().phase, 2);
    send(FIRMWARE("/Sata(0x1,0xFFFF,0x0)"));
    assert_false(is_pressing());
    end();
}

static void the_media_are_taken_out(void **state)
{
    static const uint8_t ready[12];

    (void)state;
    ahci_driver_start(adapter);
    packet_run(adapter, ready, 0); /* a unit attention */
    assert_int_equal(packet_run(adapter, ready, 0) & 1, 0);
    assert_int_equal(begin(JOURNEY_INSTALLING, 1), 0);
    send("CASEMENT-INSTALLED " REPORT "\n");
    assert_int_equal(packet_run(adapter, ready, 0) & 1, 1);
    assert_int_equal(packet_sense(adapter) >> 16, 2); /* NOT READY */
    end();
}

static void a_medium_of_the_users_stays(void **state)
{
    (void)state;
    for (unsigned n = 1; n < 3; n++) {
        follow->remove_medium = n & 1;
        journey.fetched_by_us = n & 2;
        assert_int_equal(begin(JOURNEY_INSTALLING, 1), 0);
        send("CASEMENT-INSTALLED " REPORT "\r");
        assert_int_equal(on_disk().step, JOURNEY_INSTALLED);
        assert_true(fake_is_there(medium));
        end();
        memset(follow, 0, sizeof *follow);
    }
}

/* A guest may send anything. */
static void hostile_lines(void **state)
{
    char line[2000];
    unsigned random = 1;

    (void)state;
    assert_int_equal(begin(JOURNEY_INSTALLING, 1), 0);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = 0;
    send(line);
    send("\n\n\r\n");
    for (unsigned n = 0; n < 20000; n++) {
        uint8_t byte = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);

        follower->serial(follower->opaque, &byte, 1);
    }
    settle();
    assert_int_equal(on_disk().step, JOURNEY_INSTALLING);
    assert_false(is_pressing());
    send("\n");
    memcpy(line, "CASEMENT-INSTALLED ", strlen("CASEMENT-INSTALLED "));
    send(line);
    send("\n");
    assert_int_equal(on_disk().step, JOURNEY_INSTALLED);
    assert_int_equal(strlen(on_disk().report), sizeof journey.report - 1);
    end();
}

/* A change of profile. */

static void wait_profile(const char *profile, const char *tried)
{
    int64_t limit = clock_ns() + LIMIT_NS;

    while (!fake_is_there(fake_below("journey.json")) || strcmp(on_disk().tried, tried) != 0)
        if (clock_ns() > limit || sched_yield() < 0)
            fail_msg("the journey does not say that %s was tried", tried);
    assert_string_equal(on_disk().profile, profile);
}

static void a_driven_disk_is_noted(void **state)
{
    (void)state;
    snprintf(journey.profile, sizeof journey.profile, "virtio");
    follow->profile = (struct profile_plan){PROFILE_TRIES, journey.profile, PROFILE_INBOX};
    assert_int_equal(begin(JOURNEY_INSTALLED, 2), 0);
    assert_string_equal(journey.tried, "");
    host_start(nvme, 32, false);
    host_io_queues(nvme, 1, 16);
    wait_profile("virtio", "inbox");
    end();
    assert_string_equal(on_disk().tried, "inbox");
}

static void a_system_that_starts_has_moved(void **state)
{
    (void)state;
    snprintf(journey.profile, sizeof journey.profile, "virtio");
    snprintf(journey.tried, sizeof journey.tried, "inbox");
    fake_journey_write(&journey);
    follow->profile = (struct profile_plan){PROFILE_MOVES, PROFILE_INBOX, PROFILE_INBOX};
    assert_int_equal(begin(JOURNEY_INSTALLED, 2), 0);
    assert_string_equal(on_disk().profile, "virtio");
    host_start(nvme, 32, false);
    host_io_queues(nvme, 1, 16);
    wait_profile("inbox", "");
    end();
    assert_string_equal(on_disk().profile, "inbox");
}

static void one_that_does_not_start_has_not(void **state)
{
    (void)state;
    snprintf(journey.profile, sizeof journey.profile, "virtio");
    snprintf(journey.tried, sizeof journey.tried, "inbox");
    follow->profile = (struct profile_plan){PROFILE_MOVES, PROFILE_INBOX, PROFILE_INBOX};
    assert_int_equal(begin(JOURNEY_INSTALLED, 2), 0);
    end();
    assert_string_equal(on_disk().profile, "virtio");
    assert_string_equal(on_disk().tried, "");
}

static void on_main_stop(void *opaque)
{
    *(uint64_t *)opaque = follower->stop_seconds(follower->opaque);
}

static uint64_t stop_seconds(void)
{
    uint64_t seconds = 0;

    loop_call(machine->main_loop, on_main_stop, &seconds);
    return seconds;
}

/* Setup would do nothing with more of it, and Windows is never cut off. */
static void how_long_a_stop_may_take(void **unused)
{
    (void)unused;
    assert_int_equal(begin(JOURNEY_PREPARED, 0), 0);
    assert_int_equal(stop_seconds(), 20);
    send(FIRMWARE("/Sata(0x1,0xFFFF,0x0)"));
    assert_int_equal(stop_seconds(), 20);
    reset();
    send(FIRMWARE("/NVMe(0x1,00)"));
    assert_int_equal(stop_seconds(), 20);
    send("CASEMENT-INSTALLED " REPORT "\r\n");
    assert_true(stop_seconds() == UINT64_MAX);
}

/* Where the report may be late or never come, what was started from the disk may be Windows. */
static void a_silent_windows_is_not_cut_off(void **unused)
{
    (void)unused;
    follow->silent = true;
    assert_int_equal(begin(JOURNEY_PREPARED, 0), 0);
    send(FIRMWARE("/Sata(0x1,0xFFFF,0x0)"));
    assert_int_equal(stop_seconds(), 20);
    reset();
    assert_int_equal(stop_seconds(), 20);
    send(FIRMWARE("/NVMe(0x1,00)"));
    assert_true(stop_seconds() == UINT64_MAX);
    reset();
    assert_int_equal(stop_seconds(), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(starts_are_counted),
        TEST(no_start_without_a_word_of_it),
        TEST(an_installed_system_is_left_alone),
        TEST(the_key_is_pressed_until_it_loads),
        TEST(only_the_medium_gets_the_key),
        TEST(the_report_ends_it),
        TEST(the_media_are_taken_out),
        TEST(a_medium_of_the_users_stays),
        TEST(how_long_a_stop_may_take),
        TEST(a_silent_windows_is_not_cut_off),
        TEST(hostile_lines),
        TEST(a_driven_disk_is_noted),
        TEST(a_system_that_starts_has_moved),
        TEST(one_that_does_not_start_has_not),
#undef TEST
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
