/* The serial port's other end (see console.h). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "console.h"

#define RETRY_NS INT64_C(10000000)
/* With a reader that takes nothing: the guest's own output is not worth stopping it for longer. */
#define PATIENCE_MS 1000

/* Keys reach the guest one by one; Ctrl-C stays the host's and presses the power button. */
static void take_terminal(struct console *console)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &console->saved) < 0)
        return;
    raw = console->saved;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_iflag &= ~(tcflag_t)(ICRNL | IXON);
    console->terminal = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static int open_file(const char *path, int flags, struct error *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);

    return fd < 0
               ? error_set(error, errno, "--serial %s: cannot be written: %s; name a file in a folder that is writable",
                           path, strerror(errno))
               : fd;
}

/* In pieces that a pipe takes whole when it says that it takes any. Nobody waits for a reader at the end. */
static void write_all(struct console *console, const uint8_t *bytes, size_t length)
{
    struct pollfd out = {.fd = console->out, .events = POLLOUT};

    while (length) {
        ssize_t written;

        if (poll(&out, 1, PATIENCE_MS) <= 0) {
            if (atomic_load(&console->ending))
                return;
            continue;
        }
        written = write(console->out, bytes, MIN(length, (size_t)PIPE_BUF));
        if (written < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (written <= 0)
            return; /* nobody reads any more */
        bytes += written;
        length -= (size_t)written;
    }
}

/* Whatever waits, in one piece: the slower the target, the larger. */
static void write_waiting(void *opaque)
{
    struct console *console = opaque;
    size_t count;

    pthread_mutex_lock(&console->lock);
    count = console->waiting_count;
    memcpy(console->writing, console->waiting, count);
    console->waiting_count = 0;
    console->stuck = false;
    pthread_cond_broadcast(&console->room);
    pthread_mutex_unlock(&console->lock);
    write_all(console, console->writing, count);
}

static int start_writer(struct console *console, struct error *error)
{
    pthread_condattr_t attributes;
    int failed;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&console->room, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&console->lock, NULL);
    console->write = (struct loop_task){.run = write_waiting, .opaque = console};
    console->waiting_count = 0;
    console->stuck = false;
    atomic_init(&console->ending, false);
    console->writer = loop_create("serial port");
    failed = console->writer ? loop_start(console->writer) : -ENOMEM;
    return failed < 0 ? error_set(error, -failed, "the serial port's thread: %s", strerror(-failed)) : 0;
}

int console_open(struct console *console, const char *target, struct error *error)
{
    console->out = -1;
    console->in.fd = -1;
    console->writer = NULL;
    if (!strcmp(target, "none"))
        return 0;
    if (!strcmp(target, "stdio")) {
        console->out = STDOUT_FILENO;
        console->in.fd = STDIN_FILENO;
    } else {
        console->out = open_file(target, O_TRUNC, error);
        console->owns_out = console->out >= 0;
    }
    return console->out < 0 ? console->out : start_writer(console, error);
}

/* In one step and under the same number, for the writer may write just then. */
int console_reopen(struct console *console, const char *target, struct error *error)
{
    int fd = console->owns_out ? open_file(target, O_APPEND, error) : -1, failed = 0;

    if (fd < 0)
        return console->owns_out ? fd : 0;
    if (dup3(fd, console->out, O_CLOEXEC) < 0)
        failed = error_set(error, errno, "--serial %s: %s", target, strerror(errno));
    close(fd);
    return failed;
}

void console_tap(struct console *console, void (*tap)(void *opaque, const uint8_t *bytes, size_t length), void *opaque)
{
    console->tap = tap;
    console->tap_opaque = opaque;
}

/* Until there is room, for a while. The lock is held. */
static bool wait_for_room(struct console *console)
{
    struct timespec deadline;

    if (console->stuck)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += PATIENCE_MS / 1000;
    while (console->waiting_count == sizeof console->waiting)
        if (pthread_cond_timedwait(&console->room, &console->lock, &deadline) == ETIMEDOUT)
            break;
    console->stuck = console->waiting_count == sizeof console->waiting;
    return !console->stuck;
}

void console_output(void *opaque, const uint8_t *bytes, size_t length)
{
    struct console *console = opaque;

    if (console->tap)
        console->tap(console->tap_opaque, bytes, length);
    if (!console->writer)
        return;
    pthread_mutex_lock(&console->lock);
    while (length) {
        size_t now = MIN(length, sizeof console->waiting - console->waiting_count);

        if (!now) {
            if (!wait_for_room(console))
                break;
            continue;
        }
        memcpy(console->waiting + console->waiting_count, bytes, now);
        if (!console->waiting_count)
            loop_post(console->writer, &console->write);
        console->waiting_count += now;
        bytes += now;
        length -= now;
    }
    pthread_mutex_unlock(&console->lock);
}

/* Gives the guest what it takes; the rest waits, and standard input with it. */
static void feed(struct console *console)
{
    size_t taken = serial_input(console->serial, console->pending, console->pending_count);

    console->pending_count -= taken;
    memmove(console->pending, console->pending + taken, console->pending_count);
    /* A descriptor that is not asked for anything still reports its end, over and over: leave it out instead. */
    console->in.fd = console->pending_count ? -1 : STDIN_FILENO;
    if (console->pending_count)
        loop_timer_set(console->loop, &console->retry, clock_ns() + RETRY_NS);
}

static void retry_expired(void *opaque)
{
    feed(opaque);
}

static void input_ready(void *opaque, short events)
{
    struct console *console = opaque;
    ssize_t count;

    (void)events;
    if (console->pending_count)
        return;
    count = read(STDIN_FILENO, console->pending, sizeof console->pending);
    if (count <= 0) {
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            return;
        loop_unwatch(console->loop, &console->in); /* the end of the input, not of the machine */
        console->watched = false;
        return;
    }
    console->pending_count = (size_t)count;
    feed(console);
}

void console_connect(struct console *console, struct serial *serial, struct loop *loop)
{
    console->serial = serial;
    console->loop = loop;
    if (console->in.fd < 0)
        return;
    take_terminal(console);
    console->retry = (struct loop_timer){.expired = retry_expired, .opaque = console};
    console->in.events = POLLIN;
    console->in.ready = input_ready;
    console->in.opaque = console;
    loop_watch(loop, &console->in);
    console->watched = true;
}

static void stop_writer(struct console *console)
{
    atomic_store(&console->ending, true);
    loop_stop(console->writer);
    write_all(console, console->waiting, console->waiting_count);
    loop_destroy(console->writer);
    console->writer = NULL;
    pthread_cond_destroy(&console->room);
    pthread_mutex_destroy(&console->lock);
}

void console_close(struct console *console)
{
    if (console->watched)
        loop_unwatch(console->loop, &console->in);
    if (console->loop)
        loop_timer_remove(console->loop, &console->retry);
    if (console->writer)
        stop_writer(console);
    if (console->terminal)
        tcsetattr(STDIN_FILENO, TCSANOW, &console->saved);
    if (console->owns_out)
        close(console->out);
    console->out = -1;
}
