/* Flash as OVMF drives it, its file through restarts, and what hostile commands do to it: nothing. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/firmware.h"
#include "cmocka_all.h"
#include "fake.h"

#define CODE_SIZE 0x37C000U
#define VARS_SIZE 0x84000U
#define CODE_AT UINT64_C(0xFFC84000)
#define VARS_AT UINT64_C(0xFFC00000)

struct files {
    char folder[64], code[96], vars[96], template[96];
    struct flash_options options;
};

static void write_file(const char *path, size_t size, uint8_t seed)
{
    uint8_t *bytes = malloc(size + 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_non_null(bytes);
    assert_true(fd >= 0);
    for (size_t n = 0; n < size; n++)
        bytes[n] = (uint8_t)(seed + n * 3);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    free(bytes);
}

static int make_files(void **state)
{
    struct files *files = calloc(1, sizeof *files);

    if (!files)
        return -1;
    snprintf(files->folder, sizeof files->folder, "/tmp/test_flash.XXXXXX");
    if (!mkdtemp(files->folder)) {
        free(files);
        return -1;
    }
    snprintf(files->code, sizeof files->code, "%s/code", files->folder);
    snprintf(files->vars, sizeof files->vars, "%s/vars", files->folder);
    snprintf(files->template, sizeof files->template, "%s/template", files->folder);
    write_file(files->code, CODE_SIZE, 1);
    write_file(files->template, VARS_SIZE, 2);
    files->options =
        (struct flash_options){.code_path = files->code, .vars_path = files->vars, .vars_template = files->template};
    *state = files;
    return 0;
}

static int remove_files(void **state)
{
    struct files *files = *state;

    unlink(files->code);
    unlink(files->vars);
    unlink(files->template);
    assert_int_equal(rmdir(files->folder), 0); /* nothing temporary is left */
    free(files);
    return 0;
}

static struct fake *make(const struct files *files)
{
    struct fake *fake = fake_create(0);
    struct error error = {""};

    if (flash_create(&fake->board, &files->options, &error) < 0) {
        print_error("%s\n", error.text);
        fail();
    }
    return fake;
}

static void refuse(const struct files *files, int reason, const char *must_say)
{
    struct fake *fake = fake_create(0);
    struct error error = {""};

    assert_int_equal(flash_create(&fake->board, &files->options, &error), -reason);
    if (!strstr(error.text, must_say)) {
        print_error("%s\n", error.text);
        fail();
    }
    assert_null(fake->slots[1]); /* RAM alone */
    fake_destroy(fake);
}

static struct vm_slot *slot_at(const struct fake *fake, uint64_t gpa)
{
    for (unsigned n = 0; n < FAKE_SLOTS; n++)
        if (fake->slots[n] && gpa >= fake->slots[n]->gpa && gpa - fake->slots[n]->gpa < fake->slots[n]->size)
            return fake->slots[n];
    return NULL;
}

/* What the guest reads: memory where a slot is, else an exit. */
static uint8_t guest_read(struct fake *fake, uint64_t gpa)
{
    const struct vm_slot *slot = slot_at(fake, gpa);

    if (slot)
        return ((const uint8_t *)slot->host)[gpa - slot->gpa];
    return (uint8_t)fake_read(fake, BUS_MMIO, gpa, 1);
}

static void guest_write(struct fake *fake, uint64_t gpa, uint8_t value)
{
    const struct vm_slot *slot = slot_at(fake, gpa);

    assert_true(!slot || slot->read_only);
    fake_write(fake, BUS_MMIO, gpa, 1, value);
}

static void program(struct fake *fake, uint64_t gpa, uint8_t value)
{
    guest_write(fake, gpa, 0x10);
    guest_write(fake, gpa, value);
}

static uint8_t expected(uint8_t seed, uint64_t offset)
{
    return (uint8_t)(seed + offset * 3);
}

static void code_and_variables_are_where_firmware_looks(void **state)
{
    struct fake *fake = make(*state);
    const struct vm_slot *code = slot_at(fake, CODE_AT), *vars = slot_at(fake, VARS_AT);

    assert_non_null(code);
    assert_non_null(vars);
    assert_int_equal(code->gpa, CODE_AT);
    assert_int_equal(code->gpa + code->size, 4 * GiB);
    assert_int_equal(vars->gpa, VARS_AT);
    assert_int_equal(vars->gpa + vars->size, CODE_AT);
    assert_true(code->read_only && vars->read_only);
    assert_int_equal(guest_read(fake, 0xFFFFFFF0), expected(1, CODE_SIZE - 16));
    assert_int_equal(guest_read(fake, VARS_AT), expected(2, 0));
    fake_destroy(fake);
}

static void the_small_chip_has_its_own_places(void **state)
{
    struct files *files = *state;
    struct fake *fake;

    write_file(files->code, 0x1E0000, 1);
    write_file(files->template, 0x20000, 2);
    fake = make(files);
    assert_int_equal(slot_at(fake, 0xFFFFFFF0)->gpa, 0xFFE20000);
    assert_int_equal(slot_at(fake, 0xFFE00000)->gpa, 0xFFE00000);
    fake_destroy(fake);
}

static void writes_to_the_code_are_lost(void **state)
{
    static const uint8_t values[] = {0x10, 0x55, 0x20, 0xD0, 0x70, 0x90, 0xFF};
    struct fake *fake = make(*state);

    for (size_t n = 0; n < sizeof values; n++)
        guest_write(fake, CODE_AT + 100, values[n]);
    assert_int_equal(guest_read(fake, CODE_AT + 100), expected(1, 100));
    assert_non_null(slot_at(fake, CODE_AT));
    fake_destroy(fake);
}

/* QemuFlashDetected, step by step (platform contract 1.1). */
static void firmware_s_probe_finds_flash(void **state)
{
    struct fake *fake = make(*state);
    uint64_t probe = VARS_AT + 0x10;
    uint8_t original = guest_read(fake, probe);

    guest_write(fake, probe, 0x50);
    assert_int_equal(guest_read(fake, probe), original); /* 0x50 back: RAM */
    guest_write(fake, probe, 0x70);
    assert_null(slot_at(fake, VARS_AT));
    assert_int_equal(guest_read(fake, probe), 0x00); /* the original: ROM; 0x70: RAM */
    guest_write(fake, probe, 0xFF);
    assert_non_null(slot_at(fake, VARS_AT));
    assert_int_equal(guest_read(fake, probe), original);
    /* 25.02 then programs the same byte and asks whether that was refused. */
    program(fake, probe, original);
    guest_write(fake, probe, 0x70);
    assert_int_equal(guest_read(fake, probe) & 0x10, 0);
    assert_int_equal(guest_read(fake, probe) & 0x80, 0x80);
    guest_write(fake, probe, 0xFF);
    assert_int_equal(guest_read(fake, probe), original);
    fake_destroy(fake);
}

/* Programming never takes the memory slot away: 15,000 bytes of a first boot cost no slot change. */
static void bytes_are_programmed_in_place(void **state)
{
    struct fake *fake = make(*state);

    for (unsigned n = 0; n < 256; n++) {
        guest_write(fake, VARS_AT + 0x1000 + n, 0x10);
        assert_non_null(slot_at(fake, VARS_AT));
        guest_write(fake, VARS_AT + 0x1000 + n, (uint8_t)~n);
        assert_int_equal(guest_read(fake, VARS_AT + 0x1000 + n), (uint8_t)~n);
    }
    /* A command's value as data is data. */
    program(fake, VARS_AT + 5, 0x70);
    assert_int_equal(guest_read(fake, VARS_AT + 5), 0x70);
    program(fake, VARS_AT + VARS_SIZE - 1, 0x20);
    assert_int_equal(guest_read(fake, VARS_AT + VARS_SIZE - 1), 0x20);
    assert_int_equal(guest_read(fake, CODE_AT), expected(1, 0));
    fake_destroy(fake);
}

static void erasing_takes_one_block(void **state)
{
    struct fake *fake = make(*state);

    guest_write(fake, VARS_AT + 0x2345, 0x20);
    guest_write(fake, VARS_AT + 0x2345, 0xD0);
    assert_int_equal(guest_read(fake, VARS_AT + 0x1FFF), expected(2, 0x1FFF));
    for (unsigned n = 0x2000; n < 0x3000; n++)
        assert_int_equal(guest_read(fake, VARS_AT + n), 0xFF);
    assert_int_equal(guest_read(fake, VARS_AT + 0x3000), expected(2, 0x3000));
    /* Without its confirmation nothing is erased, and the status says so until it is cleared. */
    guest_write(fake, VARS_AT, 0x20);
    guest_write(fake, VARS_AT, 0x21);
    assert_int_equal(guest_read(fake, VARS_AT), expected(2, 0));
    guest_write(fake, VARS_AT, 0x70);
    assert_int_equal(guest_read(fake, VARS_AT) & 0x20, 0x20);
    guest_write(fake, VARS_AT, 0x50);
    guest_write(fake, VARS_AT, 0x70);
    assert_int_equal(guest_read(fake, VARS_AT), 0);
    fake_destroy(fake);
}

static void identity_and_query_are_read_by_exits(void **state)
{
    struct fake *fake = make(*state);

    guest_write(fake, VARS_AT, 0x90);
    assert_null(slot_at(fake, VARS_AT));
    assert_int_equal(guest_read(fake, VARS_AT), 0x89);
    guest_write(fake, VARS_AT, 0x98);
    assert_null(slot_at(fake, VARS_AT));
    assert_int_equal(guest_read(fake, VARS_AT + 0x10), 'Q');
    assert_int_equal(guest_read(fake, VARS_AT + 0x12), 'Y');
    assert_int_equal(guest_read(fake, VARS_AT + 0x13), 0);
    assert_int_equal(guest_read(fake, VARS_AT + VARS_SIZE - 1), 0);
    guest_write(fake, VARS_AT, 0xFF);
    assert_int_equal(guest_read(fake, VARS_AT), expected(2, 0));
    fake_destroy(fake);
}

static void reset_is_array_mode(void **state)
{
    static const uint8_t commands[] = {0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0x90, 0x98, 0xD0, 0xE8};
    struct fake *fake = make(*state);

    for (size_t n = 0; n < sizeof commands; n++) {
        guest_write(fake, VARS_AT, commands[n]);
        board_reset(&fake->board);
        assert_non_null(slot_at(fake, VARS_AT));
        assert_int_equal(guest_read(fake, VARS_AT), expected(2, 0));
        guest_write(fake, VARS_AT, 0x70); /* and no command is half done */
        assert_int_equal(guest_read(fake, VARS_AT), 0);
        guest_write(fake, VARS_AT, 0xFF);
    }
    fake_destroy(fake);
}

/* lessons 4.5, row 22: every width at every edge, any command in any order. */
static void hostile_sequences_are_survived(void **state)
{
    static const uint64_t edges[] = {VARS_AT - 8, VARS_AT, CODE_AT - 8, CODE_AT - 1, CODE_AT, 4 * GiB - 8, 4 * GiB - 1};
    struct fake *fake = make(*state);
    uint32_t random = 1;

    for (unsigned n = 0; n < 200000; n++) {
        uint64_t address;

        random = random * 1664525 + 1013904223;
        address = edges[(random >> 8) % ARRAY_SIZE(edges)] + (random >> 16 & 7);
        if (random >> 31)
            fake_write(fake, BUS_MMIO, address, 1U << (random >> 28 & 3), random * UINT64_C(0x9E3779B97F4A7C15));
        else
            fake_read(fake, BUS_MMIO, address, 1U << (random >> 28 & 3));
    }
    board_reset(&fake->board);
    assert_non_null(slot_at(fake, VARS_AT));
    for (uint64_t n = 0; n < CODE_SIZE; n += 4093)
        assert_int_equal(guest_read(fake, CODE_AT + n), expected(1, n));
    fake_destroy(fake);
}

static uint8_t byte_of_file(const char *path, off_t offset)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t byte = 0;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    close(fd);
    return byte;
}

/* Also what a killed process leaves: the file has the byte before anybody is destroyed. */
static void variables_persist(void **state)
{
    struct files *files = *state;
    struct fake *fake = make(files);
    struct stat info;

    assert_int_equal(stat(files->vars, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(info.st_size, VARS_SIZE);
    program(fake, VARS_AT + 0x321, 0xA5);
    assert_int_equal(byte_of_file(files->vars, 0x321), 0xA5);
    fake_destroy(fake);
    assert_int_equal(byte_of_file(files->vars, 0x321), 0xA5);
    assert_int_equal(byte_of_file(files->template, 0x321), expected(2, 0x321));
    unlink(files->template); /* it is not needed any more */
    fake = make(files);
    assert_int_equal(guest_read(fake, VARS_AT + 0x321), 0xA5);
    assert_int_equal(guest_read(fake, VARS_AT + 0x322), expected(2, 0x322));
    fake_destroy(fake);
}

/* The write-back runs on the board's loop while commands go on, and ends with the machine. */
static void write_back_runs_beside_the_guest(void **state)
{
    struct fake *fake = make(*state);

    assert_int_equal(loop_start(fake->board.loop), 0);
    for (unsigned n = 0; n < 15; n++) {
        program(fake, VARS_AT + n, (uint8_t)n);
        poll(NULL, 0, 100);
    }
    poll(NULL, 0, 1100);
    program(fake, VARS_AT, 0x77);
    loop_stop(fake->board.loop);
    fake_destroy(fake);
    assert_int_equal(byte_of_file(((const struct files *)*state)->vars, 0), 0x77);
}

static void two_machines_cannot_share_variables(void **state)
{
    struct files *files = *state;
    struct fake *fake = make(files);

    refuse(files, EBUSY, "in use by another machine");
    fake_destroy(fake);
    fake_destroy(make(files)); /* the lock ends with its holder */
}

static void wrong_sizes_are_refused(void **state)
{
    static const size_t templates[] = {0, 1, 0x1000, 0x83000, 0x84001, 0x85000, 0x20000, 4 * MiB};
    static const size_t codes[] = {0, 100, 0x37C001, 4 * MiB, 0x37D000, 16 * MiB};
    struct files *files = *state;

    for (size_t n = 0; n < ARRAY_SIZE(templates); n++) {
        write_file(files->template, templates[n], 2);
        refuse(files, EINVAL, files->template);
        assert_int_not_equal(access(files->vars, F_OK), 0); /* no file that blocks the next attempt */
    }
    for (size_t n = 0; n < ARRAY_SIZE(templates); n++) {
        write_file(files->vars, templates[n], 2);
        refuse(files, EINVAL, files->vars);
    }
    write_file(files->vars, VARS_SIZE, 2);
    for (size_t n = 0; n < ARRAY_SIZE(codes); n++) {
        write_file(files->code, codes[n], 1);
        refuse(files, EINVAL, "firmware");
    }
}

static void missing_files_are_named(void **state)
{
    struct files *files = *state;

    unlink(files->template);
    refuse(files, ENOENT, files->template);
    files->options.vars_path = "/nowhere/at/all/vars";
    write_file(files->template, VARS_SIZE, 2);
    refuse(files, ENOENT, "/nowhere/at/all/vars");
    unlink(files->code);
    refuse(files, ENOENT, files->code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(code_and_variables_are_where_firmware_looks, make_files, remove_files),
        cmocka_unit_test_setup_teardown(the_small_chip_has_its_own_places, make_files, remove_files),
        cmocka_unit_test_setup_teardown(writes_to_the_code_are_lost, make_files, remove_files),
        cmocka_unit_test_setup_teardown(firmware_s_probe_finds_flash, make_files, remove_files),
        cmocka_unit_test_setup_teardown(bytes_are_programmed_in_place, make_files, remove_files),
        cmocka_unit_test_setup_teardown(erasing_takes_one_block, make_files, remove_files),
        cmocka_unit_test_setup_teardown(identity_and_query_are_read_by_exits, make_files, remove_files),
        cmocka_unit_test_setup_teardown(reset_is_array_mode, make_files, remove_files),
        cmocka_unit_test_setup_teardown(hostile_sequences_are_survived, make_files, remove_files),
        cmocka_unit_test_setup_teardown(variables_persist, make_files, remove_files),
        cmocka_unit_test_setup_teardown(write_back_runs_beside_the_guest, make_files, remove_files),
        cmocka_unit_test_setup_teardown(two_machines_cannot_share_variables, make_files, remove_files),
        cmocka_unit_test_setup_teardown(wrong_sizes_are_refused, make_files, remove_files),
        cmocka_unit_test_setup_teardown(missing_files_are_named, make_files, remove_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
