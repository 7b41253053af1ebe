/* See netlink.h. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "netlink.h"

struct netlink {
    struct mnl_socket *socket;
    uint32_t sequence;
    char buffer[32768]; /* what the kernel puts into one part of a dump at most */
};

struct netlink *netlink_open(void)
{
    struct netlink *netlink = calloc(1, sizeof *netlink);

    if (!netlink)
        return NULL;
    netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (netlink->socket && mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) == 0)
        return netlink;
    netlink_close(netlink);
    return NULL;
}

void netlink_close(struct netlink *netlink)
{
    int err = errno;

    if (netlink && netlink->socket)
        mnl_socket_close(netlink->socket);
    free(netlink);
    errno = err;
}

/* The request is built in the buffer that the answer comes into. */
static struct nlmsghdr *begin(struct netlink *netlink, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(netlink->buffer);

    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    message->nlmsg_seq = ++netlink->sequence;
    return message;
}

static int run(struct netlink *netlink, const struct nlmsghdr *message, mnl_cb_t each, void *opaque)
{
    unsigned port = mnl_socket_get_portid(netlink->socket);
    int result;

    if (mnl_socket_sendto(netlink->socket, message, message->nlmsg_len) < 0)
        return -errno;
    do {
        ssize_t count = mnl_socket_recvfrom(netlink->socket, netlink->buffer, sizeof netlink->buffer);

        if (count < 0)
            return -errno;
        result = mnl_cb_run(netlink->buffer, (size_t)count, netlink->sequence, port, each, opaque);
    } while (result > MNL_CB_STOP);
    return result < 0 ? -errno : 0;
}

/* Attributes, each at its number; what a newer kernel adds is left out. */
struct table {
    const struct nlattr *at[64];
};

static int note_attribute(const struct nlattr *attribute, void *opaque)
{
    struct table *table = opaque;

    if (mnl_attr_get_type(attribute) < ARRAY_SIZE(table->at))
        table->at[mnl_attr_get_type(attribute)] = attribute;
    return MNL_CB_OK;
}

static struct table attributes(const struct nlmsghdr *message, unsigned header)
{
    struct table table = {{NULL}};

    mnl_attr_parse(message, header, note_attribute, &table);
    return table;
}

static uint32_t number(const struct nlattr *attribute)
{
    return attribute && mnl_attr_get_payload_len(attribute) >= 4 ? mnl_attr_get_u32(attribute) : 0;
}

/* Links. */

static void copy_text(char *to, size_t size, const struct nlattr *attribute)
{
    size_t length = attribute ? strnlen(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute)) : 0;

    length = MIN(length, size - 1);
    if (length)
        memcpy(to, mnl_attr_get_payload(attribute), length);
    to[length] = 0;
}

static int on_link(const struct nlmsghdr *message, void *opaque)
{
    struct netlink_link *link = opaque;
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
    struct table table = attributes(message, sizeof *info), inner = {{NULL}};

    *link = (struct netlink_link){.index = info->ifi_index,
                                  .mtu = number(table.at[IFLA_MTU]),
                                  .master = (int)number(table.at[IFLA_MASTER]),
                                  .up = info->ifi_flags & IFF_UP,
                                  .ethernet = info->ifi_type == ARPHRD_ETHER};
    copy_text(link->name, sizeof link->name, table.at[IFLA_IFNAME]);
    if (table.at[IFLA_ADDRESS] && mnl_attr_get_payload_len(table.at[IFLA_ADDRESS]) == sizeof link->mac)
        memcpy(link->mac, mnl_attr_get_payload(table.at[IFLA_ADDRESS]), sizeof link->mac);
    if (table.at[IFLA_LINKINFO])
        mnl_attr_parse_nested(table.at[IFLA_LINKINFO], note_attribute, &inner);
    copy_text(link->kind, sizeof link->kind, inner.at[IFLA_INFO_KIND]);
    return MNL_CB_OK;
}

int netlink_link(struct netlink *netlink, const char *name, int index, struct netlink_link *link)
{
    struct nlmsghdr *message = begin(netlink, RTM_GETLINK, NLM_F_ACK);
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);

    info->ifi_index = name ? 0 : index;
    if (name)
        mnl_attr_put_strz(message, IFLA_IFNAME, name);
    *link = (struct netlink_link){0};
    return run(netlink, message, on_link, link);
}

int netlink_change(struct netlink *netlink, int index, const struct netlink_change *change)
{
    struct nlmsghdr *message = begin(netlink, RTM_NEWLINK, NLM_F_ACK);
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);

    info->ifi_index = index;
    info->ifi_flags = (change->up ? IFF_UP : 0U) | (change->all_multicast ? IFF_ALLMULTI : 0U);
    info->ifi_change = info->ifi_flags;
    if (change->mac)
        mnl_attr_put(message, IFLA_ADDRESS, 6, change->mac);
    if (change->mtu)
        mnl_attr_put_u32(message, IFLA_MTU, change->mtu);
    if (change->master || change->leave)
        mnl_attr_put_u32(message, IFLA_MASTER, (uint32_t)change->master);
    return run(netlink, message, NULL, NULL);
}

int netlink_make_macvtap(struct netlink *netlink, const char *name, int parent, const uint8_t mac[6])
{
    struct nlmsghdr *message = begin(netlink, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    struct nlattr *outer, *inner;

    mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    mnl_attr_put_u32(message, IFLA_LINK, (uint32_t)parent);
    mnl_attr_put(message, IFLA_ADDRESS, 6, mac);
    outer = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_str(message, IFLA_INFO_KIND, "macvtap");
    inner = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    mnl_attr_put_u32(message, IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
    mnl_attr_nest_end(message, inner);
    mnl_attr_nest_end(message, outer);
    return run(netlink, message, NULL, NULL);
}

int netlink_make_bridge(struct netlink *netlink, const char *name, const uint8_t mac[6])
{
    struct nlmsghdr *message = begin(netlink, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
    struct nlattr *outer, *inner;

    mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    mnl_attr_put(message, IFLA_ADDRESS, 6, mac);
    outer = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_str(message, IFLA_INFO_KIND, "bridge");
    inner = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    mnl_attr_put_u32(message, IFLA_BR_FORWARD_DELAY, 0);
    mnl_attr_nest_end(message, inner);
    mnl_attr_nest_end(message, outer);
    return run(netlink, message, NULL, NULL);
}

int netlink_delete(struct netlink *netlink, int index)
{
    struct nlmsghdr *message = begin(netlink, RTM_DELLINK, NLM_F_ACK);
    struct ifinfomsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);

    info->ifi_index = index;
    return run(netlink, message, NULL, NULL);
}

/* Routes. */

struct best_route {
    bool found;
    uint32_t metric;
    int index;
};

static bool is_route(const struct rtmsg *route, const struct table *table)
{
    uint32_t number_of_table = table->at[RTA_TABLE] ? number(table->at[RTA_TABLE]) : route->rtm_table;

    return route->rtm_type == RTN_UNICAST && number_of_table == RT_TABLE_MAIN;
}

/* The first of several next hops. */
static int route_index(const struct table *table)
{
    const struct nlattr *hops = table->at[RTA_MULTIPATH];

    if (table->at[RTA_OIF])
        return (int)number(table->at[RTA_OIF]);
    if (hops && mnl_attr_get_payload_len(hops) >= sizeof(struct rtnexthop))
        return ((const struct rtnexthop *)mnl_attr_get_payload(hops))->rtnh_ifindex;
    return 0;
}

static int on_default_route(const struct nlmsghdr *message, void *opaque)
{
    struct best_route *best = opaque;
    const struct rtmsg *route = mnl_nlmsg_get_payload(message);
    struct table table = attributes(message, sizeof *route);
    uint32_t metric = number(table.at[RTA_PRIORITY]);
    int index = route_index(&table);

    if (route->rtm_dst_len || !is_route(route, &table) || !index || (best->found && best->metric <= metric))
        return MNL_CB_OK;
    *best = (struct best_route){.found = true, .metric = metric, .index = index};
    return MNL_CB_OK;
}

static int dump(struct netlink *netlink, uint16_t type, int family, mnl_cb_t each, void *opaque)
{
    struct nlmsghdr *message = begin(netlink, type, NLM_F_DUMP);

    /* The family is the first byte of both headers, and the rest is 0. */
    if (type == RTM_GETROUTE)
        ((struct rtmsg *)mnl_nlmsg_put_extra_header(message, sizeof(struct rtmsg)))->rtm_family = (uint8_t)family;
    else
        ((struct ifaddrmsg *)mnl_nlmsg_put_extra_header(message, sizeof(struct ifaddrmsg)))->ifa_family =
            (uint8_t)family;
    return run(netlink, message, each, opaque);
}

int netlink_default_route(struct netlink *netlink, int family, int *index)
{
    struct best_route best = {0};
    int failed = dump(netlink, RTM_GETROUTE, family, on_default_route, &best);

    *index = best.index;
    return failed < 0 ? failed : best.found ? 0 : -ENOENT;
}

/* Addresses. */

struct collection {
    struct netlink_prefix *prefixes;
    size_t room, count;
    int index; /* 0: of all interfaces */
};

static void collect(struct collection *all, int family, const struct nlattr *address, uint8_t length, int index)
{
    size_t bytes = family == AF_INET ? 4 : 16;
    struct netlink_prefix *prefix = &all->prefixes[all->count];

    if (all->count == all->room || !address || mnl_attr_get_payload_len(address) < bytes ||
        (all->index && all->index != index))
        return;
    *prefix = (struct netlink_prefix){.family = family, .length = length, .index = index};
    memcpy(prefix->address, mnl_attr_get_payload(address), bytes);
    all->count++;
}

static int on_address(const struct nlmsghdr *message, void *opaque)
{
    const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
    struct table table = attributes(message, sizeof *info);

    /* The far end of a point-to-point link is the address, and ours the local one. */
    collect(opaque, info->ifa_family, table.at[IFA_LOCAL] ? table.at[IFA_LOCAL] : table.at[IFA_ADDRESS],
            info->ifa_prefixlen, (int)info->ifa_index);
    return MNL_CB_OK;
}

static int on_route(const struct nlmsghdr *message, void *opaque)
{
    const struct rtmsg *route = mnl_nlmsg_get_payload(message);
    struct table table = attributes(message, sizeof *route);

    if (route->rtm_dst_len && is_route(route, &table))
        collect(opaque, route->rtm_family, table.at[RTA_DST], route->rtm_dst_len, route_index(&table));
    return MNL_CB_OK;
}

int netlink_prefixes(struct netlink *netlink, int family, struct netlink_prefix *prefixes, size_t room)
{
    struct collection all = {.prefixes = prefixes, .room = room};
    int failed = dump(netlink, RTM_GETADDR, family, on_address, &all);

    if (failed == 0)
        failed = dump(netlink, RTM_GETROUTE, family, on_route, &all);
    return failed < 0 ? failed : (int)all.count;
}

int netlink_addresses(struct netlink *netlink, int family, int index, struct netlink_prefix *addresses, size_t room)
{
    struct collection all = {.prefixes = addresses, .room = room, .index = index};
    int failed = dump(netlink, RTM_GETADDR, family, on_address, &all);

    return failed < 0 ? failed : (int)all.count;
}

int netlink_add_address(struct netlink *netlink, int index, int family, const void *address, uint8_t length)
{
    struct nlmsghdr *message = begin(netlink, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);
    size_t bytes = family == AF_INET ? 4 : 16;

    info->ifa_family = (uint8_t)family;
    info->ifa_prefixlen = length;
    info->ifa_index = (unsigned)index;
    info->ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0;
    mnl_attr_put(message, IFA_LOCAL, bytes, address);
    mnl_attr_put(message, IFA_ADDRESS, bytes, address);
    return run(netlink, message, NULL, NULL);
}
