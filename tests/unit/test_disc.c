/* The answer disc: what is put on it is read back by a reader of its own and by xorriso; what cannot be on it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "casement/block.h"
#include "casement/bytes.h"
#include "cmocka_all.h"

#include "../../vmm/windows/disc.h"

#define SECTOR 2048U
#define ENTRIES 100100U

static struct error error;
static char folder[64]; /* of the host, for a test */

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

/* A reader of ISO 9660 with Joliet: ECMA-119, 8 and 9, and what Joliet says about names. */

struct entry {
    char path[1024];
    bool folder;
    const uint8_t *bytes;
    uint32_t size;
};

struct image {
    uint8_t *bytes;
    size_t size;
    struct entry *entries;
    unsigned count;
};

static unsigned put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xC0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xE0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3F));
        to[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3F));
    to[2] = (char)(0x80 | (c >> 6 & 0x3F));
    to[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

static void read_name(const uint8_t *record, char *to, size_t size)
{
    size_t at = 0;

    for (unsigned n = 0; n + 1 < record[32]; n += 2) {
        uint32_t c = get_be16(record + 33 + n);

        if (c == ';')
            break;
        if (c >= 0xD800 && c < 0xDC00 && n + 3 < record[32]) {
            n += 2;
            c = 0x10000 + ((c - 0xD800) << 10) + (get_be16(record + 33 + n) - 0xDC00U);
        }
        assert_true(at + 5 < size);
        at += put_utf8(to + at, c);
    }
    to[at] = 0;
}

static void read_folder(struct image *image, const uint8_t *record, const char *path)
{
    uint64_t at = (uint64_t)get_le32(record + 2) * SECTOR, length = get_le32(record + 10);

    assert_true(at + length <= image->size);
    for (uint64_t done = 0; done < length;) {
        const uint8_t *child = image->bytes + at + done;
        struct entry *entry = &image->entries[image->count];
        char name[512];

        if (child[0] == 0) {
            done = (done / SECTOR + 1) * SECTOR;
            continue;
        }
        done += child[0];
        if (child[32] == 1 && child[33] < 2)
            continue;
        assert_true(++image->count < ENTRIES);
        read_name(child, name, sizeof name);
        snprintf(entry->path, sizeof entry->path, "%s%s%s", path, *path ? "/" : "", name);
        entry->folder = child[25] & 2;
        assert_false(child[25] & 0x80); /* one extent */
        assert_int_equal(get_le32(child + 2), get_be32(child + 6));
        assert_int_equal(get_le32(child + 10), get_be32(child + 14));
        entry->size = get_le32(child + 10);
        entry->bytes = image->bytes + (uint64_t)get_le32(child + 2) * SECTOR;
        assert_true((uint64_t)get_le32(child + 2) * SECTOR + entry->size <= image->size);
        if (entry->folder)
            read_folder(image, child, entry->path);
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

static void image_read(struct image *image, int fd)
{
    static const uint8_t ucs2_level_3[] = {0x25, 0x2F, 0x45};
    const uint8_t *descriptor;
    struct stat info;

    assert_int_equal(fstat(fd, &info), 0);
    *image = (struct image){.size = (size_t)info.st_size};
    image->bytes = malloc(image->size);
    image->entries = calloc(ENTRIES, sizeof *image->entries);
    assert_true(image->bytes && image->entries && image->size > 20 * SECTOR);
    assert_int_equal(pread(fd, image->bytes, image->size, 0), image->size);
    descriptor = image->bytes + 16 * SECTOR;
    assert_memory_equal(descriptor, "\1CD001\1", 7);
    assert_memory_equal(descriptor + 40, "CASEMENT ", 9);
    assert_int_equal(get_le32(descriptor + 80) * (uint64_t)SECTOR, image->size);
    for (; descriptor[0] != 2; descriptor += SECTOR)
        assert_int_not_equal(descriptor[0], 255);
    assert_memory_equal(descriptor + 88, ucs2_level_3, sizeof ucs2_level_3);
    assert_memory_equal(descriptor + 40, "\0C\0A\0S\0E\0M\0E\0N\0T\0 ", 18);
    read_folder(image, descriptor + 156, "");
    qsort(image->entries, image->count, sizeof *image->entries, by_path);
}

static void image_free(struct image *image)
{
    free(image->bytes);
    free(image->entries);
}

static const struct entry *find(const struct image *image, const char *path)
{
    struct entry wanted;

    snprintf(wanted.path, sizeof wanted.path, "%s", path);
    return bsearch(&wanted, image->entries, image->count, sizeof *image->entries, by_path);
}

static void assert_file(const struct image *image, const char *path, const void *bytes, size_t size)
{
    const struct entry *entry = find(image, path);

    if (!entry) {
        fail_msg("no %s", path);
        return;
    }
    assert_false(entry->folder);
    assert_int_equal(entry->size, size);
    assert_memory_equal(entry->bytes, bytes, size);
}

static void assert_text(const struct image *image, const char *path, const char *text)
{
    assert_file(image, path, text, strlen(text));
}

static void assert_folder(const struct image *image, const char *path)
{
    const struct entry *entry = find(image, path);

    if (!entry || !entry->folder)
        fail_msg("no folder %s", path);
}

/* Making discs. */

static struct disc *new_disc(void)
{
    struct disc *disc = disc_create(&error);

    assert_non_null(disc);
    return disc;
}

static void add(struct disc *disc, const char *path, const char *text)
{
    int failed = disc_add(disc, path, text, strlen(text), &error);

    if (failed)
        fail_msg("%s: %s", path, error.text);
}

static int finish(struct disc *disc)
{
    int fd = disc_finish(disc, &error);

    if (fd < 0)
        fail_msg("%s", error.text);
    return fd;
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

static void make_file(const char *name, const char *text)
{
    char path[600];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char *below(const char *name)
{
    static char path[600];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void run_xorriso(const char *arguments)
{
    char command[2000];

    snprintf(command, sizeof command, "xorriso -no_rc -report_about SORRY %s >/dev/null", arguments);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}

static const char x64[] = "0123456789ABCDEF0123456789abcdef0123456789ABCDEF0123456789ab.txt";
static const char x64_folder[] = "0123456789ABCDEF0123456789abcdef0123456789ABCDEF0123456789ab.txt/";

#define PATHS 400
static void repeat(char to[PATHS], unsigned count, const char *part, const char *end)
{
    size_t at = 0;

    for (; count; count--)
        at += (size_t)snprintf(to + at, PATHS - at, "%s", part);
    snprintf(to + at, PATHS - at, "%s", end);
}

static void names_and_bytes(void **state)
{
    static const uint8_t pair[] = {0xD8, 0x3D, 0xDC, 0xA9, 0, '.', 0, 'b'};
    uint8_t all[3 * SECTOR + 1];
    struct image image;
    int fd;

    (void)state;
    struct disc *disc = new_disc();

    for (size_t n = 0; n < sizeof all; n++)
        all[n] = (uint8_t)(n * 7 + n / 256);
    add(disc, "Autounattend.xml", "<unattend/>\r\n");
    add(disc, "$OEM$/$$/Setup/Scripts/SetupComplete.cmd", "@echo off\r\n");
    add(disc, "$OEM$/$1/OEM/Größe ÄÖÜß 漢字.txt", "umlauts");
    add(disc, "$OEM$/$1/OEM/empty", "");
    add(disc, "$OEM$/$1/OEM/no extension", "no dot");
    add(disc, "$OEM$/$1/OEM/.hidden", "dot");
    add(disc, "$OEM$/$1/OEM/two.dots.in it", "dots");
    add(disc, "$OEM$/$1/OEM/\xF0\x9F\x92\xA9.b", "pair");
    add(disc, x64, "64");
    assert_int_equal(disc_add(disc, "$WinPEDriver$/all", all, sizeof all, &error), 0);
    assert_int_equal(disc_add(disc, "sector", all, SECTOR, &error), 0);
    fd = finish(disc);
    image_read(&image, fd);
    assert_int_equal(image.count, 11 + 7);
    assert_text(&image, "Autounattend.xml", "<unattend/>\r\n");
    assert_text(&image, "$OEM$/$$/Setup/Scripts/SetupComplete.cmd", "@echo off\r\n");
    assert_text(&image, "$OEM$/$1/OEM/Größe ÄÖÜß 漢字.txt", "umlauts");
    assert_text(&image, "$OEM$/$1/OEM/empty", "");
    assert_text(&image, "$OEM$/$1/OEM/no extension", "no dot");
    assert_text(&image, "$OEM$/$1/OEM/.hidden", "dot");
    assert_text(&image, "$OEM$/$1/OEM/two.dots.in it", "dots");
    assert_text(&image, "$OEM$/$1/OEM/\xF0\x9F\x92\xA9.b", "pair");
    assert_text(&image, x64, "64");
    assert_file(&image, "$WinPEDriver$/all", all, sizeof all);
    assert_file(&image, "sector", all, SECTOR);
    assert_folder(&image, "$OEM$/$$/Setup");
    assert_folder(&image, "$WinPEDriver$");
    assert_non_null(memmem(image.bytes, image.size, "\0$\0O\0E\0M\0$", 10));
    assert_non_null(memmem(image.bytes, image.size, pair, sizeof pair));
    image_free(&image);
    close(fd);
}

static void an_empty_disc(void **state)
{
    struct image image;
    int fd = finish(new_disc());

    (void)state;
    image_read(&image, fd);
    assert_int_equal(image.count, 0);
    image_free(&image);
    close(fd);
    disc_destroy(new_disc());
    disc_destroy(NULL);
}

/* Another reader: all files as xorriso takes them out. */
static void xorriso_reads_it(void **state)
{
    static const char *const names[] = {"Autounattend.xml", "$OEM$/$$/Setup/Scripts/a.cmd", "$OEM$/$1/Größe.txt", x64,
                                        "$OEM$/empty"};
    static const char *const texts[] = {"<unattend/>", "exit 0", "umlauts", "64", ""};
    struct disc *disc = new_disc();
    char arguments[400];
    int fd;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        add(disc, names[n], texts[n]);
    fd = finish(disc);
    snprintf(arguments, sizeof arguments,
             "-in_charset UTF-8 -out_charset UTF-8 -osirrox on -indev stdio:/proc/%d/fd/%d -extract / %s",
             (int)getpid(), fd, below("out"));
    run_xorriso(arguments);
    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        char path[400], text[64] = "";
        FILE *file;

        snprintf(path, sizeof path, "out/%s", names[n]);
        file = fopen(below(path), "re");
        assert_non_null(file);
        text[fread(text, 1, sizeof text - 1, file)] = 0;
        assert_string_equal(text, texts[n]);
        fclose(file);
    }
    close(fd);
}

static void ten_thousand_files(void **state)
{
    struct disc *disc = new_disc();
    struct image image;
    char path[64], text[64];
    int fd;

    (void)state;
    for (unsigned n = 0; n < 10000; n++) {
        snprintf(path, sizeof path, "many/file %u.txt", n * 7919 % 10000);
        snprintf(text, sizeof text, "this is %u", n * 7919 % 10000);
        add(disc, path, text);
    }
    fd = finish(disc);
    image_read(&image, fd);
    assert_int_equal(image.count, 10001);
    for (unsigned n = 0; n < 10000; n++) {
        snprintf(path, sizeof path, "many/file %u.txt", n);
        snprintf(text, sizeof text, "this is %u", n);
        assert_text(&image, path, text);
    }
    image_free(&image);
    close(fd);
}

static void names_that_a_disc_cannot_have(void **state)
{
    static const char *const bad[] = {"a*b", "a:b",  "a;b",    "a?b",      "a\\b",  "a\"b",  "a<b",
                                      "a>b", "a|b",  "a\nb",   "a\033b",   "a\xFF", "a\xC3", "\xED\xA0\x80",
                                      ".",   "..",   "../a",   "a/../b",   "a//b",  "/a",    "a/",
                                      "",    "dot.", "space ", "dir./file"};
    char longer[70], deep[PATHS], path[PATHS];
    struct disc *disc = new_disc();
    struct image image;
    int fd;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++)
        assert_refused(disc_add(disc, bad[n], "x", 1, &error), EINVAL, "answer disc: ", "rename it");
    assert_refused(disc_add(disc, "$OEM$/a\033b", "x", 1, &error), EINVAL, "$OEM$/a?b", "rename it");
    assert_refused(disc_add(disc, "$OEM$/a:b", "x", 1, &error), EINVAL, "$OEM$/a:b", "* / : ; ? \\");
    snprintf(longer, sizeof longer, "x%s", x64);
    assert_refused(disc_add(disc, longer, "x", 1, &error), ENAMETOOLONG, longer, "64 characters");
    repeat(deep, 17, "d/", "f");
    assert_refused(disc_add(disc, deep, "x", 1, &error), ELOOP, "d/d/d", "16 folders");
    repeat(path, 4, x64_folder, "f");
    assert_refused(disc_add(disc, path, "x", 1, &error), ENAMETOOLONG, x64, "240 characters");
    add(disc, "Good", "still good");
    assert_refused(disc_add(disc, "Good", "x", 1, &error), EEXIST, "Good", "on the disc already");
    assert_refused(disc_add(disc, "gOOD", "x", 1, &error), EEXIST, "gOOD", "capitals");
    assert_refused(disc_add(disc, "Good/x", "x", 1, &error), EEXIST, "Good", "on the disc already");
    assert_refused(disc_add(disc, "$oem$", "x", 1, &error), EEXIST, "$oem$", "on the disc already");
    add(disc, "$oem$/b", "same folder");
    fd = finish(disc);
    image_read(&image, fd);
    assert_text(&image, "Good", "still good");
    assert_text(&image, "$OEM$/b", "same folder");
    image_free(&image);
    close(fd);
}

/* Deep and long as it may be. */
static void limits_of_paths(void **state)
{
    char deep[PATHS], path[PATHS];
    struct disc *disc = new_disc();
    struct image image;
    int fd;

    (void)state;
    repeat(deep, 16, "d/", "f");
    add(disc, deep, "deep");
    repeat(path, 3, x64_folder, x64);
    path[240] = 0;
    add(disc, path, "long");
    path[240] = 'x';
    path[241] = 0;
    assert_refused(disc_add(disc, path, "x", 1, &error), ENAMETOOLONG, x64, "240 characters");
    path[240] = 0;
    fd = finish(disc);
    image_read(&image, fd);
    assert_text(&image, deep, "deep");
    assert_text(&image, path, "long");
    image_free(&image);
    close(fd);
}

static void a_folder_of_the_host(void **state)
{
    struct disc *disc = new_disc();
    struct image image;
    int fd;

    (void)state;
    make_file("install.bat", "rem");
    make_file("Größe", "umlauts");
    make_file("empty", "");
    assert_int_equal(mkdir(below("sub"), 0700), 0);
    assert_int_equal(mkdir(below("sub/empty folder"), 0700), 0);
    make_file("sub/file", "below");
    assert_int_equal(symlink("install.bat", below("link to a file")), 0);
    assert_int_equal(symlink("/etc", below("link to a folder")), 0);
    assert_int_equal(symlink("nowhere", below("link:to*nothing")), 0);
    assert_int_equal(mkfifo(below("pipe"), 0600), 0);
    assert_int_equal(disc_add_folder(disc, "$OEM$/$1/OEM", folder, 18, &error), 0);
    fd = finish(disc);
    image_read(&image, fd);
    assert_int_equal(image.count, 3 + 4 + 2);
    assert_text(&image, "$OEM$/$1/OEM/install.bat", "rem");
    assert_text(&image, "$OEM$/$1/OEM/Größe", "umlauts");
    assert_text(&image, "$OEM$/$1/OEM/empty", "");
    assert_text(&image, "$OEM$/$1/OEM/sub/file", "below");
    assert_folder(&image, "$OEM$/$1/OEM/sub/empty folder");
    image_free(&image);
    close(fd);
}

static void folders_that_are_refused(void **state)
{
    struct disc *disc = new_disc();
    char deep[PATHS];
    int fd;

    (void)state;
    assert_refused(disc_add_folder(disc, "OEM", below("nothing"), MiB, &error), ENOENT, below("nothing"),
                   "name a folder");
    make_file("file", "0123456789");
    assert_refused(disc_add_folder(disc, "OEM", below("file"), MiB, &error), ENOTDIR, below("file"), "name a folder");
    assert_refused(disc_add_folder(disc, "OEM", folder, 9, &error), EFBIG, ": file: ", "leave out");
    disc_destroy(disc);
    disc = new_disc();
    make_file("a:b", "");
    assert_refused(disc_add_folder(disc, "OEM", folder, MiB, &error), EINVAL, "OEM/a:b", "rename it");
    unlink(below("a:b"));
    disc_destroy(disc);
    disc = new_disc();
    make_file("FILE", "other");
    assert_refused(disc_add_folder(disc, "OEM", folder, MiB, &error), EEXIST, "capitals", "rename it");
    unlink(below("FILE"));
    disc_destroy(disc);
    disc = new_disc();
    make_file("\xC3\x28", "other");
    assert_refused(disc_add_folder(disc, "OEM", folder, MiB, &error), EINVAL, "not UTF-8", "rename it");
    unlink(below("\xC3\x28"));
    disc_destroy(disc);
    disc = new_disc();
    for (unsigned n = 0; n < 17; n++) {
        repeat(deep, n, "d/", "d");
        assert_int_equal(mkdir(below(deep), 0700), 0);
    }
    assert_refused(disc_add_folder(disc, "", folder, MiB, &error), ELOOP, "d/d/d", "16 folders");
    disc_destroy(disc);
    disc = new_disc();
    make_file("d/large", "");
    fd = open(below("d/large"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, (off_t)(4 * GiB)), 0);
    close(fd);
    assert_refused(disc_add_folder(disc, "", below("d"), UINT64_MAX, &error), EFBIG, "large", "4 GiB");
    disc_destroy(disc);
}

static void truncate_it(void)
{
    assert_int_equal(truncate(below("sub/file"), 3), 0);
}

static void remove_it(void)
{
    unlink(below("sub/file"));
}

static void make_it_a_link(void)
{
    remove_it();
    assert_int_equal(symlink("../other", below("sub/file")), 0);
}

static void make_it_a_pipe(void)
{
    remove_it();
    assert_int_equal(mkfifo(below("sub/file"), 0600), 0);
}

static void make_its_folder_a_link(void)
{
    char sub[600], moved[600];

    snprintf(sub, sizeof sub, "%s", below("sub"));
    snprintf(moved, sizeof moved, "%s", below("moved"));
    assert_int_equal(rename(sub, moved), 0);
    assert_int_equal(symlink("moved", sub), 0);
}

/* Between two looks at a folder whoever has it may do anything; a link in it must not lead out. */
static void files_that_change(void **state)
{
    static void (*const changes[])(void) = {truncate_it, remove_it, make_it_a_link, make_it_a_pipe,
                                            make_its_folder_a_link};

    (void)state;
    make_file("other", "below");
    assert_int_equal(mkdir(below("sub"), 0700), 0);
    for (size_t n = 0; n < ARRAY_SIZE(changes); n++) {
        struct disc *disc = new_disc();
        int result;

        remove_it();
        make_file("sub/file", "below");
        assert_int_equal(disc_add_folder(disc, "", folder, MiB, &error), 0);
        changes[n]();
        result = disc_finish(disc, &error);
        if (result >= 0 || !strstr(error.text, "sub/file"))
            fail_msg("change %zu: %d, %s", n, result, error.text);
        assert_null(strchr(error.text, '\n'));
    }
}

static void another_image(void **state)
{
    struct disc *disc = new_disc();
    struct image image;
    char path[64], text[64];
    int source, fd;

    (void)state;
    for (unsigned n = 0; n < 100; n++) {
        snprintf(path, sizeof path, "viostor/w11/amd64/Driver %u.inf", n);
        snprintf(text, sizeof text, "driver %u", n);
        add(disc, path, text);
    }
    add(disc, "viostor/w11/amd64/below/empty", "");
    add(disc, "viostor/w10/amd64/other", "not this");
    source = finish(disc);
    disc = new_disc();
    snprintf(path, sizeof path, "/proc/self/fd/%d", source);
    assert_int_equal(disc_add_from_image(disc, "$WinPEDriver$/viostor", path, "VIOSTOR/W11/AMD64", &error), 0);
    assert_refused(disc_add_from_image(disc, "x", path, "viostor/w12", &error), ENOENT, "viostor/w12", "name an image");
    assert_refused(disc_add_from_image(disc, "x", path, "viostor/w11/amd64/Driver 1.inf", &error), ENOENT,
                   "Driver 1.inf", "name an image");
    close(source);
    fd = finish(disc);
    image_read(&image, fd);
    assert_int_equal(image.count, 2 + 100 + 2);
    for (unsigned n = 0; n < 100; n++) {
        snprintf(path, sizeof path, "$WinPEDriver$/viostor/Driver %u.inf", n);
        snprintf(text, sizeof text, "driver %u", n);
        assert_text(&image, path, text);
    }
    assert_text(&image, "$WinPEDriver$/viostor/below/empty", "");
    image_free(&image);
    close(fd);
}

/* Rock Ridge only, ISO 9660 only, and both with Joliet. */
static void images_of_xorriso(void **state)
{
    static const char *const kinds[] = {"-joliet off", "-joliet on", "-joliet off -compliance no_rr"};

    (void)state;
    assert_int_equal(mkdir(below("tree"), 0700), 0);
    assert_int_equal(mkdir(below("tree/netkvm"), 0700), 0);
    make_file("tree/netkvm/netkvm.inf", "driver");
    assert_int_equal(symlink("netkvm.inf", below("tree/netkvm/link")), 0);
    for (size_t n = 0; n < ARRAY_SIZE(kinds); n++) {
        char arguments[2000];
        struct disc *disc = new_disc();
        struct image image;
        int fd;

        unlink(below("source.iso"));
        snprintf(arguments, sizeof arguments, "-outdev stdio:%s/source.iso -rockridge %s %s -map %s/tree /", folder,
                 n == 2 ? "off" : "on", n == 1 ? "-joliet on" : "-joliet off", folder);
        run_xorriso(arguments);
        if (disc_add_from_image(disc, "d", below("source.iso"), "NetKVM", &error))
            fail_msg("%s: %s", kinds[n], error.text);
        fd = finish(disc);
        image_read(&image, fd);
        assert_text(&image, n == 2 ? "d/NETKVM.INF" : "d/netkvm.inf", "driver");
        assert_null(find(&image, "d/link"));
        image_free(&image);
        close(fd);
    }
}

static void images_that_are_none(void **state)
{
    static uint8_t bytes[64 * 1024];
    struct disc *disc = new_disc(), *source = new_disc();
    int fd, image, seen, stderr_was = dup(STDERR_FILENO);

    (void)state;
    assert_int_equal(disc_add(source, "d/file", bytes, sizeof bytes, &error), 0);
    image = finish(source);
    assert_true(pread(image, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes);
    close(image);
    seen = memfd_create("stderr", MFD_CLOEXEC);
    dup2(seen, STDERR_FILENO);
    assert_refused(disc_add_from_image(disc, "d", below("nothing.iso"), "d", &error), ENOENT, "nothing.iso",
                   "name a disc");
    assert_refused(disc_add_from_image(disc, "d", folder, "d", &error), EINVAL, folder, "name a disc image");
    assert_int_equal(mkfifo(below("pipe"), 0600), 0);
    assert_refused(disc_add_from_image(disc, "d", below("pipe"), "d", &error), EINVAL, below("pipe"),
                   "name a disc image");
    make_file("text.iso", "no image");
    assert_refused(disc_add_from_image(disc, "d", below("text.iso"), "d", &error), EINVAL, "text.iso", "libisofs");
    /* Cut off within the file's bytes, and within the tree. */
    fd = open(below("cut.iso"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(pwrite(fd, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes);
    assert_refused(disc_add_from_image(disc, "d", below("cut.iso"), "d", &error), EILSEQ, "cut.iso",
                   "get the image anew");
    assert_int_equal(ftruncate(fd, 17 * SECTOR + 100), 0);
    assert_true(disc_add_from_image(disc, "e", below("cut.iso"), "d", &error) < 0);
    close(fd);
    dup2(stderr_was, STDERR_FILENO);
    close(stderr_was);
    assert_int_equal(lseek(seen, 0, SEEK_END), 0); /* the library says nothing there */
    close(seen);
    disc_destroy(disc);
}

/* Any byte of the source's descriptors and tree may be wrong. */
static void damaged_images(void **state)
{
    struct disc *source = new_disc();
    struct stat info;
    uint8_t *bytes;
    int image, fd;
    unsigned taken = 0;

    (void)state;
    add(source, "d/e/file", "bytes");
    add(source, "d/other", "bytes");
    image = finish(source);
    assert_int_equal(fstat(image, &info), 0);
    bytes = malloc((size_t)info.st_size);
    assert_true(bytes && pread(image, bytes, (size_t)info.st_size, 0) == info.st_size);
    close(image);
    fd = open(below("damaged.iso"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (uint32_t n = 0, random = 1; n < 500; n++) {
        struct disc *disc = new_disc();
        size_t at = 16 * SECTOR + (random = random * 1664525 + 1013904223) % ((size_t)info.st_size - 16 * SECTOR);
        uint8_t was = bytes[at];
        int made;

        bytes[at] = (uint8_t)(random >> 11);
        assert_true(pwrite(fd, bytes, (size_t)info.st_size, 0) == info.st_size);
        bytes[at] = was;
        if (disc_add_from_image(disc, "d", below("damaged.iso"), "d", &error) < 0) {
            assert_true(error.text[0] && !strchr(error.text, '\n'));
            disc_destroy(disc);
            continue;
        }
        made = disc_finish(disc, &error);
        taken += made >= 0;
        if (made >= 0)
            close(made);
    }
    assert_true(taken > 0); /* most bytes there matter to nobody */
    close(fd);
    free(bytes);
}

static void sealed(void **state)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    char path[64];
    struct disc *disc = new_disc();
    uint8_t sector[512];
    struct block *block;
    int fd, opened;

    (void)state;
    add(disc, "Autounattend.xml", "password");
    fd = finish(disc);
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
    assert_int_equal(block_pread(block, sector, sizeof sector, 16 * SECTOR), 0);
    assert_memory_equal(sector + 1, "CD001", 5);
    block_close(block);
    close(fd);
}

static void nothing_is_written_elsewhere(void **state)
{
    struct disc *disc = new_disc();
    unsigned open_before = 0, open_after = 0;
    int fd;

    (void)state;
    for (int n = 0; n < (int)ARRAY_SIZE(was_open); n++)
        open_before += was_open[n] = fcntl(n, F_GETFD) >= 0;
    make_file("file", "of the host");
    add(disc, "Autounattend.xml", "password");
    assert_int_equal(disc_add_folder(disc, "OEM", folder, MiB, &error), 0);
    atomic_store(&watching, true);
    fd = finish(disc);
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

            for (ssize_t n = 0; n + SECRET <= length; n++) {
                unsigned same = 0;

                while (same < SECRET && chunk[n + same] == (masked[same] ^ MASK))
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
    struct disc *disc = new_disc();
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
    fd = finish(disc);
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
        for (off_t at = 16 * SECTOR; !strstr(found, text) && pread(fd, found, sizeof found - 1, at) > 0; at += SECTOR)
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
    struct disc *disc = new_disc();
    char path[64];

    (void)state;
    for (unsigned n = 1; n < 100000; n++) {
        snprintf(path, sizeof path, "d/%u", n);
        add(disc, path, "");
    }
    assert_refused(disc_add(disc, "d/one more", "", 0, &error), EFBIG, "d/one more", "100000");
    disc_destroy(disc);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "build/disc-XXXXXX");
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
    return nftw(folder, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_bytes),
        cmocka_unit_test(an_empty_disc),
        IN_FOLDER(xorriso_reads_it),
        cmocka_unit_test(ten_thousand_files),
        cmocka_unit_test(names_that_a_disc_cannot_have),
        cmocka_unit_test(limits_of_paths),
        IN_FOLDER(a_folder_of_the_host),
        IN_FOLDER(folders_that_are_refused),
        IN_FOLDER(files_that_change),
        cmocka_unit_test(another_image),
        IN_FOLDER(images_of_xorriso),
        IN_FOLDER(images_that_are_none),
        IN_FOLDER(damaged_images),
        cmocka_unit_test(sealed),
        IN_FOLDER(nothing_is_written_elsewhere),
        cmocka_unit_test(secrets_are_wiped),
        cmocka_unit_test(two_threads),
        cmocka_unit_test(too_many_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
