/* The place of the control socket (see control.h). */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"

#define BACKLOG 32

struct control {
    struct sockaddr_un address;
    int fd;
    dev_t device; /* of the socket file, to know it again */
    ino_t inode;
};

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
    if (lstat(path, &info) < 0 || listen(fd, BACKLOG) < 0) {
        failed = error_set(error, errno, "control socket %s: %s", path, strerror(errno));
        unlink(path);
        close(fd);
        return failed;
    }
    control->device = info.st_dev;
    control->inode = info.st_ino;
    return fd;
}

int control_create(const char *path, struct control **result, struct error *error)
{
    struct control *control;
    struct sockaddr_un address;
    int failed = set_address(&address, path, error);

    if (failed < 0)
        return failed;
    control = calloc(1, sizeof *control);
    if (!control)
        return error_set(error, ENOMEM, "control socket %s: out of memory", path);
    control->address = address;
    control->fd = open_listener(control, error);
    if (control->fd < 0) {
        failed = control->fd;
        free(control);
        return failed;
    }
    *result = control;
    return 0;
}

int control_socket(const struct control *control)
{
    return control->fd;
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
    if (lstat(control->address.sun_path, &info) == 0 && info.st_dev == control->device && info.st_ino == control->inode)
        unlink(control->address.sun_path);
    close(control->fd);
    free(control);
}
