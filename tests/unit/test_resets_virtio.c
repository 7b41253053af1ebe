/* A virtio disk is reset under load (fake_resets.h), with both engines, raw and qcow2. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/image.h"
#include "casement/pci.h"
#include "casement/virtio.h"
#include "cmocka_all.h"
#include "fake_resets.h"
#include "fake_virtio.h"

#define HEADERS 0x40000U /* 32 bytes a slot: header, status at 16 */
#define DATA 0x100000U
#define ENTRIES 64U
#define IMAGE_SIZE (8 * MiB)

struct guest {
    struct fake *fake;
    uint16_t available, used;
};

static void put(struct guest *guest, uint64_t at, unsigned size, uint64_t value)
{
    fake_write(guest->fake, BUS_MMIO, at, size, value);
}

static uint8_t *ram(struct guest *guest, uint64_t at, size_t size)
{
    uint8_t *memory = memory_at(guest->fake->board.memory, at, size);

    assert_non_null(memory);
    return memory;
}

static void start(void *opaque)
{
    struct guest *guest = opaque;

    memset(ram(guest, VIRTIO_AVAIL, 0x1000), 0, 0x1000);
    memset(ram(guest, VIRTIO_USED, 0x1000), 0, 0x1000);
    guest->available = guest->used = 0;
    fake_virtio_start(guest->fake, ENTRIES);
}

static uint8_t *buffer(void *opaque, unsigned slot)
{
    return ram(opaque, DATA + slot * RESETS_BLOCK, RESETS_BLOCK);
}

static void describe(struct guest *guest, unsigned n, uint64_t at, uint32_t length, unsigned flags)
{
    uint8_t *descriptor = ram(guest, VIRTIO_DESC + n * 16, 16);

    put_le64(descriptor, at);
    put_le32(descriptor + 8, length);
    put_le16(descriptor + 12, (uint16_t)flags);
    put_le16(descriptor + 14, (uint16_t)(n + 1));
}

static void write_block(void *opaque, unsigned slot, unsigned block)
{
    struct guest *guest = opaque;
    uint8_t *header = ram(guest, HEADERS + slot * 32, 32);

    memset(header, 0, 32);
    put_le32(header, 1); /* VIRTIO_BLK_T_OUT */
    put_le64(header + 8, block * (RESETS_BLOCK / 512));
    header[16] = 0xFF;
    describe(guest, slot * 3, HEADERS + slot * 32, 16, 1);
    describe(guest, slot * 3 + 1, DATA + slot * RESETS_BLOCK, RESETS_BLOCK, 1);
    describe(guest, slot * 3 + 2, HEADERS + slot * 32 + 16, 1, 2);
    put_le16(ram(guest, VIRTIO_AVAIL + 4 + guest->available % ENTRIES * 2, 2), (uint16_t)(slot * 3));
    __atomic_store_n((uint16_t *)(void *)ram(guest, VIRTIO_AVAIL + 2, 2), ++guest->available, __ATOMIC_RELEASE);
    put(guest, VIRTIO_NOTIFY, 2, 0);
}

static int completed(void *opaque)
{
    struct guest *guest = opaque;
    uint32_t head;

    if (__atomic_load_n((uint16_t *)(void *)ram(guest, VIRTIO_USED + 2, 2), __ATOMIC_ACQUIRE) == guest->used)
        return -1;
    head = get_le32(ram(guest, VIRTIO_USED + 4 + guest->used++ % ENTRIES * 8, 8));
    assert_int_equal(ram(guest, HEADERS + head / 3 * 32, 32)[16], 0);
    return (int)head / 3;
}

/* Drivers wait until the status reads 0 (virtio 1.2, 4.1.4.3.2). */
static void reset(void *opaque)
{
    struct guest *guest = opaque;

    put(guest, VIRTIO_STATUS, 1, 0);
    assert_int_equal(fake_read(guest->fake, BUS_MMIO, VIRTIO_STATUS, 1), 0);
}

static void run(enum block_engine engine, enum block_format format)
{
    char path[] = "build/resets-virtio-XXXXXX";
    struct image_options image = {.path = path, .format = format, .size = IMAGE_SIZE};
    struct block_options options = {.path = path, .engine = engine, .format = format};
    struct virtio_block_options device = {.queues = 1, .slot = VIRTIO_SLOT};
    struct guest guest = {.fake = fake_create(0)};
    const struct resets_driver driver = {start, buffer, write_block, completed, reset, &guest};
    struct error error = {""};
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    close(fd);
    unlink(path);
    assert_int_equal(image_create(&image, &error), 0);
    assert_int_equal(block_open(&options, &device.block, &error), 0);
    assert_int_equal(pci_bus_create(&guest.fake->board, &guest.fake->board.pci), 0);
    assert_int_equal(virtio_block_create(&guest.fake->board, &device, NULL, &error), 0);
    fake_virtio_place(guest.fake);
    resets_run(&driver, device.block);
    fake_destroy(guest.fake);
    block_close(device.block);
    unlink(path);
}

static void raw_with_io_uring(void **state)
{
    (void)state;
    run(BLOCK_ENGINE_AUTO, BLOCK_FORMAT_RAW);
}

static void raw_with_threads(void **state)
{
    (void)state;
    run(BLOCK_ENGINE_THREADS, BLOCK_FORMAT_RAW);
}

static void qcow2_with_io_uring(void **state)
{
    (void)state;
    run(BLOCK_ENGINE_AUTO, BLOCK_FORMAT_QCOW2);
}

static void qcow2_with_threads(void **state)
{
    (void)state;
    run(BLOCK_ENGINE_THREADS, BLOCK_FORMAT_QCOW2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_with_io_uring),
        cmocka_unit_test(raw_with_threads),
        cmocka_unit_test(qcow2_with_io_uring),
        cmocka_unit_test(qcow2_with_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
