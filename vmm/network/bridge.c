/* See bridge.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "macvtap.h"
#include "subnet.h"
#include "sysctl.h"
#include "tun.h"
#include "undo.h"
#include "uplink.h"

#define WANTED "--net bridge"
#define MTU_MOST 9000

struct bridge {
    struct uplink uplink;
    char own[IF_NAMESIZE];  /* the name of what is made here and stays when the process is killed */
    char name[IF_NAMESIZE]; /* what the guest's frames go to */
    int fd;                 /* until the back end has it */
    int made, port;         /* indices: the interface that is to be deleted, and what leaves it before; 0: none */
    struct undo *undo;
};

static bool is_bridge(const struct netlink_link *link)
{
    return !strcmp(link->kind, "bridge");
}

int bridge_check(const char *interface, struct error *error)
{
    struct netlink *netlink = NULL;
    struct uplink uplink;
    int failed = uplink_check_rights(WANTED, error);

    if (failed == 0)
        failed = uplink_open(WANTED, &netlink, error);
    if (failed < 0)
        return failed;
    failed = uplink_find(netlink, WANTED, interface, &uplink, error);
    netlink_close(netlink);
    if (failed == 0 && !uplink.link.ethernet)
        failed = error_set(error, EOPNOTSUPP,
                           WANTED ": %s is no Ethernet interface; name one with --net-interface NAME, "
                                  "or use --net nat",
                           uplink.link.name);
    if (failed == 0 && (is_bridge(&uplink.link) || uplink.link.master))
        failed = tun_check(WANTED, error);
    return failed;
}

/* A port more on the bridge of that index. */
static int join(struct bridge *bridge, struct netlink *netlink, int index, struct error *error)
{
    const struct netlink_change change = {.mtu = bridge->uplink.link.mtu, .master = index, .up = true};
    struct sysctl_changes gone_with_it = {0};
    struct netlink_link tap, master;
    char name[IF_NAMESIZE], setting[96];
    int failed;

    bridge->fd = tun_open(WANTED, name, error);
    if (bridge->fd < 0)
        return bridge->fd;
    snprintf(setting, sizeof setting, "ipv6/conf/%s/disable_ipv6", name);
    sysctl_set(&gone_with_it, setting, 1);
    failed = netlink_link(netlink, NULL, index, &master);
    if (failed == 0)
        failed = netlink_link(netlink, name, 0, &tap);
    if (failed == 0)
        failed = netlink_change(netlink, tap.index, &change);
    if (failed < 0)
        return error_set(error, -failed, WANTED ": %s cannot become a port of the bridge: %s", name, strerror(-failed));
    snprintf(bridge->name, sizeof bridge->name, "%s", master.name);
    return 0;
}

/* A bridge of our own, and the interface that was named as its first port. */
static int make_bridge(struct bridge *bridge, struct netlink *netlink, const uint8_t mac[6], struct error *error)
{
    const struct netlink_link *port = &bridge->uplink.link;
    const struct netlink_change up = {.up = true};
    struct netlink_change enter = {.up = true};
    struct netlink_link made = {0};
    uint8_t address[6];
    int failed;

    subnet_gateway_mac(mac, address);
    failed = netlink_make_bridge(netlink, bridge->own, address);
    if (failed == 0)
        failed = netlink_link(netlink, bridge->own, 0, &made);
    if (failed == 0) {
        bridge->made = enter.master = made.index;
        failed = netlink_change(netlink, port->index, &enter);
    }
    if (failed == 0) {
        bridge->port = port->index;
        failed = netlink_change(netlink, made.index, &up);
    }
    return failed < 0 ? error_set(error, -failed, WANTED ": no bridge with %s as a port can be made: %s", port->name,
                                  strerror(-failed))
                      : join(bridge, netlink, made.index, error);
}

/* An interface that has addresses would lose what this container does with them. */
static bool is_spare(const struct bridge *bridge, struct netlink *netlink)
{
    struct netlink_prefix address;

    return netlink_addresses(netlink, AF_INET, bridge->uplink.link.index, &address, 1) == 0;
}

static int make(struct bridge *bridge, struct netlink *netlink, const struct bridge_options *options,
                struct error *error)
{
    const struct netlink_link *link = &bridge->uplink.link;
    struct netlink_link master;
    int failed = uplink_find(netlink, WANTED, options->interface, &bridge->uplink, error);

    if (failed < 0)
        return failed;
    if (is_bridge(link))
        return join(bridge, netlink, link->index, error);
    if (link->master && netlink_link(netlink, NULL, link->master, &master) == 0 && is_bridge(&master)) {
        if (!strcmp(master.name, bridge->own)) { /* a killed process has left it */
            bridge->made = master.index;
            bridge->port = link->index;
        }
        return join(bridge, netlink, master.index, error);
    }
    bridge->fd = macvtap_open(netlink, bridge->own, link, options->mac, &bridge->made, error);
    if (bridge->fd >= 0) {
        snprintf(bridge->name, sizeof bridge->name, "%s", link->name);
        return 0;
    }
    bridge->made = 0;
    if (!options->interface || !is_spare(bridge, netlink))
        return bridge->fd;
    return make_bridge(bridge, netlink, options->mac, error);
}

static void give_back(void *opaque)
{
    const struct netlink_change leave = {.leave = true};
    struct bridge *bridge = opaque;
    struct netlink *netlink = bridge->made ? netlink_open() : NULL;

    if (netlink && bridge->port)
        netlink_change(netlink, bridge->port, &leave);
    if (netlink)
        netlink_delete(netlink, bridge->made);
    netlink_close(netlink);
}

static void destroy(void *opaque)
{
    struct bridge *bridge = opaque;

    if (bridge->fd >= 0)
        close(bridge->fd);
    if (bridge->undo)
        undo_run(bridge->undo);
    else
        give_back(bridge); /* not made to the end, so the rights are still there */
    free(bridge);
}

int bridge_create(const struct bridge_options *options, struct net_backend **backend, struct error *error)
{
    struct bridge *bridge = calloc(1, sizeof *bridge);
    struct net_tap_options tap = {.side = {.destroy = destroy, .opaque = bridge}};
    struct netlink *netlink = NULL;
    int failed;

    if (!bridge)
        return error_set(error, ENOMEM, "network: out of memory");
    bridge->fd = -1;
    snprintf(bridge->own, sizeof bridge->own, "casement%02x%02x%02x", options->mac[3], options->mac[4],
             options->mac[5]);
    failed = uplink_check_rights(WANTED, error);
    if (failed == 0)
        failed = uplink_open(WANTED, &netlink, error);
    if (failed == 0)
        failed = make(bridge, netlink, options, error);
    netlink_close(netlink);
    if (failed == 0 && bridge->made)
        failed = undo_create(give_back, bridge, &bridge->undo, error);
    tap.fd = bridge->fd;
    tap.mtu = (uint16_t)MIN(bridge->uplink.link.mtu, MTU_MOST);
    if (failed == 0)
        failed = net_tap_create(&tap, backend, error);
    if (failed < 0) {
        destroy(bridge);
        return failed;
    }
    bridge->fd = -1;
    log_info("network: the guest is a station of the network of %s, with an MTU of %u", bridge->name, tap.mtu);
    return 0;
}
