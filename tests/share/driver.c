/*
 * Shares a folder on a port of 127.0.0.1, for clients that only know such. Prints the port, and ends when its standard
 * input does.
 * usage: driver FOLDER [readonly]
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../vmm/share/share.h"

int main(int count, char **arguments)
{
    const struct share_options options = {
        .folder = count > 1 ? arguments[1] : ".", .name = "share", .read_only = count > 2};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct pollfd pollers[] = {{.fd = listener, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    struct share *share;
    struct error error;

    if (share_create(&options, &share, &error) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 64) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0) {
        perror("driver");
        return 1;
    }
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    while (poll(pollers, 2, -1) > 0 && !pollers[1].revents)
        share_serve(share, accept(listener, NULL, NULL));
    share_destroy(share);
    close(listener);
    return 0;
}
