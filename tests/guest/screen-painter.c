/*
 * Draws on a bochs-display through its own BARs, with no driver in between, and goes on changing what it drew.
 *
 * usage: screen-painter FUNCTION WIDTH HEIGHT idle|text|video
 * FUNCTION: a folder of /sys/bus/pci/devices. text: lines scroll in a window, thirty times a second; video: all pixels
 * of a window of 640x360 change thirty times a second. Says PAINTING when the first picture stands.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define DISPI_AT 0x500
enum { XRES = 1, YRES, BPP, ENABLE, VIRT_WIDTH = 6 };
#define PERIOD_NS 33333333L
#define CELL_WIDTH 8
#define CELL_HEIGHT 16

static volatile uint32_t *screen;
static unsigned width, height;

static uint32_t noise(void)
{
    static uint32_t state = 1;

    state = state * 1664525 + 1013904223;
    return state >> 8;
}

static volatile void *map(const char *function, unsigned bar, size_t size)
{
    char path[256];
    void *memory;
    int fd;

    snprintf(path, sizeof path, "%s/resource%u", function, bar);
    fd = open(path, O_RDWR | O_CLOEXEC);
    memory = fd < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    return memory;
}

static void fill(unsigned left, unsigned top, unsigned right, unsigned bottom, uint32_t colour)
{
    for (unsigned y = top; y < bottom; y++)
        for (unsigned x = left; x < right; x++)
            screen[y * width + x] = colour;
}

/* Something that looks like a letter and is the same for the same number. */
static void letter(unsigned left, unsigned top, unsigned number)
{
    for (unsigned y = 0; y < CELL_HEIGHT; y++)
        for (unsigned x = 0; x < CELL_WIDTH; x++) {
            unsigned on = y > 2 && y < 14 && x < 7 && (number * 2654435761U >> (y / 2 * 4 + x / 2) % 31 & 1);

            screen[(top + y) * width + left + x] = on ? 0xD0D0D0 : 0x101018;
        }
}

/* Rows of letters; row n of the text stands in row n - first of the window. */
static void text(unsigned first)
{
    for (unsigned row = 0; row < 25; row++)
        for (unsigned column = 0; column < 80; column++)
            letter(64 + column * CELL_WIDTH, 64 + row * CELL_HEIGHT, (first + row) * 31 + column * (first + row) % 97);
}

static void video(unsigned frame)
{
    for (unsigned y = 0; y < 360; y++)
        for (unsigned x = 0; x < 640; x++)
            screen[(y + 64) * width + x + 64] = ((x + frame * 3) & 255) << 16 | ((y + frame) & 255) << 8 |
                                                (((x ^ y) + frame) & 255) | (noise() & 0x030303);
}

int main(int argc, char **argv)
{
    struct timespec next;
    volatile uint16_t *dispi;
    unsigned frame = 0;

    if (argc != 5)
        return 2;
    width = (unsigned)atoi(argv[2]);
    height = (unsigned)atoi(argv[3]);
    screen = map(argv[1], 0, (size_t)width * height * 4);
    dispi = (volatile uint16_t *)((volatile char *)map(argv[1], 2, 4096) + DISPI_AT);
    dispi[ENABLE] = 0;
    dispi[XRES] = (uint16_t)width;
    dispi[YRES] = (uint16_t)height;
    dispi[BPP] = 32;
    dispi[VIRT_WIDTH] = (uint16_t)width;
    dispi[ENABLE] = 0x41;
    fill(0, 0, width, height, 0x305070);
    text(0);
    puts("PAINTING");
    fflush(stdout);
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (;;) {
        next.tv_nsec += PERIOD_NS;
        if (next.tv_nsec >= 1000000000L) {
            next.tv_nsec -= 1000000000L;
            next.tv_sec++;
        }
        while (!strcmp(argv[4], "idle"))
            pause();
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        frame++;
        if (!strcmp(argv[4], "text"))
            text(frame);
        else
            video(frame);
        if (frame % 30 == 0) {
            printf("FRAME %u\n", frame);
            fflush(stdout);
        }
    }
}
