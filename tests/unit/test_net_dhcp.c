/* What the guest of a private network is told: DHCP, DHCPv6, router advertisements, and the frames around them. */
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/net_offload.h"
#include "cmocka_all.h"

#include "../../vmm/network/answer.h"
#include "../../vmm/network/dhcp.h"
#include "../../vmm/network/dhcp6.h"
#include "../../vmm/network/router.h"
#include "fake_lease.h"

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };

/* A request of DHCP in the making. */
static uint8_t request[1500], answered[DHCP_ANSWER_MAX];
static size_t length;
static bool broadcast;

static void begin(uint8_t type)
{
    memset(request, 0, sizeof request);
    request[0] = request[1] = 1;
    request[2] = 6;
    put_be32(request + 4, 0xCAFEF00D);
    memcpy(request + 28, fake_lease.guest_mac, 6);
    put_be32(request + 236, 0x63825363);
    request[240] = 53;
    request[241] = 1;
    request[242] = type;
    length = 243;
}

static void add(uint8_t code, const void *data, uint8_t size)
{
    request[length++] = code;
    request[length++] = size;
    memcpy(request + length, data, size);
    length += size;
}

static size_t answer(void)
{
    memset(answered, 0xEE, sizeof answered);
    request[length] = 255;
    return dhcp_answer(&fake_lease, request, length + 1, answered, &broadcast);
}

/* The option of the answer, which must have that size; NULL: it has none. */
static const uint8_t *option(uint8_t code, uint8_t size)
{
    for (const uint8_t *at = answered + 240; *at != 255; at += 2 + at[1])
        if (*at == code) {
            assert_int_equal(at[1], size);
            return at + 2;
        }
    return NULL;
}

static void assert_offered(uint8_t type)
{
    assert_int_equal(answered[0], 2);
    assert_int_equal(get_be32(answered + 4), 0xCAFEF00D);
    assert_memory_equal(answered + 16, fake_lease.guest, 4);
    assert_memory_equal(answered + 28, fake_lease.guest_mac, 6);
    assert_int_equal(*option(53, 1), type);
    assert_memory_equal(option(54, 4), fake_lease.gateway, 4);
    assert_int_equal(get_be32(option(1, 4)), 0xFFFFFF00);
    assert_memory_equal(option(3, 4), fake_lease.gateway, 4);
    assert_memory_equal(option(6, 4), fake_lease.gateway, 4);
    assert_memory_equal(option(12, 7), "winston", 7);
    assert_int_equal(get_be16(option(26, 2)), 1400);
    assert_int_equal(get_be32(option(51, 4)), 86400);
    assert_int_equal(get_be32(option(58, 4)), 43200);
    assert_int_equal(get_be32(option(59, 4)), 75600);
}

static void discover_and_request(void **state)
{
    static const uint8_t client[7] = {1, 0x52, 0x54, 0, 1, 2, 3};

    (void)state;
    begin(DISCOVER);
    add(61, client, sizeof client);
    assert_int_equal(answer(), 308);
    assert_offered(OFFER);
    assert_memory_equal(option(61, 7), client, 7);
    assert_false(broadcast);
    begin(REQUEST);
    put_be16(request + 10, 0x8000);
    add(54, fake_lease.gateway, 4);
    add(50, fake_lease.guest, 4);
    assert_true(answer() >= 300);
    assert_offered(ACK);
    assert_null(option(61, 7));
    assert_true(broadcast);
}

/* RFC 2131, 4.3.2. */
static void every_kind_of_request(void **state)
{
    static const uint8_t elsewhere[4] = {192, 168, 1, 1};

    (void)state;
    begin(REQUEST); /* selecting another server */
    add(54, elsewhere, 4);
    add(50, fake_lease.guest, 4);
    assert_int_equal(answer(), 0);
    begin(REQUEST); /* rebooting with our address, with another one */
    add(50, fake_lease.guest, 4);
    assert_true(answer());
    assert_offered(ACK);
    begin(REQUEST);
    add(50, elsewhere, 4);
    assert_int_equal(answer(), 300);
    assert_int_equal(*option(53, 1), NAK);
    assert_null(option(51, 4));
    assert_int_equal(get_be32(answered + 16), 0);
    assert_true(broadcast);
    begin(REQUEST); /* renewing */
    put_be16(request + 10, 0x8000);
    memcpy(request + 12, fake_lease.guest, 4);
    assert_true(answer());
    assert_offered(ACK);
    assert_false(broadcast);
}

static void inform_gets_no_lease(void **state)
{
    (void)state;
    begin(INFORM);
    memcpy(request + 12, fake_lease.guest, 4);
    assert_true(answer());
    assert_int_equal(*option(53, 1), ACK);
    assert_null(option(51, 4));
    assert_int_equal(get_be32(answered + 16), 0);
    assert_memory_equal(option(6, 4), fake_lease.gateway, 4);
}

static void what_is_not_answered(void **state)
{
    (void)state;
    begin(RELEASE);
    assert_int_equal(answer(), 0);
    begin(DECLINE);
    assert_int_equal(answer(), 0);
    begin(OFFER);
    assert_int_equal(answer(), 0);
    begin(DISCOVER); /* another card */
    request[33] ^= 1;
    assert_int_equal(answer(), 0);
    begin(DISCOVER); /* an answer */
    request[0] = 2;
    assert_int_equal(answer(), 0);
    begin(DISCOVER); /* BOOTP */
    request[240] = 0;
    request[241] = request[242] = 0;
    assert_int_equal(answer(), 0);
    begin(DISCOVER); /* a type of two bytes */
    request[241] = 2;
    assert_int_equal(answer(), 0);
}

/* Cut at every length, in a block that ends there. */
static void cut_messages(void **state)
{
    (void)state;
    begin(REQUEST);
    add(50, fake_lease.guest, 4);
    add(61, "abcdefgh", 8);
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *copy = malloc(cut + 1);

        memcpy(copy + 1, request, cut);
        dhcp_answer(&fake_lease, copy + 1, cut, answered, &broadcast);
        free(copy);
    }
}

/* The longest answer still fits. */
static void a_long_name_and_a_long_identifier(void **state)
{
    static uint8_t identifier[255];
    struct lease longest = fake_lease;

    (void)state;
    memset(longest.host_name, 'n', sizeof longest.host_name - 1);
    begin(DISCOVER);
    add(61, identifier, 255);
    request[length] = 255;
    assert_in_range(dhcp_answer(&longest, request, length + 1, answered, &broadcast), 300, DHCP_ANSWER_MAX);
}

/* DHCPv6. */

static uint8_t answered6[DHCP6_ANSWER_MAX];
static const uint8_t client_duid[10] = {0, 3, 0, 1, 0x52, 0x54, 0, 1, 2, 3};
static const uint8_t server_duid[10] = {0, 3, 0, 1, 0x5A, 0x54, 0, 1, 2, 3};

static void add6(uint16_t code, const void *data, uint16_t size)
{
    put_be16(request + length, code);
    put_be16(request + length + 2, size);
    if (size)
        memcpy(request + length + 4, data, size);
    length += 4U + size;
}

static void begin6(uint8_t type, bool named)
{
    static const uint8_t identity[12] = {0, 0, 0, 7};

    put_be32(request, (uint32_t)type << 24 | 0xABCDEF);
    length = 4;
    add6(1, client_duid, 10);
    if (named)
        add6(2, server_duid, 10);
    add6(3, identity, 12);
}

static size_t answer6(void)
{
    memset(answered6, 0xEE, sizeof answered6);
    return dhcp6_answer(&fake_lease, request, length, answered6);
}

static const uint8_t *option6(size_t count, uint16_t code, uint16_t size)
{
    for (size_t at = 4; at < count; at += 4U + get_be16(answered6 + at + 2))
        if (get_be16(answered6 + at) == code) {
            assert_int_equal(get_be16(answered6 + at + 2), size);
            return answered6 + at + 4;
        }
    return NULL;
}

static void assert_given6(size_t count, uint8_t type)
{
    const uint8_t *identity = option6(count, 3, 40);

    assert_int_equal(get_be32(answered6), (uint32_t)type << 24 | 0xABCDEF);
    assert_memory_equal(option6(count, 1, 10), client_duid, 10);
    assert_memory_equal(option6(count, 2, 10), server_duid, 10);
    assert_memory_equal(option6(count, 23, 16), fake_lease.gateway6, 16);
    assert_non_null(identity);
    assert_int_equal(get_be32(identity), 7);
    assert_int_equal(get_be16(identity + 12), 5);
    assert_memory_equal(identity + 16, fake_lease.guest6, 16);
    assert_int_equal(get_be32(identity + 36), 86400);
}

static void an_address_by_dhcp6(void **state)
{
    static const struct {
        uint8_t type, answer;
        bool named;
    } good[] = {{1, 2, false}, {3, 7, true}, {5, 7, true}, {6, 7, false}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(good); n++) {
        begin6(good[n].type, good[n].named);
        assert_given6(answer6(), good[n].answer);
        begin6(good[n].type, !good[n].named);
        assert_int_equal(answer6(), 0);
    }
    begin6(1, false);
    add6(14, NULL, 0);
    assert_given6(answer6(), 7);
}

static void other_messages_of_dhcp6(void **state)
{
    uint8_t identity[40] = {0, 0, 0, 7, [13] = 5, [15] = 24};
    size_t count;

    (void)state;
    memcpy(identity + 16, fake_lease.guest6, 16);
    put_be32(request, UINT32_C(4) << 24 | 0xABCDEF); /* CONFIRM */
    length = 4;
    add6(1, client_duid, 10);
    add6(3, identity, 40);
    count = answer6();
    assert_int_equal(get_be16(option6(count, 13, 2)), 0);
    request[4 + 14 + 4 + 16] ^= 1;
    count = answer6();
    assert_int_equal(get_be16(option6(count, 13, 2)), 4);
    begin6(8, true); /* RELEASE */
    count = answer6();
    assert_int_equal(get_be16(option6(count, 13, 2)), 0);
    assert_null(option6(count, 3, 40));
    put_be32(request, UINT32_C(11) << 24 | 0xABCDEF); /* INFORMATION-REQUEST, which need not say who asks */
    length = 4;
    count = answer6();
    assert_int_equal(answered6[0], 7);
    assert_memory_equal(option6(count, 23, 16), fake_lease.gateway6, 16);
    begin6(2, true);
    assert_int_equal(answer6(), 0);
    put_be32(request, UINT32_C(1) << 24); /* SOLICIT without an identity */
    length = 4;
    assert_int_equal(answer6(), 0);
}

/* As many identities as fit, and an identifier that is as long as it may be: the answer has a bound. */
static void greedy_clients_of_dhcp6(void **state)
{
    static uint8_t identity[12], duid[131];

    (void)state;
    put_be32(request, UINT32_C(1) << 24);
    length = 4;
    add6(1, duid, 130);
    add6(14, NULL, 0);
    while (length + 16 <= sizeof request)
        add6(3, identity, 12);
    assert_in_range(answer6(), 200, DHCP6_ANSWER_MAX);
    length = 4;
    add6(1, duid, 131);
    assert_int_equal(answer6(), 0);
}

static void cut_messages_of_dhcp6(void **state)
{
    (void)state;
    begin6(3, true);
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *copy = malloc(cut + 1);

        memcpy(copy + 1, request, cut);
        dhcp6_answer(&fake_lease, copy + 1, cut, answered6);
        free(copy);
    }
}

/* Frames. */

static uint8_t frame[1514], reply[NET_ANSWER_MAX];

static size_t wrap4(void)
{
    static const uint8_t everybody[6] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

    memset(frame, 0, 42);
    memcpy(frame, everybody, 6);
    memcpy(frame + 6, fake_lease.guest_mac, 6);
    put_be16(frame + 12, 0x0800);
    frame[14] = 0x45;
    put_be16(frame + 16, (uint16_t)(28 + length));
    frame[22] = 64;
    frame[23] = 17;
    put_be16(frame + 34, 68);
    put_be16(frame + 36, 67);
    put_be16(frame + 38, (uint16_t)(8 + length));
    memcpy(frame + 42, request, length);
    return 42 + length;
}

static size_t wrap6(uint8_t protocol, uint16_t to)
{
    memset(frame, 0, 62);
    memcpy(frame + 6, fake_lease.guest_mac, 6);
    put_be16(frame + 12, 0x86DD);
    frame[14] = 0x60;
    frame[20] = protocol;
    frame[22] = 0xFE;
    frame[23] = 0x80;
    frame[37] = 9;
    if (protocol == 58) {
        put_be16(frame + 18, (uint16_t)length);
        memcpy(frame + 54, request, length);
        return 54 + length;
    }
    put_be16(frame + 18, (uint16_t)(8 + length));
    put_be16(frame + 54, 546);
    put_be16(frame + 56, to);
    put_be16(frame + 58, (uint16_t)(8 + length));
    memcpy(frame + 62, request, length);
    return 62 + length;
}

static void assert_sum6(size_t count, uint8_t protocol)
{
    assert_int_equal(get_be16(reply + 18), count - 54);
    assert_int_equal(
        net_fold(net_sum(reply + 54, count - 54, net_sum(reply + 22, 32, protocol + (uint32_t)count - 54))), 0);
}

static void a_frame_of_dhcp(void **state)
{
    int count;

    (void)state;
    begin(DISCOVER);
    count = answer_frame(&fake_lease, frame, wrap4(), reply);
    assert_in_range(count, 342, NET_ANSWER_MAX);
    assert_memory_equal(reply, fake_lease.guest_mac, 6);
    assert_memory_equal(reply + 6, fake_lease.gateway_mac, 6);
    assert_int_equal(net_fold(net_sum(reply + 14, 20, 0)), 0);
    assert_memory_equal(reply + 26, fake_lease.gateway, 4);
    assert_memory_equal(reply + 30, fake_lease.guest, 4);
    assert_int_equal(get_be16(reply + 34), 67);
    assert_int_equal(get_be16(reply + 36), 68);
    assert_int_equal(
        net_fold(net_sum(reply + 34, (size_t)count - 34, net_sum(reply + 26, 8, 17 + (uint32_t)count - 34))), 0);
    begin(RELEASE);
    assert_int_equal(answer_frame(&fake_lease, frame, wrap4(), reply), 0);
}

static void frames_for_the_network(void **state)
{
    size_t count;

    (void)state;
    begin(DISCOVER);
    count = wrap4();
    frame[37] = 68; /* another port */
    assert_int_equal(answer_frame(&fake_lease, frame, count, reply), -1);
    count = wrap4();
    frame[20] = 0x20; /* a fragment */
    assert_int_equal(answer_frame(&fake_lease, frame, count, reply), -1);
    count = wrap4();
    frame[23] = 6; /* TCP */
    assert_int_equal(answer_frame(&fake_lease, frame, count, reply), -1);
    count = wrap4();
    frame[12] = 0x81; /* VLAN */
    assert_int_equal(answer_frame(&fake_lease, frame, count, reply), -1);
    for (size_t cut = 14; cut < count - 1; cut++) { /* shorter than it says */
        uint8_t *copy = malloc(cut);

        wrap4();
        memcpy(copy, frame, cut);
        assert_int_equal(answer_frame(&fake_lease, copy, cut, reply), -1);
        free(copy);
    }
}

static void frames_of_ipv6(void **state)
{
    struct lease four = fake_lease;
    int count;

    (void)state;
    four.six = false;
    begin6(1, false);
    count = answer_frame(&fake_lease, frame, wrap6(17, 547), reply);
    assert_true(count > 62);
    assert_memory_equal(reply + 22, fake_lease.router6, 16);
    assert_memory_equal(reply + 38, frame + 22, 16);
    assert_int_equal(get_be16(reply + 54), 547);
    assert_int_equal(get_be16(reply + 56), 546);
    assert_sum6((size_t)count, 17);
    assert_int_equal(answer_frame(&four, frame, wrap6(17, 547), reply), -1);
    assert_int_equal(answer_frame(&fake_lease, frame, wrap6(17, 548), reply), -1);
    memset(request, 0, 8);
    request[0] = 133;
    length = 8;
    count = answer_frame(&fake_lease, frame, wrap6(58, 0), reply);
    assert_int_equal(count, 54 + 16 + 8 + 8 + 32 + 24);
    assert_int_equal(reply[21], 255);
    assert_int_equal(reply[54], 134);
    assert_sum6((size_t)count, 58);
    length = 7;
    assert_int_equal(answer_frame(&fake_lease, frame, wrap6(58, 0), reply), -1);
    assert_int_equal(answer_frame(&four, frame, wrap6(58, 0), reply), -1);
    request[0] = 135;
    length = 8;
    assert_int_equal(answer_frame(&fake_lease, frame, wrap6(58, 0), reply), -1);
    assert_int_equal(answer_announce(&four, reply), 0);
}

static void an_advertisement(void **state)
{
    uint8_t message[256];
    size_t count = router_advertise(&fake_lease, message);

    (void)state;
    assert_int_equal(count, 16 + 8 + 8 + 32 + 24);
    assert_int_equal(message[5], 0xC0);
    assert_int_equal(get_be16(message + 6), 1800);
    for (size_t at = 16; at < count; at += message[at + 1] * 8U) {
        const uint8_t *what = message + at;

        assert_int_not_equal(what[1], 0);
        switch (what[0]) {
        case 1:
            assert_memory_equal(what + 2, fake_lease.gateway_mac, 6);
            break;
        case 3:
            assert_int_equal(what[2], 64);
            assert_int_equal(what[3], 0x80);
            assert_memory_equal(what + 16, fake_lease.prefix6, 16);
            break;
        case 5:
            assert_int_equal(get_be32(what + 4), 1400);
            break;
        default:
            assert_int_equal(what[0], 25);
            assert_memory_equal(what + 8, fake_lease.gateway6, 16);
        }
    }
}

/* Any bytes at all in frames that look right at their beginning; the sanitizers watch. */
static void random_frames(void **state)
{
    unsigned seed = 1;

    (void)state;
    for (unsigned round = 0; round < 200000; round++) {
        size_t count = 14 + (size_t)rand_r(&seed) % 400;
        uint8_t *copy = malloc(count);
        int result;

        begin6((uint8_t)(rand_r(&seed) % 12), round & 8);
        if (round & 1)
            begin((uint8_t)(rand_r(&seed) % 9));
        round & 1 ? wrap4() : wrap6(round & 2 ? 17 : 58, 547);
        memcpy(copy, frame, count);
        for (unsigned n = 0; n < 4; n++)
            copy[(size_t)rand_r(&seed) % count] = (uint8_t)rand_r(&seed);
        result = answer_frame(&fake_lease, copy, count, reply);
        assert_in_range(result + 1, 0, NET_ANSWER_MAX + 1);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(discover_and_request),
        cmocka_unit_test(every_kind_of_request),
        cmocka_unit_test(inform_gets_no_lease),
        cmocka_unit_test(what_is_not_answered),
        cmocka_unit_test(cut_messages),
        cmocka_unit_test(a_long_name_and_a_long_identifier),
        cmocka_unit_test(an_address_by_dhcp6),
        cmocka_unit_test(other_messages_of_dhcp6),
        cmocka_unit_test(greedy_clients_of_dhcp6),
        cmocka_unit_test(cut_messages_of_dhcp6),
        cmocka_unit_test(a_frame_of_dhcp),
        cmocka_unit_test(frames_for_the_network),
        cmocka_unit_test(frames_of_ipv6),
        cmocka_unit_test(an_advertisement),
        cmocka_unit_test(random_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
