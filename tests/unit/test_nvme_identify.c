/*
 * What the NVMe controller says it is: PCI function and capabilities, Identify, the identifiers of its namespace; and
 * what it says it cannot (platform contract 6.3).
 */
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_nvme.h"

static void function_is_an_nvme_controller(void **state)
{
    struct host *host = host_create(&(struct host_setup){.queues = 6});
    unsigned msix = (unsigned)fake_config_read(host->fake, NVME_DEVFN, 0x34, 1);
    uint64_t cap = host_get(host, R_CAP, 8);

    (void)state;
    assert_int_equal(fake_config_read(host->fake, NVME_DEVFN, 0x00, 4), 0x00101B36);
    assert_int_equal(fake_config_read(host->fake, NVME_DEVFN, 0x08, 4) >> 8, 0x010802);
    assert_int_equal(fake_config_read(host->fake, NVME_DEVFN, 0x3D, 1), 1);
    assert_int_equal(fake_config_read(host->fake, NVME_DEVFN, msix, 1), 0x11);
    assert_int_equal(fake_config_read(host->fake, NVME_DEVFN, msix + 2, 2) & 0x7FF, 6); /* queues + 1 vectors */
    fake_config_write(host->fake, NVME_DEVFN, 0x10, 4, UINT32_MAX);
    assert_int_equal(fake_config_read(host->fake, NVME_DEVFN, 0x10, 4), 0xFFFFC004); /* 64 bits, 16 KiB */
    assert_true((cap & 0xFFFF) + 1 >= 2);
    assert_int_equal(cap >> 16 & 1, 1);   /* contiguous queues */
    assert_int_equal(cap >> 32 & 0xF, 0); /* doorbells of 4 bytes */
    assert_int_equal(cap >> 37 & 1, 1);   /* the NVM command set */
    assert_int_equal(cap >> 48 & 0xF, 0); /* pages of 4 KiB */
    host_destroy(host);
}

static void abort_succeeds_and_says_not_aborted(void **state)
{
    struct host *host = host_create(NULL);
    struct host_completion completion;

    (void)state;
    host_start(host, 16, true);
    completion = host_run(host, 0, &(struct host_command){.opcode = A_ABORT, .dw10 = 7 << 16 | 1});
    assert_int_equal(completion.status, 0);
    assert_int_equal(completion.dw0 & 1, 1);
    host_destroy(host);
}

static void check_controller(struct host *host)
{
    assert_int_equal(host_identify(host, 1, 0), 0);
    assert_memory_equal(host_memory(host, M_DATA + 4, 20), "SN-42               ", 20);
    assert_int_equal(host_peek(host, M_DATA + 24 + 39, 1), ' ');
    assert_in_range(host_peek(host, M_DATA + 77, 1), 5, 7);
    assert_true(host_peek(host, M_DATA + 80, 4) >= 0x00010300);
    assert_int_equal(host_peek(host, M_DATA + 256, 2), 0x0100); /* doorbell buffers, neither format nor firmware */
    assert_int_equal(host_peek(host, M_DATA + 259, 1), 3);      /* AERL */
    assert_int_equal(host_peek(host, M_DATA + 263, 1), 0);      /* NPSS */
    assert_int_equal(host_peek(host, M_DATA + 512, 2), 0x4466);
    assert_int_equal(host_peek(host, M_DATA + 516, 4), 1);    /* NN */
    assert_int_equal(host_peek(host, M_DATA + 520, 2), 0x5C); /* DSM, write zeroes, select, timestamp */
    assert_int_equal(host_peek(host, M_DATA + 525, 1) & 1, 1);
    assert_int_equal(host_peek(host, M_DATA + 536, 4), 0); /* no SGLs */
    assert_memory_equal(host_memory(host, M_DATA + 768, 19), "nqn.2014-08.org.nvm", 19);
    assert_non_null(memchr(host_memory(host, M_DATA + 768, 256), 0, 256));
}

static void identify_says_what_windows_wants(void **state)
{
    struct host *host = host_create(NULL);
    bool discards = block_can_discard(host->block);

    (void)state;
    host_start(host, 16, true);
    check_controller(host);
    assert_int_equal(host_identify(host, 0, 1), 0);
    assert_int_equal(host_peek(host, M_DATA, 8), HOST_IMAGE / 512);
    assert_int_equal(host_peek(host, M_DATA + 24, 1) & 1, discards); /* THINP */
    assert_int_equal(host_peek(host, M_DATA + 25, 2), 0);            /* one format */
    assert_int_equal(host_peek(host, M_DATA + 33, 1), discards ? 9 : 1);
    assert_int_equal(host_peek(host, M_DATA + 99, 1), 0);
    assert_int_equal(host_peek(host, M_DATA + 128, 4), 9 << 16);
    assert_int_equal(host_identify(host, 2, 0), 0);
    assert_int_equal(host_peek(host, M_DATA, 8), 1);
    assert_int_equal(host_identify(host, 2, 1), 0);
    assert_int_equal(host_peek(host, M_DATA, 8), 0);
    assert_int_equal(host_identify(host, 6, 0), 0);
    assert_int_equal(host_peek(host, M_DATA, 8), 0);
    assert_int_equal(host_identify(host, 0, 0), E_NAMESPACE);
    assert_int_equal(host_identify(host, 0, 2), E_NAMESPACE);
    assert_int_equal(host_identify(host, 0, UINT32_MAX), E_NAMESPACE);
    assert_int_equal(host_identify(host, 3, 2), E_NAMESPACE);
    assert_int_equal(host_identify(host, 2, UINT32_MAX - 1), E_NAMESPACE);
    assert_int_equal(host_identify(host, 0x20, 1), E_FIELD);
    assert_int_equal(host_peek(host, M_DATA, 8), UINT64_C(0xEEEEEEEEEEEEEEEE)); /* an error writes nothing */
    host_destroy(host);
}

/* EUI-64 and NGUID as the descriptor list has them. */
static void read_identifiers(const char *serial, uint8_t ids[24])
{
    struct host *host = host_create(&(struct host_setup){.serial = serial});

    host_start(host, 16, true);
    assert_int_equal(host_identify(host, 3, 1), 0);
    assert_int_equal(host_peek(host, M_DATA, 2), 0x0801);
    memcpy(ids, host_memory(host, M_DATA + 4, 8), 8);
    assert_int_equal(host_peek(host, M_DATA + 12, 2), 0x1002);
    memcpy(ids + 8, host_memory(host, M_DATA + 16, 16), 16);
    assert_int_equal(host_peek(host, M_DATA + 32, 2), 0);
    assert_int_equal(host_identify(host, 0, 1), 0);
    assert_memory_equal(host_memory(host, M_DATA + 104, 16), ids + 8, 16);
    assert_memory_equal(host_memory(host, M_DATA + 120, 8), ids, 8);
    host_destroy(host);
}

static void identifiers_follow_the_serial_number(void **state)
{
    uint8_t one[24], again[24], other[24];

    (void)state;
    read_identifiers("disk-1", one);
    read_identifiers("disk-1", again);
    read_identifiers("disk-2", other);
    assert_memory_equal(one, again, sizeof one);
    assert_memory_not_equal(one, other, 8);
    assert_true(nvme_firmware_id("disk-1") == get_le64(one)); /* what firmware's boot order says */
    assert_memory_not_equal(one + 8, other + 8, 8);
}

static void format_firmware_and_the_rest_are_refused(void **state)
{
    static const uint8_t refused[] = {
        A_FORMAT, A_FIRMWARE_COMMIT, 0x11, 0x0D, 0x14, 0x15, 0x18, 0x19, 0x1A, 0x1C, 0x81, 0x82, 0x84, 0xC0, 0xFF};
    struct host *host = host_create(NULL);

    (void)state;
    host_start(host, 16, true);
    for (unsigned n = 0; n < ARRAY_SIZE(refused); n++) {
        struct host_completion completion =
            host_run(host, 0, &(struct host_command){.opcode = refused[n], .nsid = 1, .prp1 = M_DATA});

        assert_int_equal(completion.status, E_OPCODE);
        assert_false(completion.retry);
    }
    host_destroy(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(function_is_an_nvme_controller),
        cmocka_unit_test(abort_succeeds_and_says_not_aborted),
        cmocka_unit_test(identify_says_what_windows_wants),
        cmocka_unit_test(identifiers_follow_the_serial_number),
        cmocka_unit_test(format_firmware_and_the_rest_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
