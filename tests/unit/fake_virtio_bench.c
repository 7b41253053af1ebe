/* See fake_virtio_bench.h. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "cmocka_all.h"
#include "fake_virtio_bench.h"

uint64_t bench_get(struct bench *bench, uint64_t at, unsigned size)
{
    return fake_read(bench->fake, BUS_MMIO, at, size);
}

void bench_put(struct bench *bench, uint64_t at, unsigned size, uint64_t value)
{
    fake_write(bench->fake, BUS_MMIO, at, size, value);
}

void bench_poke(struct bench *bench, uint64_t at, unsigned size, uint64_t value)
{
    uint8_t bytes[8];

    put_le(bytes, size, value);
    assert_int_equal(memory_write(bench->fake->board.memory, at, bytes, size), 0);
}

uint64_t bench_peek(struct bench *bench, uint64_t at, unsigned size)
{
    uint8_t bytes[8];

    assert_int_equal(memory_read(bench->fake->board.memory, at, bytes, size), 0);
    return get_le(bytes, size);
}

void bench_place_window(struct bench *bench)
{
    fake_config_write(bench->fake, DEVFN, 0x14, 4, 0xC0000000); /* MSI-X */
    fake_config_write(bench->fake, DEVFN, 0x20, 4, (uint32_t)WINDOW);
    fake_config_write(bench->fake, DEVFN, 0x24, 4, WINDOW >> 32);
    fake_config_write(bench->fake, DEVFN, 0x04, 2, 6);
}

struct bench *bench_create_on(enum block_engine engine)
{
    static struct bench bench;
    struct virtio_block_options device = {.queues = 2, .slot = SLOT, .serial = "SERIAL"};
    struct block_options options = {.path = bench.path, .engine = engine};
    struct error error = {""};
    int fd;

    bench = (struct bench){.fake = fake_create(0)};
    assert_int_equal(pci_bus_create(&bench.fake->board, &bench.fake->board.pci), 0);
    strcpy(bench.path, "build/virtio-XXXXXX");
    fd = mkstemp(bench.path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    close(fd);
    assert_int_equal(block_open(&options, &bench.block, &error), 0);
    device.block = bench.block;
    assert_int_equal(virtio_block_create(&bench.fake->board, &device, &bench.virtio, &error), 0);
    bench_place_window(&bench);
    return &bench;
}

struct bench *bench_create(void)
{
    return bench_create_on(BLOCK_ENGINE_THREADS);
}

void bench_destroy(struct bench *bench)
{
    struct block *block = bench->block;

    fake_destroy(bench->fake);
    block_close(block);
    unlink(bench->path);
}

void bench_negotiate(struct bench *bench, uint32_t low)
{
    bench_put(bench, COMMON + STATUS, 1, 1);
    bench_put(bench, COMMON + STATUS, 1, 3);
    bench_put(bench, COMMON + D_SELECT, 4, 0);
    bench_put(bench, COMMON + D_BITS, 4, low);
    bench_put(bench, COMMON + D_SELECT, 4, 1);
    bench_put(bench, COMMON + D_BITS, 4, 1);
    bench_put(bench, COMMON + STATUS, 1, 11);
    assert_int_equal(bench_get(bench, COMMON + STATUS, 1), 11);
}

void bench_set_queue(struct bench *bench, uint64_t desc, uint64_t avail, uint64_t used)
{
    bench_put(bench, COMMON + Q_SELECT, 2, 0);
    bench_put(bench, COMMON + Q_SIZE, 2, SIZE);
    bench_put(bench, COMMON + 32, 4, (uint32_t)desc);
    bench_put(bench, COMMON + 36, 4, desc >> 32);
    bench_put(bench, COMMON + 40, 8, avail);
    bench_put(bench, COMMON + 48, 4, (uint32_t)used);
    bench_put(bench, COMMON + 52, 4, used >> 32);
    bench_put(bench, COMMON + Q_ENABLE, 2, 1);
}

void bench_start_with(struct bench *bench, uint32_t features)
{
    for (uint64_t at = DESC; at < USED + 0x1000; at += 8)
        bench_poke(bench, at, 8, 0);
    bench->avail = 0;
    bench_negotiate(bench, features);
    bench_set_queue(bench, DESC, AVAIL, USED);
    bench_put(bench, COMMON + STATUS, 1, 15);
    assert_int_equal(bench_get(bench, COMMON + STATUS, 1), 15);
}

void bench_start(struct bench *bench)
{
    bench_start_with(bench, 0);
}

void bench_describe(struct bench *bench, unsigned index, uint64_t address, uint32_t length, unsigned flags,
                    unsigned next)
{
    bench_poke(bench, DESC + index * 16, 8, address);
    bench_poke(bench, DESC + index * 16 + 8, 4, length);
    bench_poke(bench, DESC + index * 16 + 12, 2, flags);
    bench_poke(bench, DESC + index * 16 + 14, 2, next);
}

void bench_offer(struct bench *bench, unsigned head)
{
    bench_poke(bench, AVAIL + 4 + bench->avail % SIZE * 2, 2, head);
    bench_poke(bench, AVAIL + 2, 2, ++bench->avail);
    bench_put(bench, NOTIFY, 2, 0);
}

bool bench_wait_used(struct bench *bench, uint16_t count)
{
    for (unsigned n = 0; n < 20000; n++) {
        if (bench_peek(bench, USED + 2, 2) == count)
            return true;
        if (bench_get(bench, COMMON + STATUS, 1) & 64)
            return false;
        usleep(500);
    }
    fail_msg("the device neither used a chain nor broke");
    return false;
}

void bench_request(struct bench *bench, unsigned type, uint64_t sector, uint32_t length, bool writable)
{
    bench_poke(bench, DATA, 4, type);
    bench_poke(bench, DATA + 8, 8, sector);
    bench_poke(bench, DATA + 0x800, 1, 0xEE);
    bench_describe(bench, 0, DATA, 16, 1, length ? 1 : 2);
    bench_describe(bench, 1, DATA + 0x1000, length, 1 | (writable ? 2 : 0), 2);
    bench_describe(bench, 2, DATA + 0x800, 1, 2, 0);
    bench_offer(bench, 0);
}

unsigned bench_status_after(struct bench *bench)
{
    assert_true(bench_wait_used(bench, bench->avail));
    return (unsigned)bench_peek(bench, DATA + 0x800, 1);
}
