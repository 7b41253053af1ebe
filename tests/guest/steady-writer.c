/*
 * Writes to a disk for as long as the machine lives, and says which writes were completed.
 *
 *     steady-writer DEVICE BOOT
 *
 * Four processes each write 4 KiB blocks to a quarter of the disk. Write n of process p in boot b goes to a block that
 * (b, p, n) decides, and each of its sectors names all three, so that a reader can tell which write it holds and
 * whether it is whole. After each GROUP writes a line "DONE p n" says that those up to n are completed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fs.h>

#define PROCESSES 4
#define GROUP 16
#define BLOCK 4096

/* The same in the test that reads the image. */
static uint32_t choose(uint32_t boot, uint32_t process, uint32_t number, uint32_t blocks)
{
    return (boot * 40503U + process * 9973U + number * 2654435761U) % blocks;
}

static void write_on(int fd, uint32_t boot, uint32_t process, uint32_t blocks)
{
    uint32_t *data = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (uint32_t number = 1;; number++) {
        uint32_t block = process * blocks + choose(boot, process, number, blocks);

        for (unsigned n = 0; n < BLOCK / 4; n += 4) {
            data[n] = boot;
            data[n + 1] = process;
            data[n + 2] = number;
            data[n + 3] = block;
        }
        if (pwrite(fd, data, BLOCK, (off_t)block * BLOCK) != BLOCK) {
            perror("steady-writer: write");
            exit(1);
        }
        if (number % GROUP == 0) {
            char line[64];
            int length = snprintf(line, sizeof line, "DONE %u %u\n", process, number);

            if (write(STDOUT_FILENO, line, (size_t)length) != length)
                exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t size = 0;
    int fd = argc == 3 ? open(argv[1], O_RDWR | O_DIRECT) : -1;

    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0 || size < PROCESSES * BLOCK) {
        fprintf(stderr, "usage: steady-writer DEVICE BOOT\n");
        return 2;
    }
    for (uint32_t process = 0; process < PROCESSES; process++)
        if (fork() == 0)
            write_on(fd, (uint32_t)atoi(argv[2]), process, (uint32_t)(size / BLOCK / PROCESSES));
    while (wait(NULL) > 0)
        ;
    return 1;
}
