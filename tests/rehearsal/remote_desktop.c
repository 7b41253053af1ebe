/*
 * Stands for the remote desktop: whoever connects to port 3389 and asks for a connection (an X.224 request in a TPKT:
 * RFC 1006, RFC 905) gets it confirmed, with TLS, and nothing more. Others get no answer.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PORT = 3389, VERSION = 3, REQUEST = 0xE0, SHORTEST = 11, PATIENCE_S = 30 };

static void answer(int fd)
{
    static const uint8_t confirm[] = {3, 0, 0, 19, 14, 0xD0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 1, 0, 0, 0};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    uint8_t request[512];
    size_t length;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (recv(fd, request, 4, MSG_WAITALL) != 4 || request[0] != VERSION)
        return;
    length = (size_t)request[2] << 8 | request[3];
    if (length < SHORTEST || length > sizeof request ||
        recv(fd, request + 4, length - 4, MSG_WAITALL) != (ssize_t)length - 4 || request[5] != REQUEST)
        return;
    if (write(fd, confirm, sizeof confirm) == sizeof confirm)
        shutdown(fd, SHUT_WR);
    while (read(fd, request, sizeof request) > 0) /* until the other end has closed: the answer is not to be lost */
        ;
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 8) < 0)
        return 1;
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd >= 0 && fork() == 0) {
            answer(fd);
            return 0;
        }
        close(fd);
    }
}
