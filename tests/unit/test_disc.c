/*
 * The answer disc: what is put on it is read back by a reader of its own and by xorriso; what cannot be on it. LONG=1:
 * more files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_disc.h"
#include "fake_folder.h"

static struct error error;

/* While a disc is made, nothing but memory files is open for writing. */
static atomic_bool watching;
static bool was_open[1024];
static atomic_uint looked, opened_to_write;

static void look_at_descriptors(void)
{
    DIR *stream = opendir("/proc/self/fd");
    const struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        int fd = atoi(entry->d_name), flags = fcntl(fd, F_GETFL);
        char link[64], target[256] = "";

        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (entry->d_name[0] == '.' || flags < 0 || fd >= (int)ARRAY_SIZE(was_open) || was_open[fd] ||
            (flags & O_ACCMODE) == O_RDONLY || readlink(link, target, sizeof target - 1) < 0)
            continue;
        if (strncmp(target, "/memfd:", 7) != 0)
            atomic_fetch_add(&opened_to_write, 1);
    }
    if (stream)
        closedir(stream);
    atomic_fetch_add(&looked, 1);
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    if (atomic_load(&watching))
        look_at_descriptors();
    return syscall(SYS_write, fd, buffer, size);
}

static const char x64[] = "0123456789ABCDEF0123456789abcdef0123456789ABCDEF0123456789ab.txt";
static const char x64_folder[] = "0123456789ABCDEF0123456789abcdef0123456789ABCDEF0123456789ab.txt/";

static void names_and_bytes(void **state)
{
    static const uint8_t pair[] = {0xD8, 0x3D, 0xDC, 0xA9, 0, '.', 0, 'b'};
    uint8_t all[3 * FAKE_DISC_SECTOR + 1];
    struct fake_disc image;
    int fd;

    (void)state;
    struct disc *disc = fake_disc_new();

    for (size_t n = 0; n < sizeof all; n++)
        all[n] = (uint8_t)(n * 7 + n / 256);
    fake_disc_add(disc, "Autounattend.xml", "<unattend/>\r\n");
    fake_disc_add(disc, "$OEM$/$$/Setup/Scripts/SetupComplete.cmd", "@echo off\r\n");
    fake_disc_add(disc, "$OEM$/$1/OEM/Größe ÄÖÜß 漢字.txt", "umlauts");
    fake_disc_add(disc, "$OEM$/$1/OEM/empty", "");
    fake_disc_add(disc, "$OEM$/$1/OEM/no extension", "no dot");
    fake_disc_add(disc, "$OEM$/$1/OEM/.hidden", "dot");
    fake_disc_add(disc, "$OEM$/$1/OEM/two.dots.in it", "dots");
    fake_disc_add(disc, "$OEM$/$1/OEM/\xF0\x9F\x92\xA9.b", "pair");
    fake_disc_add(disc, x64, "64");
    assert_int_equal(disc_add(disc, "$WinPEDriver$/all", all, sizeof all, &error), 0);
    assert_int_equal(disc_add(disc, "sector", all, FAKE_DISC_SECTOR, &error), 0);
    fd = fake_disc_finish(disc);
    fake_disc_read(&image, fd);
    assert_int_equal(image.count, 11 + 7);
    fake_disc_has_text(&image, "Autounattend.xml", "<unattend/>\r\n");
    fake_disc_has_text(&image, "$OEM$/$$/Setup/Scripts/SetupComplete.cmd", "@echo off\r\n");
    fake_disc_has_text(&image, "$OEM$/$1/OEM/Größe ÄÖÜß 漢字.txt", "umlauts");
    fake_disc_has_text(&image, "$OEM$/$1/OEM/empty", "");
    fake_disc_has_text(&image, "$OEM$/$1/OEM/no extension", "no dot");
    fake_disc_has_text(&image, "$OEM$/$1/OEM/.hidden", "dot");
    fake_disc_has_text(&image, "$OEM$/$1/OEM/two.dots.in it", "dots");
    fake_disc_has_text(&image, "$OEM$/$1/OEM/\xF0\x9F\x92\xA9.b", "pair");
    fake_disc_has_text(&image, x64, "64");
    fake_disc_has_file(&image, "$WinPEDriver$/all", all, sizeof all);
    fake_disc_has_file(&image, "sector", all, FAKE_DISC_SECTOR);
    fake_disc_has_folder(&image, "$OEM$/$$/Setup");
    fake_disc_has_folder(&image, "$WinPEDriver$");
    assert_non_null(memmem(image.bytes, image.size, "\0$\0O\0E\0M\0$", 10));
    assert_non_null(memmem(image.bytes, image.size, pair, sizeof pair));
    fake_disc_free(&image);
    close(fd);
}

static void an_empty_disc(void **state)
{
    struct fake_disc image;
    int fd = fake_disc_finish(fake_disc_new());

    (void)state;
    fake_disc_read(&image, fd);
    assert_int_equal(image.count, 0);
    fake_disc_free(&image);
    close(fd);
    disc_destroy(fake_disc_new());
    disc_destroy(NULL);
}

/* Another reader: all files as xorriso takes them out. */
static void xorriso_reads_it(void **state)
{
    static const char *const names[] = {"Autounattend.xml", "$OEM$/$$/Setup/Scripts/a.cmd", "$OEM$/$1/Größe.txt", x64,
                                        "$OEM$/empty"};
    static const char *const texts[] = {"<unattend/>", "exit 0", "umlauts", "64", ""};
    struct disc *disc = fake_disc_new();
    char arguments[400];
    int fd;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        fake_disc_add(disc, names[n], texts[n]);
    fd = fake_disc_finish(disc);
    snprintf(arguments, sizeof arguments,
             "-in_charset UTF-8 -out_charset UTF-8 -osirrox on -indev stdio:/proc/%d/fd/%d -extract / %s",
             (int)getpid(), fd, fake_below("out"));
    fake_disc_xorriso(arguments);
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        char path[400], text[64] = "";
        FILE *file;

        snprintf(path, sizeof path, "out/%s", names[n]);
        file = fopen(fake_below(path), "re");
        assert_non_null(file);
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        assert_string_equal(text, texts[n]);
        fclose(file);
    }
    close(fd);
}

static void many_files(void **state)
{
    const unsigned count = fake_tries(1000, 10000);
    struct disc *disc = fake_disc_new();
    struct fake_disc image;
    char path[64], text[64];
    int fd;

    (void)state;
    for (unsigned n = 0; n < count; n++) {
        snprintf(path, sizeof path, "many/file %u.txt", n * 7919 % count);
        snprintf(text, sizeof text, "this is %u", n * 7919 % count);
        fake_disc_add(disc, path, text);
    }
    fd = fake_disc_finish(disc);
    fake_disc_read(&image, fd);
    assert_int_equal(image.count, count + 1);
    for (unsigned n = 0; n < count; n++) {
        snprintf(path, sizeof path, "many/file %u.txt", n);
        snprintf(text, sizeof text, "this is %u", n);
        fake_disc_has_text(&image, path, text);
    }
    fake_disc_free(&image);
    close(fd);
}

static void names_that_a_disc_cannot_have(void **state)
{
    static const char *const bad[] = {"a*b", "a:b",  "a;b",    "a?b",      "a\\b",  "a\"b",  "a<b",
                                      "a>b", "a|b",  "a\nb",   "a\033b",   "a\xFF", "a\xC3", "\xED\xA0\x80",
                                      ".",   "..",   "../a",   "a/../b",   "a//b",  "/a",    "a/",
                                      "",    "dot.", "space ", "dir./file"};
    char longer[70], deep[FAKE_DISC_PATH], path[FAKE_DISC_PATH];
    struct disc *disc = fake_disc_new();
    struct fake_disc image;
    int fd;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
        fake_refused(&error, disc_add(disc, bad[n], "x", 1, &error), EINVAL, "answer disc: ", "rename it");
    fake_refused(&error, disc_add(disc, "$OEM$/a\033b", "x", 1, &error), EINVAL, "$OEM$/a?b", "rename it");
    fake_refused(&error, disc_add(disc, "$OEM$/a:b", "x", 1, &error), EINVAL, "$OEM$/a:b", "* / : ; ? \\");
    snprintf(longer, sizeof longer, "x%s", x64);
    fake_refused(&error, disc_add(disc, longer, "x", 1, &error), ENAMETOOLONG, longer, "64 characters");
    fake_disc_repeat(deep, 17, "d/", "f");
    fake_refused(&error, disc_add(disc, deep, "x", 1, &error), ELOOP, "d/d/d", "16 folders");
    fake_disc_repeat(path, 4, x64_folder, "f");
    fake_refused(&error, disc_add(disc, path, "x", 1, &error), ENAMETOOLONG, x64, "240 characters");
    fake_disc_add(disc, "Good", "still good");
    fake_refused(&error, disc_add(disc, "Good", "x", 1, &error), EEXIST, "Good", "on the disc already");
    fake_refused(&error, disc_add(disc, "gOOD", "x", 1, &error), EEXIST, "gOOD", "capitals");
    fake_refused(&error, disc_add(disc, "Good/x", "x", 1, &error), EEXIST, "Good", "on the disc already");
    fake_refused(&error, disc_add(disc, "$oem$", "x", 1, &error), EEXIST, "$oem$", "on the disc already");
    fake_disc_add(disc, "$oem$/b", "same folder");
    fd = fake_disc_finish(disc);
    fake_disc_read(&image, fd);
    fake_disc_has_text(&image, "Good", "still good");
    fake_disc_has_text(&image, "$OEM$/b", "same folder");
    fake_disc_free(&image);
    close(fd);
}

/* Deep and long as it may be. */
static void limits_of_paths(void **state)
{
    char deep[FAKE_DISC_PATH], path[FAKE_DISC_PATH];
    struct disc *disc = fake_disc_new();
    struct fake_disc image;
    int fd;

    (void)state;
    fake_disc_repeat(deep, 16, "d/", "f");
    fake_disc_add(disc, deep, "deep");
    fake_disc_repeat(path, 3, x64_folder, x64);
    path[240] = 0;
    fake_disc_add(disc, path, "long");
    path[240] = 'x';
    path[241] = 0;
    fake_refused(&error, disc_add(disc, path, "x", 1, &error), ENAMETOOLONG, x64, "240 characters");
    path[240] = 0;
    fd = fake_disc_finish(disc);
    fake_disc_read(&image, fd);
    fake_disc_has_text(&image, deep, "deep");
    fake_disc_has_text(&image, path, "long");
    fake_disc_free(&image);
    close(fd);
}

static void sealed(void **state)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    char path[64];
    struct disc *disc = fake_disc_new();
    uint8_t sector[512];
    struct block *block;
    int fd, opened;

    (void)state;
    fake_disc_add(disc, "Autounattend.xml", "password");
    fd = fake_disc_finish(disc);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, (off_t)GiB), -1);
    assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    opened = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(opened >= 0);
    assert_int_equal(fcntl(opened, F_OFD_SETLK, &lock), 0);
    close(opened);
    /* As a machine opens it. */
    const struct block_options options = {.path = path, .read_only = true, .format_given = true};

    assert_int_equal(block_open(&options, &block, &error), 0);
    assert_int_equal(block_pread(block, sector, sizeof sector, 16 * FAKE_DISC_SECTOR), 0);
    assert_memory_equal(sector + 1, "CD001", 5);
    block_close(block);
    close(fd);
}

static void nothing_is_written_elsewhere(void **state)
{
    struct disc *disc = fake_disc_new();
    unsigned open_before = 0, open_after = 0;
    int fd;

    (void)state;
    for (int n = 0; n < (int)ARRAY_SIZE(was_open); n++)
        open_before += was_open[n] = fcntl(n, F_GETFD) >= 0;
    fake_text(fake_below("file"), "of the host");
    fake_disc_add(disc, "Autounattend.xml", "password");
    assert_int_equal(disc_add_folder(disc, "OEM", fake_folder, "", MiB, &error), 0);
    atomic_store(&watching, true);
    fd = fake_disc_finish(disc);
    atomic_store(&watching, false);
    assert_true(atomic_load(&looked) > 20);
    assert_int_equal(atomic_load(&opened_to_write), 0);
    for (int n = 0; n < (int)ARRAY_SIZE(was_open); n++)
        open_after += fcntl(n, F_GETFD) >= 0;
    assert_int_equal(open_after, open_before + 1);
    close(fd);
}

/* How often a secret is in the memory of the process, of which only a masked copy is known here. */
#define SECRET 24
#define MASK 0x5A
static unsigned count_in_memory(const uint8_t masked[SECRET])
{
    static uint8_t chunk[1 << 20];
    FILE *maps = fopen("/proc/self/maps", "re");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    unsigned long long from, to;
    unsigned found = 0;
    char line[512], rights[8];

    assert_true(maps && memory >= 0);
    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%llx-%llx %7s", &from, &to, rights) != 3 || rights[1] != 'w' || to - from > 64 * MiB)
            continue;
        for (; from < to; from += sizeof chunk - SECRET) {
            ssize_t length = pread(memory, chunk, MIN(sizeof chunk, to - from), (off_t)from);
            const uint8_t *at = chunk, *end = chunk + MAX(length, 0);

            for (; (at = memchr(at, masked[0] ^ MASK, (size_t)(end - at))) && end - at >= SECRET; at++) {
                unsigned same = 1;

                while (same < SECRET && at[same] == (masked[same] ^ MASK))
                    same++;
                found += same == SECRET;
            }
        }
    }
    memset(chunk, 0, sizeof chunk);
    fclose(maps);
    close(memory);
    return found;
}

static void secrets_are_wiped(void **state)
{
    uint8_t masked[SECRET], *content = calloc(1, 5000);
    struct disc *disc = fake_disc_new();
    int fd;

    (void)state;
    assert_non_null(content);
    for (unsigned n = 0; n < SECRET; n++)
        masked[n] = (uint8_t)(n * 37 + 11);
    for (unsigned n = 0; n < 5000; n++)
        content[n] = masked[n % SECRET] ^ MASK;
    assert_true(count_in_memory(masked) > 0);
    assert_int_equal(disc_add(disc, "Autounattend.xml", content, 5000, &error), 0);
    explicit_bzero(content, 5000);
    free(content);
    assert_true(count_in_memory(masked) > 0);
    fd = fake_disc_finish(disc);
    assert_int_equal(count_in_memory(masked), 0);
    close(fd);
}

static void *make_discs(void *opaque)
{
    unsigned from = *(unsigned *)opaque, *result = opaque;

    for (unsigned n = 0; n < 20; n++) {
        struct disc *disc = disc_create(NULL);
        char path[64], text[64], found[64] = "";
        int fd;

        snprintf(path, sizeof path, "folder/file %u", from + n);
        snprintf(text, sizeof text, "this is %u of %u", n, from);
        disc_add(disc, path, text, strlen(text), NULL);
        disc_add(disc, "a:b", text, strlen(text), NULL);
        fd = disc_finish(disc, NULL);
        if (fd < 0)
            return NULL;
        for (off_t at = 16 * FAKE_DISC_SECTOR; !strstr(found, text) && pread(fd, found, sizeof found - 1, at) > 0;
             at += FAKE_DISC_SECTOR)
            ;
        close(fd);
        if (strcmp(found, text) != 0)
            return NULL;
    }
    *result = 0;
    return NULL;
}

static void two_threads(void **state)
{
    unsigned numbers[2] = {1000, 2000};
    pthread_t threads[2];

    (void)state;
    for (unsigned n = 0; n < 2; n++)
        assert_int_equal(pthread_create(&threads[n], NULL, make_discs, &numbers[n]), 0);
    for (unsigned n = 0; n < 2; n++)
        pthread_join(threads[n], NULL);
    assert_int_equal(numbers[0] + numbers[1], 0);
}

static void too_many_files(void **state)
{
    struct disc *disc = fake_disc_new();
    char path[64];

    (void)state;
    fake_disc_add(disc, "d/0", "");
    for (unsigned n = 2; n < 100000; n++) {
        snprintf(path, sizeof path, "%u", n);
        fake_disc_add(disc, path, "");
    }
    fake_refused(&error, disc_add(disc, "d/one more", "", 0, &error), EFBIG, "d/one more", "100000");
    disc_destroy(disc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_bytes),
        cmocka_unit_test(an_empty_disc),
        IN_FOLDER(xorriso_reads_it),
        cmocka_unit_test(many_files),
        cmocka_unit_test(names_that_a_disc_cannot_have),
        cmocka_unit_test(limits_of_paths),
        cmocka_unit_test(sealed),
        IN_FOLDER(nothing_is_written_elsewhere),
        cmocka_unit_test(secrets_are_wiped),
        cmocka_unit_test(two_threads),
        cmocka_unit_test(too_many_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
