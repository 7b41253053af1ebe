/* The server of the control socket (see control.h): a few clients, each with bounded buffers and a deadline. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "control.h"

/* A client that neither ends its request nor reads its answer in this time makes room for others. */
#define PATIENCE_NS INT64_C(30000000000)

struct client {
    struct control *control;
    struct loop_watch watch; /* fd is -1 when the place is free */
    struct loop_timer patience;
    char *in, *out; /* CONTROL_LINE_MAX bytes each, while connected */
    size_t in_used, out_sent, out_used;
};

struct control {
    struct loop *loop;
    const struct control_ops *ops;
    void *machine;
    struct sockaddr_un address;
    struct loop_watch listener;
    dev_t device; /* of the socket file, to know it again */
    ino_t inode;
    struct client clients[CONTROL_CLIENTS];
};

static const struct {
    char sign, letter;
} escapes[] = {{'\n', 'n'}, {'\t', 't'}, {'\r', 'r'}, {'\\', '\\'}};

size_t control_escape(const char *text, char *out, size_t size)
{
    size_t used = 0;

    for (; *text; text++) {
        char letter = 0;

        for (size_t n = 0; n < ARRAY_SIZE(escapes); n++)
            if (*text == escapes[n].sign)
                letter = escapes[n].letter;
        if (used + (letter ? 2 : 1) >= size) {
            used = 0;
            break;
        }
        if (letter)
            out[used++] = '\\';
        out[used++] = letter ? letter : *text;
    }
    if (size)
        out[used] = 0;
    return used;
}

bool control_unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        char sign = *from;

        if (sign == '\\') {
            sign = 0;
            from++;
            for (size_t n = 0; n < ARRAY_SIZE(escapes); n++)
                if (*from == escapes[n].letter)
                    sign = escapes[n].sign;
            if (!sign)
                return false;
        }
        *to++ = sign;
    }
    *to = 0;
    return true;
}

static void drop(struct client *client)
{
    loop_unwatch(client->control->loop, &client->watch);
    loop_timer_remove(client->control->loop, &client->patience);
    close(client->watch.fd);
    client->watch.fd = -1;
    free(client->in);
    free(client->out);
    client->in = client->out = NULL;
}

static void patience_expired(void *opaque)
{
    log_debug("control: a client that was too slow is dropped");
    drop(opaque);
}

/* Appends an answer. The caller has made sure that an earlier one is sent. */
static void answer(struct client *client, const char *word, const char *text)
{
    size_t used = (size_t)snprintf(client->out, CONTROL_LINE_MAX, "%s", word);

    if (*text) {
        client->out[used++] = ' ';
        used += control_escape(text, client->out + used, CONTROL_LINE_MAX - used - 1);
    }
    client->out[used++] = '\n';
    client->out_used = used;
    client->out_sent = 0;
}

/* A command without an argument, or with one that may not be empty. */
struct command {
    const char *name;
    bool takes_argument;
    int (*run)(const struct control *control, const char *argument, char *text, size_t size, struct error *error);
};

static int run_status(const struct control *c, const char *argument, char *text, size_t size, struct error *error)
{
    int failed = c->ops->status(c->machine, text, size);

    (void)argument;
    return failed < 0 ? error_set(error, -failed, "status: %s", strerror(-failed)) : 0;
}

/* The machine's own folder is not the client's: a relative path would land somewhere else. */
static int run_screenshot(const struct control *c, const char *argument, char *text, size_t size, struct error *error)
{
    (void)text;
    (void)size;
    if (argument[0] != '/')
        return error_set(error, EINVAL, "screenshot %s: not an absolute path; begin it with /", argument);
    return c->ops->screenshot(c->machine, argument, error);
}

#define OPERATION(name, call)                                                                                          \
    static int run_##name(const struct control *c, const char *argument, char *text, size_t size, struct error *error) \
    {                                                                                                                  \
        (void)argument;                                                                                                \
        (void)text;                                                                                                    \
        (void)size;                                                                                                    \
        return c->ops->call;                                                                                           \
    }
OPERATION(type, type(c->machine, argument, error))
OPERATION(key, key(c->machine, argument, error))
OPERATION(powerdown, powerdown(c->machine, error))
OPERATION(reset, reset(c->machine, error))
OPERATION(stop, stop(c->machine, error))

static const struct command commands[] = {
    {"status", false, run_status}, {"screenshot", true, run_screenshot}, {"type", true, run_type},
    {"key", true, run_key},        {"powerdown", false, run_powerdown},  {"reset", false, run_reset},
    {"stop", false, run_stop},
};

static int run_request(const struct control *control, char *line, char *text, size_t size, struct error *error)
{
    char *argument = strchr(line, ' ');

    if (argument)
        *argument++ = 0;
    for (size_t n = 0; n < ARRAY_SIZE(commands); n++) {
        if (strcmp(commands[n].name, line) != 0)
            continue;
        if (commands[n].takes_argument && (!argument || !*argument))
            return error_set(error, EINVAL, "%s: what is missing; give one argument", line);
        if (!commands[n].takes_argument && argument)
            return error_set(error, EINVAL, "%s: takes no argument; leave it out", line);
        if (argument && !control_unescape(argument))
            return error_set(error, EINVAL, "%s: a backslash stands alone; write it twice", line);
        return commands[n].run(control, argument, text, size, error);
    }
    return error_set(error, EINVAL,
                     "%.32s: no such command; give status, screenshot, type, key, powerdown, reset or stop", line);
}

static void serve_line(struct client *client, char *line, size_t length)
{
    struct error error = {""};
    char text[1024] = "";

    if (strlen(line) != length) {
        answer(client, "error", "the request holds a zero byte; send text");
        return;
    }
    if (run_request(client->control, line, text, sizeof text, &error) < 0)
        answer(client, "error", error.text);
    else
        answer(client, "ok", text);
}

/* Sends what is left of the answer. false: the client is gone. */
static bool flush(struct client *client)
{
    while (client->out_sent < client->out_used) {
        ssize_t sent = send(client->watch.fd, client->out + client->out_sent, client->out_used - client->out_sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0) {
            drop(client);
            return false;
        }
        client->out_sent += (size_t)sent;
    }
    if (client->out_sent == client->out_used)
        client->out_sent = client->out_used = 0;
    /* One answer at a time: the next request waits until this answer is gone. */
    client->watch.events = client->out_used ? POLLOUT : POLLIN;
    return true;
}

/* Serves the lines that are complete, up to the first whose answer the client does not take yet. */
static void serve(struct client *client)
{
    char *end;

    while (!client->out_used && (end = memchr(client->in, '\n', client->in_used))) {
        size_t length = (size_t)(end - client->in);

        *end = 0;
        serve_line(client, client->in, length);
        client->in_used -= length + 1;
        memmove(client->in, end + 1, client->in_used);
        loop_timer_set(client->control->loop, &client->patience, clock_ns() + PATIENCE_NS);
        if (!flush(client))
            return;
    }
    if (!client->out_used && client->in_used == CONTROL_LINE_MAX) {
        answer(client, "error", "the request is longer than 64 KiB; send it in parts");
        if (flush(client))
            drop(client);
    }
}

static void client_ready(void *opaque, short events)
{
    struct client *client = opaque;
    ssize_t got;

    if (client->out_used) {
        if ((events & (POLLOUT | POLLERR | POLLHUP)) && flush(client))
            serve(client);
        return;
    }
    got = recv(client->watch.fd, client->in + client->in_used, CONTROL_LINE_MAX - client->in_used, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        drop(client);
        return;
    }
    client->in_used += (size_t)got;
    serve(client);
}

static void refuse(int fd)
{
    static const char text[] = "error all places at the control socket are taken; try again later\n";

    send(fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static void listener_ready(void *opaque, short events)
{
    struct control *control = opaque;
    struct client *client = NULL;
    int fd = accept4(control->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (fd < 0)
        return;
    for (unsigned n = 0; n < CONTROL_CLIENTS && !client; n++)
        if (control->clients[n].watch.fd < 0)
            client = &control->clients[n];
    if (!client) {
        refuse(fd);
        return;
    }
    *client = (struct client){.control = control, .in = malloc(CONTROL_LINE_MAX), .out = malloc(CONTROL_LINE_MAX)};
    client->watch = (struct loop_watch){.fd = fd, .events = POLLIN, .ready = client_ready, .opaque = client};
    client->patience = (struct loop_timer){.expired = patience_expired, .opaque = client};
    loop_watch(control->loop, &client->watch);
    loop_timer_set(control->loop, &client->patience, clock_ns() + PATIENCE_NS);
    if (!client->in || !client->out)
        drop(client);
}

/* Whether anybody answers at the address: 0 nobody, 1 somebody, or -errno. */
static int probe(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), result;

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN)
        result = 1; /* EAGAIN: its queue is full, which is an answer too */
    else
        result = errno == ECONNREFUSED ? 0 : -errno;
    close(fd);
    return result;
}

static int set_address(struct sockaddr_un *address, const char *path, struct error *error)
{
    if (strlen(path) >= sizeof address->sun_path)
        return error_set(error, ENAMETOOLONG, "control socket %s: longer than %zu bytes; give a shorter --control",
                         path, sizeof address->sun_path - 1);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, strlen(path));
    return 0;
}

/* Nothing is there, or what a machine left that was killed: then *dead. */
static int check_place(const struct sockaddr_un *address, bool *dead, struct error *error)
{
    const char *path = address->sun_path;
    struct stat info;
    int alive;

    *dead = false;
    if (lstat(path, &info) < 0)
        return errno == ENOENT
                   ? 0
                   : error_set(error, errno, "control socket %s: %s; name a path in a folder that is writable", path,
                               strerror(errno));
    if (!S_ISSOCK(info.st_mode))
        return error_set(error, EEXIST, "control socket %s: there is something else; remove it or name another path",
                         path);
    alive = probe(address);
    if (alive == 1)
        return error_set(error, EADDRINUSE,
                         "control socket %s: a machine is running with it; stop that one, or give another --state or "
                         "--control",
                         path);
    if (alive < 0 && alive != -ENOENT)
        return error_set(error, -alive, "control socket %s: %s; remove it or name another path", path,
                         strerror(-alive));
    *dead = true;
    return 0;
}

static int clear_place(const struct sockaddr_un *address, struct error *error)
{
    const char *path = address->sun_path;
    bool dead;
    int failed = check_place(address, &dead, error);

    if (failed < 0)
        return failed;
    if (dead && unlink(path) < 0 && errno != ENOENT)
        return error_set(error, errno, "control socket %s: a dead one is left and cannot be removed: %s", path,
                         strerror(errno));
    return 0;
}

/* A listening socket at the address, or -errno with a text. */
static int open_listener(struct control *control, struct error *error)
{
    const char *path = control->address.sun_path;
    int failed = clear_place(&control->address, error), fd;
    struct stat info;

    if (failed < 0)
        return failed;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The file takes its mode from the socket (unix(7)), so there is no moment at which others could open it. */
    if (fd < 0 || fchmod(fd, 0600) < 0 ||
        bind(fd, (const struct sockaddr *)&control->address, sizeof control->address) < 0) {
        failed = error_set(error, errno, "control socket %s: %s; name a path in a folder that is writable", path,
                           strerror(errno));
        if (fd >= 0)
            close(fd);
        return failed;
    }
    if (lstat(path, &info) < 0 || listen(fd, CONTROL_CLIENTS) < 0) {
        failed = error_set(error, errno, "control socket %s: %s", path, strerror(errno));
        unlink(path);
        close(fd);
        return failed;
    }
    control->device = info.st_dev;
    control->inode = info.st_ino;
    return fd;
}

int control_create(struct loop *loop, const char *path, const struct control_ops *ops, void *machine,
                   struct control **result, struct error *error)
{
    struct control *control;
    struct sockaddr_un address;
    int fd = set_address(&address, path, error);

    if (fd < 0)
        return fd;
    control = calloc(1, sizeof *control);
    if (!control)
        return error_set(error, ENOMEM, "control socket %s: out of memory", path);
    control->loop = loop;
    control->ops = ops;
    control->machine = machine;
    control->address = address;
    for (unsigned n = 0; n < CONTROL_CLIENTS; n++)
        control->clients[n].watch.fd = -1;
    fd = open_listener(control, error);
    if (fd < 0) {
        free(control);
        return fd;
    }
    control->listener = (struct loop_watch){.fd = fd, .events = POLLIN, .ready = listener_ready, .opaque = control};
    loop_watch(loop, &control->listener);
    *result = control;
    return 0;
}

int control_check(const char *path, struct error *error)
{
    struct sockaddr_un address;
    bool dead;
    int failed = set_address(&address, path, error);

    return failed < 0 ? failed : check_place(&address, &dead, error);
}

void control_destroy(struct control *control)
{
    struct stat info;

    if (!control)
        return;
    for (unsigned n = 0; n < CONTROL_CLIENTS; n++)
        if (control->clients[n].watch.fd >= 0)
            drop(&control->clients[n]);
    loop_unwatch(control->loop, &control->listener);
    if (lstat(control->address.sun_path, &info) == 0 && info.st_dev == control->device && info.st_ino == control->inode)
        unlink(control->address.sun_path);
    close(control->listener.fd);
    free(control);
}
