/* fw_cfg: named blobs for the firmware, by port and by DMA (platform contract 3.1). */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/firmware.h"

#define SELECTOR 0x510 /* with data at +1 */
#define DMA 0x514
#define DMA_SIGNATURE UINT64_C(0x51454D5520434647) /* "QEMU CFG" */
#define FIRST_FILE 0x20
#define MAX_ITEMS 64
#define DIRECTORY 0x19
#define ENTRY_BYTES 64
#define ENTRY_NAME 8
#define NAME_BYTES 56

#define CONTROL_ERROR 1U
#define CONTROL_READ 2U
#define CONTROL_SKIP 4U
#define CONTROL_SELECT 8U
#define CONTROL_WRITE 16U

struct item {
    uint16_t key;
    char name[NAME_BYTES]; /* empty for well-known keys */
    uint8_t *data;
    size_t size;
    bool acpi;
};

struct fw_cfg_state {
    uint16_t key;
    uint64_t offset;
    uint32_t dma_high;
};

struct fw_cfg {
    struct device device;
    struct board *board;
    pthread_mutex_t lock;
    struct fw_cfg_state state;
    struct item items[MAX_ITEMS];
    unsigned count;
    uint8_t directory[4 + MAX_ITEMS * ENTRY_BYTES];
    void (*regenerate)(void *opaque);
    void *opaque;
    bool acpi_stale;
    struct bus_region port, dma;
};

static struct item *find_key(struct fw_cfg *fw_cfg, uint16_t key)
{
    for (unsigned n = 0; n < fw_cfg->count; n++)
        if (fw_cfg->items[n].key == key)
            return &fw_cfg->items[n];
    return NULL;
}

static struct item *find_name(struct fw_cfg *fw_cfg, const char *name)
{
    for (unsigned n = 0; n < fw_cfg->count; n++)
        if (!strcmp(fw_cfg->items[n].name, name))
            return &fw_cfg->items[n];
    return NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((const char *)a + ENTRY_NAME, (const char *)b + ENTRY_NAME);
}

/* Big-endian count, then size, key, reserved, name of each, by name. */
static void make_directory(struct fw_cfg *fw_cfg)
{
    uint8_t *entries = fw_cfg->directory + 4;
    uint32_t count = 0;

    memset(fw_cfg->directory, 0, sizeof fw_cfg->directory);
    for (unsigned n = 0; n < fw_cfg->count; n++) {
        const struct item *item = &fw_cfg->items[n];
        uint8_t *entry = entries + (size_t)count * ENTRY_BYTES;

        if (!item->name[0])
            continue;
        put_be32(entry, (uint32_t)item->size);
        put_be16(entry + 4, item->key);
        memcpy(entry + ENTRY_NAME, item->name, NAME_BYTES);
        count++;
    }
    qsort(entries, count, ENTRY_BYTES, compare_names);
    put_be32(fw_cfg->directory, count);
}

static int add(struct fw_cfg *fw_cfg, uint16_t key, const char *name, const void *data, size_t size)
{
    struct item *item = &fw_cfg->items[fw_cfg->count];

    if (fw_cfg->count == MAX_ITEMS || strlen(name) >= NAME_BYTES || size > UINT32_MAX)
        return -ENOSPC;
    if (find_key(fw_cfg, key) || (*name && find_name(fw_cfg, name)))
        return -EEXIST;
    *item = (struct item){.key = key, .size = size, .data = malloc(size ? size : 1)};
    if (!item->data)
        return -ENOMEM;
    if (size)
        memcpy(item->data, data, size);
    memcpy(item->name, name, strlen(name) + 1);
    item->acpi = !strcmp(name, "etc/table-loader") || !strncmp(name, "etc/acpi/", 9);
    fw_cfg->count++;
    make_directory(fw_cfg);
    return 0;
}

int fw_cfg_add(struct fw_cfg *fw_cfg, uint16_t key, const void *data, size_t size)
{
    return add(fw_cfg, key, "", data, size);
}

int fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, size_t size)
{
    uint16_t key = FIRST_FILE;

    while (find_key(fw_cfg, key))
        key++;
    return *name ? add(fw_cfg, key, name, data, size) : -EINVAL;
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
    fw_cfg->regenerate = regenerate;
    fw_cfg->opaque = opaque;
    fw_cfg->acpi_stale = true;
}

/*
 * The tables are rebuilt when firmware first asks for them: only then has it placed everything. That asks the PCI bus,
 * so no lock is held meanwhile.
 */
static void select_key(struct fw_cfg *fw_cfg, uint16_t key)
{
    void (*regenerate)(void *opaque) = NULL;
    const struct item *item;

    pthread_mutex_lock(&fw_cfg->lock);
    item = find_key(fw_cfg, key);
    fw_cfg->state.key = key;
    fw_cfg->state.offset = 0;
    if (item && item->acpi && fw_cfg->acpi_stale) {
        fw_cfg->acpi_stale = false;
        regenerate = fw_cfg->regenerate;
    }
    pthread_mutex_unlock(&fw_cfg->lock);
    if (regenerate)
        regenerate(fw_cfg->opaque);
}

static const uint8_t *selected(struct fw_cfg *fw_cfg, size_t *size)
{
    const struct item *item = find_key(fw_cfg, fw_cfg->state.key);

    if (fw_cfg->state.key == DIRECTORY) {
        *size = 4 + (size_t)get_be32(fw_cfg->directory) * ENTRY_BYTES;
        return fw_cfg->directory;
    }
    *size = item ? item->size : 0;
    return item ? item->data : NULL;
}

/* Bytes from the present offset on; behind the end they are zeroes. */
static void read_bytes(struct fw_cfg *fw_cfg, uint8_t *to, uint64_t length)
{
    size_t size, available;
    const uint8_t *data = selected(fw_cfg, &size);
    uint64_t offset = fw_cfg->state.offset;

    available = offset < size ? (size_t)MIN((uint64_t)size - offset, length) : 0;
    if (available)
        memcpy(to, data + offset, available);
    memset(to + available, 0, length - available);
    fw_cfg->state.offset += length;
}

/* Moves what the descriptor asks for; 0 or the error bit. With the lock held. */
static uint32_t transfer(struct fw_cfg *fw_cfg, uint32_t control, uint32_t length, uint64_t address)
{
    uint8_t *to;

    if (control & CONTROL_WRITE)
        return CONTROL_ERROR; /* no item takes writes */
    if (control & CONTROL_READ && length) {
        to = memory_at(fw_cfg->board->memory, address, length);
        if (!to)
            return CONTROL_ERROR;
        read_bytes(fw_cfg, to, length);
    } else if (control & CONTROL_SKIP) {
        fw_cfg->state.offset += length;
    }
    return 0;
}

/* One DMA descriptor: control, length, address, all big-endian. */
static void run_dma(struct fw_cfg *fw_cfg, uint64_t descriptor)
{
    const struct memory *memory = fw_cfg->board->memory;
    uint8_t raw[16], result[4];
    uint32_t control;

    if (memory_read(memory, descriptor, raw, sizeof raw) < 0)
        return; /* nowhere to say so */
    control = get_be32(raw);
    if (control & CONTROL_SELECT)
        select_key(fw_cfg, (uint16_t)(control >> 16));
    pthread_mutex_lock(&fw_cfg->lock);
    put_be32(result, transfer(fw_cfg, control, get_be32(raw + 4), get_be64(raw + 8)));
    pthread_mutex_unlock(&fw_cfg->lock);
    memory_write(memory, descriptor, result, sizeof result);
}

static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
    struct fw_cfg *fw_cfg = opaque;
    uint8_t byte;

    if (offset != 1)
        return all_ones(size);
    pthread_mutex_lock(&fw_cfg->lock);
    read_bytes(fw_cfg, &byte, 1);
    pthread_mutex_unlock(&fw_cfg->lock);
    return byte;
}

static void port_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct fw_cfg *fw_cfg = opaque;

    if (offset == 0 && size == 2)
        select_key(fw_cfg, (uint16_t)value);
}

static uint64_t dma_read(void *opaque, uint64_t offset, unsigned size)
{
    uint8_t signature[16] = {0};

    (void)opaque;
    put_be64(signature, DMA_SIGNATURE);
    return get_le(signature + offset, size);
}

static void dma_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct fw_cfg *fw_cfg = opaque;
    uint64_t address;

    if (offset == 0 && size == 4) {
        pthread_mutex_lock(&fw_cfg->lock);
        fw_cfg->state.dma_high = be32toh((uint32_t)value);
        pthread_mutex_unlock(&fw_cfg->lock);
    } else if (offset == 4 && size == 4) {
        pthread_mutex_lock(&fw_cfg->lock);
        address = (uint64_t)fw_cfg->state.dma_high << 32 | be32toh((uint32_t)value);
        fw_cfg->state.dma_high = 0;
        pthread_mutex_unlock(&fw_cfg->lock);
        run_dma(fw_cfg, address);
    }
}

static const struct bus_ops port_ops = {port_read, port_write};
static const struct bus_ops dma_ops = {dma_read, dma_write};

static void reset(struct device *device)
{
    struct fw_cfg *fw_cfg = container_of(device, struct fw_cfg, device);

    pthread_mutex_lock(&fw_cfg->lock);
    fw_cfg->state = (struct fw_cfg_state){0};
    fw_cfg->acpi_stale = true;
    pthread_mutex_unlock(&fw_cfg->lock);
}

static void destroy(struct device *device)
{
    struct fw_cfg *fw_cfg = container_of(device, struct fw_cfg, device);

    bus_remove(fw_cfg->board->bus, &fw_cfg->port);
    bus_remove(fw_cfg->board->bus, &fw_cfg->dma);
    for (unsigned n = 0; n < fw_cfg->count; n++)
        free(fw_cfg->items[n].data);
    pthread_mutex_destroy(&fw_cfg->lock);
    free(fw_cfg);
}

int fw_cfg_create(struct board *board, struct fw_cfg **result, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    struct fw_cfg *fw_cfg = calloc(1, sizeof *fw_cfg);

    if (!fw_cfg)
        return error_set(error, ENOMEM, "fw_cfg: out of memory");
    fw_cfg->device = (struct device){.name = "fw_cfg", .ops = &ops};
    fw_cfg->board = board;
    pthread_mutex_init(&fw_cfg->lock, NULL);
    fw_cfg->port = (struct bus_region){
        .name = "fw_cfg", .space = BUS_PORT, .base = SELECTOR, .size = 2, .ops = &port_ops, .device = fw_cfg};
    fw_cfg->dma = (struct bus_region){
        .name = "fw_cfg DMA", .space = BUS_PORT, .base = DMA, .size = 8, .ops = &dma_ops, .device = fw_cfg};
    if (bus_add(board->bus, &fw_cfg->port) < 0 || bus_add(board->bus, &fw_cfg->dma) < 0) {
        destroy(&fw_cfg->device);
        return error_set(error, ENOMEM, "fw_cfg: out of memory");
    }
    board_add(board, &fw_cfg->device);
    *result = fw_cfg;
    return 0;
}
