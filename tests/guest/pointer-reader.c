/*
 * Reads events of a pointer that knows absolute places, and says whether they are those that were sent.
 *
 *     pointer-reader DEVICE COUNT
 *
 * Event n (from 1) has x = n, y = 32767 - n, and the left button down when n is odd. What comes otherwise, or not, is
 * counted. Prints "POINTER count=N wrong=N dropped=N" when event COUNT has come.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/input.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const struct sched_param first = {.sched_priority = 50};
    struct input_event event;
    int fd = argc == 3 ? open(argv[1], O_RDONLY) : -1, count = argc == 3 ? atoi(argv[2]) : 0;
    int seen = 0, wrong = 0, dropped = 0, x = -1, y = -1, left = 0;

    if (fd < 0 || count <= 0) {
        fprintf(stderr, "usage: pointer-reader DEVICE COUNT\n");
        return 2;
    }
    sched_setscheduler(0, SCHED_FIFO, &first); /* the kernel keeps few events for a slow reader */
    printf("POINTER-LISTENS\n");
    fflush(stdout);
    while (read(fd, &event, sizeof event) == sizeof event) {
        if (event.type == EV_ABS && event.code == ABS_X)
            x = event.value;
        else if (event.type == EV_ABS && event.code == ABS_Y)
            y = event.value;
        else if (event.type == EV_KEY && event.code == BTN_LEFT)
            left = event.value;
        else if (event.type == EV_SYN && event.code == SYN_DROPPED)
            dropped++;
        else if (event.type == EV_SYN && event.code == SYN_REPORT) {
            seen++;
            wrong += x != seen || y != 32767 - seen || left != seen % 2;
            if (x == count)
                break;
        }
    }
    printf("POINTER count=%d wrong=%d dropped=%d\n", seen, wrong, dropped);
    return wrong || dropped;
}
