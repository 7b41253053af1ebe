/* The AML writer (see aml.h). */
#include <string.h>

#include "aml.h"
#include "casement/bytes.h"

static void put(struct aml *aml, const void *bytes, size_t size)
{
    if (aml->failed || size > aml->room - aml->size) {
        aml->failed = true;
        return;
    }
    memcpy(aml->data + aml->size, bytes, size);
    aml->size += size;
}

static void put_byte(struct aml *aml, unsigned byte)
{
    uint8_t value = (uint8_t)byte;

    put(aml, &value, 1);
}

bool aml_ok(const struct aml *aml)
{
    return !aml->failed && aml->depth == 0;
}

/* 20.2.4: one byte to 63, else the low four bits and up to three bytes more. The length counts itself. */
static size_t encode_length(uint8_t out[4], size_t content)
{
    if (content + 1 < 0x40) {
        out[0] = (uint8_t)(content + 1);
        return 1;
    }
    for (size_t extra = 1; extra <= 3; extra++) {
        size_t length = content + 1 + extra;

        if (length >> (4 + 8 * extra))
            continue;
        out[0] = (uint8_t)(extra << 6 | (length & 0x0F));
        for (size_t n = 0; n < extra; n++)
            out[1 + n] = (uint8_t)(length >> (4 + 8 * n));
        return 1 + extra;
    }
    return 0;
}

static void open_package(struct aml *aml)
{
    if (aml->depth == AML_DEPTH)
        aml->failed = true;
    else
        aml->open[aml->depth++] = aml->size;
}

void aml_close(struct aml *aml)
{
    uint8_t length[4];
    size_t start, content, bytes;

    if (aml->failed || !aml->depth) {
        aml->failed = true;
        return;
    }
    start = aml->open[--aml->depth];
    content = aml->size - start;
    bytes = encode_length(length, content);
    if (!bytes || bytes > aml->room - aml->size) {
        aml->failed = true;
        return;
    }
    memmove(aml->data + start + bytes, aml->data + start, content);
    memcpy(aml->data + start, length, bytes);
    aml->size += bytes;
}

/* 20.2.2: root and parent prefixes, then one, two, or many segments of four characters, filled up with underscores. */
static void put_name(struct aml *aml, const char *name)
{
    unsigned segments = 1;

    while (*name == '\\' || *name == '^')
        put_byte(aml, (unsigned char)*name++);
    for (const char *at = name; *at; at++)
        segments += *at == '.';
    if (segments == 2)
        put_byte(aml, 0x2E);
    else if (segments > 2) {
        put_byte(aml, 0x2F);
        put_byte(aml, segments);
    }
    while (*name) {
        size_t length = strcspn(name, ".");
        char segment[4] = {'_', '_', '_', '_'};

        if (length > sizeof segment) {
            aml->failed = true;
            return;
        }
        memcpy(segment, name, length);
        put(aml, segment, sizeof segment);
        name += length + (name[length] == '.');
    }
}

void aml_scope(struct aml *aml, const char *name)
{
    put_byte(aml, 0x10);
    open_package(aml);
    put_name(aml, name);
}

void aml_device(struct aml *aml, const char *name)
{
    put_byte(aml, 0x5B);
    put_byte(aml, 0x82);
    open_package(aml);
    put_name(aml, name);
}

void aml_method(struct aml *aml, const char *name, unsigned arguments, bool serialized)
{
    put_byte(aml, 0x14);
    open_package(aml);
    put_name(aml, name);
    put_byte(aml, arguments | (serialized ? 8 : 0));
}

void aml_if(struct aml *aml)
{
    put_byte(aml, 0xA0);
    open_package(aml);
}

void aml_else(struct aml *aml)
{
    put_byte(aml, 0xA1);
    open_package(aml);
}

void aml_package(struct aml *aml, unsigned elements)
{
    put_byte(aml, 0x12);
    open_package(aml);
    put_byte(aml, elements);
}

void aml_field(struct aml *aml, const char *region)
{
    put_byte(aml, 0x5B);
    put_byte(aml, 0x81);
    open_package(aml);
    put_name(aml, region);
    put_byte(aml, 0x01);
}

void aml_name(struct aml *aml, const char *name)
{
    put_byte(aml, 0x08);
    put_name(aml, name);
}

void aml_ref(struct aml *aml, const char *name)
{
    put_name(aml, name);
}

void aml_arg(struct aml *aml, unsigned number)
{
    put_byte(aml, 0x68 + number);
}

void aml_local(struct aml *aml, unsigned number)
{
    put_byte(aml, 0x60 + number);
}

void aml_integer(struct aml *aml, uint64_t value)
{
    static const struct {
        uint64_t most;
        uint8_t prefix, size;
    } forms[] = {{0xFF, 0x0A, 1}, {0xFFFF, 0x0B, 2}, {0xFFFFFFFF, 0x0C, 4}, {UINT64_MAX, 0x0E, 8}};
    uint8_t bytes[8];
    size_t form = 0;

    if (value <= 1) {
        put_byte(aml, (unsigned)value);
        return;
    }
    while (value > forms[form].most)
        form++;
    put_le64(bytes, value);
    put_byte(aml, forms[form].prefix);
    put(aml, bytes, forms[form].size);
}

void aml_string(struct aml *aml, const char *text)
{
    put_byte(aml, 0x0D);
    put(aml, text, strlen(text) + 1);
}

static unsigned hex_digit(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)(digit - 'A' + 10);
}

/* 19.3.4: three letters of five bits and four hexadecimal digits, in big-endian order. */
void aml_eisa_id(struct aml *aml, const char *id)
{
    uint32_t value = (uint32_t)(id[0] - 0x40) << 26 | (uint32_t)(id[1] - 0x40) << 21 | (uint32_t)(id[2] - 0x40) << 16 |
                     hex_digit(id[3]) << 12 | hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 | hex_digit(id[6]);
    uint8_t bytes[5] = {0x0C};

    put_be32(bytes + 1, value);
    put(aml, bytes, sizeof bytes);
}

void aml_buffer(struct aml *aml, const void *bytes, size_t size)
{
    put_byte(aml, 0x11);
    open_package(aml);
    aml_integer(aml, size);
    put(aml, bytes, size);
    aml_close(aml);
}

void aml_operator(struct aml *aml, enum aml_operator operator)
{
    put_byte(aml, operator);
}

void aml_nothing(struct aml *aml)
{
    put_byte(aml, 0);
}

void aml_config_region(struct aml *aml, const char *name, unsigned offset, unsigned length)
{
    put_byte(aml, 0x5B);
    put_byte(aml, 0x80);
    put_name(aml, name);
    put_byte(aml, 0x02);
    aml_integer(aml, offset);
    aml_integer(aml, length);
}

void aml_member(struct aml *aml, const char *name, unsigned bits)
{
    if (name)
        put_name(aml, name);
    else
        put_byte(aml, 0);
    /* The same encoding as a package length, but it does not count itself. */
    if (bits < 0x40) {
        put_byte(aml, bits);
    } else {
        put_byte(aml, 0x40 | (bits & 0x0F));
        put_byte(aml, bits >> 4);
    }
}

static uint8_t *add_descriptor(struct aml_resources *to, size_t size)
{
    uint8_t *at = to->bytes + to->size;

    /* Room for the end tag is kept; the templates here are all of known, small size. */
    if (size > sizeof to->bytes - 2 - to->size)
        return to->bytes;
    to->size += size;
    memset(at, 0, size);
    return at;
}

void aml_io(struct aml_resources *to, uint16_t base, uint8_t length)
{
    uint8_t *at = add_descriptor(to, 8);

    at[0] = 0x47;
    at[1] = 1; /* 16 bits decoded */
    put_le16(at + 2, base);
    put_le16(at + 4, base);
    at[6] = 1;
    at[7] = length;
}

void aml_irq(struct aml_resources *to, uint16_t mask)
{
    uint8_t *at = add_descriptor(to, 3);

    at[0] = 0x22;
    put_le16(at + 1, mask);
}

void aml_interrupts(struct aml_resources *to, const uint32_t *list, unsigned count)
{
    uint8_t *at = add_descriptor(to, 5 + (size_t)count * 4);

    at[0] = 0x89;
    put_le16(at + 1, (uint16_t)(2 + count * 4));
    at[3] = 0x09; /* consumer, level, high, shared */
    at[4] = (uint8_t)count;
    for (unsigned n = 0; n < count; n++)
        put_le32(at + 5 + (size_t)n * 4, list[n]);
}

void aml_memory_fixed(struct aml_resources *to, uint32_t base, uint32_t length)
{
    uint8_t *at = add_descriptor(to, 12);

    at[0] = 0x86;
    put_le16(at + 1, 9);
    at[3] = 1; /* writable */
    put_le32(at + 4, base);
    put_le32(at + 8, length);
}

/* 6.4.3.5: word, double word and quad word address space descriptors differ in the width of five numbers. */
static void add_window(struct aml_resources *to, uint8_t tag, unsigned width, uint8_t kind, uint8_t specific,
                       uint64_t first, uint64_t last)
{
    uint8_t *at = add_descriptor(to, 6 + (size_t)width * 5);

    at[0] = tag;
    put_le16(at + 1, (uint16_t)(3 + width * 5));
    at[3] = kind;
    at[4] = 0x0C; /* producer, both ends fixed, positive decode */
    at[5] = specific;
    put_le(at + 6 + width, width, first);
    put_le(at + 6 + (size_t)2 * width, width, last);
    put_le(at + 6 + (size_t)4 * width, width, last - first + 1);
}

void aml_bus_range(struct aml_resources *to, uint16_t first, uint16_t last)
{
    add_window(to, 0x88, 2, 2, 0, first, last);
}

void aml_io_window(struct aml_resources *to, uint16_t first, uint16_t last)
{
    add_window(to, 0x88, 2, 1, 3, first, last);
}

void aml_memory_window(struct aml_resources *to, uint64_t first, uint64_t last, bool wide)
{
    add_window(to, wide ? 0x8A : 0x87, wide ? 8 : 4, 0, wide || first >= 0x100000 ? 1 : 3, first, last);
}

void aml_resources(struct aml *aml, const struct aml_resources *from)
{
    struct aml_resources copy = *from;
    uint8_t *end = copy.bytes + copy.size;

    end[0] = 0x79; /* end tag; checksum 0: not computed */
    end[1] = 0;
    aml_buffer(aml, copy.bytes, copy.size + 2);
}
