/* Transfers that are whole or fail, under signals that interrupt them. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "cmocka_all.h"

#define SIZE (4 * MiB)

static char path[64];
static uint8_t pattern[SIZE], back[SIZE];

static int open_new(void)
{
    int fd;

    snprintf(path, sizeof path, "build/file-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    return fd;
}

static void what_was_written_is_read(void **state)
{
    int fd = open_new();

    (void)state;
    assert_int_equal(file_write_at(fd, pattern, SIZE, 5), 0);
    assert_int_equal(file_read_at(fd, back, SIZE, 5), 0);
    assert_memory_equal(back, pattern, SIZE);
    assert_int_equal(file_read_at(fd, back, 6, SIZE), -EIO); /* the file ends after 5 */
    assert_int_equal(file_read_at(fd, back, 0, UINT64_C(1) << 40), 0);
    close(fd);
    assert_int_equal(file_write_at(fd, pattern, 1, 0), -EBADF);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_write(fd, pattern, 1), -EBADF);
    close(fd);
    unlink(path);
}

static void nothing(int number)
{
    (void)number;
}

static void *read_all(void *opaque)
{
    const int *fd = opaque;
    size_t done = 0;
    ssize_t count;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    while (done < SIZE && (count = read(*fd, back + done, SIZE - done)) > 0)
        done += (size_t)count;
    return done == SIZE ? opaque : NULL;
}

/* A pipe takes a part at a time, and each signal ends a write in the middle. */
static void signals_and_parts(void **state)
{
    const struct sigaction action = {.sa_handler = nothing};
    struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    struct sigaction before;
    pthread_t reader;
    void *whole;
    int pipes[2];

    (void)state;
    memset(back, 0, sizeof back);
    assert_int_equal(pipe(pipes), 0);
    sigaction(SIGALRM, &action, &before);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &pipes[0]), 0);
    setitimer(ITIMER_REAL, &often, NULL);
    assert_int_equal(file_write(pipes[1], pattern, SIZE), 0);
    setitimer(ITIMER_REAL, &never, NULL);
    close(pipes[1]);
    pthread_join(reader, &whole);
    sigaction(SIGALRM, &before, NULL);
    close(pipes[0]);
    assert_non_null(whole);
    assert_memory_equal(back, pattern, SIZE);
}

static void folders(void **state)
{
    (void)state;
    assert_int_equal(file_sync_folder("build/anything"), 0);
    assert_int_equal(file_sync_folder("anything"), 0);
    assert_int_equal(file_sync_folder("build/nowhere/anything"), -ENOENT);
}

static bool holds(const char *name, const char *text)
{
    char have[16] = "";
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, have, sizeof have - 1);

    if (fd >= 0)
        close(fd);
    return length >= 0 && strcmp(have, text) == 0;
}

static void a_name_is_not_taken_from_another(void **state)
{
    char to[80];
    int fd = open_new();

    (void)state;
    snprintf(to, sizeof to, "%s.named", path);
    assert_int_equal(file_write(fd, "first", 5), 0);
    close(fd);
    assert_int_equal(file_name_new(path, to), 0);
    assert_true(holds(to, "first"));
    assert_int_equal(access(path, F_OK), -1);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_int_equal(file_write(fd, "second", 6), 0);
    close(fd);
    assert_int_equal(file_name_new(path, to), -EEXIST);
    assert_true(holds(to, "first"));
    assert_true(holds(path, "second"));
    assert_int_equal(file_name_new(path, "build/nowhere/anything"), -ENOENT);
    assert_true(holds(path, "second"));
    unlink(path);
    unlink(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(signals_and_parts),
        cmocka_unit_test(folders),
        cmocka_unit_test(a_name_is_not_taken_from_another),
    };

    for (size_t n = 0; n < SIZE; n++)
        pattern[n] = (uint8_t)(n * 31 + (n >> 8));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
