/* How far an installation has come: what is read after a kill at any instant, disks that are in use, old ones set
 * aside. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "casement/image.h"
#include "cmocka_all.h"

#include "../../vmm/image.h"
#include "../../vmm/windows/journey.h"

static struct error error;
static char folder[64];

/*
 * The calls that change a file system, each with a letter in the order they came: m (a folder is made), w, s (fsync), r
 * (renamed), u. A child can be made to die in front of any of them.
 */
static char calls[64];
static unsigned called;
static int die_at = -1;   /* in front of so many of them */
static bool half_a_write; /* which is done to its half before */
static bool no_space;

static void note(char call)
{
    if (die_at >= 0 && (int)called == die_at && !(call == 'w' && half_a_write))
        _exit(9);
    if (called < sizeof calls - 1) {
        calls[called] = call;
        calls[called + 1] = 0;
    }
    called++;
}

static void forget_calls(void)
{
    called = 0;
    calls[0] = 0;
}

ssize_t write(int fd, const void *buffer, size_t size)
{
    note('w');
    if (no_space) {
        errno = ENOSPC;
        return -1;
    }
    if (die_at >= 0 && (int)called == die_at + 1 && half_a_write) {
        syscall(SYS_write, fd, buffer, size / 2);
        _exit(9);
    }
    return syscall(SYS_write, fd, buffer, size);
}

/* A kill needs no disk that has written. */
int fsync(int fd)
{
    note('s');
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

int renameat(int from, const char *old, int to, const char *new)
{
    note('r');
    return (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    note('m');
    return (int)syscall(SYS_mkdirat, at, path, mode);
}

int unlinkat(int at, const char *path, int flags)
{
    note('u');
    return (int)syscall(SYS_unlinkat, at, path, flags);
}

static const char *below(const char *name)
{
    static char paths[4][600];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void make_file(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void make_text(const char *path, const char *text)
{
    make_file(path, text, strlen(text));
}

static bool has_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "re");
    char found[128] = "";

    if (!file)
        return false;
    found[fread(found, 1, sizeof found - 1, file)] = 0;
    fclose(file);
    return !strcmp(found, text);
}

static bool is_there(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

/* One line that names the thing and what to do. */
static void assert_refused(int result, int err, const char *thing, const char *remedy)
{
    assert_int_equal(result, -err);
    assert_null(strchr(error.text, '\n'));
    if (!strstr(error.text, thing) || !strstr(error.text, remedy))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", error.text, thing, remedy);
    error.text[0] = 0;
}

static const struct journey example = {.step = JOURNEY_INSTALLING,
                                       .phase = 3,
                                       .version = "11",
                                       .medium = "/state/Größe \"11\".iso",
                                       .digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                                       .fetched_by_us = true,
                                       .image = 6,
                                       .edition = "Professional",
                                       .language = "de-DE",
                                       .profile = "11",
                                       .build = 4294967295U,
                                       .installed_at = "2025-01-02T03:04:05Z",
                                       .report = "a line\nand another\\"};

static void assert_same(const struct journey *a, const struct journey *b)
{
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->phase, b->phase);
    assert_string_equal(a->version, b->version);
    assert_string_equal(a->medium, b->medium);
    assert_string_equal(a->digest, b->digest);
    assert_int_equal(a->fetched_by_us, b->fetched_by_us);
    assert_int_equal(a->image, b->image);
    assert_string_equal(a->edition, b->edition);
    assert_string_equal(a->language, b->language);
    assert_string_equal(a->profile, b->profile);
    assert_int_equal(a->build, b->build);
    assert_string_equal(a->installed_at, b->installed_at);
    assert_string_equal(a->report, b->report);
}

static void must_write(const struct journey *journey)
{
    if (journey_write(folder, journey, &error))
        fail_msg("%s", error.text);
}

static void each_step_comes_back(void **state)
{
    struct journey found, written = example;

    (void)state;
    memset(&found, 0xFF, sizeof found);
    assert_int_equal(journey_read(folder, &found, &error), 0);
    assert_same(&found, &(struct journey){.step = JOURNEY_NEW});
    for (unsigned step = 0; step <= JOURNEY_INSTALLED; step++) {
        written.step = (enum journey_step)step;
        written.phase = step * 7;
        written.fetched_by_us = step % 2;
        must_write(&written);
        assert_int_equal(journey_read(folder, &found, &error), 0);
        assert_same(&found, &written);
        assert_false(is_there(below("journey.json.new")));
    }
    /* Fields as long as they can be. */
    memset(written.medium, 'm', sizeof written.medium - 1);
    memset(written.report, '\1', sizeof written.report - 1);
    memset(written.version, '"', sizeof written.version - 1);
    must_write(&written);
    assert_int_equal(journey_read(folder, &found, &error), 0);
    assert_same(&found, &written);
    must_write(&(struct journey){.step = JOURNEY_FETCHED});
    assert_int_equal(journey_read(folder, &found, &error), 0);
    assert_same(&found, &(struct journey){.step = JOURNEY_FETCHED});
}

static void the_order_of_a_write(void **state)
{
    (void)state;
    forget_calls();
    must_write(&example);
    assert_string_equal(calls, "wsrs");
    forget_calls();
    no_space = true;
    assert_refused(journey_write(folder, &example, &error), ENOSPC, "journey.json", "space");
    no_space = false;
    assert_string_equal(calls, "wu");
}

static void what_cannot_be_written(void **state)
{
    struct journey found, wrong = example;
    char path[600];

    (void)state;
    must_write(&example);
    snprintf(path, sizeof path, "%s", below("journey.json"));
    assert_refused(journey_write(path, &example, &error), ENOTDIR, path, "state folder");
    assert_refused(journey_read(path, &found, &error), ENOTDIR, path, "state folder");
    assert_refused(journey_write(below("nothing"), &example, &error), ENOENT, "nothing", "state folder");
    assert_refused(journey_read(below("nothing"), &found, &error), ENOENT, "nothing", "state folder");
    snprintf(wrong.medium, sizeof wrong.medium, "/state/\xFF.iso");
    assert_refused(journey_write(folder, &wrong, &error), EINVAL, "medium", "UTF-8");
    assert_int_equal(mkdir(below("journey.json.new"), 0700), 0);
    wrong = example;
    wrong.phase++;
    assert_refused(journey_write(folder, &wrong, &error), EISDIR, "journey.json", "look at the folder");
    no_space = true;
    assert_int_equal(rmdir(below("journey.json.new")), 0);
    assert_refused(journey_write(folder, &wrong, &error), ENOSPC, "journey.json", "space");
    no_space = false;
    assert_int_equal(journey_read(folder, &found, &error), 0);
    assert_same(&found, &example);
    assert_int_equal(journey_write(folder, &wrong, NULL), 0);
}

static pid_t start_child(int kill_at, bool half)
{
    pid_t child = fork();

    if (child == 0) {
        die_at = kill_at;
        half_a_write = half;
        forget_calls();
    }
    return child;
}

static int end_of(pid_t child)
{
    int status = 0;

    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void killed_at_each_call(void **state)
{
    struct journey found, next = example;
    bool done = false;

    (void)state;
    next.step = JOURNEY_INSTALLED;
    for (int n = 0; n < 40 && !done; n++) {
        pid_t child;
        bool renamed = n / 2 > 2;

        must_write(&example);
        child = start_child(n / 2, n % 2);
        if (child == 0)
            _exit(journey_write(folder, &next, NULL) ? 1 : 0);
        done = end_of(child) == 0;
        assert_int_equal(journey_read(folder, &found, &error), 0);
        assert_same(&found, renamed || done ? &next : &example);
    }
    assert_true(done);
}

/* What is written says its number twice, so a mixture of two would show. */
static struct journey numbered(unsigned n)
{
    struct journey journey = example;

    journey.phase = n;
    snprintf(journey.report, sizeof journey.report, "%u %0*u", n, (int)(n % 200), 0U);
    return journey;
}

static void killed_at_random_instants(void **state)
{
    _Atomic unsigned *last =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); /* that was written for sure */
    struct journey found, wanted;

    (void)state;
    assert_true(last != MAP_FAILED);
    must_write(&(struct journey){.step = JOURNEY_NEW});
    wanted = numbered(0);
    must_write(&wanted);
    for (unsigned n = 0, random = 1; n < 100; n++) {
        unsigned from = *last + 1, spins = (random = random * 1664525 + 1013904223) >> 12;
        pid_t child = fork();

        if (child == 0)
            for (unsigned number = from;; number++) {
                wanted = numbered(number);
                if (journey_write(folder, &wanted, NULL))
                    _exit(1);
                *last = number;
            }
        /* At least one more is written; then the kill comes anywhere. */
        while (*last < from)
            sched_yield();
        for (volatile unsigned spin = 0; spin < spins; spin++)
            ;
        kill(child, SIGKILL);
        assert_int_equal(end_of(child), -SIGKILL);
        assert_int_equal(journey_read(folder, &found, &error), 0);
        assert_true(found.phase == *last || found.phase == *last + 1);
        wanted = numbered(found.phase);
        assert_same(&found, &wanted);
        *last = found.phase;
    }
    munmap((void *)last, 4096);
}

/* Damage. */

static char *read_text(size_t *length)
{
    FILE *file = fopen(below("journey.json"), "re");
    char *text = calloc(1, 8192);

    assert_true(file && text);
    *length = fread(text, 1, 8191, file);
    fclose(file);
    return text;
}

static void assert_damaged(const char *text, size_t length)
{
    struct journey found;

    make_file(below("journey.json"), text, length);
    memset(&found, 0xFF, sizeof found);
    assert_refused(journey_read(folder, &found, &error), EILSEQ, "journey.json", "move journey.json away");
    assert_int_equal(found.step, JOURNEY_NEW);
    assert_int_equal(found.phase, 0);
}

static void damaged_files(void **state)
{
    struct journey found;
    size_t length;
    char *text;
    unsigned refused = 0;

    (void)state;
    must_write(&example);
    text = read_text(&length);
    for (size_t n = 0; n < length; n++)
        assert_damaged(text, n);
    for (unsigned n = 0, random = 1; n < 300; n++) {
        size_t at = (random = random * 1664525 + 1013904223) / 16 % MAX(length, 1);
        char was = text[at];
        int result;

        text[at] = (char)(random >> 7);
        make_file(below("journey.json"), text, length);
        result = journey_read(folder, &found, &error);
        assert_true(result == 0 || result == -EILSEQ);
        assert_true(found.step == (result ? JOURNEY_NEW : JOURNEY_INSTALLING) || text[at] != was);
        refused += result != 0;
        text[at] = was;
    }
    assert_true(refused > 100);
    free(text);
}

/* A text like the example's, with one field's line replaced. */
static char *with_field(const char *name, const char *value)
{
    size_t length;
    char *text = read_text(&length), key[40], *line, *end, *changed = calloc(1, 80000);

    snprintf(key, sizeof key, "\"%s\": ", name);
    line = strstr(text, key);
    assert_true(line && changed);
    end = strchr(line, '\n');
    snprintf(changed, 80000, "%.*s%s%s%s\n%s", (int)(line - text), text,
             value ? key : "\"another\": ", value ? value : "1", end[-1] == ',' ? "," : "", end + 1);
    free(text);
    return changed;
}

static void wrong_fields(void **state)
{
    static const char *const names[] = {"step",          "phase",        "version", "medium",   "digest",
                                        "fetched_by_us", "image",        "edition", "language", "profile",
                                        "build",         "installed_at", "report"};
    static const char *const values[] = {NULL,         "null",          "[]",      "{}", "1.5", "-1",
                                         "4294967296", "\"a\\u0000b\"", "\"\xFF\""};
    static const char *const whole[] = {"", "null", "[]", "\"new\"", "{}", "{", "{\"step\": \"new\"}", "\0"};
    char longer[1200], *text;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        for (size_t value = 0; value < ARRAY_SIZE(values); value++) {
            must_write(&example);
            text = with_field(names[n], values[value]);
            assert_damaged(text, strlen(text));
            free(text);
        }
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        const bool number = n == 1 || n == 6 || n == 10, flag = n == 5;

        memset(longer, 'x', sizeof longer);
        longer[0] = longer[1100] = '"';
        longer[1101] = 0;
        must_write(&example);
        text = with_field(names[n], number || flag ? "\"1\"" : n ? longer : "\"further\"");
        assert_damaged(text, strlen(text));
        free(text);
    }
    for (size_t n = 0; n < ARRAY_SIZE(whole); n++)
        assert_damaged(whole[n], strlen(whole[n]));
    must_write(&example);
    text = with_field("build", "1, \"build\": 1");
    assert_damaged(text, strlen(text));
    free(text);
}

static void unknown_fields_are_left_out(void **state)
{
    struct journey found;
    size_t length;
    char *text;

    (void)state;
    must_write(&example);
    text = with_field("build", "4294967295, \"later\": {\"a\": []}");
    make_text(below("journey.json"), text);
    free(text);
    assert_int_equal(journey_read(folder, &found, &error), 0);
    assert_same(&found, &example);
    must_write(&found);
    text = read_text(&length);
    assert_null(strstr(text, "later"));
    free(text);
}

static void files_that_are_none(void **state)
{
    struct journey found;
    char *large = calloc(1, 70000);

    (void)state;
    assert_non_null(large);
    memset(large, ' ', 70000);
    assert_damaged(large, 70000);
    free(large);
    unlink(below("journey.json"));
    assert_int_equal(mkfifo(below("journey.json"), 0600), 0);
    assert_refused(journey_read(folder, &found, &error), EILSEQ, "journey.json", "move journey.json away");
    unlink(below("journey.json"));
    assert_int_equal(mkdir(below("journey.json"), 0700), 0);
    assert_refused(journey_read(folder, &found, &error), EILSEQ, "journey.json", "move journey.json away");
}

/* Disks. */

#define DISK (4 * MiB)

struct table {
    bool primary, backup;              /* is there */
    bool in_primary, in_backup;        /* has a partition */
    unsigned sector;                   /* 0: 512 */
    uint32_t count, each, header_size; /* 0: as usual */
    uint64_t entries;                  /* 0: as usual */
    bool bad_header, bad_entries;      /* their checksums */
};

static void put_header(int fd, const struct table *table, bool backup)
{
    static uint8_t entries[128 * 128];
    unsigned sector = table->sector ? table->sector : 512;
    uint64_t last = DISK / sector - 1, at = backup ? last : 1;
    uint64_t place = table->entries ? table->entries : backup ? last - sizeof entries / sector : 2;
    uint8_t header[512] = "EFI PART";
    uint32_t size = table->header_size ? table->header_size : 92;

    memset(entries, 0, sizeof entries);
    if (backup ? table->in_backup : table->in_primary)
        memset(entries + 128, 0x28, 128);
    put_le32(header + 8, 0x10000);
    put_le32(header + 12, size);
    put_le64(header + 24, at);
    put_le64(header + 32, backup ? 1 : last);
    put_le64(header + 72, place);
    put_le32(header + 80, table->count ? table->count : 128);
    put_le32(header + 84, table->each ? table->each : 128);
    put_le32(header + 88, (uint32_t)crc32(0, entries, sizeof entries) + table->bad_entries);
    put_le32(header + 16, (uint32_t)crc32(0, header, MIN(size, 512)) + table->bad_header);
    assert_int_equal(pwrite(fd, header, sizeof header, (off_t)(at * sector)), sizeof header);
    assert_int_equal(
        pwrite(fd, entries, sizeof entries, (off_t)((backup ? last - sizeof entries / sector : 2) * sector)),
        sizeof entries);
}

static void put_table(int fd, const struct table *table)
{
    uint8_t mbr[512] = {[446 + 2] = 2,    [446 + 4] = 0xEE, [446 + 5] = 0xFF, [446 + 6] = 0xFF,
                        [446 + 7] = 0xFF, [446 + 8] = 1,    [510] = 0x55,     [511] = 0xAA};

    put_le32(mbr + 446 + 12, DISK / 512 - 1);
    if (table->primary) {
        assert_int_equal(pwrite(fd, mbr, sizeof mbr, 0), sizeof mbr);
        put_header(fd, table, false);
    }
    if (table->backup)
        put_header(fd, table, true);
}

static int new_disk(uint64_t size)
{
    int fd = open(below("disk"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

static const struct block_terms terms = IMAGE_TERMS("--format", NULL);

/* Closes it. As raw and as qcow2 it must be judged the same. */
static void assert_used(int fd, int used, const char *what)
{
    const struct image_source source = {.path = below("disk"), .terms = &terms, .format_given = true};
    const struct image_options options = {.path = below("disk.qcow2"), .format = BLOCK_FORMAT_QCOW2};
    int found;

    close(fd);
    found = journey_disk_used(below("disk"), false, &error);
    if (found != used)
        fail_msg("%s: %d instead of %d", what, found, used);
    unlink(below("disk.qcow2"));
    assert_int_equal(image_convert(&source, &options, NULL, &error), 0);
    found = journey_disk_used(below("disk.qcow2"), true, &error);
    if (found != used)
        fail_msg("%s in qcow2: %d instead of %d", what, found, used);
}

static void single_bytes(void **state)
{
    static const struct {
        uint64_t size, at;
        int used;
    } cases[] = {{DISK, 0, 1},       {DISK, 440, 1},      {DISK, 511, 1}, {DISK, 512, 1},      {DISK, 32768, 1},
                 {DISK, MiB - 1, 1}, {DISK, MiB, 0},      {512, 511, 1},  {1024, 700, 1},      {MiB, MiB - 1, 1},
                 {4096, 4095, 1},    {DISK, DISK - 1, 0}, {1536, 0, 1},   {65536 * 3, 9999, 1}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        int fd = new_disk(cases[n].size);
        char what[80];

        assert_int_equal(pwrite(fd, "x", 1, (off_t)cases[n].at), 1);
        snprintf(what, sizeof what, "byte %llu of %llu", (unsigned long long)cases[n].at,
                 (unsigned long long)cases[n].size);
        assert_used(fd, cases[n].used, what);
        assert_used(new_disk(cases[n].size), 0, "nothing");
    }
}

static void tables(void **state)
{
    static const struct {
        const char *what;
        struct table table;
        int used;
    } cases[] = {
        {"empty", {.primary = true, .backup = true}, 0},
        {"empty without a copy", {.primary = true}, 0},
        {"an empty copy", {.backup = true}, 0},
        {"partitions", {.primary = true, .backup = true, .in_primary = true, .in_backup = true}, 1},
        {"partitions in the copy only", {.primary = true, .backup = true, .in_backup = true}, 1},
        {"partitions at the beginning only", {.primary = true, .backup = true, .in_primary = true}, 1},
        {"a copy with partitions alone", {.backup = true, .in_backup = true}, 1},
        {"a bad header", {.primary = true, .bad_header = true}, 1},
        {"a bad copy", {.backup = true, .bad_header = true}, 1},
        {"bad entries", {.primary = true, .bad_entries = true}, 1},
        {"bad entries of the copy", {.backup = true, .bad_entries = true}, 1},
        {"entries behind the end", {.backup = true, .entries = DISK / 512 - 1}, 1},
        {"entries far behind the end", {.backup = true, .entries = UINT64_MAX}, 1},
        {"entries at a wrapped place", {.backup = true, .entries = UINT64_MAX / 512 + 3}, 1},
        {"endless entries", {.backup = true, .count = UINT32_MAX, .each = UINT32_MAX}, 1},
        {"many entries", {.backup = true, .count = UINT32_MAX}, 1},
        {"entries that are too small", {.backup = true, .each = 1}, 1},
        {"a short header", {.backup = true, .header_size = 20}, 1},
        {"a long header", {.backup = true, .header_size = 513}, 1},
        {"an endless header", {.backup = true, .header_size = UINT32_MAX}, 1},
        {"partitions in the copy, sectors of 4 KiB", {.backup = true, .in_backup = true, .sector = 4096}, 1},
        {"an empty copy, sectors of 4 KiB", {.backup = true, .sector = 4096}, 0},
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        int fd = new_disk(DISK);

        put_table(fd, &cases[n].table);
        assert_used(fd, cases[n].used, cases[n].what);
    }
}

/* Next to an empty table, each byte that does not belong to it. */
static void more_than_an_empty_table(void **state)
{
    static const unsigned places[] = {0,        100,       439,  446 + 16,     446 + 20, 446 + 63,
                                      512 + 92, 512 + 511, 1024, 1024 + 16384, MiB - 1};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(places); n++) {
        int fd = new_disk(DISK);

        put_table(fd, &(struct table){.primary = true, .backup = true});
        assert_int_equal(pwrite(fd, "x", 1, places[n]), 1);
        assert_used(fd, 1, "a byte beside an empty table");
    }
    for (unsigned at = 512; at < 512 + 92; at++) {
        int fd = new_disk(DISK);
        uint8_t byte;

        put_table(fd, &(struct table){.primary = true});
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        assert_int_equal(journey_disk_used(below("disk"), false, &error), 1);
    }
}

static void boot_sectors(void **state)
{
    int fd = new_disk(DISK);
    uint8_t mbr[512] = {[446] = 0x80, [450] = 7, [454] = 1, [510] = 0x55, [511] = 0xAA};

    (void)state;
    assert_int_equal(pwrite(fd, mbr, sizeof mbr, 0), sizeof mbr);
    assert_used(fd, 1, "a partition in a boot sector");
    fd = new_disk(DISK);
    assert_int_equal(pwrite(fd, mbr + 510, 2, 510), 2);
    assert_used(fd, 1, "a signature");
    fd = new_disk(DISK);
    put_table(fd, &(struct table){.primary = true});
    assert_int_equal(pwrite(fd, mbr + 446, 16, 446 + 16), 16);
    assert_used(fd, 1, "a partition beside the protective one");
}

static void disks_that_cannot_be_read(void **state)
{
    struct image_options options = {.format = BLOCK_FORMAT_QCOW2, .size = DISK};
    uint8_t wrong[8];
    int fd;

    (void)state;
    assert_refused(journey_disk_used(below("nothing"), false, &error), ENOENT, "nothing", "name a file");
    assert_refused(journey_disk_used(folder, false, &error), EISDIR, folder, "name an image");
    make_text(below("text"), "no disk");
    assert_true(journey_disk_used(below("text"), false, &error) < 0);
    close(new_disk(DISK));
    assert_true(journey_disk_used(below("disk"), true, &error) < 0);
    /* A table that leads out of the file. */
    options.path = below("disk.qcow2");
    assert_int_equal(image_create(&options, &error), 0);
    assert_int_equal(journey_disk_used(below("disk.qcow2"), true, &error), 0);
    fd = open(below("disk.qcow2"), O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, wrong, 8, 40), 8);
    const off_t table = (off_t)get_be64(wrong);

    put_be64(wrong, UINT64_C(1) << 63 | UINT64_C(1) << 40);
    assert_int_equal(pwrite(fd, wrong, 8, table), 8);
    close(fd);
    assert_true(journey_disk_used(below("disk.qcow2"), true, &error) < 0);
    assert_null(strchr(error.text, '\n'));
    /* It reads as what it lies on, which is not known here. */
    unlink(below("disk.qcow2"));
    options.backing = "disk";
    options.path = below("disk.qcow2");
    assert_int_equal(image_create(&options, &error), 0);
    assert_true(journey_disk_used(below("disk.qcow2"), true, &error) < 0);
}

/* Setting aside. */

struct places {
    unsigned disks, journeys, together, parts; /* in backups; in one folder of it; unfinished */
};

static struct places look(const char *disk)
{
    struct places places = {0};
    DIR *stream = opendir(below("backups"));
    const struct dirent *entry;

    while (stream && (entry = readdir(stream))) {
        char path[700];
        bool has_disk, has_journey;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s/disk.img", below("backups"), entry->d_name);
        has_disk = has_text(path, disk);
        snprintf(path, sizeof path, "%s/%s/journey.json", below("backups"), entry->d_name);
        has_journey = is_there(path);
        places.disks += has_disk;
        places.journeys += has_journey;
        places.together += has_disk && has_journey;
        places.parts += strstr(entry->d_name, ".part") != NULL;
    }
    if (stream)
        closedir(stream);
    return places;
}

static void set_aside_and_again(void **state)
{
    char place[256], second[256], path[300];
    struct journey found;

    (void)state;
    make_text(below("disk.img"), "old disk");
    must_write(&example);
    assert_int_equal(journey_set_aside(folder, below("disk.img"), place, sizeof place, &error), 0);
    snprintf(path, sizeof path, "%s/disk.img", place);
    assert_true(has_text(path, "old disk"));
    assert_int_equal(strlen(place), strlen(folder) + strlen("/backups/YYYYMMDDTHHMMSSZ"));
    assert_false(is_there(below("disk.img")) || is_there(below("journey.json")));
    assert_int_equal(journey_read(place, &found, &error), 0);
    assert_same(&found, &example);
    /* The same second or not, no place is taken twice. */
    for (unsigned n = 0; n < 5; n++) {
        make_text(below("disk.img"), "new disk");
        assert_int_equal(journey_set_aside(folder, below("disk.img"), second, sizeof second, &error), 0);
        assert_string_not_equal(second, place);
        memcpy(place, second, sizeof place);
    }
    assert_int_equal(look("new disk").disks, 5);
    assert_int_equal(look("old disk").together, 1);
    /* A journey alone; nothing at all. */
    must_write(&example);
    assert_int_equal(journey_set_aside(folder, below("disk.img"), NULL, 0, &error), 0);
    assert_int_equal(look("").journeys, 2);
    assert_int_equal(journey_set_aside(folder, below("disk.img"), place, sizeof place, &error), 0);
    assert_string_equal(place, "");
}

static void the_order_of_setting_aside(void **state)
{
    (void)state;
    make_text(below("disk.img"), "old disk");
    must_write(&example);
    forget_calls();
    assert_int_equal(journey_set_aside(folder, below("disk.img"), NULL, 0, &error), 0);
    assert_string_equal(calls, "msmsrssrssrs");
}

static void try_to_set_aside(int kill_at)
{
    pid_t child = start_child(kill_at, false);

    if (child == 0)
        _exit(journey_set_aside(folder, below("disk.img"), NULL, 0, NULL) ? 1 : 0);
    assert_in_range(end_of(child) + 1, 1, 10);
}

/* Nothing is lost at any time, and the next attempt brings both into one place. */
static void set_aside_and_killed(void **state)
{
    (void)state;
    for (int n = 0; n < 14; n++)
        for (int again = -1; again < 12; again++) {
            char old[32], place[256];
            struct places places;

            snprintf(old, sizeof old, "disk %d %d", n, again);
            make_text(below("disk.img"), old);
            must_write(&example);
            try_to_set_aside(n);
            assert_int_equal(look(old).disks + has_text(below("disk.img"), old), 1);
            if (again >= 0)
                try_to_set_aside(again);
            assert_int_equal(look(old).disks + has_text(below("disk.img"), old), 1);
            assert_int_equal(journey_set_aside(folder, below("disk.img"), place, sizeof place, &error), 0);
            places = look(old);
            assert_int_equal(places.disks, 1);
            assert_int_equal(places.together, 1);
            assert_int_equal(places.parts, 0);
            assert_false(is_there(below("disk.img")) || is_there(below("journey.json")));
        }
}

/* What was made after the attempt that was ended does not come to lie over what was there before: a disk, a journey. */
static void killed_and_something_new_made(void **state)
{
    (void)state;
    for (int n = 0; n < 28; n++) {
        bool new_disk_made = n % 2, has_old, has_journey;
        unsigned journeys = look("").journeys;
        char old[32], new[32];

        snprintf(old, sizeof old, "disk %d", n);
        snprintf(new, sizeof new, "new disk %d", n);
        make_text(below("disk.img"), old);
        must_write(&example);
        try_to_set_aside(n / 2);
        has_old = is_there(below("disk.img"));
        has_journey = is_there(below("journey.json"));
        new_disk_made &= !has_old;
        if (new_disk_made)
            make_text(below("disk.img"), new);
        if (!has_journey)
            must_write(&example);
        assert_int_equal(journey_set_aside(folder, below("disk.img"), NULL, 0, &error), 0);
        assert_int_equal(look(old).disks, 1);
        assert_int_equal(look(new).disks, new_disk_made);
        assert_int_equal(look("").journeys, journeys + 1 + !has_journey);
        assert_int_equal(look("").parts, 0);
    }
}

static void what_cannot_be_set_aside(void **state)
{
    char shm[] = "/dev/shm/journey-XXXXXX", place[256];
    struct stat here, there;
    int fd = mkstemp(shm);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(stat(folder, &here), 0);
    assert_int_equal(stat(shm, &there), 0);
    assert_true(here.st_dev != there.st_dev);
    assert_refused(journey_set_aside(folder, shm, NULL, 0, &error), EXDEV, shm, "another file system");
    assert_true(is_there(shm));
    unlink(shm);
    make_text(below("file"), "old disk");
    assert_int_equal(symlink("file", below("disk.img")), 0);
    assert_refused(journey_set_aside(folder, below("disk.img"), NULL, 0, &error), EINVAL, "disk.img", "is a link");
    assert_refused(journey_set_aside(folder, folder, NULL, 0, &error), EINVAL, folder, "not a file");
    assert_refused(journey_set_aside(folder, below(""), NULL, 0, &error), EINVAL, folder, "name its file");
    assert_refused(journey_set_aside(below("nothing"), below("file"), NULL, 0, &error), ENOENT, "nothing",
                   "state folder");
    assert_refused(journey_set_aside(below("file"), below("file"), NULL, 0, &error), ENOTDIR, "file", "state folder");
    assert_refused(journey_set_aside(folder, below("file"), place, 20, &error), ENAMETOOLONG, folder, "state folder");
    assert_false(is_there(below("backups")));
    make_text(below("backups"), "no folder");
    assert_refused(journey_set_aside(folder, below("file"), NULL, 0, &error), ENOTDIR, "backups", "look at the folder");
    assert_true(has_text(below("file"), "old disk"));
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "build/journey-XXXXXX");
    error.text[0] = 0;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static int remove_folder(void **state)
{
    (void)state;
    no_space = false;
    return nftw(folder, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(each_step_comes_back),
        IN_FOLDER(the_order_of_a_write),
        IN_FOLDER(what_cannot_be_written),
        IN_FOLDER(killed_at_each_call),
        IN_FOLDER(killed_at_random_instants),
        IN_FOLDER(damaged_files),
        IN_FOLDER(wrong_fields),
        IN_FOLDER(unknown_fields_are_left_out),
        IN_FOLDER(files_that_are_none),
        IN_FOLDER(single_bytes),
        IN_FOLDER(tables),
        IN_FOLDER(more_than_an_empty_table),
        IN_FOLDER(boot_sectors),
        IN_FOLDER(disks_that_cannot_be_read),
        IN_FOLDER(set_aside_and_again),
        IN_FOLDER(the_order_of_setting_aside),
        IN_FOLDER(set_aside_and_killed),
        IN_FOLDER(killed_and_something_new_made),
        IN_FOLDER(what_cannot_be_set_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
