/*
 * A kill or a full disk at any instant while a journey is written or set aside: what is there afterwards is what was
 * there before or what was to be. LONG=1: more instants.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "fake_folder.h"
#include "fake_journey.h"

static struct error error;

/*
 * The calls that change a file system, each with a letter in the order they came: m (a folder is made), w, s (fsync), r
 * (renamed), u. A child can be made to die in front of any of them.
 */
static char calls[64];
static unsigned called;
static int die_at = -1;   /* in front of so many of them */
static bool half_a_write; /* which is done to its half before */
static bool no_space;

static void note(char call)
{
    if (die_at >= 0 && (int)called == die_at && !(call == 'w' && half_a_write))
        _exit(9);
    if (called < sizeof calls - 1) {
        calls[called] = call;
        calls[called + 1] = 0;
    }
    called++;
}

static void forget_calls(void)
{
    called = 0;
    calls[0] = 0;
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    note('w');
    if (no_space) {
        errno = ENOSPC;
        return -1;
    }
    if (die_at >= 0 && (int)called == die_at + 1 && half_a_write) {
        syscall(SYS_write, fd, buffer, size / 2);
        _exit(9);
    }
    return syscall(SYS_write, fd, buffer, size);
}

/* A kill needs no disk that has written. */
int fsync(int fd)
{
    note('s');
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

int renameat(int from, const char *old, int to, const char *new)
{
    note('r');
    return (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    note('m');
    return (int)syscall(SYS_mkdirat, at, path, mode);
}

int unlinkat(int at, const char *path, int flags)
{
    note('u');
    return (int)syscall(SYS_unlinkat, at, path, flags);
}

static void the_order_of_a_write(void **state)
{
    struct journey found, next = fake_journey;
    int result;

    (void)state;
    next.phase++;
    forget_calls();
    fake_journey_write(&fake_journey);
    assert_string_equal(calls, "wsrs");
    forget_calls();
    no_space = true;
    result = journey_write(fake_folder, &next, &error);
    no_space = false;
    fake_refused(&error, result, ENOSPC, "journey.json", "space");
    assert_string_equal(calls, "wu");
    fake_journey_read(&found);
    fake_journey_same(&found, &fake_journey);
}

static pid_t start_child(int kill_at, bool half)
{
    pid_t child = fork();

    if (child == 0) {
        die_at = kill_at;
        half_a_write = half;
        forget_calls();
    }
    return child;
}

static int end_of(pid_t child)
{
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void killed_at_each_call(void **state)
{
    struct journey found, next = fake_journey;
    bool done = false;

    (void)state;
    next.step = JOURNEY_INSTALLED;
    for (int n = 0; n < 40 && !done; n++) {
        pid_t child;
        bool renamed = n / 2 > 2;

        fake_journey_write(&fake_journey);
        child = start_child(n / 2, n % 2);
        if (child == 0)
            _exit(journey_write(fake_folder, &next, NULL) ? 1 : 0);
        done = end_of(child) == 0;
        fake_journey_read(&found);
        fake_journey_same(&found, renamed || done ? &next : &fake_journey);
    }
    assert_true(done);
}

/* What is written says its number twice, so a mixture of two would show. */
static struct journey numbered(unsigned n)
{
    struct journey journey = fake_journey;

    journey.phase = n;
    snprintf(journey.report, sizeof journey.report, "%u %0*u", n, (int)(n % 200), 0U);
    return journey;
}

static void killed_at_random_instants(void **state)
{
    _Atomic unsigned *last =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); /* that was written for sure */
    const unsigned count = fake_tries(20, 100);
    struct journey found, wanted;

    (void)state;
    assert_true(last != MAP_FAILED);
    fake_journey_write(&(struct journey){.step = JOURNEY_NEW});
    wanted = numbered(0);
    fake_journey_write(&wanted);
    for (unsigned n = 0, random = 1; n < count; n++) {
        unsigned from = *last + 1, spins = (random = random * 1664525 + 1013904223) >> 12;
        pid_t child = fork();

        if (child == 0)
            for (unsigned number = from;; number++) {
                wanted = numbered(number);
                if (journey_write(fake_folder, &wanted, NULL))
                    _exit(1);
                *last = number;
            }
        /* At least one more is written; then the kill comes anywhere. */
        while (*last < from)
            sched_yield();
        for (volatile unsigned spin = 0; spin < spins; spin++)
            ;
        kill(child, SIGKILL);
        assert_int_equal(end_of(child), -SIGKILL);
        fake_journey_read(&found);
        assert_true(found.phase == *last || found.phase == *last + 1);
        wanted = numbered(found.phase);
        fake_journey_same(&found, &wanted);
        *last = found.phase;
    }
    munmap((void *)last, 4096);
}

static void the_order_of_setting_aside(void **state)
{
    (void)state;
    fake_text(fake_below("disk.img"), "old disk");
    fake_journey_write(&fake_journey);
    forget_calls();
    assert_int_equal(journey_set_aside(fake_folder, fake_below("disk.img"), NULL, 0, &error), 0);
    assert_string_equal(calls, "msmsrssrssrs");
}

static void try_to_set_aside(int kill_at)
{
    pid_t child = start_child(kill_at, false);

    if (child == 0)
        _exit(journey_set_aside(fake_folder, fake_below("disk.img"), NULL, 0, NULL) ? 1 : 0);
    assert_in_range(end_of(child) + 1, 1, 10);
}

/* Nothing is lost at any time, and the next attempt brings both into one place. again is -1: no second kill. */
static void kill_and_set_aside(int first, int again)
{
    char old[32], place[256];
    struct fake_backups places;

    snprintf(old, sizeof old, "disk %d %d", first, again);
    fake_text(fake_below("disk.img"), old);
    fake_journey_write(&fake_journey);
    try_to_set_aside(first);
    assert_int_equal(fake_journey_backups(old).disks + fake_has_text(fake_below("disk.img"), old), 1);
    if (again >= 0)
        try_to_set_aside(again);
    assert_int_equal(fake_journey_backups(old).disks + fake_has_text(fake_below("disk.img"), old), 1);
    assert_int_equal(journey_set_aside(fake_folder, fake_below("disk.img"), place, sizeof place, &error), 0);
    places = fake_journey_backups(old);
    assert_int_equal(places.disks, 1);
    assert_int_equal(places.together, 1);
    assert_int_equal(places.parts, 0);
    assert_false(fake_is_there(fake_below("disk.img")) || fake_is_there(fake_below("journey.json")));
}

static void set_aside_and_killed(void **state)
{
    const int step = (int)fake_tries(3, 1);

    (void)state;
    for (int n = 0; n < 14; n++) {
        kill_and_set_aside(n, -1);
        for (int again = n % step; again < 12; again += step)
            kill_and_set_aside(n, again);
    }
}

/* What was made after the attempt that was ended does not come to lie over what was there before: a disk, a journey. */
static void killed_and_something_new_made(void **state)
{
    (void)state;
    for (int n = 0; n < 28; n++) {
        bool new_disk_made = n % 2, has_old, has_journey;
        unsigned journeys = fake_journey_backups("").journeys;
        char old[32], new[32];

        snprintf(old, sizeof old, "disk %d", n);
        snprintf(new, sizeof new, "new disk %d", n);
        fake_text(fake_below("disk.img"), old);
        fake_journey_write(&fake_journey);
        try_to_set_aside(n / 2);
        has_old = fake_is_there(fake_below("disk.img"));
        has_journey = fake_is_there(fake_below("journey.json"));
        new_disk_made &= !has_old;
        if (new_disk_made)
            fake_text(fake_below("disk.img"), new);
        if (!has_journey)
            fake_journey_write(&fake_journey);
        assert_int_equal(journey_set_aside(fake_folder, fake_below("disk.img"), NULL, 0, &error), 0);
        assert_int_equal(fake_journey_backups(old).disks, 1);
        assert_int_equal(fake_journey_backups(new).disks, new_disk_made);
        assert_int_equal(fake_journey_backups("").journeys, journeys + 1 + !has_journey);
        assert_int_equal(fake_journey_backups("").parts, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_order_of_a_write),      IN_FOLDER(killed_at_each_call),
        IN_FOLDER(killed_at_random_instants), IN_FOLDER(the_order_of_setting_aside),
        IN_FOLDER(set_aside_and_killed),      IN_FOLDER(killed_and_something_new_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
