/* Loading bzImages: what lies where afterwards, for made-up images and for the kernel of this host, if it has one. */
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/firmware.h"
#include "casement/memory.h"
#include "cmocka_all.h"

#define PAYLOAD 5000
#define SETUP_SECTORS 2
#define FILE_SIZE ((SETUP_SECTORS + 1) * 512 + PAYLOAD)
#define INIT_SIZE 0x20000

struct files {
    char folder[64], kernel[96], initrd[96];
    struct memory *memory;
    uint8_t image[FILE_SIZE];
};

static void write_file(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

/* A kernel with every field right: the tests spoil one at a time. */
static int make(void **state)
{
    struct files *files = calloc(1, sizeof *files);
    const struct memory_options options = {.size = 64 * MiB};
    uint8_t *image;

    if (!files)
        return -1;
    image = files->image;
    snprintf(files->folder, sizeof files->folder, "/tmp/test_kernel.XXXXXX");
    if (!mkdtemp(files->folder) || memory_create(&options, &files->memory, NULL) < 0) {
        free(files);
        return -1;
    }
    snprintf(files->kernel, sizeof files->kernel, "%s/kernel", files->folder);
    snprintf(files->initrd, sizeof files->initrd, "%s/initrd", files->folder);
    for (unsigned n = 0; n < PAYLOAD; n++)
        image[(SETUP_SECTORS + 1) * 512 + n] = (uint8_t)(n * 7);
    image[0x1F1] = SETUP_SECTORS;
    image[0x201] = 0x6A;
    put_le32(image + 0x202, 0x53726448); /* "HdrS" */
    put_le16(image + 0x206, 0x020F);
    put_le32(image + 0x22C, 0x7FFFFFFF);
    put_le32(image + 0x230, 0x200000);
    image[0x234] = 1;
    put_le16(image + 0x236, 1);
    put_le32(image + 0x238, 2047);
    put_le64(image + 0x258, 0x1000000);
    put_le32(image + 0x260, INIT_SIZE);
    write_file(files->kernel, image, FILE_SIZE);
    *state = files;
    return 0;
}

static int destroy(void **state)
{
    struct files *files = *state;

    unlink(files->kernel);
    unlink(files->initrd);
    rmdir(files->folder);
    memory_destroy(files->memory);
    free(files);
    return 0;
}

static const uint8_t *at(const struct files *files, uint64_t gpa, uint64_t length)
{
    const uint8_t *bytes = memory_at(files->memory, gpa, length);

    assert_non_null(bytes);
    return bytes;
}

static int load(struct files *files, const char *initrd, const char *command_line, struct kernel_entry *entry,
                struct error *error)
{
    const struct kernel_options options = {
        .kernel = files->kernel, .initrd = initrd, .command_line = command_line, .rsdp = 0xE0000};

    return kernel_load(files->memory, &options, entry, error);
}

/* What the processor does with cr3: the physical address, or UINT64_MAX. */
static uint64_t walk(const struct files *files, uint64_t cr3, uint64_t address)
{
    uint64_t entry = get_le64(at(files, cr3 + (address >> 39 & 511) * 8, 8));

    if (!(entry & 1))
        return UINT64_MAX;
    entry = get_le64(at(files, (entry & ~UINT64_C(0xFFF)) + (address >> 30 & 511) * 8, 8));
    if (!(entry & 1))
        return UINT64_MAX;
    entry = get_le64(at(files, (entry & ~UINT64_C(0xFFF)) + (address >> 21 & 511) * 8, 8));
    if ((entry & 0x83) != 0x83)
        return UINT64_MAX;
    return (entry & ~UINT64_C(0x1FFFFF)) + (address & 0x1FFFFF);
}

static void check_entry(const struct files *files, const struct kernel_entry *entry)
{
    static const uint64_t places[] = {0, 0x1000, 0x1FFFFF, 0x200000, 0x1000200, 0x7FFFFFFF, 0xB0000000, 0xFFFFFFFF};

    for (size_t n = 0; n < ARRAY_SIZE(places); n++)
        assert_int_equal(walk(files, entry->cr3, places[n]), places[n]);
    assert_int_equal(walk(files, entry->cr3, 4 * GiB), UINT64_MAX);
    assert_int_equal(entry->cr3 & 0xFFF, 0);
    /* __BOOT_CS 0x10: 64-bit code; __BOOT_DS 0x18: writable data. */
    assert_int_equal(entry->gdt_limit, 31);
    assert_int_equal(get_le64(at(files, entry->gdt + 0x10, 8)) >> 40 & 0xFFFF, 0xAF9B);
    assert_int_equal(get_le64(at(files, entry->gdt + 0x18, 8)) >> 40 & 0xFFFF, 0xCF93);
}

static void everything_is_where_the_protocol_says(void **state)
{
    struct files *files = *state;
    struct error error = {""};
    struct kernel_entry entry;
    const uint8_t *params;

    assert_int_equal(load(files, NULL, "console=ttyS0 quiet", &entry, &error), 0);
    assert_int_equal(entry.rip, 0x1000200);
    params = at(files, entry.rsi, 4096);
    assert_memory_equal(at(files, 0x1000000, PAYLOAD), files->image + FILE_SIZE - PAYLOAD, PAYLOAD);
    assert_memory_equal(params + 0x202, "HdrS", 4);
    assert_int_equal(params[0x210], 0xFF);
    assert_int_equal(params[0x1EF], 0); /* the sentinel */
    assert_int_equal(get_le64(params + 0x70), 0xE0000);
    assert_int_equal(get_le32(params + 0x218), 0);
    assert_int_equal(get_le32(params + 0x21C), 0);
    assert_string_equal((const char *)at(files, get_le32(params + 0x228), 64), "console=ttyS0 quiet");
    check_entry(files, &entry);
}

static void check_memory_map(const struct memory *memory, const uint8_t *params)
{
    uint64_t total = 0, end = 0;
    bool ecam = false, private = false, acpi = false;

    assert_in_range(params[0x1E8], 5, 128);
    for (unsigned n = 0; n < params[0x1E8]; n++) {
        const uint8_t *entry = params + 0x2D0 + (size_t)n * 20;
        uint64_t base = get_le64(entry), size = get_le64(entry + 8);
        uint32_t type = get_le32(entry + 16);

        assert_true(base >= end && size > 0); /* sorted, and nothing overlaps */
        end = base + size;
        if (type == 1) {
            assert_non_null(memory_at(memory, base, size));
            total += size;
        }
        ecam |= type == 2 && base == 0xB0000000 && size == 256 * MiB;
        private |= type == 2 && base == 0xFEFFC000 && size == 0x4000;
        acpi |= type != 1 && base <= 0xE0000 && end >= 0x100000;
    }
    assert_true(ecam && private && acpi);
    assert_in_range(total, memory_size(memory) - 0x60400, memory_size(memory) - 0x20000);
}

static void the_memory_map_is_complete(void **state)
{
    static const uint64_t sizes[] = {64 * MiB, 2 * GiB, 5 * GiB};
    struct files *files = *state;
    struct error error = {""};
    struct kernel_entry entry;

    for (size_t n = 0; n < ARRAY_SIZE(sizes); n++) {
        const struct memory_options options = {.size = sizes[n]};

        memory_destroy(files->memory);
        assert_int_equal(memory_create(&options, &files->memory, &error), 0);
        assert_int_equal(load(files, NULL, NULL, &entry, &error), 0);
        check_memory_map(files->memory, at(files, entry.rsi, 4096));
    }
}

/* Page aligned, below the kernel's limit, above the kernel, and the same bytes. */
static void the_ram_disk_is_as_high_as_allowed(void **state)
{
    static const uint32_t limits[] = {0x7FFFFFFF, 0x2000000, 0x1FFFFFF};
    struct files *files = *state;
    struct error error = {""};
    struct kernel_entry entry;
    uint8_t initrd[10000];

    for (size_t n = 0; n < sizeof initrd; n++)
        initrd[n] = (uint8_t)(n * 13);
    write_file(files->initrd, initrd, sizeof initrd);
    for (size_t n = 0; n < ARRAY_SIZE(limits); n++) {
        const uint8_t *params;
        uint32_t where;

        put_le32(files->image + 0x22C, limits[n]);
        write_file(files->kernel, files->image, FILE_SIZE);
        assert_int_equal(load(files, files->initrd, "", &entry, &error), 0);
        params = at(files, entry.rsi, 4096);
        where = get_le32(params + 0x218);
        assert_int_equal(get_le32(params + 0x21C), sizeof initrd);
        assert_int_equal(where % 4096, 0);
        assert_true(where + sizeof initrd - 1 <= MIN(limits[n], 64 * MiB - 1));
        assert_true(where + sizeof initrd + 4096 > MIN(limits[n], 64 * MiB - 1));
        assert_memory_equal(at(files, where, sizeof initrd), initrd, sizeof initrd);
    }
}

static void a_ram_disk_never_covers_the_kernel(void **state)
{
    struct files *files = *state;
    struct error error = {""};
    struct kernel_entry entry;
    uint8_t initrd[10000] = {1};

    write_file(files->initrd, initrd, sizeof initrd);
    put_le32(files->image + 0x22C, 0x1000000 + INIT_SIZE + 8192);
    write_file(files->kernel, files->image, FILE_SIZE);
    assert_true(load(files, files->initrd, "", &entry, &error) < 0);
    assert_non_null(strstr(error.text, files->initrd));
    assert_non_null(strstr(error.text, "--memory"));
    /* A kernel that is longer than the work space it claims. */
    put_le32(files->image + 0x22C, 0x1000000 + 12000);
    put_le32(files->image + 0x260, 1);
    write_file(files->kernel, files->image, FILE_SIZE);
    assert_true(load(files, files->initrd, "", &entry, &error) < 0);
}

static void files_that_are_missing_are_named(void **state)
{
    struct files *files = *state;
    struct error error = {""};
    struct kernel_entry entry;

    assert_true(load(files, files->initrd, "", &entry, &error) < 0);
    assert_non_null(strstr(error.text, files->initrd));
    assert_non_null(strstr(error.text, "--initrd"));
    unlink(files->kernel);
    assert_true(load(files, NULL, "", &entry, &error) < 0);
    assert_non_null(strstr(error.text, files->kernel));
    assert_non_null(strstr(error.text, "--kernel"));
    snprintf(files->kernel, sizeof files->kernel, "%s", files->folder);
    assert_true(load(files, NULL, "", &entry, &error) < 0);
    snprintf(files->kernel, sizeof files->kernel, "%s/kernel", files->folder);
}

/* One wrong field at a time; each is refused with the file's name. */
static void spoiled_images_are_refused(void **state)
{
    static const struct {
        unsigned offset, size;
        uint64_t value;
    } spoils[] = {
        {0x202, 4, 0},          /* no magic */
        {0x206, 2, 0x020B},     /* too old */
        {0x236, 2, 0},          /* 32 bits only */
        {0x236, 2, 0xFFFE},     /* other loading flags do not help */
        {0x1F1, 1, 255},        /* the kernel would begin behind the end */
        {0x260, 4, 0xFFFFFFFF}, /* more work space than RAM */
        {0x260, 4, 0x3000001},  /* a byte more than RAM from 16 MiB on */
    };
    struct files *files = *state;
    struct error error;
    struct kernel_entry entry;

    for (size_t n = 0; n < ARRAY_SIZE(spoils); n++) {
        uint8_t image[FILE_SIZE];

        memcpy(image, files->image, sizeof image);
        put_le(image + spoils[n].offset, spoils[n].size, spoils[n].value);
        write_file(files->kernel, image, sizeof image);
        error.text[0] = '\0';
        assert_true(load(files, NULL, "", &entry, &error) < 0);
        assert_non_null(strstr(error.text, files->kernel));
    }
}

/* A kernel that cannot be moved says where it has to be; that can be anything. */
static void bad_addresses_are_refused(void **state)
{
    static const uint64_t addresses[] = {
        0, 0x10000, 0xFFFFF, 64 * MiB, 0x3FFF000, UINT64_MAX, UINT64_MAX - 0x1000, 0x80000000, 0x100000000, 0xFFFFFFFF};
    struct files *files = *state;
    struct kernel_entry entry;

    files->image[0x234] = 0;
    for (size_t n = 0; n < ARRAY_SIZE(addresses); n++) {
        struct error error = {""};

        put_le64(files->image + 0x258, addresses[n]);
        write_file(files->kernel, files->image, FILE_SIZE);
        assert_true(load(files, NULL, "", &entry, &error) < 0);
        assert_non_null(strstr(error.text, files->kernel));
    }
    put_le64(files->image + 0x258, 0x200000);
    write_file(files->kernel, files->image, FILE_SIZE);
    assert_int_equal(load(files, NULL, "", &entry, NULL), 0);
    assert_int_equal(entry.rip, 0x200200);
}

/* Every length that a broken copy can have. */
static void short_files_are_refused(void **state)
{
    static const size_t lengths[] = {0, 1, 0x1F1, 0x205, 0x264, 511, 512, 1023, 1024, 1536, 1536 + 0x200};
    struct files *files = *state;
    struct kernel_entry entry;

    for (size_t n = 0; n < ARRAY_SIZE(lengths); n++) {
        struct error error = {""};

        write_file(files->kernel, files->image, lengths[n]);
        assert_true(load(files, NULL, "", &entry, &error) < 0);
        assert_non_null(strstr(error.text, files->kernel));
    }
    write_file(files->kernel, files->image, 1536 + 0x201);
    assert_int_equal(load(files, NULL, "", &entry, NULL), 0);
}

static void the_command_line_has_the_kernel_s_limit(void **state)
{
    struct files *files = *state;
    struct error error = {""};
    struct kernel_entry entry;
    char line[2049];

    memset(line, 'a', sizeof line - 1);
    line[2048] = '\0';
    assert_true(load(files, NULL, line, &entry, &error) < 0);
    assert_non_null(strstr(error.text, "2048"));
    assert_non_null(strstr(error.text, "2047"));
    line[2047] = '\0';
    assert_int_equal(load(files, NULL, line, &entry, &error), 0);
    assert_string_equal((const char *)at(files, get_le32(at(files, entry.rsi, 4096) + 0x228), 2048), line);
    /* A kernel that takes anything still gets no more than there is room for. */
    put_le32(files->image + 0x238, UINT32_MAX);
    write_file(files->kernel, files->image, FILE_SIZE);
    assert_int_equal(load(files, NULL, line, &entry, &error), 0);
}

/* A reset loads everything again over what the guest left. */
static void it_can_be_loaded_again(void **state)
{
    struct files *files = *state;
    struct error error = {""};
    struct kernel_entry first, second;

    assert_int_equal(load(files, NULL, "first", &first, &error), 0);
    memset(memory_at(files->memory, 0, 64 * MiB), 0xEE, 64 * MiB);
    assert_int_equal(load(files, NULL, "second", &second, &error), 0);
    assert_int_equal(first.rip, second.rip);
    assert_string_equal((const char *)at(files, get_le32(at(files, second.rsi, 4096) + 0x228), 8), "second");
    assert_memory_equal(at(files, 0x1000000, PAYLOAD), files->image + FILE_SIZE - PAYLOAD, PAYLOAD);
    check_entry(files, &second);
}

static void the_installed_kernel_loads(void **state)
{
    const struct memory_options memory = {.size = 512 * MiB};
    struct files *files = *state;
    struct kernel_options options = {.command_line = "console=ttyS0", .rsdp = 0xE0000};
    struct kernel_entry entry;
    struct error error = {""};
    const uint8_t *params;
    glob_t found;

    if (glob("/boot/vmlinuz-*-amd64", 0, NULL, &found) != 0 || access(found.gl_pathv[0], R_OK) < 0) {
        globfree(&found);
        skip();
    }
    memory_destroy(files->memory);
    assert_int_equal(memory_create(&memory, &files->memory, &error), 0);
    write_file(files->initrd, "not really a RAM disk", 21);
    options.kernel = found.gl_pathv[0];
    options.initrd = files->initrd;
    assert_int_equal(kernel_load(files->memory, &options, &entry, &error), 0);
    globfree(&found);
    params = at(files, entry.rsi, 4096);
    assert_true(get_le16(params + 0x206) >= 0x020C);
    assert_memory_equal(at(files, get_le32(params + 0x218), 21), "not really a RAM disk", 21);
    assert_true(get_le32(params + 0x218) >= entry.rip - 0x200 + get_le32(params + 0x260));
    assert_int_equal((entry.rip - 0x200) % get_le32(params + 0x230), 0); /* kernel_alignment */
    check_memory_map(files->memory, params);
    check_entry(files, &entry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_is_where_the_protocol_says, make, destroy),
        cmocka_unit_test_setup_teardown(the_memory_map_is_complete, make, destroy),
        cmocka_unit_test_setup_teardown(the_ram_disk_is_as_high_as_allowed, make, destroy),
        cmocka_unit_test_setup_teardown(a_ram_disk_never_covers_the_kernel, make, destroy),
        cmocka_unit_test_setup_teardown(files_that_are_missing_are_named, make, destroy),
        cmocka_unit_test_setup_teardown(spoiled_images_are_refused, make, destroy),
        cmocka_unit_test_setup_teardown(bad_addresses_are_refused, make, destroy),
        cmocka_unit_test_setup_teardown(short_files_are_refused, make, destroy),
        cmocka_unit_test_setup_teardown(the_command_line_has_the_kernel_s_limit, make, destroy),
        cmocka_unit_test_setup_teardown(it_can_be_loaded_again, make, destroy),
        cmocka_unit_test_setup_teardown(the_installed_kernel_loads, make, destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
