/* Firmware's side of fw_cfg (see fake_firmware.h). */
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "fake_firmware.h"

void fw_select(struct fake *fake, uint16_t key)
{
    fake_write(fake, BUS_PORT, 0x510, 2, key);
}

void fw_read(struct fake *fake, void *to, size_t size)
{
    uint8_t *bytes = to;

    for (size_t n = 0; n < size; n++)
        bytes[n] = (uint8_t)fake_read(fake, BUS_PORT, 0x511, 1);
}

uint32_t fw_dma(struct fake *fake, uint32_t control, uint32_t length, uint64_t address)
{
    uint8_t words[16];

    put_be32(words, control);
    put_be32(words + 4, length);
    put_be64(words + 8, address);
    memory_write(fake->board.memory, FAKE_DESCRIPTOR, words, sizeof words);
    fake_write(fake, BUS_PORT, 0x514, 4, 0);
    fake_write(fake, BUS_PORT, 0x518, 4, htobe32(FAKE_DESCRIPTOR));
    memory_read(fake->board.memory, FAKE_DESCRIPTOR, words, sizeof words);
    return get_be32(words);
}

bool fw_find(struct fake *fake, const char *name, uint16_t *key, uint32_t *size)
{
    uint8_t count[4], entry[64];

    fw_select(fake, 0x19);
    fw_read(fake, count, sizeof count);
    for (uint32_t n = 0; n < get_be32(count) && n < 1000; n++) {
        fw_read(fake, entry, sizeof entry);
        if (strncmp((char *)entry + 8, name, 56) == 0) {
            *size = get_be32(entry);
            *key = get_be16(entry + 4);
            return true;
        }
    }
    return false;
}

uint8_t *fw_file(struct fake *fake, const char *name, size_t *size)
{
    uint32_t length;
    uint16_t key;
    uint8_t *data;

    if (!fw_find(fake, name, &key, &length))
        return NULL;
    data = malloc(length + 1);
    if (!data)
        abort();
    fw_select(fake, key);
    fw_read(fake, data, length);
    *size = length;
    return data;
}

#define BLOBS 4

struct blob {
    char name[56];
    uint64_t address;
    size_t size;
};

struct loading {
    struct fake *fake;
    struct blob blobs[BLOBS];
    unsigned count;
    uint64_t next;
};

static struct blob *find_blob(struct loading *loading, const uint8_t *name)
{
    for (unsigned n = 0; n < loading->count; n++)
        if (strncmp(loading->blobs[n].name, (const char *)name, 56) == 0)
            return &loading->blobs[n];
    return NULL;
}

static bool allocate(struct loading *loading, const uint8_t *entry)
{
    struct blob *blob = &loading->blobs[loading->count];
    uint32_t align = get_le32(entry + 60);
    uint8_t *data;

    if (find_blob(loading, entry + 4) || loading->count == BLOBS || align > 4096 || (align & (align - 1)))
        return false;
    memcpy(blob->name, entry + 4, 56);
    data = fw_file(loading->fake, blob->name, &blob->size);
    if (!data)
        return false;
    blob->address = loading->next;
    loading->next += align_up(blob->size, 4096);
    loading->count++;
    memory_write(loading->fake->board.memory, blob->address, data, blob->size);
    free(data);
    return true;
}

static bool add_pointer(struct loading *loading, const uint8_t *entry)
{
    const struct blob *from = find_blob(loading, entry + 4), *to = find_blob(loading, entry + 60);
    uint32_t offset = get_le32(entry + 116);
    unsigned size = entry[120];
    uint64_t value;
    uint8_t *at;

    if (!from || !to || (size != 1 && size != 2 && size != 4 && size != 8) || offset + size > from->size)
        return false;
    at = memory_at(loading->fake->board.memory, from->address + offset, size);
    value = get_le(at, size);
    if (value >= to->size)
        return false;
    put_le(at, size, value + to->address);
    return true;
}

static bool add_checksum(struct loading *loading, const uint8_t *entry)
{
    const struct blob *blob = find_blob(loading, entry + 4);
    uint32_t result = get_le32(entry + 60), start = get_le32(entry + 64), length = get_le32(entry + 68);
    uint8_t *at, sum = 0;

    if (!blob || result >= blob->size || start > blob->size || length > blob->size - start)
        return false;
    at = memory_at(loading->fake->board.memory, blob->address, blob->size);
    for (uint32_t n = 0; n < length; n++)
        sum = (uint8_t)(sum + at[start + n]);
    at[result] = (uint8_t)-sum;
    return true;
}

uint64_t fw_load_acpi(struct fake *fake, uint64_t base)
{
    struct loading loading = {.fake = fake, .next = base};
    const struct blob *rsdp;
    size_t size;
    uint8_t *script = fw_file(fake, "etc/table-loader", &size);
    bool good = script && size % 128 == 0;

    for (size_t at = 0; good && at < size; at += 128) {
        switch (get_le32(script + at)) {
        case 1:
            good = allocate(&loading, script + at);
            break;
        case 2:
            good = add_pointer(&loading, script + at);
            break;
        case 3:
            good = add_checksum(&loading, script + at);
            break;
        default: /* padding */
            break;
        }
    }
    free(script);
    rsdp = find_blob(&loading, (const uint8_t *)"etc/acpi/rsdp");
    return good && rsdp ? rsdp->address : 0;
}
