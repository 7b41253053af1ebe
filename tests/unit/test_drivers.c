/*
 * Drivers on the answer disc: from a folder and from an ISO in virtio-win's layout, from trees of other kinds; what is
 * refused; and all that is on the finished disc.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../vmm/windows/drivers.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_disc.h"
#include "fake_folder.h"

#define INF(target) "[Version]\r\nClass=System\r\n[Manufacturer]\r\n%M% = M," target "\r\n"
#define AMD64 INF("NTamd64.10.0")
#define SETUP "$WinPEDriver$/"
#define LAST "$OEM$/$$/Drivers/"

static struct error error;
static struct drivers_found found;

static const struct medium_image eleven = {.build = 26100, .installation_type = "Client"};
static const struct medium_image ten = {.build = 19045, .installation_type = "Client"};
static const struct medium_image server_2019 = {.build = 17763, .installation_type = "Server"};
static const struct medium_image seven = {.build = 7601, .installation_type = "Client"};

/* A file with its folders, in the tree that is the source. */
static void put(const char *path, const char *text)
{
    char whole[512];

    snprintf(whole, sizeof whole, "%s/tree/%s", fake_folder, path);
    for (char *slash = strchr(whole + strlen(fake_folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(whole, 0700) < 0)
            assert_int_equal(errno, EEXIST);
        *slash = '/';
    }
    fake_text(whole, text);
}

/* A driver of virtio-win's in its versions, each of which says which one it is. */
static void put_driver(const char *name, const char *inf, const char *versions)
{
    char list[128], path[256], text[256];

    snprintf(list, sizeof list, "%s", versions);
    for (char *rest = list, *version; (version = strsep(&rest, " "));) {
        snprintf(path, sizeof path, "%s/%s/amd64/%s.inf", name, version, inf);
        snprintf(text, sizeof text, "%s; %s", AMD64, version);
        put(path, text);
        snprintf(path, sizeof path, "%s/%s/amd64/%s.sys", name, version, inf);
        put(path, version);
        snprintf(path, sizeof path, "%s/%s/x86/%s.inf", name, version, inf);
        put(path, INF("NTx86"));
    }
}

/* As the real one: other processors, other systems, drivers that no machine here needs, programs, and no driver. */
static void put_virtio_win(void)
{
    put_driver("viostor", "viostor", "w7 w10 w11 2k19");
    put_driver("vioscsi", "vioscsi", "w10 w11 2k19");
    put_driver("NetKVM", "netkvm", "w10 w11 2k19");
    put_driver("Balloon", "balloon", "w10 w11 2k19");
    put_driver("viofs", "viofs", "w10 w11");
    put_driver("viogpudo", "viogpudo", "w10 w11 2k19");
    put_driver("qxldod", "qxldod", "w10");
    put_driver("viosock", "viosock", "w10 w11 2k19 2k22");
    put("Balloon/w11/amd64/blnsvr.exe", "service");
    put("amd64/w11/viostor.inf", AMD64);
    put("guest-agent/qemu-ga.msi", "program");
    put("viostor/w8/x86/viostor.inf", INF("NTx86"));
    put("virtio-win-guest-tools.exe", "program");
}

/* The tree as an image; its path. */
static const char *tree_as_image(const char *arguments)
{
    char whole[1000];

    snprintf(whole, sizeof whole, "-outdev stdio:%s/drivers.iso -volid VIRTIO-WIN %s -map %s/tree /", fake_folder,
             arguments, fake_folder);
    unlink(fake_below("drivers.iso"));
    fake_disc_xorriso(whole);
    return fake_below("drivers.iso");
}

/* Onto a disc, which is read back. */
static void take(const char *source, const struct medium_image *image, struct fake_disc *on_disc)
{
    struct disc *disc = fake_disc_new();
    int fd;

    error.text[0] = 0;
    if (drivers_add(disc, source, image, &found, &error) != 0)
        fail_msg("%s", error.text);
    fd = fake_disc_finish(disc);
    fake_disc_read(on_disc, fd);
    close(fd);
}

static unsigned files_of(const struct fake_disc *disc)
{
    unsigned count = 0;

    for (unsigned n = 0; n < disc->count; n++)
        count += !disc->entries[n].folder;
    return count;
}

static void refuse(const char *source, const struct medium_image *image, int err, const char *thing, const char *remedy)
{
    struct disc *disc = fake_disc_new();

    fake_refused(&error, drivers_add(disc, source, image, &found, &error), err, thing, remedy);
    disc_destroy(disc);
}

/* Each file of a driver, of the version and no other. */
static void has_driver(const struct fake_disc *disc, const char *folder, const char *inf, const char *version)
{
    char path[128], text[256];

    snprintf(path, sizeof path, "%s/%s.inf", folder, inf);
    snprintf(text, sizeof text, "%s; %s", AMD64, version);
    fake_disc_has_text(disc, path, text);
    snprintf(path, sizeof path, "%s/%s.sys", folder, inf);
    fake_disc_has_text(disc, path, version);
}

static void check_eleven(const char *source)
{
    struct fake_disc disc;

    take(source, &eleven, &disc);
    has_driver(&disc, SETUP "viostor", "viostor", "w11");
    has_driver(&disc, SETUP "vioscsi", "vioscsi", "w11");
    has_driver(&disc, SETUP "NetKVM", "netkvm", "w11");
    has_driver(&disc, SETUP "viofs", "viofs", "w11");
    has_driver(&disc, SETUP "Balloon", "balloon", "w11");
    has_driver(&disc, LAST "Balloon", "balloon", "w11");
    fake_disc_has_text(&disc, LAST "Balloon/blnsvr.exe", "service");
    has_driver(&disc, LAST "viogpudo", "viogpudo", "w11");
    assert_null(fake_disc_find(&disc, SETUP "viogpudo"));
    assert_int_equal(files_of(&disc), 7 * 2 + 2); /* the service twice, and nothing else */
    fake_disc_free(&disc);
    assert_true(found.viostor && found.vioscsi && found.netkvm && found.display && found.last);
    assert_string_equal(found.names, "balloon, netkvm, viofs, vioscsi, viostor, viogpudo");
}

static void check_others(const char *source)
{
    struct fake_disc disc;

    take(source, &ten, &disc);
    has_driver(&disc, SETUP "viostor", "viostor", "w10");
    has_driver(&disc, LAST "qxldod", "qxldod", "w10");
    assert_int_equal(files_of(&disc), 8 * 2);
    fake_disc_free(&disc);
    take(source, &server_2019, &disc);
    has_driver(&disc, SETUP "NetKVM", "netkvm", "2k19");
    assert_null(fake_disc_find(&disc, SETUP "viofs"));
    assert_int_equal(files_of(&disc), 6 * 2);
    fake_disc_free(&disc);
}

static void a_folder_in_virtio_win_s_layout(void **state)
{
    (void)state;
    put_virtio_win();
    check_eleven(fake_below("tree"));
    check_others(fake_below("tree"));
}

/* With Joliet's names, as it is published, and with ISO 9660's capitals. */
static void an_iso_in_virtio_win_s_layout(void **state)
{
    struct fake_disc disc;

    (void)state;
    put_virtio_win();
    check_eleven(tree_as_image("-joliet on"));
    check_others(fake_below("drivers.iso"));
    take(tree_as_image("-joliet off"), &eleven, &disc);
    fake_disc_has_text(&disc, SETUP "NetKVM/NETKVM.SYS", "w11");
    assert_int_equal(files_of(&disc), 7 * 2 + 2);
    assert_true(found.viostor && found.vioscsi && found.netkvm && found.display && found.last);
    fake_disc_free(&disc);
}

static void versions_that_are_missing(void **state)
{
    static const char *const there[] = {"w10", "2k19", "2k22"};
    static const struct medium_image server_2016 = {.build = 14393, .installation_type = "Server"};

    (void)state;
    put_driver("NetKVM", "netkvm", "w10 2k19");
    put_driver("viostor", "viostor", "2k19 2k22");
    put("viostor/a version of nobody's system/amd64/viostor.inf", AMD64);
    put("viostor/w11/ARM64/viostor.inf", INF("NTarm64"));
    refuse(fake_below("tree"), &eleven, ENOENT, "but none for w11", "newest virtio-win");
    refuse(fake_below("tree"), &server_2016, ENOENT, "but none for 2k16", "newest virtio-win");
    refuse(fake_below("tree"), &seven, ENOENT, "build 7601", "newest virtio-win");
    refuse(tree_as_image("-joliet on"), &eleven, ENOENT, "but none for w11", "newest virtio-win");
    /* Those of all drivers, in the order in which a folder has them. */
    for (size_t n = 0; n < ARRAY_SIZE(there); n++)
        refuse(fake_below("tree"), &eleven, ENOENT, there[n], "newest virtio-win");
    assert_true(drivers_add(NULL, fake_below("tree"), &eleven, &found, &error) < 0); /* before it needs the disc */
    assert_null(strstr(error.text, "nobody"));
}

/* What is only there for the display is put where the script finds it, and Setup does not. */
static void a_display_s_driver_alone(void **state)
{
    struct fake_disc disc;

    (void)state;
    put_driver("viogpudo", "viogpudo", "w11");
    take(fake_below("tree"), &eleven, &disc);
    assert_int_equal(files_of(&disc), 2);
    has_driver(&disc, LAST "viogpudo", "viogpudo", "w11");
    fake_disc_free(&disc);
    assert_true(found.display && found.last && !found.viostor && !found.netkvm);
}

static void other_trees(void **state)
{
    struct fake_disc disc;
    char path[64];

    (void)state;
    put("net/e1d68x64.INF", INF("NTx86,NTamd64"));
    put("net/e1d68x64.sys", "bytes");
    put("viostor/VIOSTOR.inf", AMD64);
    put("viogpudo/viogpudo.inf", AMD64);
    put("autorun.inf", "[autorun]\r\n");
    put("read me.txt", "text");
    put("viostor/deep/er/data.bin", "data");
    for (unsigned image = 0; image < 2; image++) {
        take(image ? tree_as_image("-joliet on") : fake_below("tree"), &seven, &disc);
        assert_int_equal(files_of(&disc), 7);
        fake_disc_has_text(&disc, SETUP "net/e1d68x64.sys", "bytes");
        fake_disc_has_text(&disc, SETUP "viostor/deep/er/data.bin", "data");
        fake_disc_has_text(&disc, SETUP "autorun.inf", "[autorun]\r\n");
        fake_disc_free(&disc);
        assert_true(found.viostor && found.display && !found.vioscsi && !found.netkvm && !found.last);
        assert_string_equal(found.names, "e1d68x64, viogpudo, VIOSTOR");
    }
    /* More names than a line has room for. */
    for (unsigned n = 0; n < 99; n++) {
        snprintf(path, sizeof path, "more/driver%u.inf", n);
        put(path, AMD64);
    }
    take(fake_below("tree"), &eleven, &disc);
    fake_disc_free(&disc);
    assert_true(found.viostor);
    assert_string_equal(found.names + strlen(found.names) - 5, ", ...");
}

static void trees_that_are_refused(void **state)
{
    struct fake_disc disc;

    (void)state;
    refuse(fake_below("nothing"), &eleven, ENOENT, "nothing", "a folder of drivers or a virtio-win ISO");
    put("text.iso", "no image");
    refuse(fake_below("tree/text.iso"), &eleven, EILSEQ, "tree/text.iso", "give the ISO");
    /* No driver in it: autorun.inf is none. */
    put("autorun.inf", "[autorun]\r\n");
    refuse(fake_below("tree"), &eleven, ENOENT, "no driver", "a folder of drivers or a virtio-win ISO");
    refuse(tree_as_image("-joliet on"), &eleven, ENOENT, "no driver", "a folder of drivers or a virtio-win ISO");
    /* For other processors. */
    put("x86/net.inf", INF("NTx86.6.1,NTarm64"));
    put("net.inf", AMD64);
    refuse(fake_below("tree"), &eleven, EINVAL, "x86/net.inf", "leave it out");
    refuse(tree_as_image("-joliet on"), &eleven, EINVAL, "x86/net.inf", "leave it out");
    /* Two versions of one driver. */
    put("x86/net.inf", AMD64);
    refuse(fake_below("tree"), &eleven, EEXIST, "x86/net.inf", "leave one out");
    put("x86/net.inf", "; an INF that nobody uses");
    take(fake_below("tree"), &eleven, &disc);
    fake_disc_free(&disc);
    assert_string_equal(found.names, "net");
}

/* As genisoimage's have both file systems: ISO 9660's descriptors are made into what a reader passes over. */
static void an_image_with_udf_only(void **state)
{
    char command[256], *bytes = malloc(4 << 20);
    size_t length;
    FILE *file;

    (void)state;
    put("viostor/viostor.inf", AMD64);
    snprintf(command, sizeof command, "genisoimage -quiet -udf -o %s/drivers.iso %s/tree", fake_folder, fake_folder);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own words */
    file = fopen(fake_below("drivers.iso"), "re");
    assert_true(file && bytes);
    length = fread(bytes, 1, 4 << 20, file);
    fclose(file);
    for (char *sector = bytes + 16 * 2048; !memcmp(sector + 1, "CD001", 5); sector += 2048)
        memcpy(sector + 1, (const char[]){'B', 'O', 'O', 'T', '2'}, 5);
    fake_file(fake_below("drivers.iso"), bytes, length);
    free(bytes);
    refuse(fake_below("drivers.iso"), &eleven, ENOTSUP, "UDF file system only", "to a folder");
}

/* An INF of virtio-win's that is for another processor is in the wrong place. */
static void a_virtio_win_with_a_wrong_inf(void **state)
{
    (void)state;
    put_driver("viostor", "viostor", "w11");
    put("viostor/w11/amd64/viostor.inf", INF("NTx86"));
    refuse(fake_below("tree"), &eleven, EINVAL, "viostor/w11/amd64/viostor.inf", "leave it out");
    put("viostor/w11/amd64/viostor.inf", "");
    refuse(fake_below("tree"), &eleven, ENOENT, "no driver", "a folder of drivers or a virtio-win ISO");
}

/* Nothing that a link leads to comes onto the disc, nor does a link make a version. */
static void links_in_a_folder(void **state)
{
    struct fake_disc disc;

    (void)state;
    put_driver("viostor", "viostor", "w10");
    put_driver("NetKVM", "netkvm", "w11");
    assert_int_equal(symlink("w10", fake_below("tree/viostor/w11")), 0);
    assert_int_equal(symlink("NetKVM", fake_below("tree/vioscsi")), 0);
    take(fake_below("tree"), &eleven, &disc);
    assert_int_equal(files_of(&disc), 2);
    fake_disc_free(&disc);
    assert_true(found.netkvm && !found.viostor && !found.vioscsi && !found.last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_folder_in_virtio_win_s_layout),
        IN_FOLDER(an_iso_in_virtio_win_s_layout),
        IN_FOLDER(versions_that_are_missing),
        IN_FOLDER(a_display_s_driver_alone),
        IN_FOLDER(other_trees),
        IN_FOLDER(trees_that_are_refused),
        IN_FOLDER(an_image_with_udf_only),
        IN_FOLDER(a_virtio_win_with_a_wrong_inf),
        IN_FOLDER(links_in_a_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
