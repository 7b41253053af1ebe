/* The private network: which one, the rules around it, rights that are given up, and the TAP as a back end. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/net.h"
#include "casement/net_offload.h"
#include "cmocka_all.h"

#include "../../vmm/network/kept.h"
#include "../../vmm/network/network.h"
#include "../../vmm/network/rights.h"
#include "../../vmm/network/rules.h"
#include "../../vmm/network/subnet.h"
#include "../../vmm/options.h"
#include "../../vmm/viewer/web.h"

static struct netlink_prefix prefix(const char *address, uint8_t length)
{
    struct netlink_prefix made = {.family = strchr(address, ':') ? AF_INET6 : AF_INET, .length = length};

    assert_int_equal(inet_pton(made.family, address, made.address), 1);
    return made;
}

static void assert_kept(const char *expected, const struct netlink_prefix *taken, size_t count, const char *kept)
{
    uint8_t before[4] = {0};

    uint8_t subnet[4];
    char text[INET_ADDRSTRLEN];

    assert_true(!kept || inet_pton(AF_INET, kept, before) == 1);
    assert_true(subnet_choose(taken, count, kept ? before : NULL, subnet));
    assert_string_equal(inet_ntop(AF_INET, subnet, text, sizeof text), expected);
}

static void assert_subnet(const char *expected, const struct netlink_prefix *taken, size_t count)
{
    assert_kept(expected, taken, count, NULL);
}

static void the_first_network_that_is_free(void **state)
{
    struct netlink_prefix taken[3] = {prefix("172.17.0.2", 16), prefix("fd00::1", 8), prefix("172.30.1.1", 24)};

    (void)state;
    assert_subnet("172.30.0.0", NULL, 0);
    assert_subnet("172.30.0.0", taken, 3);
    taken[0] = prefix("172.30.0.77", 32);
    assert_subnet("172.30.2.0", taken, 3);
    taken[0] = prefix("172.30.0.0", 23);
    taken[1] = prefix("172.30.2.128", 25);
    assert_subnet("172.30.3.0", taken, 3);
    taken[0] = prefix("172.16.0.0", 12);
    assert_subnet("192.168.200.0", taken, 3);
    taken[1] = prefix("192.168.0.0", 16);
    assert_subnet("10.200.0.0", taken, 3);
}

/* A route that has come since does not move the guest, unless it is the guest's own. */
static void the_network_is_kept(void **state)
{
    struct netlink_prefix taken[] = {prefix("172.30.0.0", 24)};
    uint8_t subnet[4] = {172, 30, 1, 0}, read[4];
    char folder[] = "build/folder-XXXXXX", file[64];

    (void)state;
    assert_kept("172.30.1.0", taken, 0, "172.30.1.0");
    assert_kept("10.200.255.0", taken, 1, "10.200.255.0");
    assert_kept("172.30.1.0", taken, 1, "172.30.0.0");
    /* Nothing that a file says makes it another kind of network. */
    assert_kept("172.30.0.0", taken, 0, "8.8.8.0");
    assert_kept("172.30.0.0", taken, 0, "172.32.0.0");
    assert_kept("172.30.0.0", taken, 0, "172.30.0.2");
    assert_kept("172.30.0.0", taken, 0, "10.201.0.0");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/network", folder);
    assert_false(kept_subnet_read(folder, read));
    kept_subnet_write(folder, subnet);
    assert_true(kept_subnet_read(folder, read));
    assert_memory_equal(read, subnet, 4);
    assert_int_equal(truncate(file, 5), 0);
    assert_false(kept_subnet_read(folder, read));
    kept_subnet_write(folder, subnet);
    assert_true(kept_subnet_read(folder, read));
    unlink(file);
    rmdir(folder);
    kept_subnet_write(folder, subnet); /* is only said */
}

static void no_network_is_free(void **state)
{
    const struct netlink_prefix taken[] = {prefix("0.0.0.0", 0)};
    const struct netlink_prefix each[] = {prefix("172.16.0.0", 12), prefix("192.168.0.0", 16), prefix("10.0.0.0", 8)};
    uint8_t subnet[4] = {172, 30, 0, 0};

    (void)state;
    assert_false(subnet_choose(taken, 1, NULL, subnet));
    assert_false(subnet_choose(each, 3, subnet, subnet));
}

static void addresses_that_stay(void **state)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0, 1, 2, 3}, odd[6] = {0x0A, 1, 2, 3, 4, 5};
    uint8_t six[16], gateway[6];

    (void)state;
    subnet_choose6(mac, six);
    assert_memory_equal(six, ((const uint8_t[16]){0xFD, 0x54, 0, 1, 2, 3}), 16);
    subnet_gateway_mac(mac, gateway);
    assert_memory_equal(gateway, ((const uint8_t[6]){0x5A, 0x54, 0, 1, 2, 3}), 6);
    subnet_gateway_mac(odd, gateway);
    assert_memory_equal(gateway, ((const uint8_t[6]){0x02, 1, 2, 3, 4, 5}), 6);
}

/* Rules. */

static char *rules_text(const struct rules *rules, unsigned features)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    assert_non_null(to);
    rules_write(rules, features, to);
    fclose(to);
    return text;
}

static void assert_order(const char *text, const char *first, const char *second)
{
    const char *a = strstr(text, first), *b = strstr(text, second);

    if (!a || !b || a >= b)
        fail_msg("\"%s\" does not stand before \"%s\" in:\n%s", first, second, text);
}

static void rules_of_a_guest(void **state)
{
    static const struct rules_port own[] = {
        {.port = 8006}, {.udp = true, .port = 5900, .last = 5900}, {.port = 5000, .last = 5010}};
    static const struct net_forward forwards[] = {
        {.host_port = 8080, .guest_port = 80},
        {.udp = true, .host_address = "10.9.0.2", .host_port = 9090, .guest_port = 90}};
    struct rules rules = {
        .tap = "casement0", .six = true, .own = own, .own_count = 3, .forwards = forwards, .forward_count = 2};
    static const char all4[] = "    meta nfproto ipv4 meta l4proto { tcp, udp } dnat ip to 172.30.0.2\n";
    static const char all6[] = "    meta nfproto ipv6 meta l4proto { tcp, udp } dnat ip6 to fd54::2\n";
    static const char listening[] = "    meta l4proto { tcp, udp } socket wildcard { 0, 1 } accept\n";
    char *text;

    (void)state;
    inet_pton(AF_INET, "172.30.0.0", &rules.subnet);
    inet_pton(AF_INET, "172.30.0.2", &rules.guest);
    inet_pton(AF_INET6, "fd54::", &rules.subnet6);
    inet_pton(AF_INET6, "fd54::2", &rules.guest6);
    text = rules_text(&rules, RULES_OWNER | RULES_SOCKETS);
    assert_order(text, "delete table inet casement0\n", "table inet casement0 {\n  flags owner\n");
    assert_order(text, "    iifname { \"casement0\", \"lo\" } accept\n", "    tcp dport 8006 accept\n");
    assert_order(text, "    fib daddr type != local accept\n", "    udp dport 5900 accept\n");
    assert_order(text, "    udp dport 5900 accept\n", "    tcp dport 5000-5010 accept\n");
    assert_order(text, "    tcp dport 5000-5010 accept\n", "dnat");
    assert_order(text, "    meta nfproto ipv4 tcp dport 8080 dnat ip to 172.30.0.2:80\n", listening);
    assert_order(text, "    meta nfproto ipv6 tcp dport 8080 dnat ip6 to [fd54::2]:80\n", listening);
    assert_order(text, "    ip daddr 10.9.0.2 udp dport 9090 dnat ip to 172.30.0.2:90\n", listening);
    assert_null(strstr(text, "[fd54::2]:90"));
    assert_order(text, listening, all4);
    assert_order(text, all4, all6);
    assert_non_null(strstr(text, "    oifname != \"casement0\" ip saddr 172.30.0.0/24 masquerade\n"));
    assert_non_null(strstr(text, "    oifname != \"casement0\" ip6 saddr fd54::/64 masquerade\n"));
    assert_non_null(strstr(text, "    iifname \"casement0\" ip saddr != 172.30.0.0/24 drop\n"));
    assert_non_null(strstr(text, "    iifname \"casement0\" ip6 saddr != fd54::/64 drop\n"));
    assert_non_null(strstr(text, "    iifname != { \"casement0\", \"lo\" } ip daddr 172.30.0.0/24 drop\n"));
    assert_null(strstr(text, "10.0.2.4"));
    free(text);
    rules.six = false;
    rules.shares = 2;
    text = rules_text(&rules, 0);
    assert_order(text, "    iifname \"casement0\" ip daddr 10.0.2.4 tcp dport 80 accept\n", " ct state new drop\n");
    assert_order(text, " tcp dport 81 accept\n", " ct state new drop\n");
    assert_null(strstr(text, "dport 82"));
    assert_non_null(strstr(text, "    iifname != { \"casement0\", \"lo\" } ip daddr 10.0.2.4 drop\n"));
    assert_null(strstr(text, "owner"));
    assert_null(strstr(text, "socket"));
    assert_null(strstr(text, "ip6"));
    assert_non_null(strstr(text, "    iifname \"casement0\" meta nfproto ipv6 drop\n"));
    assert_non_null(strstr(text, all4));
    free(text);
}

static int parse_host_port(struct config *config, struct error *error, const char *value)
{
    char *arguments[] = {"--host-port=53/udp", NULL, NULL};
    char text[32];

    snprintf(text, sizeof text, "--host-port=%s", value);
    arguments[1] = text;
    config_free(config);
    return options_parse(config, OPTIONS_RUN, 2, arguments, error);
}

static void ports_of_this_side(void **state)
{
    static const char *const bad[] = {"", "0", "x", "22-", "-22", "20-10", "1-65536", "22/sctp", "/udp", "2 2"};
    struct config config = {0};
    struct error error;
    char text[64] = "";

    (void)state;
    assert_int_equal(parse_host_port(&config, &error, "5000-5010/tcp"), 0);
    assert_int_equal(config.host_port_count, 2);
    assert_true(config.host_ports[0].udp && config.host_ports[0].first == 53 && config.host_ports[0].last == 53);
    assert_true(!config.host_ports[1].udp && config.host_ports[1].first == 5000 && config.host_ports[1].last == 5010);
    config_show_host_port(&config, text, sizeof text);
    assert_string_equal(text, "53/udp;5000-5010");
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        assert_int_equal(parse_host_port(&config, &error, bad[n]), -EINVAL);
        assert_non_null(strstr(error.text, "--host-port"));
    }
    config_free(&config);
}

/* Whatever there is where this runs: a reason is given if and only if it is not the best. */
static void the_best_network(void **state)
{
    struct error error = {""};
    char why[sizeof error.text];
    enum config_net best = network_best(why, sizeof why);

    (void)state;
    assert_int_equal(best, network_available(CONFIG_NET_NAT, &error) == 0 ? CONFIG_NET_NAT : CONFIG_NET_USER);
    assert_string_equal(why, error.text);
    assert_int_equal(!*why, best == CONFIG_NET_NAT);
    assert_int_equal(network_available(CONFIG_NET_USER, NULL), 0);
}

/* Where it can, what listens at [::] is reached by IPv4. */
static void one_socket_for_both(void **state)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 bound = {0};
    socklen_t size = sizeof bound;
    struct error error;
    int listener, client;

    (void)state;
    if (!network_has_both())
        skip();
    listener = web_listen("--web", "::", 0, &error);
    assert_true(listener >= 0 && getsockname(listener, (struct sockaddr *)&bound, &size) == 0);
    four.sin_port = bound.sin6_port;
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&four, sizeof four), 0);
    close(client);
    close(listener);
}

/* Rights: in a process of its own, for they do not come back. */

static int drop_in_a_child(uint64_t keep)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        struct error error;
        bool had = rights_have(CAP_NET_BIND_SERVICE);

        if (rights_drop(keep, &error) < 0)
            _exit(1);
        if (rights_have(CAP_NET_ADMIN) || rights_have(CAP_SYS_ADMIN) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
            _exit(2);
        if (rights_have(CAP_NET_BIND_SERVICE) != (had && keep))
            _exit(3);
        if (had && prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0) != 0)
            _exit(4);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WEXITSTATUS(status);
}

static void rights_are_given_up(void **state)
{
    (void)state;
    assert_int_equal(drop_in_a_child(0), 0);
    assert_int_equal(drop_in_a_child(RIGHT(CAP_NET_BIND_SERVICE)), 0);
}

/* The TAP: a pair of sockets that keep the bounds of frames. */

struct bench {
    struct net_backend *backend;
    struct loop *loop;
    int wire;
    unsigned room, received, asked, announced, destroyed;
    size_t last;
    uint8_t first_byte;
    bool running;
};

static bool receive(void *opaque, const uint8_t *header, const uint8_t *frame, size_t length)
{
    struct bench *bench = opaque;

    assert_memory_equal(header, net_vnet_finished, NET_VNET_BYTES);
    if (bench->received == bench->room)
        return false;
    bench->received++;
    bench->last = length;
    bench->first_byte = frame[0];
    if (bench->running && bench->received == bench->room)
        loop_quit(bench->loop);
    return true;
}

static int side_answer(void *opaque, const uint8_t *frame, size_t length, uint8_t *answer)
{
    struct bench *bench = opaque;

    (void)length;
    bench->asked++;
    memset(answer, 0xAB, 60);
    return frame[0] == 1 ? 60 : frame[0] == 2 ? 0 : -1;
}

static size_t side_announce(void *opaque, uint8_t *frame)
{
    ((struct bench *)opaque)->announced++;
    memset(frame, 0xCD, 60);
    return 60;
}

static void side_destroy(void *opaque)
{
    ((struct bench *)opaque)->destroyed++;
}

static void open_bench(struct bench *bench, int64_t announce_ns)
{
    struct net_tap_options options = {.mtu = 1500,
                                      .side = {.answer = side_answer,
                                               .announce = announce_ns ? side_announce : NULL,
                                               .announce_ns = announce_ns,
                                               .destroy = side_destroy,
                                               .opaque = bench}};
    const struct net_card card = {.receive = receive, .opaque = bench};
    struct error error;
    int pair[2], size = 1 << 20;

    *bench = (struct bench){.loop = loop_create("test")};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    bench->wire = pair[0];
    options.fd = pair[1];
    assert_int_equal(net_tap_create(&options, &bench->backend, &error), 0);
    assert_true(fcntl(pair[1], F_GETFL) & O_NONBLOCK);
    assert_int_equal(bench->backend->ops->attach(bench->backend, bench->loop, &card), 0);
}

static void close_bench(struct bench *bench)
{
    bench->backend->ops->detach(bench->backend);
    bench->backend->ops->detach(bench->backend);
    bench->backend->ops->destroy(bench->backend);
    loop_destroy(bench->loop);
    close(bench->wire);
    assert_int_equal(bench->destroyed, 1);
}

/* The kernel's side of a TAP: a vnet header, whose first two bytes say what is left, and a frame. */
static void put_vnet_on_the_wire(const struct bench *bench, uint8_t flags, uint8_t gso, uint8_t first, size_t length)
{
    static uint8_t bytes[NET_VNET_BYTES + NET_FRAME_MAX + 100];

    bytes[0] = flags;
    bytes[1] = gso;
    bytes[NET_VNET_BYTES] = first;
    assert_int_equal(send(bench->wire, bytes, NET_VNET_BYTES + length, 0), NET_VNET_BYTES + length);
}

static void put_on_the_wire(const struct bench *bench, uint8_t first, size_t length)
{
    put_vnet_on_the_wire(bench, 0, 0, first, length);
}

/* The length of the next frame on the wire, without its header, which is left; -1: there is none. */
static ssize_t take_from_the_wire(const struct bench *bench, uint8_t *header)
{
    static uint8_t bytes[NET_VNET_BYTES + NET_FRAME_MAX];
    ssize_t count = recv(bench->wire, bytes, sizeof bytes, MSG_DONTWAIT);

    if (count < 0)
        return -1;
    memcpy(header, bytes, NET_VNET_BYTES);
    return count - NET_VNET_BYTES;
}

/* Until the card has that many. */
static void run_until(struct bench *bench, unsigned room)
{
    bench->room = room;
    bench->running = true;
    loop_run(bench->loop);
    bench->running = false;
    assert_int_equal(bench->received, room);
}

static void a_frame_waits_for_a_buffer(void **state)
{
    struct bench bench;

    (void)state;
    open_bench(&bench, 0);
    for (unsigned n = 1; n <= 5; n++)
        put_on_the_wire(&bench, (uint8_t)n, 60 + n);
    run_until(&bench, 2);
    assert_int_equal(bench.first_byte, 2);
    /* The third has been read already, and must come next. */
    bench.room = 3;
    bench.backend->ops->ready(bench.backend);
    assert_int_equal(bench.received, 3);
    assert_int_equal(bench.first_byte, 3);
    bench.backend->ops->ready(bench.backend);
    run_until(&bench, 5);
    assert_int_equal(bench.first_byte, 5);
    assert_int_equal(bench.last, 65);
    close_bench(&bench);
}

static void frames_of_impossible_lengths_are_dropped(void **state)
{
    struct bench bench;
    uint8_t frame[NET_FRAME_MAX + 1] = {9}, header[NET_VNET_BYTES];

    (void)state;
    open_bench(&bench, 0);
    put_on_the_wire(&bench, 1, 13);
    put_on_the_wire(&bench, 2, NET_FRAME_MAX + 1);
    put_on_the_wire(&bench, 3, NET_FRAME_MAX);
    run_until(&bench, 1);
    assert_int_equal(bench.first_byte, 3);
    assert_int_equal(bench.last, NET_FRAME_MAX);
    bench.backend->ops->send(bench.backend, net_vnet_finished, frame, 13);
    bench.backend->ops->send(bench.backend, net_vnet_finished, frame, sizeof frame);
    assert_int_equal(bench.asked, 0);
    assert_int_equal(take_from_the_wire(&bench, header), -1);
    bench.backend->ops->send(bench.backend, net_vnet_finished, frame, 14);
    assert_int_equal(take_from_the_wire(&bench, header), 14);
    close_bench(&bench);
}

static void the_side_answers(void **state)
{
    struct bench bench;
    uint8_t frame[60] = {1}, header[NET_VNET_BYTES];

    (void)state;
    open_bench(&bench, 0);
    bench.room = 2;
    bench.backend->ops->send(bench.backend, net_vnet_finished, frame, sizeof frame);
    assert_int_equal(bench.received, 1);
    assert_int_equal(bench.first_byte, 0xAB);
    frame[0] = 2;
    bench.backend->ops->send(bench.backend, net_vnet_finished, frame, sizeof frame);
    assert_int_equal(take_from_the_wire(&bench, header), -1);
    assert_int_equal(bench.received, 1);
    /* Without a buffer the answer is lost, as on any wire. */
    bench.room = 1;
    frame[0] = 1;
    bench.backend->ops->send(bench.backend, net_vnet_finished, frame, sizeof frame);
    assert_int_equal(bench.received, 1);
    frame[0] = 3;
    bench.backend->ops->send(bench.backend, net_vnet_finished, frame, sizeof frame);
    assert_int_equal(take_from_the_wire(&bench, header), 60);
    close_bench(&bench);
}

/* A wire that is no TAP leaves nothing undone; what a TAP has left for the driver before is of no use to this one. */
static void work_is_left_to_those_who_take_it(void **state)
{
    static const uint8_t left[NET_VNET_BYTES] = {1, 1, 54, 0, 100, 0, 34, 0, 16, 0};
    struct bench bench;
    uint8_t frame[300] = {9}, header[NET_VNET_BYTES];

    (void)state;
    open_bench(&bench, 0);
    bench.backend->ops->send(bench.backend, left, frame, sizeof frame);
    assert_int_equal(take_from_the_wire(&bench, header), 300);
    assert_memory_equal(header, left, sizeof left);
    bench.backend->ops->send(bench.backend, net_vnet_finished, frame, sizeof frame);
    assert_int_equal(take_from_the_wire(&bench, header), 300);
    assert_memory_equal(header, ((const uint8_t[NET_VNET_BYTES]){0}), sizeof left);
    bench.backend->ops->offload(bench.backend, NET_LEAVE_CHECKSUM | NET_LEAVE_TCP4);
    put_vnet_on_the_wire(&bench, 1, 0, 1, 60);
    put_vnet_on_the_wire(&bench, 1, 1, 2, 9000);
    put_vnet_on_the_wire(&bench, 0, 77, 3, 9000);
    put_vnet_on_the_wire(&bench, 2, 0, 4, 60); /* its checksum was found right: nothing is left */
    run_until(&bench, 1);
    assert_int_equal(bench.first_byte, 4);
    close_bench(&bench);
}

static void announcements_come_by_themselves(void **state)
{
    struct bench bench;

    (void)state;
    open_bench(&bench, 1000000);
    run_until(&bench, 3);
    assert_int_equal(bench.first_byte, 0xCD);
    assert_true(bench.announced >= 3);
    close_bench(&bench);
}

/* A wire that takes nothing costs frames, and no time. */
static void a_full_wire(void **state)
{
    struct bench bench;
    static uint8_t frame[9000] = {9}, header[NET_VNET_BYTES];

    (void)state;
    open_bench(&bench, 0);
    for (unsigned n = 0; n < 1000; n++)
        bench.backend->ops->send(bench.backend, net_vnet_finished, frame, sizeof frame);
    assert_int_equal(bench.asked, 1000);
    assert_int_equal(take_from_the_wire(&bench, header), 9000);
    close_bench(&bench);
}

static void quit(void *opaque)
{
    loop_quit(((struct bench *)opaque)->loop);
}

/* Otherwise poll() would say so for ever. */
static void a_wire_that_breaks(void **state)
{
    struct bench bench;
    struct loop_timer later = {.expired = quit, .opaque = &bench};

    (void)state;
    open_bench(&bench, 0);
    put_on_the_wire(&bench, 1, 60);
    bench.room = 0;
    /* Unread: the close resets the other end. */
    bench.backend->ops->send(bench.backend, net_vnet_finished, (const uint8_t[60]){9}, 60);
    close(bench.wire);
    bench.wire = -1;
    loop_timer_set(bench.loop, &later, clock_ns() + 1000000);
    loop_run(bench.loop);
    loop_timer_remove(bench.loop, &later);
    bench.backend->ops->send(bench.backend, net_vnet_finished, (const uint8_t[60]){9}, 60);
    close_bench(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_network_that_is_free),
        cmocka_unit_test(the_network_is_kept),
        cmocka_unit_test(no_network_is_free),
        cmocka_unit_test(addresses_that_stay),
        cmocka_unit_test(rules_of_a_guest),
        cmocka_unit_test(ports_of_this_side),
        cmocka_unit_test(the_best_network),
        cmocka_unit_test(one_socket_for_both),
        cmocka_unit_test(rights_are_given_up),
        cmocka_unit_test(a_frame_waits_for_a_buffer),
        cmocka_unit_test(frames_of_impossible_lengths_are_dropped),
        cmocka_unit_test(the_side_answers),
        cmocka_unit_test(work_is_left_to_those_who_take_it),
        cmocka_unit_test(announcements_come_by_themselves),
        cmocka_unit_test(a_full_wire),
        cmocka_unit_test(a_wire_that_breaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
