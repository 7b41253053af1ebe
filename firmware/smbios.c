/* SMBIOS 3.0 structures (DMTF DSP0134) in fw_cfg; Windows takes UUID, serial number and model from them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/firmware.h"

#define TABLE_BYTES 8192
#define HANDLE_PROCESSOR 0x400
#define HANDLE_ARRAY 0x1000

struct writer {
    uint8_t bytes[TABLE_BYTES];
    size_t size, start;
    uint8_t strings;
    char text[1024];
    size_t text_size;
};

/* A structure's fixed part, zeroed; strings follow by add_text(), and end() puts them behind it. */
static uint8_t *begin(struct writer *writer, uint8_t type, uint8_t length, uint16_t handle)
{
    uint8_t *at = writer->bytes + writer->size;

    writer->start = writer->size;
    writer->strings = 0;
    writer->text_size = 0;
    at[0] = type;
    at[1] = length;
    put_le16(at + 2, handle);
    writer->size += length;
    return at;
}

/* The number that stands for the text, 0 for none. */
static uint8_t add_text(struct writer *writer, const char *text)
{
    size_t length = text ? strnlen(text, 64) : 0;

    if (!length || writer->text_size + length + 1 > sizeof writer->text)
        return 0;
    memcpy(writer->text + writer->text_size, text, length);
    writer->text[writer->text_size + length] = 0;
    writer->text_size += length + 1;
    return ++writer->strings;
}

static void end(struct writer *writer)
{
    memcpy(writer->bytes + writer->size, writer->text, writer->text_size);
    writer->size += writer->text_size + (writer->text_size ? 1 : 2); /* ends with two zeroes in either case */
}

static void add_firmware(struct writer *writer, const struct smbios_options *options)
{
    uint8_t *at = begin(writer, 0, 24, 0);

    at[4] = add_text(writer, options->manufacturer);
    at[5] = add_text(writer, options->version);
    at[8] = add_text(writer, "01/01/2026");
    put_le64(at + 10, 8); /* characteristics are not supported */
    at[19] = 0x1C;        /* UEFI, virtual machine, targeted content */
    at[20] = at[21] = 0xFF;
    at[22] = at[23] = 0xFF;
    end(writer);
}

/* The first three fields of the UUID are little-endian since 2.6 (7.2.1). */
static void put_uuid(uint8_t *at, const uint8_t uuid[16])
{
    put_le32(at, get_be32(uuid));
    put_le16(at + 4, get_be16(uuid + 4));
    put_le16(at + 6, get_be16(uuid + 6));
    memcpy(at + 8, uuid + 8, 8);
}

static void add_system(struct writer *writer, const struct smbios_options *options)
{
    uint8_t *at = begin(writer, 1, 27, 0x100);

    at[4] = add_text(writer, options->manufacturer);
    at[5] = add_text(writer, options->product);
    at[6] = add_text(writer, options->version);
    at[7] = add_text(writer, options->serial);
    put_uuid(at + 8, options->uuid);
    at[24] = 6; /* power switch */
    end(writer);
}

static void add_chassis(struct writer *writer, const struct smbios_options *options)
{
    uint8_t *at = begin(writer, 3, 22, 0x300);

    at[4] = add_text(writer, options->manufacturer);
    at[5] = 1; /* other */
    at[6] = add_text(writer, options->version);
    at[7] = add_text(writer, options->serial);
    at[9] = at[10] = at[11] = 3; /* safe */
    at[12] = 2;                  /* security unknown */
    end(writer);
}

static void add_processor(struct writer *writer, const struct smbios_options *options)
{
    uint8_t *at = begin(writer, 4, 48, HANDLE_PROCESSOR);

    at[4] = add_text(writer, "CPU 0");
    at[5] = 3; /* central processor */
    at[6] = 1; /* family: other */
    at[7] = add_text(writer, options->manufacturer);
    at[16] = add_text(writer, options->version);
    put_le16(at + 20, 2000);
    put_le16(at + 22, 2000);
    at[24] = 0x41; /* populated, enabled */
    at[25] = 1;    /* upgrade: other */
    put_le16(at + 26, 0xFFFF);
    put_le16(at + 28, 0xFFFF);
    put_le16(at + 30, 0xFFFF);
    at[35] = at[36] = at[37] = (uint8_t)MIN(options->cpus, 255U); /* cores, enabled cores, threads */
    put_le16(at + 38, 0x04);                                      /* 64 bits */
    put_le16(at + 40, 1);
    put_le16(at + 42, (uint16_t)options->cpus);
    put_le16(at + 44, (uint16_t)options->cpus);
    put_le16(at + 46, (uint16_t)options->cpus);
    end(writer);
}

static void add_memory_array(struct writer *writer, const struct smbios_options *options)
{
    uint8_t *at = begin(writer, 16, 23, HANDLE_ARRAY);

    at[4] = 1; /* other */
    at[5] = 3; /* system memory */
    at[6] = 6; /* multi-bit ECC */
    put_le32(at + 7, 0x80000000);
    put_le16(at + 11, 0xFFFE); /* no error information */
    put_le16(at + 13, 1);
    put_le64(at + 15, options->memory);
    end(writer);
}

static void add_memory_device(struct writer *writer, const struct smbios_options *options)
{
    uint8_t *at = begin(writer, 17, 40, 0x1100);
    uint64_t megabytes = options->memory / MiB;

    put_le16(at + 4, HANDLE_ARRAY);
    put_le16(at + 6, 0xFFFE);
    put_le16(at + 8, 0xFFFF);
    put_le16(at + 10, 0xFFFF);
    put_le16(at + 12, megabytes < 0x7FFF ? (uint16_t)megabytes : 0x7FFF);
    put_le32(at + 28, megabytes < 0x7FFF ? 0 : (uint32_t)megabytes);
    at[14] = 9; /* DIMM */
    at[16] = add_text(writer, "DIMM 0");
    at[18] = 7; /* RAM */
    put_le16(at + 19, 2);
    at[23] = add_text(writer, options->manufacturer);
    end(writer);
}

static void add_mapped_range(struct writer *writer, uint16_t handle, uint64_t first, uint64_t size)
{
    uint8_t *at = begin(writer, 19, 31, handle);

    put_le32(at + 4, 0xFFFFFFFF); /* the extended addresses below */
    put_le32(at + 8, 0xFFFFFFFF);
    put_le16(at + 12, HANDLE_ARRAY);
    at[14] = 1;
    put_le64(at + 15, first);
    put_le64(at + 23, first + size - 1);
    end(writer);
}

int smbios_create(struct fw_cfg *fw_cfg, const struct smbios_options *options, struct error *error)
{
    struct writer *writer = calloc(1, sizeof *writer);
    uint64_t low = MIN(options->memory, MEMORY_LOW_LIMIT);
    uint8_t anchor[24] = {0}, sum = 0;
    int failed;

    if (!writer)
        return error_set(error, ENOMEM, "SMBIOS: out of memory");
    add_firmware(writer, options);
    add_system(writer, options);
    add_chassis(writer, options);
    add_processor(writer, options);
    add_memory_array(writer, options);
    add_memory_device(writer, options);
    add_mapped_range(writer, 0x1300, 0, low);
    if (options->memory > low)
        add_mapped_range(writer, 0x1301, MEMORY_HIGH_BASE, options->memory - low);
    begin(writer, 32, 11, 0x2000); /* booted without a fault */
    end(writer);
    begin(writer, 127, 4, 0x7F00);
    end(writer);
    memcpy(anchor, (const uint8_t[]){'_', 'S', 'M', '3', '_'}, 5);
    anchor[6] = sizeof anchor;
    anchor[7] = 3;
    anchor[10] = 1;
    put_le32(anchor + 12, (uint32_t)writer->size);
    for (size_t n = 0; n < sizeof anchor; n++)
        sum = (uint8_t)(sum + anchor[n]);
    anchor[5] = (uint8_t)-sum;
    failed = fw_cfg_add_file(fw_cfg, "etc/smbios/smbios-anchor", anchor, sizeof anchor);
    if (failed == 0)
        failed = fw_cfg_add_file(fw_cfg, "etc/smbios/smbios-tables", writer->bytes, writer->size);
    free(writer);
    return failed < 0 ? error_set(error, -failed, "SMBIOS: tables cannot be added (error %d)", -failed) : 0;
}
