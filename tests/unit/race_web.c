/* The server's thread against the main loop's: operations that go over and come back while connections come and go, and
 * the end in the middle of it. */
#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "fake_client.h"
#include "fake_machine.h"

#include "../../vmm/viewer/web.h"

#define ROUNDS 8
#define REQUESTS 40
#define RESET "POST /api/v1/power/reset HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
#define STATUS "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"

static struct fake_machine machine;
static uint16_t port;

/* Half of them do not wait for the answer. */
static void *client_main(void *opaque)
{
    char byte;

    for (unsigned n = 0; n < REQUESTS; n++) {
        const struct sockaddr_in address = {
            .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        const char *request = n % 3 ? RESET : STATUS;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
            close(fd);
            break; /* the server has ended */
        }
        client_send(fd, request, strlen(request));
        if ((n & 1) || opaque)
            (void)!recv(fd, &byte, 1, 0);
        close(fd);
    }
    return NULL;
}

static void operations_race_with_the_end(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct web_options options = {.ops = &fake_machine_ops,
                                      .machine = &machine,
                                      .control = -1,
                                      .cookie = "test",
                                      .access = {.mode = ACCESS_OPEN, .name = "box"}};
        struct sockaddr_in address = {0};
        socklen_t size = sizeof address;
        struct web *web = NULL;
        struct error error;
        pthread_t clients[2];
        int first;

        fake_machine_create(&machine);
        options.main_loop = loop_create("main");
        options.listener = web_listen("--web", "127.0.0.1", 0, &error);
        assert_int_equal(getsockname(options.listener, (struct sockaddr *)&address, &size), 0);
        port = ntohs(address.sin_port);
        assert_int_equal(web_create(&options, &web, &error), 0);
        assert_int_equal(loop_start(options.main_loop), 0);
        first = client_dial(port);
        assert_int_equal(client_ask(first, RESET), 204);
        close(first);
        for (unsigned n = 0; n < 2; n++)
            assert_int_equal(pthread_create(&clients[n], NULL, client_main, n ? &machine : NULL), 0);
        while (fake_machine_calls(&machine) < 5 + 5 * round)
            ;
        loop_stop(options.main_loop);
        web_destroy(web);
        for (unsigned n = 0; n < 2; n++)
            pthread_join(clients[n], NULL);
        loop_destroy(options.main_loop);
        fake_machine_destroy(&machine);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(operations_race_with_the_end)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
