/*
 * What an answer disc takes from elsewhere: folders of the host, which may change meanwhile, and images of other discs,
 * which may be damaged. LONG=1: more damage.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_disc.h"
#include "fake_folder.h"

static struct error error;

static void a_folder_of_the_host(void **state)
{
    struct disc *disc = fake_disc_new();
    struct fake_disc image;
    int fd;

    (void)state;
    fake_text(fake_below("install.bat"), "rem");
    fake_text(fake_below("Größe"), "umlauts");
    fake_text(fake_below("empty"), "");
    assert_int_equal(mkdir(fake_below("sub"), 0700), 0);
    assert_int_equal(mkdir(fake_below("sub/empty folder"), 0700), 0);
    fake_text(fake_below("sub/file"), "below");
    assert_int_equal(symlink("install.bat", fake_below("link to a file")), 0);
    assert_int_equal(symlink("/etc", fake_below("link to a folder")), 0);
    assert_int_equal(symlink("nowhere", fake_below("link:to*nothing")), 0);
    assert_int_equal(mkfifo(fake_below("pipe"), 0600), 0);
    assert_int_equal(disc_add_folder(disc, "$OEM$/$1/OEM", fake_folder, "", 18, &error), 0);
    fd = fake_disc_finish(disc);
    fake_disc_read(&image, fd);
    assert_int_equal(image.count, 3 + 4 + 2);
    fake_disc_has_text(&image, "$OEM$/$1/OEM/install.bat", "rem");
    fake_disc_has_text(&image, "$OEM$/$1/OEM/Größe", "umlauts");
    fake_disc_has_text(&image, "$OEM$/$1/OEM/empty", "");
    fake_disc_has_text(&image, "$OEM$/$1/OEM/sub/file", "below");
    fake_disc_has_folder(&image, "$OEM$/$1/OEM/sub/empty folder");
    fake_disc_free(&image);
    close(fd);
}

static void a_folder_in_a_folder(void **state)
{
    struct disc *disc = fake_disc_new();
    struct fake_disc image;
    int fd;

    (void)state;
    assert_int_equal(mkdir(fake_below("viostor"), 0700), 0);
    assert_int_equal(mkdir(fake_below("viostor/w11"), 0700), 0);
    assert_int_equal(mkdir(fake_below("viostor/w11/sub"), 0700), 0);
    fake_text(fake_below("viostor/other"), "other");
    fake_text(fake_below("viostor/w11/file"), "in it");
    fake_text(fake_below("viostor/w11/sub/file"), "below");
    assert_int_equal(symlink("viostor", fake_below("link")), 0);
    assert_int_equal(symlink("w11", fake_below("viostor/w12")), 0);
    assert_int_equal(disc_add_folder(disc, "d", fake_folder, "viostor/w11", 10, &error), 0);
    fd = fake_disc_finish(disc);
    fake_disc_read(&image, fd);
    assert_int_equal(image.count, 4);
    fake_disc_has_text(&image, "d/file", "in it");
    fake_disc_has_text(&image, "d/sub/file", "below");
    fake_disc_free(&image);
    close(fd);
    disc = fake_disc_new();
    fake_refused(&error, disc_add_folder(disc, "d", fake_folder, "viostor/w10", MiB, &error), ENOENT, "/viostor/w10",
                 "right");
    fake_refused(&error, disc_add_folder(disc, "d", fake_folder, "viostor/other", MiB, &error), ENOTDIR,
                 "/viostor/other", "right");
    /* Nothing leads out of the folder: a link to one is none, at the end or on the way. */
    fake_refused(&error, disc_add_folder(disc, "d", fake_folder, "viostor/w12", MiB, &error), ELOOP, "/viostor/w12",
                 "right");
    fake_refused(&error, disc_add_folder(disc, "d", fake_folder, "link/w11", MiB, &error), ENOTDIR, "/link/w11",
                 "right");
    disc_destroy(disc);
}

static void folders_that_are_refused(void **state)
{
    struct disc *disc = fake_disc_new();
    char deep[FAKE_DISC_PATH];
    int fd;

    (void)state;
    fake_refused(&error, disc_add_folder(disc, "OEM", fake_below("nothing"), "", MiB, &error), ENOENT,
                 fake_below("nothing"), "name a folder");
    fake_text(fake_below("file"), "0123456789");
    fake_refused(&error, disc_add_folder(disc, "OEM", fake_below("file"), "", MiB, &error), ENOTDIR, fake_below("file"),
                 "name a folder");
    fake_refused(&error, disc_add_folder(disc, "OEM", fake_folder, "", 9, &error), EFBIG, ": file: ", "leave out");
    disc_destroy(disc);
    disc = fake_disc_new();
    fake_text(fake_below("a:b"), "");
    fake_refused(&error, disc_add_folder(disc, "OEM", fake_folder, "", MiB, &error), EINVAL, "OEM/a:b", "rename it");
    unlink(fake_below("a:b"));
    disc_destroy(disc);
    disc = fake_disc_new();
    fake_text(fake_below("FILE"), "other");
    fake_refused(&error, disc_add_folder(disc, "OEM", fake_folder, "", MiB, &error), EEXIST, "capitals", "rename it");
    unlink(fake_below("FILE"));
    disc_destroy(disc);
    disc = fake_disc_new();
    fake_text(fake_below("\xC3\x28"), "other");
    fake_refused(&error, disc_add_folder(disc, "OEM", fake_folder, "", MiB, &error), EINVAL, "not UTF-8", "rename it");
    unlink(fake_below("\xC3\x28"));
    disc_destroy(disc);
    disc = fake_disc_new();
    for (unsigned n = 0; n < 17; n++) {
        fake_disc_repeat(deep, n, "d/", "d");
        assert_int_equal(mkdir(fake_below(deep), 0700), 0);
    }
    fake_refused(&error, disc_add_folder(disc, "", fake_folder, "", MiB, &error), ELOOP, "d/d/d", "16 folders");
    disc_destroy(disc);
    disc = fake_disc_new();
    fake_text(fake_below("d/large"), "");
    fd = open(fake_below("d/large"), O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, (off_t)(4 * GiB)), 0);
    close(fd);
    fake_refused(&error, disc_add_folder(disc, "", fake_below("d"), "", UINT64_MAX, &error), EFBIG, "large", "4 GiB");
    disc_destroy(disc);
}

static void truncate_it(void)
{
    assert_int_equal(truncate(fake_below("sub/file"), 3), 0);
}

static void remove_it(void)
{
    unlink(fake_below("sub/file"));
}

static void make_it_a_link(void)
{
    remove_it();
    assert_int_equal(symlink("../other", fake_below("sub/file")), 0);
}

static void make_it_a_pipe(void)
{
    remove_it();
    assert_int_equal(mkfifo(fake_below("sub/file"), 0600), 0);
}

static void make_its_folder_a_link(void)
{
    char sub[600], moved[600];

    snprintf(sub, sizeof sub, "%s", fake_below("sub"));
    snprintf(moved, sizeof moved, "%s", fake_below("moved"));
    assert_int_equal(rename(sub, moved), 0);
    assert_int_equal(symlink("moved", sub), 0);
}

/* Between two looks at a folder whoever has it may do anything; a link in it must not lead out. */
static void files_that_change(void **state)
{
    static void (*const changes[])(void) = {truncate_it, remove_it, make_it_a_link, make_it_a_pipe,
                                            make_its_folder_a_link};

    (void)state;
    fake_text(fake_below("other"), "below");
    assert_int_equal(mkdir(fake_below("sub"), 0700), 0);
    for (size_t n = 0; n < ARRAY_SIZE(changes); n++) {
        struct disc *disc = fake_disc_new();
        int result;

        remove_it();
        fake_text(fake_below("sub/file"), "below");
        assert_int_equal(disc_add_folder(disc, "", fake_folder, "", MiB, &error), 0);
        error.text[0] = 0;
        changes[n]();
        result = disc_finish(disc, &error);
        if (result >= 0 || !strstr(error.text, "sub/file"))
            fail_msg("change %zu: %d, %s", n, result, error.text);
        assert_null(strchr(error.text, '\n'));
    }
}

static void another_image(void **state)
{
    struct disc *disc = fake_disc_new();
    struct fake_disc image;
    char path[64], text[64];
    int source, fd;

    (void)state;
    for (unsigned n = 0; n < 100; n++) {
        snprintf(path, sizeof path, "viostor/w11/amd64/Driver %u.inf", n);
        snprintf(text, sizeof text, "driver %u", n);
        fake_disc_add(disc, path, text);
    }
    fake_disc_add(disc, "viostor/w11/amd64/below/empty", "");
    fake_disc_add(disc, "viostor/w10/amd64/other", "not this");
    source = fake_disc_finish(disc);
    disc = fake_disc_new();
    snprintf(path, sizeof path, "/proc/self/fd/%d", source);
    assert_int_equal(disc_add_from_image(disc, "$WinPEDriver$/viostor", path, "VIOSTOR/W11/AMD64", &error), 0);
    fake_refused(&error, disc_add_from_image(disc, "x", path, "viostor/w12", &error), ENOENT, "viostor/w12",
                 "name an image");
    fake_refused(&error, disc_add_from_image(disc, "x", path, "viostor/w11/amd64/Driver 1.inf", &error), ENOENT,
                 "Driver 1.inf", "name an image");
    close(source);
    fd = fake_disc_finish(disc);
    fake_disc_read(&image, fd);
    assert_int_equal(image.count, 2 + 100 + 2);
    for (unsigned n = 0; n < 100; n++) {
        snprintf(path, sizeof path, "$WinPEDriver$/viostor/Driver %u.inf", n);
        snprintf(text, sizeof text, "driver %u", n);
        fake_disc_has_text(&image, path, text);
    }
    fake_disc_has_text(&image, "$WinPEDriver$/viostor/below/empty", "");
    fake_disc_free(&image);
    close(fd);
}

/* Rock Ridge only, both with Joliet, and ISO 9660 only. Without Joliet, Windows too sees ISO 9660's names. */
static void images_of_xorriso(void **state)
{
    static const char *const kinds[] = {"-joliet off", "-joliet on", "-joliet off -compliance no_rr"};

    (void)state;
    assert_int_equal(mkdir(fake_below("tree"), 0700), 0);
    assert_int_equal(mkdir(fake_below("tree/netkvm"), 0700), 0);
    fake_text(fake_below("tree/netkvm/netkvm.inf"), "driver");
    fake_text(fake_below("tree/netkvm/Größe of 16 and more"), "name");
    fake_text(fake_below("tree/netkvm/noext"), "");
    assert_int_equal(symlink("netkvm.inf", fake_below("tree/netkvm/link")), 0);
    for (size_t n = 0; n < ARRAY_SIZE(kinds); n++) {
        char arguments[2000];
        struct disc *disc = fake_disc_new();
        struct fake_disc image;
        int fd;

        unlink(fake_below("source.iso"));
        snprintf(arguments, sizeof arguments, "-outdev stdio:%s/source.iso -rockridge %s %s -map %s/tree /",
                 fake_folder, n == 2 ? "off" : "on", n == 1 ? "-joliet on" : "-joliet off", fake_folder);
        fake_disc_xorriso(arguments);
        if (disc_add_from_image(disc, "d", fake_below("source.iso"), "NetKVM", &error))
            fail_msg("%s: %s", kinds[n], error.text);
        fd = fake_disc_finish(disc);
        fake_disc_read(&image, fd);
        fake_disc_has_text(&image, n == 1 ? "d/netkvm.inf" : "d/NETKVM.INF", "driver");
        fake_disc_has_text(&image, n == 1 ? "d/noext" : "d/NOEXT", "");
        if (n == 1) {
            fake_disc_has_text(&image, "d/Größe of 16 and more", "name");
            assert_int_equal(image.count, 4); /* no link */
        }
        fake_disc_free(&image);
        close(fd);
    }
}

static void images_that_are_none(void **state)
{
    static uint8_t bytes[64 * 1024];
    struct disc *disc = fake_disc_new(), *source = fake_disc_new();
    int fd, image;

    (void)state;
    assert_int_equal(disc_add(source, "d/file", bytes, sizeof bytes, &error), 0);
    image = fake_disc_finish(source);
    assert_true(pread(image, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes);
    close(image);
    fake_refused(&error, disc_add_from_image(disc, "d", fake_below("nothing.iso"), "d", &error), ENOENT, "nothing.iso",
                 "name a disc image");
    fake_refused(&error, disc_add_from_image(disc, "d", fake_folder, "d", &error), EISDIR, fake_folder,
                 "name a disc image");
    assert_int_equal(mkfifo(fake_below("pipe"), 0600), 0);
    fake_refused(&error, disc_add_from_image(disc, "d", fake_below("pipe"), "d", &error), EINVAL, fake_below("pipe"),
                 "name a disc image");
    fake_text(fake_below("text.iso"), "no image");
    fake_refused(&error, disc_add_from_image(disc, "d", fake_below("text.iso"), "d", &error), EILSEQ, "text.iso",
                 "give the ISO");
    /* Cut off within the file's bytes, and within the tree. */
    fd = open(fake_below("cut.iso"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(pwrite(fd, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes);
    fake_refused(&error, disc_add_from_image(disc, "d", fake_below("cut.iso"), "d", &error), EILSEQ, "cut.iso",
                 "download it again");
    assert_int_equal(ftruncate(fd, 17 * FAKE_DISC_SECTOR + 100), 0);
    fake_refused(&error, disc_add_from_image(disc, "e", fake_below("cut.iso"), "d", &error), EILSEQ, "cut.iso",
                 "download it again");
    close(fd);
    disc_destroy(disc);
}

/* The extent of the folder's record of this Joliet name, in all of the image's bytes. */
static uint8_t *find_record(uint8_t *bytes, size_t size, const char *name, size_t length)
{
    for (size_t at = 18 * FAKE_DISC_SECTOR; at + 33 + length < size; at++)
        if (bytes[at] == 33 + length + (length % 2 == 0) && bytes[at + 32] == length &&
            !memcmp(bytes + at + 33, name, length))
            return bytes + at;
    fail_msg("no such record");
    return NULL;
}

/* A folder that is in itself, so deep that no disc can have it, and so often that nobody would see the end. */
static void a_folder_in_itself(void **state)
{
    struct disc *disc = fake_disc_new();
    struct stat info;
    uint8_t *bytes, *outer, *inner;
    int image;

    (void)state;
    for (unsigned n = 0; n < 40; n++) {
        char path[64];

        snprintf(path, sizeof path, "o/i%u/file", n);
        fake_disc_add(disc, path, "bytes");
    }
    image = fake_disc_finish(disc);
    assert_int_equal(fstat(image, &info), 0);
    bytes = malloc((size_t)info.st_size);
    assert_true(bytes && pread(image, bytes, (size_t)info.st_size, 0) == info.st_size);
    close(image);
    outer = find_record(bytes, (size_t)info.st_size, "\0o", 2);
    inner = bytes + (size_t)get_le32(outer + 2) * FAKE_DISC_SECTOR;
    for (unsigned at = 0; inner[at]; at += inner[at]) {
        if (inner[at + 32] < 4)
            continue;
        memcpy(inner + at + 2, outer + 2, 16);
        put_be16(inner + at + 33, 'i'); /* all have the same name, and are one folder of the disc */
        put_be16(inner + at + 35, 'x');
    }
    fake_file(fake_below("deep.iso"), bytes, (size_t)info.st_size);
    disc = fake_disc_new();
    fake_refused(&error, disc_add_from_image(disc, "d", fake_below("deep.iso"), "o", &error), ELOOP, "ix/ix",
                 "16 folders");
    disc_destroy(disc);
    free(bytes);
}

/* Any byte of the source's descriptors and tree may be wrong. */
static void damaged_images(void **state)
{
    struct disc *source = fake_disc_new();
    struct stat info;
    uint8_t *bytes;
    int image, fd;
    unsigned taken = 0, count = fake_tries(100, 500);

    (void)state;
    fake_disc_add(source, "d/e/file", "bytes");
    fake_disc_add(source, "d/other", "bytes");
    image = fake_disc_finish(source);
    assert_int_equal(fstat(image, &info), 0);
    bytes = malloc((size_t)info.st_size);
    assert_true(bytes && pread(image, bytes, (size_t)info.st_size, 0) == info.st_size);
    close(image);
    fd = open(fake_below("damaged.iso"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (uint32_t n = 0, random = 1; n < count; n++) {
        struct disc *disc = fake_disc_new();
        size_t at = 16 * FAKE_DISC_SECTOR +
                    (random = random * 1664525 + 1013904223) % ((size_t)info.st_size - 16 * FAKE_DISC_SECTOR);
        uint8_t was = bytes[at];
        int made;

        bytes[at] = (uint8_t)(random >> 11);
        assert_true(pwrite(fd, bytes, (size_t)info.st_size, 0) == info.st_size);
        bytes[at] = was;
        error.text[0] = 0;
        if (disc_add_from_image(disc, "d", fake_below("damaged.iso"), "d", &error) < 0) {
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_folder_of_the_host), IN_FOLDER(a_folder_in_a_folder), IN_FOLDER(folders_that_are_refused),
        IN_FOLDER(files_that_change),    cmocka_unit_test(another_image), IN_FOLDER(images_of_xorriso),
        IN_FOLDER(images_that_are_none), IN_FOLDER(a_folder_in_itself),   IN_FOLDER(damaged_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
