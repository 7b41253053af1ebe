/*
 * A network card without a machine: what `casement run` would put behind a card for these options, joined to a TAP in
 * another network namespace, whose Linux plays the guest and leaves to the card what a virtio card offers. Says "ready"
 * when frames flow, and ends at the end of its input, as a machine does: nothing is left.
 * usage: guest virtio|plain NAMESPACE-FILE OPTION...   plain: the guest is given finished frames only
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../vmm/network/network.h"
#include "../../vmm/network/rights.h"
#include "../../vmm/options.h"
#include "../../vmm/share/share.h"
#include "casement/loop.h"
#include "casement/net_offload.h"

struct bench {
    struct net_backend *backend;
    struct loop *loop;
    struct loop_watch cable, input;
    uint8_t header[NET_VNET_BYTES], frame[NET_FRAME_MAX], segment[NET_FRAME_MAX];
};

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
        exit(9);
    }
}

/* The guest's side: an interface eth0 in that namespace, with the card's address. */
static int open_cable(const char *namespace, const uint8_t mac[6])
{
    struct ifreq request = {.ifr_name = "eth0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), other = open(namespace, O_RDONLY | O_CLOEXEC);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), control;

    must(own >= 0 && other >= 0 && fd >= 0, "namespaces and /dev/net/tun");
    must(setns(other, CLONE_NEWNET) == 0, "setns");
    /* A TAP is made where its descriptor was opened. */
    close(fd);
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(ioctl(fd, TUNSETIFF, &request) == 0, "TUNSETIFF");
    must(ioctl(fd, TUNSETOFFLOAD, (unsigned long)TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) == 0,
         "TUNSETOFFLOAD");
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, mac, 6);
    must(ioctl(control, SIOCSIFHWADDR, &request) == 0, "SIOCSIFHWADDR");
    must(setns(own, CLONE_NEWNET) == 0, "setns back");
    close(control);
    close(own);
    close(other);
    return fd;
}

static bool receive(void *opaque, const uint8_t *header, const uint8_t *frame, size_t length)
{
    struct bench *bench = opaque;
    const struct iovec iov[] = {{(void *)header, NET_VNET_BYTES}, {(void *)frame, length}};

    /* A guest whose interface is down loses it. */
    return writev(bench->cable.fd, iov, 2) == (ssize_t)(NET_VNET_BYTES + length) || errno != EAGAIN;
}

static void cable_ready(void *opaque, short events)
{
    struct bench *bench = opaque;
    const struct iovec iov[] = {{bench->header, sizeof bench->header}, {bench->frame, sizeof bench->frame}};
    struct net_offload offload;
    struct net_sent sent = {0};
    ssize_t count;

    (void)events;
    while ((count = readv(bench->cable.fd, iov, 2)) > NET_VNET_BYTES) {
        size_t length = (size_t)count - NET_VNET_BYTES;

        must(net_vnet_read(bench->header, &offload) &&
                 net_send(bench->backend, &offload, bench->frame, length, bench->segment, &sent) == 0,
             "a frame of the guest's");
    }
    bench->backend->ops->ready(bench->backend);
}

static void input_ready(void *opaque, short events)
{
    struct bench *bench = opaque;
    char byte;

    (void)events;
    if (read(bench->input.fd, &byte, 1) == 0)
        loop_quit(bench->loop);
}

static int refuse(const struct error *error)
{
    fprintf(stderr, "casement: %s\n", error->text);
    return 1;
}

int main(int count, char **arguments)
{
    static struct config config;
    static struct bench bench;
    const struct net_card card = {.receive = receive, .opaque = &bench};
    bool plain = count > 1 && !strcmp(arguments[1], "plain");
    struct share *shares[NET_SHARES] = {0};
    int listeners[NET_SHARES];
    struct error error;
    int fd;

    if (count < 3 || options_parse(&config, OPTIONS_RUN, count - 3, arguments + 3, &error) < 0 ||
        config_complete(&config, &error) < 0 || network_check(&config, &error) < 0)
        return refuse(&error);
    fd = open_cable(arguments[2], config.mac);
    if (network_open(&config, &bench.backend, listeners, &error) < 0 || rights_drop(0, &error) < 0)
        return refuse(&error);
    for (unsigned n = 0; n < config.share_count; n++)
        if (share_create(&(struct share_options){.name = "guest", .folder = config.shares[n], .listener = listeners[n]},
                         &shares[n], &error) < 0)
            return refuse(&error);
    bench.loop = loop_create("guest");
    bench.cable = (struct loop_watch){.fd = fd, .events = POLLIN, .ready = cable_ready, .opaque = &bench};
    bench.input = (struct loop_watch){.fd = STDIN_FILENO, .events = POLLIN, .ready = input_ready, .opaque = &bench};
    loop_watch(bench.loop, &bench.cable);
    loop_watch(bench.loop, &bench.input);
    must(bench.backend->ops->attach(bench.backend, bench.loop, &card) == 0, "attach");
    if (!plain && bench.backend->ops->offload)
        bench.backend->ops->offload(bench.backend,
                                    NET_LEAVE_CHECKSUM | NET_LEAVE_TCP4 | NET_LEAVE_TCP6 | NET_LEAVE_ECN);
    puts("ready");
    fflush(stdout);
    loop_run(bench.loop);
    bench.backend->ops->detach(bench.backend);
    bench.backend->ops->destroy(bench.backend);
    for (unsigned n = 0; n < NET_SHARES; n++) {
        share_destroy(shares[n]);
        if (listeners[n])
            close(listeners[n]);
    }
    loop_destroy(bench.loop);
    close(fd);
    config_free(&config);
    return 0;
}
