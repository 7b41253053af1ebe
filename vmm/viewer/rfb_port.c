/* TCP: listen and accept (see rfb_port.h). */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "rfb_port.h"

#define BACKLOG 16

static int listen_on(const struct addrinfo *where)
{
    const int one = 1, zero = 0;
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (where->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (bind(fd, where->ai_addr, where->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int failed = -errno;

        close(fd);
        return failed;
    }
    return fd;
}

int rfb_port_open(const char *address, uint16_t port, struct error *error)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *where = NULL;
    const char *left = strchr(address, ':') ? "[" : "", *right = *left ? "]" : "";
    char service[8];
    int fd;

    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(address, service, &hints, &where) != 0)
        return error_set(error, EINVAL,
                         "--vnc %s%s%s:%u: not an address of this host; give one in digits, such as 127.0.0.1", left,
                         address, right, port);
    fd = listen_on(where);
    freeaddrinfo(where);
    if (fd < 0)
        return error_set(error, -fd, "--vnc %s%s%s:%u: %s; choose another port or address", left, address, right, port,
                         strerror(-fd));
    return fd;
}

int rfb_port_accept(int listening)
{
    static const struct {
        int level, name, value;
    } settings[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},    {SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 30}, /* seconds */
        {IPPROTO_TCP, TCP_KEEPINTVL, 10}, {IPPROTO_TCP, TCP_KEEPCNT, 3},
    };
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return -errno;
    for (size_t n = 0; n < ARRAY_SIZE(settings); n++)
        setsockopt(fd, settings[n].level, settings[n].name, &settings[n].value, sizeof settings[n].value);
    return fd;
}
