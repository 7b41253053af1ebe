/* What a fuzzer reads its deeds from. Behind the end come zeroes. */
#ifndef CASEMENT_TESTS_FUZZ_INPUT_H
#define CASEMENT_TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "casement/bytes.h"

struct input {
    const uint8_t *at;
    size_t left;
};

/* The next size bytes (at most 8) as a number, little end first. */
static inline uint64_t take(struct input *input, unsigned size)
{
    uint8_t word[8] = {0};
    size_t now = MIN(size, input->left);

    memcpy(word, input->at, now);
    input->at += now;
    input->left -= now;
    return get_le64(word);
}

/* A number that is small, or near the limit, or anything. */
static inline uint64_t take_number(struct input *input, uint64_t limit)
{
    unsigned kind = (unsigned)take(input, 1);

    return kind < 0xE0 ? take(input, 2) % limit : kind < 0xF8 ? limit - kind % 8 : take(input, 8);
}

#endif
