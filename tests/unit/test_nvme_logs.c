/* The log pages of the NVMe controller: what is in them, in parts too, and how many errors are kept (NVMe 5.14). */
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_nvme.h"

static void log_pages_are_there(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command wrong = host_transfer(N_READ, HOST_IMAGE / 512, 1, M_DATA, 0);

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    assert_int_equal(host_log(host, 0, 1024, 0, false), 0);
    for (unsigned page = 0; page < 256; page++)
        assert_int_equal(host_peek(host, M_DATA + page * 4, 4), page <= 5);
    assert_int_equal(host_status(host, 1, &wrong), E_RANGE);
    assert_int_equal(host_log(host, 1, 64, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA, 8), 1);
    assert_int_equal(host_peek(host, M_DATA + 8, 2), 1);
    assert_int_equal(host_peek(host, M_DATA + 12, 2), (0x4000 | E_RANGE) << 1);
    assert_int_equal(host_peek(host, M_DATA + 16, 8), HOST_IMAGE / 512);
    wrong = host_transfer(N_READ, 0, 8, M_DATA, 0);
    assert_int_equal(host_status(host, 1, &wrong), 0);
    assert_int_equal(host_log(host, 2, 512, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA + 1, 2), 313);
    assert_int_equal(host_peek(host, M_DATA + 3, 2), 0x0A64);
    assert_int_equal(host_peek(host, M_DATA + 32, 8), 1); /* begun thousands of 512 bytes */
    assert_int_equal(host_peek(host, M_DATA + 64, 8), 1);
    assert_int_equal(host_peek(host, M_DATA + 176, 8), 1);
    assert_int_equal(host_log(host, 3, 512, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA, 1), 1);
    assert_int_not_equal(host_peek(host, M_DATA + 8, 1), 0);
    assert_int_equal(host_log(host, 5, 4096, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA + A_IDENTIFY * 4, 4), 1);
    assert_int_equal(host_peek(host, M_DATA + 1024 + N_WRITE * 4, 4), 3);
    assert_int_equal(host_peek(host, M_DATA + 1024 + N_COMPARE * 4, 4), 0);
    assert_int_equal(host_log(host, 0xC1, 512, 0, false), E_LOG_PAGE);
    /* In parts: an offset inside, behind, and crooked; a buffer that is larger than the page. */
    assert_int_equal(host_log(host, 2, 4, 32, false), 0);
    assert_int_equal(host_peek(host, M_DATA, 4), 1);
    assert_int_equal(host_log(host, 2, 4, 512, false), E_FIELD);
    assert_int_equal(host_log(host, 2, 4, UINT64_C(1) << 40, false), E_FIELD);
    assert_int_equal(host_log(host, 2, 4, 2, false), E_FIELD);
    host_poke(host, M_DATA + 512, 8, 0x5555);
    assert_int_equal(host_log(host, 2, 8192, 0, false), 0);
    assert_int_equal(host_peek(host, M_DATA + 512, 8), 0x5555);
    host_destroy(host);
}

#define ERROR_BYTES 64U

/* Identify says how many errors the log keeps, less one (NVMe figure 247, ELPE): so many are there, and no more. */
static void the_error_log_keeps_what_identify_says(void **state)
{
    struct host *host = host_create(NULL);
    struct host_command wrong = host_transfer(N_READ, HOST_IMAGE / 512, 1, M_DATA, 0);
    unsigned entries, errors;

    (void)state;
    host_start(host, 16, true);
    host_io_queues(host, 1, 16);
    assert_int_equal(host_identify(host, 1, 0), 0);
    entries = (unsigned)host_peek(host, M_DATA + 262, 1) + 1;
    errors = entries + 3;
    assert_in_range(entries, 1, 4096 / ERROR_BYTES); /* so that the log is in one piece of memory below */
    for (unsigned n = 0; n < errors; n++)
        assert_int_equal(host_status(host, 1, &wrong), E_RANGE);
    memset(host_memory(host, M_DATA, 8192), 0xEE, 8192);
    assert_int_equal(host_log(host, 1, (entries + 1) * ERROR_BYTES, 0, false), 0);
    for (unsigned n = 0; n < entries; n++)
        assert_int_equal(host_peek(host, M_DATA + n * ERROR_BYTES, 8), errors - n); /* the newest first */
    assert_int_equal(host_peek(host, M_DATA + entries * ERROR_BYTES, 8), UINT64_C(0xEEEEEEEEEEEEEEEE));
    assert_int_equal(host_log(host, 1, ERROR_BYTES, (entries - 1) * ERROR_BYTES, false), 0);
    assert_int_equal(host_peek(host, M_DATA, 8), errors - (entries - 1));
    assert_int_equal(host_log(host, 1, ERROR_BYTES, entries * ERROR_BYTES, false), E_FIELD);
    host_destroy(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_pages_are_there),
        cmocka_unit_test(the_error_log_keeps_what_identify_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
