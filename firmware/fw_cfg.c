/*
 * fw_cfg: what the firmware asks the machine for, by key or by file name (platform contract 3.1). Port 0x510 selects,
 * 0x511 reads byte by byte, and a descriptor in guest RAM whose address is written to 0x514/0x518 moves whole blocks.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/firmware.h"
#include "casement/log.h"

#define PORT_BASE 0x510
#define PORT_COUNT 12
enum port { SELECTOR = 0, DATA = 1, DMA_HIGH = 4, DMA_LOW = 8 };
static const char dma_signature[] = "QEMU CFG";

#define KEY_DIRECTORY 0x0019
#define KEY_FIRST_FILE 0x0020
#define KEY_NONE 0xFFFF
#define ITEMS_MAX 64
#define NAME_SIZE 56
#define DIRECTORY_ENTRY 64

enum dma_control { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
#define DMA_DESCRIPTOR 16

struct item {
    uint16_t key;
    char name[NAME_SIZE]; /* empty: a well-known key, not in the directory */
    uint32_t size;
    uint8_t *data;
    uint8_t *initial; /* writable files only: what a reset brings back */
};

/* What the guest can observe, the contents of the items apart. */
struct fw_cfg_state {
    uint16_t key;
    uint8_t acpi_selected; /* since the last reset */
    uint32_t offset;
    uint32_t dma_high;
};

struct fw_cfg {
    struct device device;
    struct board *board;
    struct bus_region region;
    pthread_mutex_t lock;
    struct fw_cfg_state state;
    struct item items[ITEMS_MAX];
    unsigned item_count;
    uint16_t next_file;
    void (*regenerate)(void *opaque);
    void *opaque;
};

static struct item *find_key(struct fw_cfg *fw_cfg, uint16_t key)
{
    for (unsigned n = 0; n < fw_cfg->item_count; n++)
        if (fw_cfg->items[n].key == key)
            return &fw_cfg->items[n];
    return NULL;
}

static struct item *find_name(struct fw_cfg *fw_cfg, const char *name)
{
    for (unsigned n = 0; n < fw_cfg->item_count; n++)
        if (fw_cfg->items[n].name[0] && strcmp(fw_cfg->items[n].name, name) == 0)
            return &fw_cfg->items[n];
    return NULL;
}

static bool is_acpi(const struct item *item)
{
    return strcmp(item->name, "etc/table-loader") == 0 || strncmp(item->name, "etc/acpi/", 9) == 0;
}

/* Only the first select after a reset builds the tables, and it does so before any byte is read. No lock is held while
 * they are built, because that asks the PCI bus. */
static void select_key(struct fw_cfg *fw_cfg, uint16_t key)
{
    void (*regenerate)(void *opaque) = NULL;
    const struct item *item;

    pthread_mutex_lock(&fw_cfg->lock);
    item = find_key(fw_cfg, key);
    if (item && is_acpi(item) && !fw_cfg->state.acpi_selected) {
        fw_cfg->state.acpi_selected = 1;
        regenerate = fw_cfg->regenerate;
    }
    fw_cfg->state.key = key;
    fw_cfg->state.offset = 0;
    pthread_mutex_unlock(&fw_cfg->lock);
    if (regenerate)
        regenerate(fw_cfg->opaque);
}

/* What is left of the selected item, at most length bytes. With the lock held. */
static uint32_t remaining(struct fw_cfg *fw_cfg, uint32_t length, struct item **item)
{
    *item = find_key(fw_cfg, fw_cfg->state.key);
    if (!*item || fw_cfg->state.offset >= (*item)->size)
        return 0;
    return MIN(length, (*item)->size - fw_cfg->state.offset);
}

/* Past the end there are zeros, for as long as anybody reads. */
static uint8_t next_byte(struct fw_cfg *fw_cfg)
{
    struct item *item;
    uint8_t byte = 0;

    pthread_mutex_lock(&fw_cfg->lock);
    if (remaining(fw_cfg, 1, &item))
        byte = item->data[fw_cfg->state.offset++];
    pthread_mutex_unlock(&fw_cfg->lock);
    return byte;
}

/* One transfer between the selected item and guest RAM. With the lock held. The work is bounded by the guest's own RAM,
 * because a range that is not RAM from end to end is refused. 0, or -errno with nothing transferred. */
static int transfer(struct fw_cfg *fw_cfg, uint32_t control, uint32_t length, uint64_t address)
{
    struct item *item;
    uint32_t count = remaining(fw_cfg, length, &item);
    uint8_t *ram;

    if (length == 0 || !(control & (DMA_READ | DMA_WRITE | DMA_SKIP)))
        return 0;
    if (control & (DMA_READ | DMA_WRITE)) {
        ram = memory_at(fw_cfg->board->memory, address, length);
        if (!ram)
            return -EFAULT;
        if (control & DMA_READ) {
            if (count)
                memcpy(ram, item->data + fw_cfg->state.offset, count);
            memset(ram + count, 0, length - count);
        } else {
            if (!item || !item->initial || count < length)
                return -EROFS;
            memcpy(item->data + fw_cfg->state.offset, ram, count);
        }
    }
    fw_cfg->state.offset += count;
    return 0;
}

static void run_dma(struct fw_cfg *fw_cfg, uint64_t descriptor)
{
    static struct log_limit limit;
    struct memory *memory = fw_cfg->board->memory;
    uint8_t words[DMA_DESCRIPTOR], status[4];
    uint32_t control;
    int failed;

    if (memory_read(memory, descriptor, words, sizeof words) < 0) {
        log_guest(&limit, "fw_cfg: the DMA descriptor at 0x%" PRIx64 " is not in RAM; nothing is done", descriptor);
        return;
    }
    control = get_be32(words);
    if (control & DMA_SELECT)
        select_key(fw_cfg, (uint16_t)(control >> 16));
    pthread_mutex_lock(&fw_cfg->lock);
    failed = transfer(fw_cfg, control, get_be32(words + 4), get_be64(words + 8));
    pthread_mutex_unlock(&fw_cfg->lock);
    put_be32(status, failed < 0 ? DMA_ERROR : 0);
    memory_write(memory, descriptor, status, sizeof status);
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    if (offset == DATA && size == 1)
        return next_byte(opaque);
    if (offset >= DMA_HIGH && offset + size <= PORT_COUNT)
        return get_le(dma_signature + offset - DMA_HIGH, size);
    return all_ones(size);
}

static void port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct fw_cfg *fw_cfg = opaque;
    uint32_t high;

    if (offset == SELECTOR && size == 2) {
        select_key(fw_cfg, (uint16_t)value);
    } else if (offset == DMA_HIGH && size == 4) {
        pthread_mutex_lock(&fw_cfg->lock);
        fw_cfg->state.dma_high = be32toh((uint32_t)value);
        pthread_mutex_unlock(&fw_cfg->lock);
    } else if (offset == DMA_LOW && size == 4) {
        pthread_mutex_lock(&fw_cfg->lock);
        high = fw_cfg->state.dma_high;
        fw_cfg->state.dma_high = 0;
        pthread_mutex_unlock(&fw_cfg->lock);
        run_dma(fw_cfg, (uint64_t)high << 32 | be32toh((uint32_t)value));
    }
}

static const struct bus_ops port_ops = {port_read, port_write};

static void reset(struct device *device)
{
    struct fw_cfg *fw_cfg = container_of(device, struct fw_cfg, device);

    pthread_mutex_lock(&fw_cfg->lock);
    fw_cfg->state = (struct fw_cfg_state){.key = KEY_NONE};
    for (unsigned n = 0; n < fw_cfg->item_count; n++)
        if (fw_cfg->items[n].initial)
            memcpy(fw_cfg->items[n].data, fw_cfg->items[n].initial, fw_cfg->items[n].size);
    pthread_mutex_unlock(&fw_cfg->lock);
}

static void destroy(struct device *device)
{
    struct fw_cfg *fw_cfg = container_of(device, struct fw_cfg, device);

    bus_remove(fw_cfg->board->bus, &fw_cfg->region);
    for (unsigned n = 0; n < fw_cfg->item_count; n++) {
        free(fw_cfg->items[n].data);
        free(fw_cfg->items[n].initial);
    }
    pthread_mutex_destroy(&fw_cfg->lock);
    free(fw_cfg);
}

static uint8_t *copy_of(const void *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (copy && size)
        memcpy(copy, data, size);
    return copy;
}

/* With the lock held. A key that is there already gets the new content. */
static int put_item(struct fw_cfg *fw_cfg, uint16_t key, const char *name, const void *data, size_t size)
{
    struct item *item = find_key(fw_cfg, key);
    uint8_t *copy;

    if (size > UINT32_MAX)
        return -EFBIG;
    if (!item && fw_cfg->item_count == ITEMS_MAX)
        return -ENOSPC;
    copy = copy_of(data, size);
    if (!copy)
        return -ENOMEM;
    if (item) {
        free(item->data);
    } else {
        item = &fw_cfg->items[fw_cfg->item_count++];
        *item = (struct item){.key = key};
        strncpy(item->name, name, NAME_SIZE - 1);
    }
    item->data = copy;
    item->size = (uint32_t)size;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((const char *)a + 8, (const char *)b + 8);
}

/* u32 count, then per file u32 size, u16 key, u16 0, name; all big-endian, in the order of names. With the lock held.
 */
static int put_directory(struct fw_cfg *fw_cfg)
{
    uint8_t directory[4 + ITEMS_MAX * DIRECTORY_ENTRY] = {0};
    uint32_t count = 0;

    for (unsigned n = 0; n < fw_cfg->item_count; n++) {
        const struct item *item = &fw_cfg->items[n];
        uint8_t *entry = directory + 4 + (size_t)count * DIRECTORY_ENTRY;

        if (!item->name[0])
            continue;
        put_be32(entry, item->size);
        put_be16(entry + 4, item->key);
        memcpy(entry + 8, item->name, NAME_SIZE);
        count++;
    }
    put_be32(directory, count);
    qsort(directory + 4, count, DIRECTORY_ENTRY, compare_names);
    return put_item(fw_cfg, KEY_DIRECTORY, "", directory, 4 + (size_t)count * DIRECTORY_ENTRY);
}

int fw_cfg_add(struct fw_cfg *fw_cfg, uint16_t key, const void *data, size_t size)
{
    int failed;

    if (key >= KEY_FIRST_FILE || key == KEY_DIRECTORY)
        return -EINVAL;
    pthread_mutex_lock(&fw_cfg->lock);
    failed = put_item(fw_cfg, key, "", data, size);
    pthread_mutex_unlock(&fw_cfg->lock);
    return failed;
}

static int add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, size_t size, bool writable)
{
    uint8_t *initial = NULL;
    int failed;

    if (!name[0] || strlen(name) >= NAME_SIZE)
        return -EINVAL;
    if (writable && !(initial = copy_of(data, size)))
        return -ENOMEM;
    pthread_mutex_lock(&fw_cfg->lock);
    failed = find_name(fw_cfg, name) ? -EEXIST : put_item(fw_cfg, fw_cfg->next_file, name, data, size);
    if (failed == 0) {
        find_key(fw_cfg, fw_cfg->next_file++)->initial = initial;
        initial = NULL;
        failed = put_directory(fw_cfg);
    }
    pthread_mutex_unlock(&fw_cfg->lock);
    free(initial);
    return failed;
}

int fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, size_t size)
{
    return add_file(fw_cfg, name, data, size, false);
}

int fw_cfg_add_writable_file(struct fw_cfg *fw_cfg, const char *name, const void *data, size_t size)
{
    return add_file(fw_cfg, name, data, size, true);
}

int fw_cfg_update_file(struct fw_cfg *fw_cfg, const char *name, const void *data, size_t size)
{
    struct item *item;
    int failed = 0;

    pthread_mutex_lock(&fw_cfg->lock);
    item = find_name(fw_cfg, name);
    if (!item) {
        failed = -ENOENT;
    } else if (size > item->size) {
        failed = -ENOSPC;
    } else {
        memcpy(item->data, data, size);
        memset(item->data + size, 0, item->size - size);
    }
    pthread_mutex_unlock(&fw_cfg->lock);
    return failed;
}

void fw_cfg_on_acpi(struct fw_cfg *fw_cfg, void (*regenerate)(void *opaque), void *opaque)
{
    pthread_mutex_lock(&fw_cfg->lock);
    fw_cfg->regenerate = regenerate;
    fw_cfg->opaque = opaque;
    pthread_mutex_unlock(&fw_cfg->lock);
}

int fw_cfg_create(struct board *board, struct fw_cfg **result, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    static const uint8_t features[4] = {3}; /* the ports, and DMA */
    struct fw_cfg *fw_cfg = calloc(1, sizeof *fw_cfg);
    int failed;

    if (!fw_cfg)
        return error_set(error, ENOMEM, "fw_cfg: out of memory");
    fw_cfg->device = (struct device){.name = "fw_cfg", .ops = &ops};
    fw_cfg->board = board;
    fw_cfg->state.key = KEY_NONE;
    fw_cfg->next_file = KEY_FIRST_FILE;
    pthread_mutex_init(&fw_cfg->lock, NULL);
    fw_cfg->region = (struct bus_region){
        .name = "fw_cfg", .space = BUS_PORT, .base = PORT_BASE, .size = PORT_COUNT, .ops = &port_ops, .device = fw_cfg};
    failed = put_item(fw_cfg, 0x0000, "", "QEMU", 4);
    if (failed == 0)
        failed = put_item(fw_cfg, 0x0001, "", features, sizeof features);
    if (failed == 0)
        failed = put_directory(fw_cfg);
    if (failed == 0)
        failed = bus_add(board->bus, &fw_cfg->region);
    if (failed < 0) {
        destroy(&fw_cfg->device);
        return error_set(error, -failed, "fw_cfg: %s", strerror(-failed));
    }
    board_add(board, &fw_cfg->device);
    *result = fw_cfg;
    return 0;
}
