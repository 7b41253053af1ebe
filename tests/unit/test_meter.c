/*
 * How fast it goes and how long it will take: by the meter, on a terminal, in the log, and to operators who ask. Time
 * is not waited for: what the meter has seen is put into the past.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../vmm/windows/fetch_private.h"
#include "../../vmm/windows/progress.h"
#include "../../vmm/windows/waiting.h"
#include "casement/bytes.h"
#include "casement/loop.h"
#include "cmocka_all.h"
#include "fake_client.h"
#include "fake_folder.h"
#include "fake_prepare.h"

#define MB UINT64_C(1000000)

static struct fetch_progress told;
static unsigned times;
static bool stops;

static bool note(void *opaque, const struct fetch_progress *progress)
{
    (void)opaque;
    told = *progress;
    times++;
    return stops;
}

static struct fetch_meter new_meter(uint64_t size)
{
    told = (struct fetch_progress){.rate = 99, .seconds_left = 99};
    times = 0;
    stops = false;
    return (struct fetch_meter){.progress = note, .title = "Downloading", .size = size};
}

static void pass(struct fetch_meter *meter, int64_t milliseconds)
{
    meter->next_ns -= milliseconds * 1000000;
    for (unsigned n = 0; n < FETCH_SAMPLES; n++)
        meter->samples[n].ns -= milliseconds * 1000000;
}

/* Within what a slow host adds to the time. */
static void assert_near(uint64_t value, uint64_t wanted)
{
    if (value > wanted || value < wanted - wanted / 4)
        fail_msg("%llu is not about %llu", (unsigned long long)value, (unsigned long long)wanted);
}

static void rate_and_time_left(void **unused)
{
    struct fetch_meter meter = new_meter(100 * MB);

    (void)unused;
    fetch_meter_tell(&meter, 10 * MB, false);
    assert_int_equal(told.rate, 0);
    assert_int_equal(told.seconds_left, -1);
    assert_int_equal(told.size, 100 * MB);
    pass(&meter, 2000);
    fetch_meter_tell(&meter, 30 * MB, false);
    assert_near(told.rate, 10 * MB);
    assert_true(told.seconds_left >= 7 && told.seconds_left <= 9);
    fetch_meter_tell(&meter, 100 * MB, true);
    assert_int_equal(told.seconds_left, 0);
    /* Nothing is known of the size: so of the end neither. */
    meter = new_meter(0);
    fetch_meter_tell(&meter, 0, false);
    pass(&meter, 1000);
    fetch_meter_tell(&meter, MB, false);
    assert_near(told.rate, MB);
    assert_int_equal(told.seconds_left, -1);
}

/* What was long ago does not count: neither a fast beginning nor a pause. */
static void only_the_last_seconds_count(void **unused)
{
    struct fetch_meter meter = new_meter(100000 * MB);
    uint64_t done = 0;

    (void)unused;
    fetch_meter_tell(&meter, done, true);
    pass(&meter, 1000);
    done += 5000 * MB;
    fetch_meter_tell(&meter, done, true);
    for (unsigned n = 0; n < 2 * FETCH_SAMPLES; n++) {
        pass(&meter, 1000);
        done += 2 * MB;
        fetch_meter_tell(&meter, done, true);
    }
    assert_near(told.rate, 2 * MB);
    for (unsigned n = 0; n < 2 * FETCH_SAMPLES; n++) {
        pass(&meter, 1000);
        fetch_meter_tell(&meter, done, true);
    }
    assert_int_equal(told.rate, 0);
    assert_int_equal(told.seconds_left, -1);
    meter = new_meter(100000 * MB);
    done = 0;
    for (unsigned n = 0; n < 18; n++) {
        done += n * MB;
        fetch_meter_tell(&meter, done, true);
        pass(&meter, n < 17 ? 1000 : 0);
    }
    assert_near(told.rate, 14 * MB); /* 11 to 17 */
    /* The server has another version: from the start again. */
    pass(&meter, 1000);
    fetch_meter_tell(&meter, 0, true);
    assert_int_equal(told.rate, 0);
    pass(&meter, 1000);
    fetch_meter_tell(&meter, 3 * MB, true);
    assert_near(told.rate, 3 * MB);
}

static void four_times_a_second(void **unused)
{
    struct fetch_meter meter = new_meter(MB);

    (void)unused;
    assert_false(fetch_meter_tell(&meter, 0, false));
    stops = true;
    assert_int_equal(times, 1);
    meter.next_ns = INT64_MAX;
    assert_false(fetch_meter_tell(&meter, 1, false));
    assert_int_equal(times, 1);
    assert_true(fetch_meter_tell(&meter, 1, true));
    pass(&meter, 250);
    assert_true(fetch_meter_tell(&meter, 1, false));
    assert_int_equal(times, 3);
    meter.progress = NULL;
    assert_false(fetch_meter_tell(&meter, 1, true));
}

/* Lines for people. */

static char lines[4096];

/* Until the end of a file, or until nobody has the terminal open: what is written comes through it in parts. */
static void read_lines(int fd)
{
    size_t used = 0;
    ssize_t length;

    while ((length = read(fd, lines + used, sizeof lines - 1 - used)) > 0)
        used += (size_t)length;
    lines[used] = 0;
}

/* What goes to standard error meanwhile; terminal: that it is one. */
static void show(bool terminal, unsigned count, const struct fetch_progress *progress)
{
    int master = terminal ? posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC) : -1, before = dup(STDERR_FILENO), fd;
    struct progress_lines state = {0};

    assert_true(!terminal || (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0));
    fd = terminal ? open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC)
                  : open(fake_below("lines"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && before >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    for (unsigned n = 0; n < count; n++)
        progress_show(&state, &progress[n]);
    progress_end(&state);
    dup2(before, STDERR_FILENO);
    close(before);
    if (!terminal) {
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        read_lines(fd);
    }
    close(fd);
    if (terminal) {
        read_lines(master);
        close(master);
    }
}

static const struct fetch_progress shown[] = {{"Downloading", 1500 * MB, 6000 * MB, 15800000, 3723},
                                              {"Downloading", 1600 * MB, 6000 * MB, 15800000, 3700},
                                              {"Verifying", 100 * MB, 6000 * MB, 0, -1}};

static void a_line_that_changes_on_a_terminal(void **unused)
{
    (void)unused;
    show(true, 2, shown);
    assert_string_equal(lines, "\rDownloading:  25 %  1500 of 6000 MB  15.8 MB/s  1:02:03 left\x1B[K"
                               "\rDownloading:  26 %  1600 of 6000 MB  15.8 MB/s  1:01:40 left\x1B[K\r\n");
    show(true, 3, shown);
    assert_non_null(strstr(lines, "left\x1B[K\r\n\rVerifying:   1 %  100 of 6000 MB  0.0 MB/s\x1B[K\r\n"));
}

/* Lines of a log have no signs that move a cursor, and there are few of them. */
static void a_line_now_and_then_elsewhere(void **unused)
{
    (void)unused;
    show(false, 3, shown);
    assert_null(strchr(lines, '\r'));
    assert_null(strchr(lines, '\x1B'));
    assert_string_equal(lines, "casement: Downloading:  25 %  1500 of 6000 MB  15.8 MB/s  1:02:03 left\n"
                               "casement: Verifying:   1 %  100 of 6000 MB  0.0 MB/s\n");
}

/* Operators who ask. */

static char answers[2][4096];

static void ask_status(char answer[sizeof answers[0]])
{
    char path[128];
    int fd;

    snprintf(path, sizeof path, "%s/control.sock", windows.state);
    fd = client_dial_unix(path);
    assert_int_equal(client_ask(fd, "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200);
    snprintf(answer, sizeof answers[0], "%s", client_body());
    close(fd);
}

static int work(void *opaque, struct waiting *waiting, struct error *error)
{
    (void)opaque, (void)error;
    waiting_say(waiting, "Asking");
    ask_status(answers[0]);
    waiting_progress(waiting, &shown[0]);
    ask_status(answers[1]);
    return 0;
}

static void what_operators_are_told(void **unused)
{
    static const char *const parts[] = {"\"done\":1500000000", "\"total\":6000000000", "\"per_second\":15800000",
                                        "\"seconds_left\":3723", "\"unit\":\"bytes\""};

    (void)unused;
    assert_int_equal(fake_prepare_look(windows.iso, NULL, 0), 0);
    assert_int_equal(waiting_run(&windows.config, work, NULL, &windows.error), 0);
    assert_non_null(strstr(answers[0], "\"title\":\"Asking\""));
    assert_non_null(strstr(answers[0], "\"per_second\":null"));
    for (size_t n = 0; n < ARRAY_SIZE(parts); n++)
        assert_non_null(strstr(answers[1], parts[n]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_and_time_left),     cmocka_unit_test(only_the_last_seconds_count),
        cmocka_unit_test(four_times_a_second),    IN_FOLDER(a_line_that_changes_on_a_terminal),
        IN_FOLDER(a_line_now_and_then_elsewhere), PREPARED(what_operators_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
