/* The serial port's other end: all that a guest sends arrives in order, and a reader that stops does not stop the
 * guest. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../vmm/console.h"
#include "casement/bytes.h"
#include "cmocka_all.h"

#define PATH "build/console-test"
#define MUCH 200000U

static struct console console;

static void open_console(const char *path)
{
    struct error error = {""};

    memset(&console, 0, sizeof console);
    if (console_open(&console, path, &error) < 0)
        fail_msg("%s", error.text);
}

static int remove_file(void **state)
{
    (void)state;
    unlink(PATH);
    unlink(PATH ".1");
    return 0;
}

static size_t read_file(const char *path, char *to, size_t size)
{
    FILE *file = fopen(path, "re");
    size_t count;

    assert_non_null(file);
    count = fread(to, 1, size, file);
    fclose(file);
    return count;
}

static uint8_t pattern(size_t n)
{
    return (uint8_t)(n * 7 + n / 251);
}

static void send_pattern(size_t from, size_t to)
{
    for (size_t n = from; n < to; n++) {
        uint8_t byte = pattern(n);

        console_output(&console, &byte, 1);
    }
}

static void a_file_has_it_all(void **state)
{
    static char text[MUCH + 1];

    (void)state;
    open_console(PATH);
    send_pattern(0, MUCH);
    console_close(&console);
    assert_int_equal(read_file(PATH, text, sizeof text), MUCH);
    for (size_t n = 0; n < MUCH; n++)
        assert_int_equal((uint8_t)text[n], pattern(n));
    console_close(&console);
}

static void *send_lines(void *opaque)
{
    for (unsigned n = 0; n < 5000; n++)
        console_output(&console, opaque, 8);
    return NULL;
}

/* A piece that a vCPU sends in one stays one. */
static void two_vcpus_at_a_time(void **state)
{
    static char text[2 * 5000 * 8 + 1];
    pthread_t other;
    unsigned first = 0;

    (void)state;
    open_console(PATH);
    assert_int_equal(pthread_create(&other, NULL, send_lines, "the 1st\n"), 0);
    send_lines("the 2nd\n");
    pthread_join(other, NULL);
    console_close(&console);
    assert_int_equal(read_file(PATH, text, sizeof text), sizeof text - 1);
    for (size_t at = 0; at + 8 < sizeof text; at += 8) {
        assert_memory_equal(text + at, "the ", 4);
        first += text[at + 4] == '1';
    }
    assert_int_equal(first, 5000);
}

/* Who reads the pipe, and how much. */
struct reader {
    int fd;
    size_t total;
};

static void *read_pipe(void *opaque)
{
    static uint8_t bytes[4096];
    struct reader *reader = opaque;
    ssize_t count;

    while ((count = read(reader->fd, bytes, sizeof bytes)) > 0)
        for (ssize_t n = 0; n < count; n++)
            assert_int_equal(bytes[n], pattern(reader->total++));
    return NULL;
}

static struct reader open_reader(int *writer)
{
    struct reader reader = {0};

    assert_int_equal(mkfifo(PATH, 0600), 0);
    reader.fd = open(PATH, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader.fd >= 0);
    *writer = open(PATH, O_WRONLY | O_CLOEXEC);
    assert_int_equal(fcntl(reader.fd, F_SETFL, 0), 0);
    return reader;
}

/* As long as somebody reads, however slowly, nothing is lost. */
static void a_reader_that_is_slow(void **state)
{
    int writer;
    struct reader reader = open_reader(&writer);
    pthread_t thread;

    (void)state;
    open_console(PATH);
    send_pattern(0, 100000); /* more than the pipe takes */
    assert_int_equal(pthread_create(&thread, NULL, read_pipe, &reader), 0);
    send_pattern(100000, 2 * MUCH);
    console_close(&console);
    close(writer);
    pthread_join(thread, NULL);
    assert_int_equal(reader.total, 2 * MUCH);
    close(reader.fd);
}

/* A pipe, what waits, and what is written just now are full; the guest goes on, and so does the end. */
static void a_reader_that_has_stopped(void **state)
{
    int writer;
    struct reader reader = open_reader(&writer);
    int64_t begun = clock_ns();
    pthread_t thread;

    (void)state;
    open_console(PATH);
    send_pattern(0, 5 * MUCH);
    console_close(&console);
    close(writer);
    assert_true(clock_ns() - begun < INT64_C(60000000000));
    assert_int_equal(pthread_create(&thread, NULL, read_pipe, &reader), 0);
    pthread_join(thread, NULL);
    assert_in_range(reader.total, 4096, 3 * 65536);
    close(reader.fd);
}

static void a_reader_that_is_gone(void **state)
{
    int writer;
    struct reader reader = open_reader(&writer);

    (void)state;
    open_console(PATH);
    close(writer);
    close(reader.fd);
    send_pattern(0, MUCH);
    console_close(&console);
}

static void another_file_of_the_same_name(void **state)
{
    static char text[16];
    struct error error;

    (void)state;
    open_console(PATH);
    console_output(&console, (const uint8_t *)"before", 6);
    while (read_file(PATH, text, sizeof text) < 6)
        usleep(1000);
    assert_int_equal(rename(PATH, PATH ".1"), 0);
    assert_int_equal(console_reopen(&console, PATH, &error), 0);
    console_output(&console, (const uint8_t *)"after", 5);
    console_close(&console);
    assert_int_equal(read_file(PATH ".1", text, sizeof text), 6);
    assert_int_equal(read_file(PATH, text, sizeof text), 5);
    assert_memory_equal(text, "after", 5);
}

static void nowhere(void **state)
{
    (void)state;
    open_console("none");
    send_pattern(0, 100);
    console_close(&console);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_has_it_all, remove_file, remove_file),
        cmocka_unit_test_setup_teardown(two_vcpus_at_a_time, remove_file, remove_file),
        cmocka_unit_test_setup_teardown(a_reader_that_is_slow, remove_file, remove_file),
        cmocka_unit_test_setup_teardown(a_reader_that_has_stopped, remove_file, remove_file),
        cmocka_unit_test_setup_teardown(a_reader_that_is_gone, remove_file, remove_file),
        cmocka_unit_test_setup_teardown(another_file_of_the_same_name, remove_file, remove_file),
        cmocka_unit_test(nowhere),
    };

    signal(SIGPIPE, SIG_IGN); /* as in the machine */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
