/* The one way into guest RAM: every edge of it. */
#include <errno.h>

#include "casement/bytes.h"
#include "casement/memory.h"
#include "cmocka_all.h"

static struct memory *make(uint64_t size)
{
    struct memory_options options = {.size = size};
    struct memory *memory = NULL;
    struct error error = {""};

    assert_int_equal(memory_create(&options, &memory, &error), 0);
    return memory;
}

static void low_ram_ends_where_it_ends(void **state)
{
    struct memory *memory = make(64 * MiB);
    uint64_t end = 64 * MiB;

    (void)state;
    assert_non_null(memory_at(memory, 0, 1));
    assert_non_null(memory_at(memory, 0, end));
    assert_non_null(memory_at(memory, end - 1, 1));
    assert_null(memory_at(memory, end - 1, 2));
    assert_null(memory_at(memory, end, 1));
    assert_null(memory_at(memory, 0, end + 1));
    assert_null(memory_at(memory, 0, 0));
    memory_destroy(memory);
}

static void the_hole_below_4_gib_is_no_ram(void **state)
{
    struct memory *memory = make(3 * GiB);

    (void)state;
    assert_int_equal(memory_low_size(memory), 2 * GiB);
    assert_int_equal(memory_high_size(memory), 1 * GiB);
    assert_null(memory_at(memory, MEMORY_LOW_LIMIT - 1, 2));
    assert_null(memory_at(memory, MEMORY_LOW_LIMIT, 1));
    assert_null(memory_at(memory, MEMORY_HIGH_BASE - 1, 1));
    assert_null(memory_at(memory, MEMORY_HIGH_BASE - 1, 2));
    assert_non_null(memory_at(memory, MEMORY_HIGH_BASE, 1));
    assert_non_null(memory_at(memory, MEMORY_HIGH_BASE, GiB));
    assert_null(memory_at(memory, MEMORY_HIGH_BASE, GiB + 1));
    assert_null(memory_at(memory, MEMORY_HIGH_BASE + GiB, 1));
    /* A range over the hole is not RAM, though both its ends are. */
    assert_null(memory_at(memory, MEMORY_LOW_LIMIT - 4096, MEMORY_HIGH_BASE - MEMORY_LOW_LIMIT + 8192));
    memory_destroy(memory);
}

/* lessons 4.5, row 2. */
static void ranges_that_wrap_are_refused(void **state)
{
    struct memory *memory = make(3 * GiB);

    (void)state;
    assert_null(memory_at(memory, UINT64_MAX, 1));
    assert_null(memory_at(memory, UINT64_MAX, 2));
    assert_null(memory_at(memory, UINT64_MAX - 4095, 8192));
    assert_null(memory_at(memory, 4096, UINT64_MAX));
    assert_null(memory_at(memory, 4096, UINT64_MAX - 4095));
    assert_null(memory_at(memory, MEMORY_HIGH_BASE, UINT64_MAX - MEMORY_HIGH_BASE + 2));
    memory_destroy(memory);
}

static void copies_are_whole_or_not_at_all(void **state)
{
    struct memory *memory = make(2 * MiB);
    uint32_t word = 0x12345678, back = 0;

    (void)state;
    assert_int_equal(memory_write(memory, 2 * MiB - 4, &word, 4), 0);
    assert_int_equal(memory_read(memory, 2 * MiB - 4, &back, 4), 0);
    assert_int_equal(back, word);
    assert_int_equal(memory_write(memory, 2 * MiB - 3, &word, 4), -EFAULT);
    back = 1;
    assert_int_equal(memory_read(memory, 2 * MiB - 3, &back, 4), -EFAULT);
    assert_int_equal(back, 1);
    assert_int_equal(memory_read(memory, UINT64_MAX, &back, 0), 0);
    memory_destroy(memory);
}

static void odd_sizes_are_refused_with_a_reason(void **state)
{
    struct memory_options options = {.size = 3 * MiB};
    struct memory *memory = NULL;
    struct error error = {""};

    (void)state;
    assert_int_equal(memory_create(&options, &memory, &error), -EINVAL);
    assert_non_null(strstr(error.text, "2 MiB"));
    options.size = 0;
    assert_int_equal(memory_create(&options, &memory, &error), -EINVAL);
    assert_null(memory);
}

static void shared_memory_is_a_memfd(void **state)
{
    struct memory_options options = {.size = 4 * MiB, .shared = true};
    struct memory *memory = NULL;
    struct error error = {""};

    (void)state;
    assert_int_equal(memory_create(&options, &memory, &error), 0);
    *(uint8_t *)memory_at(memory, 4 * MiB - 1, 1) = 7;
    memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(low_ram_ends_where_it_ends),          cmocka_unit_test(the_hole_below_4_gib_is_no_ram),
        cmocka_unit_test(ranges_that_wrap_are_refused),        cmocka_unit_test(copies_are_whole_or_not_at_all),
        cmocka_unit_test(odd_sizes_are_refused_with_a_reason), cmocka_unit_test(shared_memory_is_a_memfd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
