/*
 * Datagrams in a guest, IPv4 and IPv6.
 *
 *     udp-echo serve PORT NAME      answers each datagram with NAME and who sent it
 *     udp-echo ask ADDRESS PORT     prints what answers there; sends again each second, for a minute
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static int serve(const char *port, const char *name)
{
    const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET6, SOCK_DGRAM, 0), length;
    char text[256], who[INET6_ADDRSTRLEN];

    if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof any) < 0)
        return 2;
    for (;;) {
        struct sockaddr_in6 peer;
        socklen_t size = sizeof peer;

        if (recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&peer, &size) < 0)
            return 3;
        length = snprintf(text, sizeof text, "%s %s", name, inet_ntop(AF_INET6, &peer.sin6_addr, who, sizeof who));
        if (sendto(fd, text, (size_t)length, 0, (struct sockaddr *)&peer, size) < 0)
            perror("udp-echo: an answer");
    }
}

static int ask(const char *address, const char *port)
{
    const struct timeval second = {.tv_sec = 1};
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
    char text[256];
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);

    snprintf(text, sizeof text, "%s%s", strchr(address, ':') ? "" : "::ffff:", address);
    if (fd < 0 || inet_pton(AF_INET6, text, &to.sin6_addr) != 1 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second) < 0 ||
        connect(fd, (const struct sockaddr *)&to, sizeof to) < 0)
        return 3;
    for (unsigned n = 0; n < 60; n++) {
        ssize_t count = send(fd, "x", 1, 0) == 1 ? recv(fd, text, sizeof text, 0) : -1;

        if (count > 0) {
            printf("%.*s\n", (int)count, text);
            return 0;
        }
        /* A port that nobody has yet is refused at once. */
        usleep(100000);
    }
    puts("silent");
    return 1;
}

int main(int count, char **words)
{
    if (count == 4 && !strcmp(words[1], "serve"))
        return serve(words[2], words[3]);
    return count == 4 && !strcmp(words[1], "ask") ? ask(words[2], words[3]) : 9;
}
