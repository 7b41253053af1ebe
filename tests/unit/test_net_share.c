/* The way from a guest's frames to the shared folder: ARP and TCP to NET_SHARE_ADDRESS, by hand. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../vmm/share/share.h"
#include "casement/bytes.h"
#include "casement/net.h"
#include "casement/net_offload.h"
#include "cmocka_all.h"

#define GUEST_PORT 40000
#define FIRST_SEQUENCE 1000U

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 1, 2, 3}, guest_ip[4] = {10, 0, 2, 15};

static struct guest {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    uint8_t peer_mac[6], peer_ip[4];
    bool resolved, connected, reset;
    uint32_t sequence, expected; /* ours, and of the peer's next byte */
    char text[4096];
    size_t text_used;
} guest = {.lock = PTHREAD_MUTEX_INITIALIZER, .arrived = PTHREAD_COND_INITIALIZER};

static struct loop *loop;
static struct net_backend *backend;

struct frame {
    uint8_t bytes[1514];
    size_t length;
};

static void send_now(void *opaque)
{
    const struct frame *frame = opaque;

    backend->ops->send(backend, net_vnet_finished, frame->bytes, frame->length);
}

static uint16_t checksum(const uint8_t *at, size_t length, uint32_t sum)
{
    for (size_t n = 0; n < length; n++)
        sum += n % 2 ? at[n] : (uint32_t)at[n] << 8;
    while (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~sum;
}

static void send_arp(void)
{
    struct frame frame = {.length = 42};
    uint8_t *arp = frame.bytes + 14;

    memset(frame.bytes, 0xFF, 6);
    memcpy(frame.bytes + 6, guest_mac, 6);
    put_be16(frame.bytes + 12, 0x0806);
    put_be16(arp, 1);
    put_be16(arp + 2, 0x0800);
    arp[4] = 6;
    arp[5] = 4;
    put_be16(arp + 6, 1);
    memcpy(arp + 8, guest_mac, 6);
    memcpy(arp + 14, guest_ip, 4);
    memcpy(arp + 24, guest.peer_ip, 4);
    loop_call(loop, send_now, &frame);
}

static void send_segment(unsigned flags, const char *text, size_t size)
{
    struct frame frame = {.length = 54 + size};
    uint8_t *ip = frame.bytes + 14, *tcp = ip + 20;
    uint32_t pseudo = 6 + 20 + (uint32_t)size;

    pthread_mutex_lock(&guest.lock);
    memcpy(frame.bytes, guest.peer_mac, 6);
    memcpy(frame.bytes + 6, guest_mac, 6);
    put_be16(frame.bytes + 12, 0x0800);
    ip[0] = 0x45;
    put_be16(ip + 2, (uint16_t)(40 + size));
    ip[8] = 64;
    ip[9] = 6;
    memcpy(ip + 12, guest_ip, 4);
    memcpy(ip + 16, guest.peer_ip, 4);
    put_be16(ip + 10, checksum(ip, 20, 0));
    put_be16(tcp, GUEST_PORT);
    put_be16(tcp + 2, NET_SHARE_PORT);
    put_be32(tcp + 4, guest.sequence);
    put_be32(tcp + 8, guest.expected);
    tcp[12] = 5 << 4;
    tcp[13] = (uint8_t)flags;
    put_be16(tcp + 14, 8192);
    memcpy(tcp + 20, text, size);
    for (unsigned n = 0; n < 8; n += 2)
        pseudo += get_be16(ip + 12 + n);
    put_be16(tcp + 16, checksum(tcp, 20 + size, pseudo));
    guest.sequence += (uint32_t)size + (flags & SYN ? 1 : 0);
    pthread_mutex_unlock(&guest.lock);
    loop_call(loop, send_now, &frame);
}

static void take_segment(const uint8_t *ip)
{
    const uint8_t *tcp = ip + (ip[0] & 15) * 4, *data = tcp + (tcp[12] >> 4) * 4;
    size_t size = (size_t)(ip + get_be16(ip + 2) - data);

    if (tcp[13] & RST)
        guest.reset = true;
    if ((tcp[13] & (SYN | ACK)) == (SYN | ACK)) {
        guest.expected = get_be32(tcp + 4) + 1;
        guest.connected = true;
    } else if (get_be32(tcp + 4) == guest.expected && size < sizeof guest.text - guest.text_used) {
        memcpy(guest.text + guest.text_used, data, size);
        guest.text_used += size;
        guest.expected += (uint32_t)size;
    }
}

static bool receive(void *opaque, const uint8_t *header, const uint8_t *frame, size_t length)
{
    (void)header;
    (void)opaque;
    pthread_mutex_lock(&guest.lock);
    if (length >= 42 && get_be16(frame + 12) == 0x0806 && get_be16(frame + 20) == 2 &&
        !memcmp(frame + 28, guest.peer_ip, 4)) {
        memcpy(guest.peer_mac, frame + 22, 6);
        guest.resolved = true;
    } else if (length >= 54 && get_be16(frame + 12) == 0x0800 && frame[23] == 6) {
        take_segment(frame + 14);
    }
    pthread_cond_broadcast(&guest.arrived);
    pthread_mutex_unlock(&guest.lock);
    return true;
}

static void wait_for(const bool *flag, const char *text)
{
    pthread_mutex_lock(&guest.lock);
    while (!guest.reset && !(flag ? *flag : strstr(guest.text, text) != NULL))
        pthread_cond_wait(&guest.arrived, &guest.lock);
    pthread_mutex_unlock(&guest.lock);
    assert_false(guest.reset);
}

static void detach(void *opaque)
{
    (void)opaque;
    backend->ops->detach(backend);
}

static void a_guest_reaches_the_folder_and_needs_no_port_of_the_host(void **state)
{
    static const char request[] = "OPTIONS / HTTP/1.1\r\nHost: " NET_SHARE_ADDRESS "\r\n\r\n";
    const struct net_card card = {.receive = receive};
    char folder[] = "/tmp/casement-net-XXXXXX", socket[64];
    struct share_options options = {.folder = folder, .name = "share", .socket = socket};
    /* Even without a way out. */
    const struct net_user_options network = {.share_sockets = {socket}, .restricted = true};
    struct share *share = NULL;
    struct error error = {""};
    struct stat info;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(socket, sizeof socket, "%s.sock", folder);
    assert_int_equal(share_create(&options, &share, &error), 0);
    assert_int_equal(stat(socket, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(net_user_create(&network, &backend, &error), 0);
    loop = loop_create("net");
    assert_non_null(loop);
    assert_int_equal(backend->ops->attach(backend, loop, &card), 0);
    assert_int_equal(loop_start(loop), 0);

    assert_int_equal(inet_pton(AF_INET, NET_SHARE_ADDRESS, guest.peer_ip), 1);
    guest.sequence = FIRST_SEQUENCE;
    send_arp();
    wait_for(&guest.resolved, NULL);
    send_segment(SYN, "", 0);
    wait_for(&guest.connected, NULL);
    send_segment(ACK | PSH, request, sizeof request - 1);
    wait_for(NULL, "\r\nDAV: 1, 2\r\n");

    loop_call(loop, detach, NULL);
    loop_stop(loop);
    backend->ops->destroy(backend);
    loop_destroy(loop);
    share_destroy(share);
    assert_int_equal(stat(socket, &info), -1);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_reaches_the_folder_and_needs_no_port_of_the_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
