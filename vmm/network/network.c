/* See network.h. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge.h"
#include "casement/bytes.h"
#include "nat.h"
#include "network.h"

/* Page, API and VNC are the program's own, the others the operator's. */
#define OWN_PORTS (2 + CONFIG_HOST_PORTS)

static unsigned own_ports(const struct config *config, struct rules_port own[OWN_PORTS])
{
    unsigned count = 0;

    if (config->web_port)
        own[count++] = (struct rules_port){.port = config->web_port};
    if (config->vnc_address)
        own[count++] = (struct rules_port){.port = config->vnc_port};
    for (unsigned n = 0; n < config->host_port_count; n++) {
        const struct config_ports *ports = &config->host_ports[n];

        own[count++] = (struct rules_port){.udp = ports->udp, .port = ports->first, .last = ports->last};
    }
    return count;
}

static void describe_nat(const struct config *config, struct rules_port own[OWN_PORTS], struct nat_options *options)
{
    *options = (struct nat_options){.host_name = config->name,
                                    .interface = config->net_interface,
                                    .state = config->state,
                                    .shares = config->share_count,
                                    .own = own,
                                    .own_count = own_ports(config, own),
                                    .forwards = config->forwards,
                                    .forward_count = config->forward_count};
    memcpy(options->mac, config->mac, sizeof options->mac);
}

/* All ports lead into the guest as they are; a forward leads one to another number. */
static int check_nat_forwards(const struct config *config, struct error *error)
{
    struct rules_port own[OWN_PORTS];
    unsigned count = own_ports(config, own);

    for (unsigned n = 0; n < config->forward_count; n++) {
        const struct net_forward *forward = &config->forwards[n];

        if (!strncmp(forward->host_address, "127.", 4))
            return error_set(error, EINVAL,
                             "--forward %s:%u:%u: --net nat leads what comes from outside, and that never has this "
                             "address; leave it out",
                             forward->host_address, forward->host_port, forward->guest_port);
        for (unsigned at = 0; at < count; at++)
            if (own[at].udp == forward->udp && forward->host_port >= own[at].port &&
                forward->host_port <= MAX(own[at].port, own[at].last))
                return error_set(error, EINVAL,
                                 "--forward %u:%u: --web, --vnc or --host-port has this port; choose another for one "
                                 "of them",
                                 forward->host_port, forward->guest_port);
    }
    return 0;
}

static int check_nat(const struct config *config, struct error *error)
{
    struct rules_port own[OWN_PORTS];
    struct nat_options options;
    int failed = check_nat_forwards(config, error);

    describe_nat(config, own, &options);
    return failed < 0 ? failed : nat_check(&options, error);
}

/* Every port is taken for a moment. */
static int check_user(const struct config *config, struct error *error)
{
    const struct net_user_options options = {.forwards = config->forwards, .forward_count = config->forward_count};
    struct net_backend *backend;
    int failed = config->forward_count ? net_user_create(&options, &backend, error) : 0;

    if (config->forward_count && failed == 0)
        backend->ops->destroy(backend);
    return failed;
}

int network_check(const struct config *config, struct error *error)
{
    switch (config->net) {
    case CONFIG_NET_USER:
        return check_user(config, error);
    case CONFIG_NET_NAT:
        return check_nat(config, error);
    case CONFIG_NET_BRIDGE:
        return bridge_check(config->net_interface, error);
    default:
        return 0;
    }
}

static int open_nat(const struct config *config, struct net_backend **backend, int shares[NET_SHARES],
                    struct error *error)
{
    struct rules_port own[OWN_PORTS];
    struct nat_options options;

    describe_nat(config, own, &options);
    return nat_create(&options, backend, shares, error);
}

static int open_bridge(const struct config *config, struct net_backend **backend, struct error *error)
{
    struct bridge_options options = {.interface = config->net_interface};

    memcpy(options.mac, config->mac, sizeof options.mac);
    return bridge_create(&options, backend, error);
}

int network_open(const struct config *config, struct net_backend **backend, int shares[NET_SHARES], struct error *error)
{
    struct net_user_options user = {
        .forwards = config->forwards, .forward_count = config->forward_count, .host_name = config->name};

    for (unsigned n = 0; n < NET_SHARES; n++) {
        shares[n] = 0;
        user.share_sockets[n] = config->share_sockets[n];
    }
    *backend = NULL;
    switch (config->net) {
    case CONFIG_NET_USER:
        return net_user_create(&user, backend, error);
    case CONFIG_NET_NAT:
        return open_nat(config, backend, shares, error);
    case CONFIG_NET_BRIDGE:
        return open_bridge(config, backend, error);
    default:
        return 0;
    }
}

int network_available(enum config_net net, struct error *error)
{
    switch (net) {
    case CONFIG_NET_NAT:
        return nat_check(&(struct nat_options){0}, error);
    case CONFIG_NET_BRIDGE:
        return bridge_check(NULL, error);
    default:
        return 0;
    }
}

enum config_net network_best(char *why, size_t size)
{
    struct error error = {""};
    enum config_net best = network_available(CONFIG_NET_NAT, &error) == 0 ? CONFIG_NET_NAT : CONFIG_NET_USER;

    snprintf(why, size, "%s", error.text);
    return best;
}

bool network_has_both(void)
{
    const struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    const int off = 0;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool both = fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0 &&
                bind(fd, (const struct sockaddr *)&any, sizeof any) == 0;

    if (fd >= 0)
        close(fd);
    return both;
}
