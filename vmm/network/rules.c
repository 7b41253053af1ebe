/* See rules.h. */
#include <arpa/inet.h>

#include "rules.h"
#include "subnet.h"

/* Services of the gateway itself that the guest may use; nothing else of this container is the guest's business. */
#define GUEST_PORTS "53"

struct texts {
    char subnet[INET_ADDRSTRLEN], guest[INET_ADDRSTRLEN], subnet6[INET6_ADDRSTRLEN], guest6[INET6_ADDRSTRLEN];
};

static void write_own_ports(const struct rules *rules, FILE *to)
{
    for (unsigned n = 0; n < rules->own_count; n++) {
        const struct rules_port *own = &rules->own[n];

        if (own->last > own->port)
            fprintf(to, "    %s dport %u-%u accept\n", own->udp ? "udp" : "tcp", own->port, own->last);
        else
            fprintf(to, "    %s dport %u accept\n", own->udp ? "udp" : "tcp", own->port);
    }
}

static void write_forwards(const struct rules *rules, const struct texts *texts, FILE *to)
{
    for (unsigned n = 0; n < rules->forward_count; n++) {
        const struct net_forward *forward = &rules->forwards[n];
        const char *protocol = forward->udp ? "udp" : "tcp";

        if (forward->host_address[0])
            fprintf(to, "    ip daddr %s ", forward->host_address);
        else
            fprintf(to, "    meta nfproto ipv4 ");
        fprintf(to, "%s dport %u dnat ip to %s:%u\n", protocol, forward->host_port, texts->guest, forward->guest_port);
        if (rules->six && !forward->host_address[0])
            fprintf(to, "    meta nfproto ipv6 %s dport %u dnat ip6 to [%s]:%u\n", protocol, forward->host_port,
                    texts->guest6, forward->guest_port);
    }
}

/* What reaches an address of this namespace from outside goes to the guest, unless it is for somebody here. */
static void write_inward(const struct rules *rules, const struct texts *texts, unsigned features, FILE *to)
{
    fprintf(to,
            "  chain inward {\n"
            "    type nat hook prerouting priority dstnat; policy accept;\n"
            "    iifname { \"%s\", \"lo\" } accept\n"
            "    fib daddr type != local accept\n",
            rules->tap);
    write_own_ports(rules, to);
    write_forwards(rules, texts, to);
    if (features & RULES_SOCKETS)
        fprintf(to, "    meta l4proto { tcp, udp } socket wildcard { 0, 1 } accept\n");
    fprintf(to, "    meta nfproto ipv4 meta l4proto { tcp, udp } dnat ip to %s\n", texts->guest);
    if (rules->six)
        fprintf(to, "    meta nfproto ipv6 meta l4proto { tcp, udp } dnat ip6 to %s\n", texts->guest6);
    fprintf(to, "  }\n");
}

static void write_outward(const struct rules *rules, const struct texts *texts, FILE *to)
{
    fprintf(to,
            "  chain outward {\n"
            "    type nat hook postrouting priority srcnat; policy accept;\n"
            "    oifname != \"%s\" ip saddr %s/%d masquerade\n",
            rules->tap, texts->subnet, SUBNET_BITS);
    if (rules->six)
        fprintf(to, "    oifname != \"%s\" ip6 saddr %s/%d masquerade\n", rules->tap, texts->subnet6, SUBNET6_BITS);
    fprintf(to, "  }\n");
}

/* A guest that lies about its address would get past the masquerade. Some systems take no MTU by DHCP, so TCP is told.
 */
static void write_through(const struct rules *rules, const struct texts *texts, FILE *to)
{
    fprintf(to,
            "  chain through {\n"
            "    type filter hook forward priority filter; policy accept;\n"
            "    iifname \"%s\" ip saddr != %s/%d drop\n",
            rules->tap, texts->subnet, SUBNET_BITS);
    if (rules->six)
        fprintf(to, "    iifname \"%s\" ip6 saddr != %s/%d drop\n", rules->tap, texts->subnet6, SUBNET6_BITS);
    else
        fprintf(to, "    iifname \"%s\" meta nfproto ipv6 drop\n", rules->tap);
    fprintf(to, "    tcp flags syn tcp option maxseg size set rt mtu\n"
                "  }\n");
}

/* Nobody outside may use the gateway's name server, whatever routes they set. */
static void write_gateway(const struct rules *rules, const struct texts *texts, FILE *to)
{
    fprintf(to, "  chain gateway {\n"
                "    type filter hook input priority filter; policy accept;\n");
    for (unsigned n = 0; n < rules->shares; n++)
        fprintf(to, "    iifname \"%s\" ip daddr " NET_SHARE_ADDRESS " tcp dport %u accept\n", rules->tap,
                NET_SHARE_PORT + n);
    if (rules->shares)
        fprintf(to, "    iifname != { \"%s\", \"lo\" } ip daddr " NET_SHARE_ADDRESS " drop\n", rules->tap);
    fprintf(to,
            "    iifname \"%s\" meta l4proto { tcp, udp } th dport != { " GUEST_PORTS " } ct state new drop\n"
            "    iifname != { \"%s\", \"lo\" } ip daddr %s/%d drop\n",
            rules->tap, rules->tap, texts->subnet, SUBNET_BITS);
    if (rules->six)
        fprintf(to, "    iifname != { \"%s\", \"lo\" } ip6 daddr %s/%d drop\n", rules->tap, texts->subnet6,
                SUBNET6_BITS);
    fprintf(to, "  }\n");
}

void rules_write(const struct rules *rules, unsigned features, FILE *to)
{
    struct texts texts;

    inet_ntop(AF_INET, &rules->subnet, texts.subnet, sizeof texts.subnet);
    inet_ntop(AF_INET, &rules->guest, texts.guest, sizeof texts.guest);
    inet_ntop(AF_INET6, &rules->subnet6, texts.subnet6, sizeof texts.subnet6);
    inet_ntop(AF_INET6, &rules->guest6, texts.guest6, sizeof texts.guest6);
    /* What an earlier process left, which had no owner's table and was killed. */
    fprintf(to, "add table inet %s\ndelete table inet %s\n", rules->tap, rules->tap);
    fprintf(to, "table inet %s {\n", rules->tap);
    if (features & RULES_OWNER)
        fprintf(to, "  flags owner\n");
    write_inward(rules, &texts, features, to);
    write_outward(rules, &texts, to);
    write_through(rules, &texts, to);
    write_gateway(rules, &texts, to);
    fprintf(to, "}\n");
}
