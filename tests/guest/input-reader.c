/*
 * Says what an input device sends, without losing any of it to a slow serial line.
 *
 *     input-reader NAME DEVICE
 *
 * Prints "NAME-LISTENS", then, whenever the device has been still for a while, all that came as one line:
 * "NAME CODE=VALUE CODE=VALUE ...", with CODE as EV_TYPE/CODE in decimal ("1/30=1": KEY_A down). What the kernel had to
 * drop is "dropped". Ends never.
 */
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STILL_MS 400
#define TEXT_SIZE 65536

int main(int argc, char **argv)
{
    const struct sched_param first = {.sched_priority = 50};
    static char text[TEXT_SIZE];
    struct input_event event;
    int fd = argc == 3 ? open(argv[2], O_RDONLY) : -1;
    size_t used = 0;

    if (fd < 0) {
        fprintf(stderr, "usage: input-reader NAME DEVICE\n");
        return 2;
    }
    sched_setscheduler(0, SCHED_FIFO, &first); /* the kernel keeps few events for a slow reader */
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s-LISTENS\n", argv[1]);
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};

        if (poll(&ready, 1, used ? STILL_MS : -1) == 0 || used > sizeof text - 64) {
            printf("%s%s\n", argv[1], text);
            used = 0;
            continue;
        }
        if (read(fd, &event, sizeof event) != sizeof event)
            return 1;
        if (event.type == EV_SYN && event.code == SYN_DROPPED)
            used += (size_t)snprintf(text + used, sizeof text - used, " dropped");
        else if (event.type == EV_KEY || event.type == EV_ABS || event.type == EV_REL)
            used += (size_t)snprintf(text + used, sizeof text - used, " %d/%d=%d", event.type, event.code, event.value);
    }
}
