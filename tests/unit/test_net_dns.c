/* The DNS relay: what it takes for a question and an answer, and how it asks, by UDP and TCP, on 127.0.0.1. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"

#include "../../vmm/network/dns.h"
#include "../../vmm/network/dns_message.h"

#define LIMIT_MS 60000 /* for what comes at once on a quiet machine */
#define MILLISECOND_NS INT64_C(1000000)
#define HOUR_NS (3600000 * MILLISECOND_NS)

/* A question for a.b, type A; its answer has the same question. */
static const uint8_t question[21] = {0x12, 0x34, 1, 0, 0, 1, [12] = 1, 'a', 1, 'b', 0, 0, 1, 0, 1};

static void what_is_a_question(void **state)
{
    uint8_t copy[64];

    (void)state;
    assert_true(dns_is_query(question, sizeof question));
    for (size_t cut = 0; cut < sizeof question; cut++) {
        uint8_t *short_one = malloc(cut + 1);

        memcpy(short_one + 1, question, cut);
        assert_false(dns_is_query(short_one + 1, cut));
        free(short_one);
    }
    memcpy(copy, question, sizeof question);
    copy[2] |= 0x80; /* an answer */
    assert_false(dns_is_query(copy, sizeof question));
    memcpy(copy, question, sizeof question);
    copy[5] = 2; /* two questions */
    assert_false(dns_is_query(copy, sizeof question));
    memcpy(copy, question, sizeof question);
    copy[12] = 0xC0; /* a compressed name */
    assert_false(dns_is_query(copy, sizeof question));
}

static void what_is_an_answer(void **state)
{
    uint8_t answer[64];

    (void)state;
    memcpy(answer, question, sizeof question);
    answer[2] |= 0x80;
    assert_true(dns_answers(answer, sizeof question, question, sizeof question));
    assert_true(dns_answers(answer, sizeof answer, question, sizeof question));
    assert_false(dns_answers(answer, sizeof question - 1, question, sizeof question));
    assert_false(dns_answers(answer, 11, question, sizeof question));
    assert_false(dns_answers(question, sizeof question, question, sizeof question));
    answer[1] ^= 1; /* another id */
    assert_false(dns_answers(answer, sizeof question, question, sizeof question));
    answer[1] ^= 1;
    answer[13] = 'c'; /* another name */
    assert_false(dns_answers(answer, sizeof question, question, sizeof question));
    answer[5] = 0; /* no question at all is for an error */
    assert_false(dns_answers(answer, sizeof question, question, sizeof question));
    answer[3] = 1;
    assert_true(dns_answers(answer, 12, question, sizeof question));
}

static void random_messages(void **state)
{
    unsigned seed = 7;

    (void)state;
    for (unsigned round = 0; round < 200000; round++) {
        size_t length = (size_t)rand_r(&seed) % 64;
        uint8_t *message = malloc(length + 1);

        memcpy(message, question, MIN(length, sizeof question));
        for (unsigned n = 0; n < 3 && length; n++)
            message[(size_t)rand_r(&seed) % length] = (uint8_t)rand_r(&seed);
        for (size_t n = sizeof question; n < length; n++)
            message[n] = (uint8_t)rand_r(&seed);
        if (dns_is_query(message, length)) {
            dns_answers(question, sizeof question, message, length);
            assert_in_range(dns_make_failure(message, length), 12, length);
        }
        dns_answers(message, length, question, sizeof question);
        free(message);
    }
}

static void name_servers_of_a_file(void **state)
{
    static const char text[] = "# nameserver 9.9.9.9\nsearch example.org\nnameserver 127.0.0.11\nnameserver nonsense\n"
                               "nameserver fd00::1 # second\nnameserver\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n";
    char path[] = "/tmp/resolv.XXXXXX", shown[INET6_ADDRSTRLEN];
    struct name_server servers[NAME_SERVERS];
    int fd = mkstemp(path);

    (void)state;
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    assert_int_equal(name_servers_read(path, servers), 3);
    unlink(path);
    assert_string_equal(inet_ntop(AF_INET, &((struct sockaddr_in *)&servers[0].address)->sin_addr, shown, sizeof shown),
                        "127.0.0.11");
    assert_int_equal(ntohs(((struct sockaddr_in *)&servers[0].address)->sin_port), 53);
    assert_int_equal(servers[1].address.ss_family, AF_INET6);
    assert_string_equal(inet_ntop(AF_INET, &((struct sockaddr_in *)&servers[2].address)->sin_addr, shown, sizeof shown),
                        "10.0.0.1");
    assert_int_equal(name_servers_read("/nowhere/resolv.conf", servers), 0);
}

/* The relay with two name servers, of which this test is both, and the guest as well. */
struct bench {
    struct dns *dns;
    struct loop *loop;
    struct sockaddr_in relay;
    struct name_server servers[2];
    int server[2], listener, guest;
};

/* A socket on an address of this process's own, where no other's connection has the port; where it is told. */
static int bound(int type, struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    struct timeval limit = {LIMIT_MS / 1000, 0};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    *address = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(0x7F000000 | ((uint32_t)getpid() & 0xFFFFFF))};
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static int start(void **state, int64_t patience_ns)
{
    static struct bench bench;
    struct dns_options options = {.address = &bench.relay, .servers = bench.servers, .server_count = 2};
    struct sockaddr_in address;
    struct error error;
    int free_port;

    bench = (struct bench){.loop = loop_create("dns")};
    for (unsigned n = 0; n < 2; n++) {
        bench.server[n] = bound(SOCK_DGRAM, &address);
        memcpy(&bench.servers[n].address, &address, sizeof address);
        bench.servers[n].length = sizeof address;
    }
    /* The second one speaks TCP as well; nobody does at the first one's port. */
    bench.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(bench.listener, (struct sockaddr *)&bench.servers[1].address, bench.servers[1].length), 0);
    assert_int_equal(listen(bench.listener, 16), 0);
    free_port = bound(SOCK_STREAM, &bench.relay);
    close(free_port);
    options.patience_ns = patience_ns;
    assert_int_equal(dns_create(&options, &bench.dns, &error), 0);
    dns_attach(bench.dns, bench.loop);
    assert_int_equal(loop_start(bench.loop), 0);
    bench.guest = bound(SOCK_DGRAM, &address);
    assert_int_equal(connect(bench.guest, (struct sockaddr *)&bench.relay, sizeof bench.relay), 0);
    *state = &bench;
    return 0;
}

/* No server is given up while a test is slow. */
static int setup(void **state)
{
    return start(state, HOUR_NS);
}

static int setup_impatient(void **state)
{
    return start(state, 50 * MILLISECOND_NS);
}

static int teardown(void **state)
{
    struct bench *bench = *state;

    loop_stop(bench->loop);
    dns_destroy(bench->dns);
    loop_destroy(bench->loop);
    close(bench->guest);
    close(bench->listener);
    close(bench->server[0]);
    close(bench->server[1]);
    return 0;
}

/* The next question at a server, and who asks it. */
static size_t take(int server, uint8_t *message, struct sockaddr_in *from)
{
    socklen_t size = sizeof *from;
    ssize_t count = recvfrom(server, message, 2048, 0, (struct sockaddr *)from, &size);

    assert_int_equal(count, sizeof question);
    assert_memory_equal(message + 2, question + 2, sizeof question - 2);
    return (size_t)count;
}

static void a_question_and_its_answer(void **state)
{
    const struct bench *bench = *state;
    uint8_t message[2048], answer[2048];
    struct sockaddr_in from;

    send(bench->guest, question, sizeof question, 0);
    take(bench->server[0], message, &from);
    message[2] |= 0x80;
    message[sizeof question] = 77;
    assert_int_equal(sendto(bench->server[0], message, 1400, 0, (struct sockaddr *)&from, sizeof from), 1400);
    assert_int_equal(recv(bench->guest, answer, sizeof answer, 0), 1400);
    assert_memory_equal(answer, question, 2);
    assert_int_equal(answer[sizeof question], 77);
}

/* Wrong ids, wrong names and strangers are passed over; the right answer still comes. */
static void answers_that_are_none(void **state)
{
    const struct bench *bench = *state;
    uint8_t message[2048], wrong[2048];
    struct sockaddr_in from, other;
    int stranger = bound(SOCK_DGRAM, &other);

    send(bench->guest, question, sizeof question, 0);
    take(bench->server[0], message, &from);
    message[2] |= 0x80;
    memcpy(wrong, message, sizeof question);
    wrong[0] ^= 1;
    sendto(bench->server[0], wrong, sizeof question, 0, (struct sockaddr *)&from, sizeof from);
    wrong[0] ^= 1;
    wrong[13] = 'z';
    sendto(bench->server[0], wrong, sizeof question, 0, (struct sockaddr *)&from, sizeof from);
    message[20] = 1;
    sendto(stranger, message, sizeof question, 0, (struct sockaddr *)&from, sizeof from);
    message[3] = 5;
    sendto(bench->server[0], message, sizeof question, 0, (struct sockaddr *)&from, sizeof from);
    assert_int_equal(recv(bench->guest, wrong, sizeof wrong, 0), sizeof question);
    assert_int_equal(wrong[3], 5);
    assert_memory_equal(wrong, question, 2);
    close(stranger);
}

/* The second one may be given up as well while this test is slow, and then it is asked again. */
static void a_silent_server_and_then_another(void **state)
{
    const struct bench *bench = *state;
    uint8_t first[2048], second[2048], answer[2048] = {0};
    struct sockaddr_in from = {0}, from_second = {0};

    while (answer[3] != 3) {
        send(bench->guest, question, sizeof question, 0);
        take(bench->server[0], first, &from);
        take(bench->server[1], second, &from_second);
        assert_true(from.sin_port != from_second.sin_port || memcmp(first, second, 2) != 0);
        second[2] |= 0x80;
        second[3] = 3;
        sendto(bench->server[1], second, sizeof question, 0, (struct sockaddr *)&from_second, sizeof from_second);
        assert_int_equal(recv(bench->guest, answer, sizeof answer, 0), sizeof question);
        assert_memory_equal(answer, question, 2);
    }
}

static void nobody_answers(void **state)
{
    const struct bench *bench = *state;
    uint8_t answer[2048];

    send(bench->guest, question, sizeof question, 0);
    assert_int_equal(recv(bench->guest, answer, sizeof answer, 0), sizeof question);
    assert_memory_equal(answer, question, 2);
    assert_int_equal(answer[2] & 0x80, 0x80);
    assert_int_equal(answer[3], 0x82);
}

static void nothing(void *opaque)
{
    (void)opaque;
}

/* Until the relay has seen all that was sent to it: it does a part in each round. */
static void let_it_work(const struct bench *bench)
{
    for (unsigned n = 0; n < 1000; n++)
        loop_call(bench->loop, nothing, NULL);
}

/* So many are in flight and no more, and each that is answered makes room. */
static void a_flood_of_questions(void **state)
{
    const struct bench *bench = *state;
    uint8_t message[2048];
    struct sockaddr_in from;

    for (unsigned n = 0; n < 10 * DNS_QUERIES; n++)
        send(bench->guest, question, sizeof question, 0);
    for (unsigned n = 0; n < DNS_QUERIES; n++)
        take(bench->server[0], message, &from);
    let_it_work(bench);
    assert_int_equal(recv(bench->server[0], message, sizeof message, MSG_DONTWAIT), -1);
    send(bench->guest, question, sizeof question, 0);
    let_it_work(bench);
    assert_int_equal(recv(bench->server[0], message, sizeof message, MSG_DONTWAIT), -1);
    message[2] |= 0x80;
    sendto(bench->server[0], message, sizeof question, 0, (struct sockaddr *)&from, sizeof from);
    assert_int_equal(recv(bench->guest, message, sizeof message, 0), sizeof question);
    send(bench->guest, question, sizeof question, 0);
    take(bench->server[0], message, &from);
}

static int dial(const struct bench *bench)
{
    struct timeval limit = {LIMIT_MS / 1000, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (const struct sockaddr *)&bench->relay, sizeof bench->relay), 0);
    return fd;
}

/* Much more than the buffers hold, in both directions; the first server refuses. */
static void a_connection(void **state)
{
    const struct bench *bench = *state;
    static uint8_t sent[100000], got[sizeof sent];
    int guest = dial(bench), server = accept4(bench->listener, NULL, NULL, SOCK_CLOEXEC);

    for (size_t n = 0; n < sizeof sent; n++)
        sent[n] = (uint8_t)(n * 31 >> 3);
    assert_true(server >= 0);
    assert_int_equal(send(guest, sent, sizeof sent, 0), sizeof sent);
    shutdown(guest, SHUT_WR);
    assert_int_equal(recv(server, got, sizeof got, MSG_WAITALL), sizeof got);
    assert_memory_equal(got, sent, sizeof got);
    assert_int_equal(recv(server, got, 1, 0), 0);
    assert_int_equal(send(server, sent, sizeof sent, 0), sizeof sent);
    close(server);
    memset(got, 0, sizeof got);
    assert_int_equal(recv(guest, got, sizeof got, MSG_WAITALL), sizeof got);
    assert_memory_equal(got, sent, sizeof got);
    assert_int_equal(recv(guest, got, 1, 0), 0);
    close(guest);
}

/* So many at a time; the next one comes when one goes. */
static void many_connections(void **state)
{
    const struct bench *bench = *state;
    int guests[DNS_STREAMS + 1], servers[DNS_STREAMS + 1];
    char byte;

    for (unsigned n = 0; n < DNS_STREAMS; n++) {
        guests[n] = dial(bench);
        servers[n] = accept4(bench->listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(servers[n] >= 0);
    }
    guests[DNS_STREAMS] = dial(bench);
    let_it_work(bench);
    assert_int_equal(poll(&(struct pollfd){.fd = bench->listener, .events = POLLIN}, 1, 0), 0);
    close(guests[0]);
    assert_int_equal(recv(servers[0], &byte, 1, 0), 0);
    close(servers[0]);
    servers[DNS_STREAMS] = accept4(bench->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(servers[DNS_STREAMS] >= 0);
    for (unsigned n = 1; n <= DNS_STREAMS; n++) {
        close(guests[n]);
        close(servers[n]);
    }
}

static void the_port_is_taken(void **state)
{
    const struct bench *bench = *state;
    const struct dns_options options = {.address = &bench->relay};
    struct dns *second;
    struct error error;

    assert_int_equal(dns_create(&options, &second, &error), -EADDRINUSE);
    assert_non_null(strstr(error.text, "port 53"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_a_question),
        cmocka_unit_test(what_is_an_answer),
        cmocka_unit_test(random_messages),
        cmocka_unit_test(name_servers_of_a_file),
        cmocka_unit_test_setup_teardown(a_question_and_its_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_server_and_then_another, setup_impatient, teardown),
        cmocka_unit_test_setup_teardown(nobody_answers, setup_impatient, teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_questions, setup, teardown),
        cmocka_unit_test_setup_teardown(a_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(many_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(the_port_is_taken, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
