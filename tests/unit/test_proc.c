/* Fields and numbers of the kernel's small files. */
#include <stdlib.h>
#include <string.h>

#include "../../vmm/proc.h"
#include "cmocka_all.h"
#include "fake_folder.h"

static const char *field(const char *key, size_t size)
{
    static char value[64];

    memset(value, 'x', sizeof value);
    return proc_field(fake_folder, "/file", key, value, size) ? value : NULL;
}

static void a_field_is_the_first_of_exactly_its_key(void **state)
{
    (void)state;
    fake_text(fake_below("file"),
              "MemTotal: 1 kB\nMemAvailable:\t 22 kB\nMem: 3\naddress sizes\t: 40 bits\nMem: 4\nEmpty:\nlast: end");
    assert_string_equal(field("MemAvailable", 64), "22 kB");
    assert_string_equal(field("Mem", 64), "3");
    assert_string_equal(field("address sizes", 64), "40 bits");
    assert_string_equal(field("Empty", 64), "");
    assert_string_equal(field("last", 64), "end");
    assert_string_equal(field("MemAvailable", 3), "22");
    assert_null(field("address", 64));
    assert_null(field("MemAvail", 64));
    assert_false(proc_field(fake_folder, "/none", "Mem", (char[8]){""}, 8));
}

static void numbers_until_something_else(void **state)
{
    static const struct {
        const char *text;
        unsigned count;
    } cases[] = {{"400000 100000\n", 2}, {"7\n", 1}, {"max 100000\n", 0}, {"7 max\n", 1}, {"", 0}};

    (void)state;
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        uint64_t first = 1, second = 2;

        fake_text(fake_below("file"), cases[n].text);
        assert_int_equal(proc_numbers(fake_below("file"), &first, &second), cases[n].count);
        assert_int_equal(first, cases[n].count ? strtoul(cases[n].text, NULL, 10) : 1);
        assert_int_equal(second, cases[n].count == 2 ? 100000 : 2);
        proc_numbers(fake_below("file"), &first, NULL);
    }
    assert_int_equal(proc_numbers(fake_below("none"), &(uint64_t){0}, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_field_is_the_first_of_exactly_its_key, fake_folder_make, fake_folder_remove),
        cmocka_unit_test_setup_teardown(numbers_until_something_else, fake_folder_make, fake_folder_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
