/* Little- and big-endian words in byte arrays, and the small arithmetic that every file needs. Unaligned is allowed. */
#ifndef CASEMENT_BYTES_H
#define CASEMENT_BYTES_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define KiB (1024ULL)
#define MiB (1024ULL * KiB)
#define GiB (1024ULL * MiB)

/* The structure that holds the member that ptr points to. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define CASEMENT_WORD(name, type, to_host, from_host)  \
    static inline type get_##name(const void *at)      \
    {                                                  \
        type word;                                     \
        memcpy(&word, at, sizeof word);                \
        return to_host(word);                          \
    }                                                  \
    static inline void put_##name(void *at, type word) \
    {                                                  \
        word = from_host(word);                        \
        memcpy(at, &word, sizeof word);                \
    }
CASEMENT_WORD(le16, uint16_t, le16toh, htole16)
CASEMENT_WORD(le32, uint32_t, le32toh, htole32)
CASEMENT_WORD(le64, uint64_t, le64toh, htole64)
CASEMENT_WORD(be16, uint16_t, be16toh, htobe16)
CASEMENT_WORD(be32, uint32_t, be32toh, htobe32)
CASEMENT_WORD(be64, uint64_t, be64toh, htobe64)
#undef CASEMENT_WORD

/* A little-endian word of 1, 2, 4 or 8 bytes. */
static inline uint64_t get_le(const void *at, unsigned size)
{
    uint64_t word = 0;
    memcpy(&word, at, size);
    return le64toh(word);
}
static inline void put_le(void *at, unsigned size, uint64_t word)
{
    word = htole64(word);
    memcpy(at, &word, size);
}

/* All ones in size bytes: what an access that nobody claims reads. */
static inline uint64_t all_ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
}

static inline uint64_t align_up(uint64_t value, uint64_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

#endif
