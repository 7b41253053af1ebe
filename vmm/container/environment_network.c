/* The network card, ports that lead into the guest, and the folder that is shared with it. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "casement/bytes.h"
#include "environment_private.h"

#define RDP_PORT 3389

enum network { NETWORK_BEST, NETWORK_NAT, NETWORK_USER, NETWORK_NONE, NETWORK_UNKNOWN };

static enum network network(const char *value)
{
    static const struct {
        const char *name;
        enum network network;
    } names[] = {{"nat", NETWORK_NAT},    {"tap", NETWORK_NAT},  {"tun", NETWORK_NAT},   {"tuntap", NETWORK_NAT},
                 {"y", NETWORK_BEST},     {"yes", NETWORK_BEST}, {"user", NETWORK_USER}, {"passt", NETWORK_USER},
                 {"slirp", NETWORK_USER}, {"n", NETWORK_NONE},   {"no", NETWORK_NONE},   {"none", NETWORK_NONE}};

    if (!value)
        return NETWORK_BEST;
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        if (!strcasecmp(value, names[n].name))
            return names[n].network;
    return NETWORK_UNKNOWN;
}

bool reader_has_network(struct reader *reader)
{
    return network(reader_value(reader, "NETWORK")) != NETWORK_NONE;
}

/* Windows has an address of its own in the network outside. */
static bool is_bridge(struct reader *reader)
{
    return reader_has_network(reader) && reader_switch(reader, "DHCP", false) == 1;
}

/* All ports lead into Windows, so that none is named. */
static bool is_nat(struct reader *reader)
{
    enum network wanted = network(reader_value(reader, "NETWORK"));

    return !reader->place->no_nat && (wanted == NETWORK_NAT || wanted == NETWORK_BEST) && !is_bridge(reader);
}

/* What NETWORK asks for, or the best that the container's rights allow, where dockurr/windows ends without them. */
int variable_network(struct reader *reader, const struct variable *variable, const char *value)
{
    const int own_address = reader_switch(reader, "DHCP", false);
    const enum network wanted = network(value);

    if (own_address < 0)
        return own_address;
    if (wanted == NETWORK_UNKNOWN)
        return reader_refuse(reader, variable->name, value, "nat, user, passt, slirp, or N");
    if (wanted == NETWORK_NONE)
        reader_give(reader, variable->option, variable->name, "none");
    else if (own_address)
        reader_give(reader, variable->option, "DHCP", "bridge");
    else if (is_nat(reader))
        reader_give(reader, variable->option, value ? variable->name : NULL, "nat");
    else if (wanted == NETWORK_NAT || wanted == NETWORK_BEST)
        reader_warn(reader, "NETWORK: in user mode, where ports %u and those of USER_PORTS lead into Windows, for %s",
                    RDP_PORT, reader->place->no_nat);
    return 0;
}

/* In user mode there is no such thing. */
int variable_interface(struct reader *reader, const struct variable *variable, const char *value)
{
    if (value && (is_nat(reader) || is_bridge(reader)))
        reader_give(reader, variable->option, variable->name, value);
    return 0;
}

/* Both 02:11:22:33:44:55 and 02-11-22-33-44-55 are usual. */
int variable_mac(struct reader *reader, const struct variable *variable, const char *value)
{
    char *colons = value ? reader_text(reader, "%s", value) : NULL;

    for (char *at = colons; at && *at; at++)
        if (*at == '-')
            *at = ':';
    if (colons && reader_has_network(reader))
        reader_give(reader, variable->option, variable->name, colons);
    return 0;
}

/* A port for each of two protocols. */
struct port_set {
    uint8_t bits[2][65536 / 8];
};

static bool has_port(const struct port_set *set, bool udp, unsigned port)
{
    return set->bits[udp][port / 8] & 1U << port % 8;
}

static void add_port(struct port_set *set, bool udp, unsigned port)
{
    set->bits[udp][port / 8] |= (uint8_t)(1U << port % 8);
}

static bool parse_port(const char *text, char **end, unsigned *port)
{
    unsigned long number = strtoul(text, end, 10);

    *port = (unsigned)number;
    return isdigit((unsigned char)*text) && number >= 1 && number <= 65535;
}

/* PORT or FIRST-LAST, with /tcp or /udp. */
struct port_range {
    unsigned first, last;
    bool udp;
};

static bool parse_range(const char *item, struct port_range *range)
{
    char *end;

    if (!parse_port(item, &end, &range->first))
        return false;
    range->last = range->first;
    if (*end == '-' && !parse_port(end + 1, &end, &range->last))
        return false;
    range->udp = !strcasecmp(end, "/udp");
    return range->last >= range->first && (!*end || range->udp || !strcasecmp(end, "/tcp"));
}

/* Calls take() with each range of the variable's list; stops at the first that returns non-zero. */
static int each_range(struct reader *reader, const char *name,
                      int (*take)(void *opaque, const char *item, const struct port_range *range), void *opaque)
{
    const char *value = reader_value(reader, name);
    char *list = value ? reader_text(reader, "%s", value) : NULL, *item;
    int failed = 0;

    while (failed == 0 && (item = strsep(&list, ", ;\t\n"))) {
        struct port_range range;

        if (!*item)
            continue;
        if (!parse_range(item, &range))
            return reader_refuse(reader, name, item, "ports such as 22, 5000-5010 or 53/udp, separated by commas");
        failed = take(opaque, item, &range);
    }
    return failed;
}

struct forwarding {
    struct reader *reader;
    bool user, nat;                  /* ports are named that lead into the guest, or that do not; else neither */
    struct port_set kept, forwarded; /* the container's own, and those that lead into the guest */
    const char *name;
    unsigned count, kept_count;
};

static int keep_range(void *opaque, const char *item, const struct port_range *range)
{
    struct forwarding *forwarding = opaque;
    struct reader *reader = forwarding->reader;

    for (unsigned port = range->first; port <= range->last; port++)
        add_port(&forwarding->kept, range->udp, port);
    if (forwarding->nat && forwarding->kept_count++ == CONFIG_HOST_PORTS)
        return error_set(reader->error, EINVAL, "HOST_PORTS %s: more than %d with those before; give ranges", item,
                         CONFIG_HOST_PORTS);
    if (forwarding->nat)
        reader_give(reader, "host-port", "HOST_PORTS",
                    range->last > range->first
                        ? reader_text(reader, "%u-%u%s", range->first, range->last, range->udp ? "/udp" : "")
                        : reader_text(reader, "%u%s", range->first, range->udp ? "/udp" : ""));
    return 0;
}

static int forward_range(void *opaque, const char *item, const struct port_range *range)
{
    struct forwarding *forwarding = opaque;
    struct reader *reader = forwarding->reader;

    for (unsigned port = range->first; port <= range->last && (forwarding->user || forwarding->nat); port++) {
        if (has_port(&forwarding->forwarded, range->udp, port))
            continue;
        if (has_port(&forwarding->kept, range->udp, port)) {
            reader_warn(reader, "%s %s: the container keeps port %u, so it does not lead into Windows; choose another",
                        forwarding->name ? forwarding->name : "HOST_PORTS", item, port);
            continue;
        }
        add_port(&forwarding->forwarded, range->udp, port);
        if (forwarding->nat)
            continue;
        if (forwarding->count++ == CONFIG_FORWARDS)
            return error_set(reader->error, EINVAL, "%s %s: more than %d ports with those before; leave some out",
                             forwarding->name, item, CONFIG_FORWARDS);
        reader_give(reader, "forward", forwarding->name,
                    reader_text(reader, "0.0.0.0:%u:%u%s", port, port, range->udp ? "/udp" : ""));
    }
    return 0;
}

/* Remote Desktop over TCP and UDP, then USER_PORTS; what the container serves itself, and HOST_PORTS, stay outside. */
static int forward_all(struct forwarding *forwarding, const char *name)
{
    static const struct port_range remote_desktop[] = {{RDP_PORT, RDP_PORT, false}, {RDP_PORT, RDP_PORT, true}};
    struct reader *reader = forwarding->reader;
    int web = reader_has_web(reader) ? reader_port(reader, "WEB_PORT", 8006) : 0;
    int vnc = reader_has_vnc(reader) ? reader_port(reader, "VNC_PORT", 5900) : 0, failed = MIN(web, MIN(vnc, 0));

    if (failed == 0 && web)
        add_port(&forwarding->kept, false, (unsigned)web);
    if (failed == 0 && vnc)
        add_port(&forwarding->kept, false, (unsigned)vnc);
    if (failed == 0)
        failed = each_range(reader, "HOST_PORTS", keep_range, forwarding);
    for (size_t n = 0; n < ARRAY_SIZE(remote_desktop) && failed == 0; n++)
        failed = forward_range(forwarding, n ? "3389/udp" : "3389", &remote_desktop[n]);
    forwarding->name = name;
    return failed < 0 ? failed : each_range(reader, name, forward_range, forwarding);
}

int variable_ports(struct reader *reader, const struct variable *variable, const char *value)
{
    struct forwarding *forwarding = calloc(1, sizeof *forwarding);
    int failed;

    (void)value;
    if (!forwarding) {
        reader->no_memory = true;
        return 0;
    }
    forwarding->reader = reader;
    forwarding->nat = is_nat(reader);
    forwarding->user = reader_has_network(reader) && !forwarding->nat && !is_bridge(reader);
    failed = forward_all(forwarding, variable->name);
    free(forwarding);
    return failed;
}

/* /shared, or as it was called once, and the same for those with a number; NULL: neither is there. */
static const char *find_shared(struct reader *reader, unsigned number)
{
    static const char *const names[NET_SHARES][2] = {{"shared", "data"}, {"shared2", "data2"}, {"shared3", "data3"}};

    for (size_t n = 0; n < ARRAY_SIZE(names[number]); n++) {
        const char *path = reader_text(reader, "%s/%s", reader->place->root, names[number][n]);

        if (path && reader_exists(path))
            return path;
    }
    return NULL;
}

/* Over the guest's network, so without one there is nothing to share by. */
int variable_share(struct reader *reader, const struct variable *variable, const char *value)
{
    const int wanted = reader_switch(reader, "SAMBA", true), read_only = reader_switch(reader, "SAMBA_READONLY", false);
    bool shared = false;

    (void)value;
    if (wanted < 0 || read_only < 0)
        return -EINVAL;
    if (!wanted || !reader_has_network(reader))
        return 0;
    for (unsigned n = 0; n < NET_SHARES; n++) {
        const char *path = find_shared(reader, n);

        if (!path)
            continue;
        if (is_bridge(reader)) {
            reader_warn(reader,
                        "DHCP: %s is not shared, for Windows is in a network of others, and the folder is for it alone",
                        path);
            continue;
        }
        reader_give(reader, variable->option, NULL, path);
        shared = true;
    }
    if (shared && read_only)
        reader_give(reader, "share-readonly", "SAMBA_READONLY", "on");
    return 0;
}
