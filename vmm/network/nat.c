/* See nat.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "dns.h"
#include "kept.h"
#include "nat.h"
#include "subnet.h"
#include "sysctl.h"
#include "table.h"
#include "tun.h"
#include "undo.h"
#include "uplink.h"

#define WANTED "--net nat"
#define PREFIXES 512
#define MTU_LEAST 576 /* what every IPv4 host takes (RFC 791, 3.2), and IPv6's (RFC 8200, 5) */
#define MTU_LEAST6 1280
#define MTU_MOST 9000
#define DNS_PORT 53
#define FORWARD4 "ipv4/ip_forward"
#define FORWARD6 "ipv6/conf/all/forwarding"

struct nat {
    struct lease lease;
    struct uplink uplink;
    char tap[IF_NAMESIZE];
    int fd; /* the TAP's, until the back end has it */
    struct sysctl_changes changes;
    struct table_owner *table;
    struct undo *undo;
    struct name_server servers[NAME_SERVERS];
    unsigned server_count;
    struct dns *dns;
    int shares[NET_SHARES]; /* -1: none */
};

/* Forwarding. */

static int no_forwarding(int err, struct error *error)
{
    return error_set(error, err,
                     WANTED ": IP forwarding is off and cannot be switched on here: %s; in a container add --sysctl "
                            "net.ipv4.ip_forward=1",
                     strerror(err));
}

static bool can_forward(const char *name)
{
    return sysctl_get(name) == 1 || (sysctl_get(name) == 0 && sysctl_writable(name));
}

/* A host that takes its way out from router advertisements would lose it when it forwards (Linux, ip-sysctl.rst). */
static bool forward6(struct nat *nat)
{
    char name[96];

    snprintf(name, sizeof name, "ipv6/conf/%s/accept_ra", nat->uplink.link.name);
    if (sysctl_get(FORWARD6) == 0 && sysctl_get(name) == 1 && sysctl_set(&nat->changes, name, 2) < 0)
        return false;
    return sysctl_set(&nat->changes, FORWARD6, 1) == 0;
}

static int forward(struct nat *nat, struct error *error)
{
    int failed = sysctl_set(&nat->changes, FORWARD4, 1);

    if (failed < 0)
        return no_forwarding(-failed, error);
    nat->lease.six = nat->uplink.six && nat->lease.mtu >= MTU_LEAST6 && forward6(nat);
    if (nat->uplink.six && !nat->lease.six)
        log_info("network: the guest has no IPv6, for forwarding of it is off and cannot be switched on here; in a "
                 "container add --sysctl net.ipv6.conf.all.forwarding=1");
    return 0;
}

/* Addresses. */

/* A name server that is in the private network would be looked for there. */
static size_t add_name_servers(const struct nat *nat, struct netlink_prefix *taken, size_t count)
{
    for (unsigned n = 0; n < nat->server_count && count < PREFIXES; n++)
        if (nat->servers[n].address.ss_family == AF_INET) {
            taken[count] = (struct netlink_prefix){.family = AF_INET, .length = 32};
            memcpy(taken[count++].address, &((const struct sockaddr_in *)&nat->servers[n].address)->sin_addr, 4);
        }
    return count;
}

static int choose_addresses(struct nat *nat, struct netlink *netlink, const struct nat_options *options,
                            struct error *error)
{
    const uint8_t *mac = options->mac;
    struct lease *lease = &nat->lease;
    struct netlink_prefix *taken = calloc(PREFIXES, sizeof *taken);
    int count = taken ? netlink_prefixes(netlink, AF_INET, taken, PREFIXES) : -ENOMEM;
    uint8_t subnet[4] = {0}, kept[4];
    bool known = options->state && kept_subnet_read(options->state, kept);
    bool found =
        count >= 0 && subnet_choose(taken, add_name_servers(nat, taken, (size_t)count), known ? kept : NULL, subnet);

    free(taken);
    if (count < 0)
        return error_set(error, -count, WANTED ": the networks of this container: %s", strerror(-count));
    if (!found)
        return error_set(error, EADDRINUSE, WANTED ": every private network is in use here; use --net user");
    memcpy(lease->guest_mac, mac, 6);
    subnet_gateway_mac(mac, lease->gateway_mac);
    memcpy(lease->gateway, subnet, 4);
    lease->gateway[3] = SUBNET_GATEWAY;
    memcpy(lease->guest, subnet, 4);
    lease->guest[3] = SUBNET_GUEST;
    lease->prefix_bits = SUBNET_BITS;
    subnet_choose6(mac, lease->prefix6);
    memcpy(lease->gateway6, lease->prefix6, 16);
    lease->gateway6[15] = SUBNET_GATEWAY;
    memcpy(lease->guest6, lease->prefix6, 16);
    lease->guest6[15] = SUBNET_GUEST;
    memcpy(lease->router6, (const uint8_t[16]){0xFE, 0x80, [15] = SUBNET_GATEWAY}, 16);
    return 0;
}

/* Making it, in this order; each step is undone by destroy(). */

static int look_around(struct nat *nat, struct netlink *netlink, const struct nat_options *options, struct error *error)
{
    int failed = uplink_find(netlink, WANTED, options->interface, &nat->uplink, error);
    unsigned mtu = MIN(nat->uplink.link.mtu, MTU_MOST);

    nat->lease.mtu = (uint16_t)MAX(mtu, MTU_LEAST);
    nat->server_count = name_servers_read(NAME_SERVERS_FILE, nat->servers);
    snprintf(nat->lease.host_name, sizeof nat->lease.host_name, "%s", options->host_name ? options->host_name : "");
    return failed < 0 ? failed : choose_addresses(nat, netlink, options, error);
}

/* What this namespace must not learn from a guest, and what a container may have switched off for all interfaces. */
static void set_up_tap6(struct nat *nat)
{
    struct sysctl_changes gone_with_it = {0};
    char name[96];

    snprintf(name, sizeof name, "ipv6/conf/%s/accept_ra", nat->tap);
    sysctl_set(&gone_with_it, name, 0);
    snprintf(name, sizeof name, "ipv6/conf/%s/disable_ipv6", nat->tap);
    sysctl_set(&gone_with_it, name, !nat->lease.six);
    if (nat->lease.six && sysctl_get(name) != 0) {
        nat->lease.six = false;
        log_info("network: the guest has no IPv6, for it is off for new interfaces here; in a container add --sysctl "
                 "net.ipv6.conf.default.disable_ipv6=0");
    }
}

static int make_tap(struct nat *nat, struct netlink *netlink, struct error *error)
{
    const struct lease *lease = &nat->lease;
    const struct netlink_change up = {.mac = lease->gateway_mac, .mtu = lease->mtu, .up = true};
    struct netlink_link link;
    int failed;

    nat->fd = tun_open(WANTED, nat->tap, error);
    if (nat->fd < 0)
        return nat->fd;
    set_up_tap6(nat);
    failed = netlink_link(netlink, nat->tap, 0, &link);
    if (failed == 0)
        failed = netlink_change(netlink, link.index, &up);
    if (failed == 0)
        failed = netlink_add_address(netlink, link.index, AF_INET, lease->gateway, lease->prefix_bits);
    if (failed == 0 && lease->six)
        failed = netlink_add_address(netlink, link.index, AF_INET6, lease->gateway6, SUBNET6_BITS);
    if (failed == 0 && lease->six)
        failed = netlink_add_address(netlink, link.index, AF_INET6, lease->router6, SUBNET6_BITS);
    return failed < 0 ? error_set(error, -failed,
                                  WANTED ": the interface %s cannot be set up: %s; in a container add "
                                         "--cap-add NET_ADMIN",
                                  nat->tap, strerror(-failed))
                      : 0;
}

static void describe_rules(const struct nat *nat, const struct nat_options *options, struct rules *rules)
{
    const struct lease *lease = &nat->lease;

    *rules = (struct rules){.tap = nat->tap,
                            .six = lease->six,
                            .shares = options->shares,
                            .own = options->own,
                            .own_count = options->own_count,
                            .forwards = options->forwards,
                            .forward_count = options->forward_count};
    memcpy(&rules->subnet, lease->guest, 3);
    memcpy(&rules->guest, lease->guest, 4);
    memcpy(&rules->subnet6, lease->prefix6, 16);
    memcpy(&rules->guest6, lease->guest6, 16);
}

static int make_rules(struct nat *nat, const struct nat_options *options, struct error *error)
{
    struct rules rules;

    describe_rules(nat, options, &rules);
    return table_create(&rules, &nat->table, error);
}

/* early: before the addresses are there. */
static int make_dns(struct nat *nat, bool early, struct error *error)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(DNS_PORT)};
    struct sockaddr_in6 address6 = {.sin6_family = AF_INET6, .sin6_port = htons(DNS_PORT)};
    const struct dns_options options = {.address = &address,
                                        .address6 = nat->lease.six ? &address6 : NULL,
                                        .servers = nat->servers,
                                        .server_count = nat->server_count,
                                        .file = NAME_SERVERS_FILE,
                                        .early = early};

    memcpy(&address.sin_addr, nat->lease.gateway, 4);
    memcpy(&address6.sin6_addr, nat->lease.gateway6, 16);
    if (!nat->server_count && !early)
        log_warning("network: " NAME_SERVERS_FILE " names no server, so the guest cannot look up names before it does");
    return dns_create(&options, &nat->dns, error);
}

static int listen_to_guest(const struct nat *nat, const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), failed;

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, nat->tap, (socklen_t)strlen(nat->tap)) == 0 &&
        bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 && listen(fd, 64) == 0)
        return fd;
    failed = -errno;
    if (fd >= 0)
        close(fd);
    return failed;
}

/* Behind the gateway, so the guest's way there is the one that it has for all; the rules keep everybody else away. */
static int make_shares(struct nat *nat, struct netlink *netlink, unsigned count, struct error *error)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct netlink_link link;
    int failed = netlink_link(netlink, nat->tap, 0, &link);

    inet_pton(AF_INET, NET_SHARE_ADDRESS, &address.sin_addr);
    if (failed == 0)
        failed = netlink_add_address(netlink, link.index, AF_INET, &address.sin_addr, 32);
    for (unsigned n = 0; n < count && failed == 0; n++) {
        address.sin_port = htons((uint16_t)(NET_SHARE_PORT + n));
        nat->shares[n] = listen_to_guest(nat, &address);
        failed = MIN(nat->shares[n], 0);
    }
    return failed < 0
               ? error_set(error, -failed, "--share: " NET_SHARE_ADDRESS " cannot be had for it: %s; use --net user",
                           strerror(-failed))
               : 0;
}

static void give_back(void *opaque)
{
    struct nat *nat = opaque;

    if (nat->table && table_stays(nat->table))
        table_remove(nat->table);
    sysctl_restore(&nat->changes);
}

static int make(struct nat *nat, struct netlink *netlink, const struct nat_options *options, struct error *error)
{
    int failed = look_around(nat, netlink, options, error);

    if (failed == 0)
        failed = forward(nat, error);
    if (failed == 0)
        failed = make_tap(nat, netlink, error);
    if (failed == 0)
        failed = make_rules(nat, options, error);
    if (failed == 0)
        failed = make_dns(nat, false, error);
    if (failed == 0 && options->shares)
        failed = make_shares(nat, netlink, options->shares, error);
    if (failed == 0 && (nat->changes.count || table_stays(nat->table)))
        failed = undo_create(give_back, nat, &nat->undo, error);
    return failed;
}

/* Could it be made here? Each step that may fail is tried without its effect. */

/* No interface's yet, nor anybody's table. */
#define TRIED "casement-check"

static int try_steps(struct nat *nat, struct netlink *netlink, const struct nat_options *options, struct error *error)
{
    struct rules rules;
    int failed = look_around(nat, netlink, options, error);

    if (failed == 0 && !can_forward(FORWARD4))
        failed = no_forwarding(EROFS, error);
    if (failed < 0)
        return failed;
    snprintf(nat->tap, sizeof nat->tap, "%s", TRIED);
    nat->lease.six = nat->uplink.six && nat->lease.mtu >= MTU_LEAST6 && can_forward(FORWARD6);
    describe_rules(nat, options, &rules);
    failed = table_check(&rules, error);
    if (failed == 0)
        failed = make_dns(nat, true, error);
    dns_destroy(nat->dns);
    return failed;
}

int nat_check(const struct nat_options *options, struct error *error)
{
    struct nat *nat = calloc(1, sizeof *nat);
    struct netlink *netlink = NULL;
    int failed;

    if (!nat)
        return error_set(error, ENOMEM, "network: out of memory");
    failed = uplink_check_rights(WANTED, error);
    if (failed == 0)
        failed = tun_check(WANTED, error);
    if (failed == 0)
        failed = uplink_open(WANTED, &netlink, error);
    if (failed == 0)
        failed = try_steps(nat, netlink, options, error);
    netlink_close(netlink);
    free(nat);
    return failed;
}

/* The back end's side: see struct net_side. */

static int answer(void *opaque, const uint8_t *frame, size_t length, uint8_t *to)
{
    return answer_frame(&((struct nat *)opaque)->lease, frame, length, to);
}

static size_t announce(void *opaque, uint8_t *frame)
{
    return answer_announce(&((struct nat *)opaque)->lease, frame);
}

static void attach(void *opaque, struct loop *loop)
{
    dns_attach(((struct nat *)opaque)->dns, loop);
}

static void detach(void *opaque)
{
    dns_detach(((struct nat *)opaque)->dns);
}

static void destroy(void *opaque)
{
    struct nat *nat = opaque;

    if (nat->undo)
        undo_run(nat->undo);
    else
        give_back(nat); /* not made to the end, so the rights are still there */
    dns_destroy(nat->dns);
    table_destroy(nat->table);
    if (nat->fd >= 0)
        close(nat->fd);
    for (unsigned n = 0; n < NET_SHARES; n++)
        if (nat->shares[n] >= 0)
            close(nat->shares[n]);
    free(nat);
}

static void keep_subnet(const struct nat *nat, const char *folder)
{
    uint8_t subnet[4] = {0};

    memcpy(subnet, nat->lease.guest, 3);
    kept_subnet_write(folder, subnet);
}

static void say(const struct nat *nat)
{
    const struct lease *lease = &nat->lease;
    char six[INET6_ADDRSTRLEN + 8] = "";

    if (lease->six) {
        memcpy(six, " and ", sizeof " and ");
        inet_ntop(AF_INET6, lease->guest6, six + strlen(six), INET6_ADDRSTRLEN);
    }
    log_info("network: the guest is %u.%u.%u.%u%s behind %s, with an MTU of %u", lease->guest[0], lease->guest[1],
             lease->guest[2], lease->guest[3], six, nat->uplink.link.name, lease->mtu);
}

int nat_create(const struct nat_options *options, struct net_backend **backend, int shares[NET_SHARES],
               struct error *error)
{
    struct nat *nat = calloc(1, sizeof *nat);
    struct net_tap_options tap = {.side = {.answer = answer,
                                           .announce_ns = ANSWER_ANNOUNCE_NS,
                                           .attach = attach,
                                           .detach = detach,
                                           .destroy = destroy,
                                           .opaque = nat}};
    struct netlink *netlink = NULL;
    int failed;

    if (!nat)
        return error_set(error, ENOMEM, "network: out of memory");
    nat->fd = -1;
    for (unsigned n = 0; n < NET_SHARES; n++)
        nat->shares[n] = -1;
    failed = uplink_check_rights(WANTED, error);
    if (failed == 0)
        failed = uplink_open(WANTED, &netlink, error);
    if (failed == 0)
        failed = make(nat, netlink, options, error);
    netlink_close(netlink);
    tap.fd = nat->fd;
    tap.mtu = nat->lease.mtu;
    tap.side.announce = nat->lease.six ? announce : NULL;
    if (failed == 0)
        failed = net_tap_create(&tap, backend, error);
    if (failed < 0) {
        destroy(nat);
        return failed;
    }
    if (options->state)
        keep_subnet(nat, options->state);
    for (unsigned n = 0; n < options->shares; n++) {
        shares[n] = nat->shares[n];
        nat->shares[n] = -1;
    }
    nat->fd = -1;
    say(nat);
    return 0;
}
