/* Values with a form of their own, what contradicts itself, what the host must have; and why /dev/kvm cannot be used.
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

#include "../../vmm/kvm_probe.h"
#include "../../vmm/options.h"

static struct config config;
static struct error error;
static char folder[] = "/tmp/casement-config-XXXXXX";

/* A path in the test's folder; good until the fourth call after it. */
static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void make_file(const char *name, off_t size)
{
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
}

static void make_text(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "we");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int parse(unsigned count, const char *const *words)
{
    char *arguments[64];

    error.text[0] = 0;
    config_free(&config);
    for (unsigned n = 0; n < count; n++)
        arguments[n] = (char *)words[n];
    return options_parse(&config, (int)count, arguments, &error);
}
#define PARSE(...) \
    parse(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})

static void assert_says(const char *thing, const char *remedy)
{
    assert_null(strchr(error.text, '\n'));
    if (!strstr(error.text, thing) || !strstr(error.text, remedy))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", error.text, thing, remedy);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    config_free(&config);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void disks(void **state)
{
    static const char *const bad[] = {"",
                                      ",readonly",
                                      "a,serial=123456789012345678901",
                                      "a,queues=0",
                                      "a,queues=65",
                                      "a,queues=",
                                      "a,cache=unsafe",
                                      "a,engine=aio",
                                      "a,rw"};
    const struct config_disk *disk = config.disks;
    char *many[2 * CONFIG_DISKS + 2];

    (void)state;
    assert_int_equal(PARSE("--disk", "a,,b.img,readonly,serial=X1,queues=3,cache=host,engine=threads", "--disk=c"), 0);
    assert_int_equal(config.disk_count, 2);
    assert_string_equal(disk[0].path, "a,b.img");
    assert_string_equal(disk[0].serial, "X1");
    assert_true(disk[0].read_only && disk[0].engine_given);
    assert_int_equal(disk[0].queues, 3);
    assert_int_equal(disk[0].cache, BLOCK_CACHE_HOST);
    assert_int_equal(disk[0].engine, BLOCK_ENGINE_THREADS);
    assert_string_equal(disk[1].path, "c");
    assert_false(disk[1].read_only || disk[1].serial);
    assert_int_equal(disk[1].cache, BLOCK_CACHE_NONE);
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        assert_int_equal(PARSE("--disk", bad[n]), -EINVAL);
        assert_says("--disk", "");
    }
    for (size_t n = 0; n < ARRAY_SIZE(many); n += 2) {
        many[n] = (char *)"--disk";
        many[n + 1] = (char *)"x";
    }
    config_free(&config);
    assert_int_equal(options_parse(&config, 2 * CONFIG_DISKS, many, &error), 0);
    config_free(&config);
    assert_int_equal(options_parse(&config, 2 * CONFIG_DISKS + 2, many, &error), -EINVAL);
    assert_says("16", "leave some out");
}

static void forwards(void **state)
{
    static const char *const bad[] = {"",
                                      "22",
                                      "0:22",
                                      "22:0",
                                      "65536:22",
                                      "22:65536",
                                      "a:22",
                                      ":22",
                                      "22:",
                                      "2222:22/sctp",
                                      "99999999999999999999:1"};
    const struct net_forward *forward = config.forwards;

    (void)state;
    assert_int_equal(PARSE("--forward", "2222:22", "--forward", "0.0.0.0:5300:53/udp", "--forward=2222:22/udp"), 0);
    assert_int_equal(config.forward_count, 3);
    assert_string_equal(forward[0].host_address, "");
    assert_int_equal(forward[0].host_port, 2222);
    assert_int_equal(forward[0].guest_port, 22);
    assert_false(forward[0].udp);
    assert_string_equal(forward[1].host_address, "0.0.0.0");
    assert_true(forward[1].udp && forward[2].udp);
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        assert_int_equal(PARSE("--forward", bad[n]), -EINVAL);
        assert_says("--forward", "HOSTPORT:GUESTPORT");
    }
    assert_int_equal(PARSE("--forward", "2222:22", "--forward", "2222:23"), -EINVAL);
    assert_says("2222", "choose another");
}

static void addresses_and_screen(void **state)
{
    static const uint8_t mac[] = {2, 0, 0, 0xAB, 0xCD, 0xEF};
    static const uint8_t uuid[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

    (void)state;
    assert_int_equal(PARSE("--mac", "02:00:00:ab:CD:ef", "--uuid", "00010203-0405-0607-0809-0a0b0c0d0e0F"), 0);
    assert_memory_equal(config.mac, mac, sizeof mac);
    assert_memory_equal(config.uuid, uuid, sizeof uuid);
    assert_int_equal(PARSE("--mac", "01:00:00:00:00:01"), -EINVAL);
    assert_int_equal(PARSE("--mac", "02:00:00:00:00"), -EINVAL);
    assert_int_equal(PARSE("--mac", "02:00:00:00:00:01:02"), -EINVAL);
    assert_int_equal(PARSE("--uuid", "00010203"), -EINVAL);
    assert_int_equal(PARSE("--uuid", "00010203-0405-0607-0809-0a0b0c0d0e0fff"), -EINVAL);
    assert_int_equal(PARSE("--display", "1024x768"), 0);
    assert_int_equal(config.display_width, 1024);
    assert_int_equal(PARSE("--display", "none"), 0);
    assert_int_equal(config.display_width + config.display_height, 0);
    assert_int_equal(PARSE("--display", "1023x768"), -EINVAL);
    assert_int_equal(PARSE("--display", "320x200"), -EINVAL);
    assert_int_equal(PARSE("--display", "8192x4320"), -EINVAL);
    assert_int_equal(PARSE("--display", "1024"), -EINVAL);
}

static void direct_boot_excludes_firmware(void **state)
{
    (void)state;
    make_file("kernel", 4096);
    assert_int_equal(
        PARSE("--memory=64M", "--state", in_folder("s"), "--kernel", in_folder("kernel"), "--firmware", "x"), 0);
    assert_true(config_complete(&config, &error) < 0);
    assert_says("--kernel", "--firmware");
    assert_int_equal(PARSE("--memory=64M", "--state", in_folder("s"), "--append", "quiet"), 0);
    assert_true(config_complete(&config, &error) < 0);
    assert_says("--append", "--kernel");
    assert_int_equal(PARSE("--memory=64M", "--state", in_folder("s"), "--kernel", in_folder("missing")), 0);
    assert_int_equal(config_complete(&config, &error), -ENOENT);
    assert_says("--kernel", "missing");
    /* Nothing was made for a machine that cannot start. */
    assert_int_equal(access(in_folder("s"), F_OK), -1);
}

static void identity_stays_the_same(void **state)
{
    uint8_t uuid[16], mac[6];

    (void)state;
    make_file("kernel", 4096);
    assert_int_equal(PARSE("--memory=64M", "--state", in_folder("one"), "--kernel", in_folder("kernel")), 0);
    assert_int_equal(config_complete(&config, &error), 0);
    assert_string_equal(config.control, in_folder("one/control.sock"));
    memcpy(uuid, config.uuid, sizeof uuid);
    memcpy(mac, config.mac, sizeof mac);
    assert_int_equal(mac[0] & 1, 0);
    assert_int_equal(PARSE("--memory=64M", "--state", in_folder("one"), "--kernel", in_folder("kernel")), 0);
    assert_int_equal(config_complete(&config, &error), 0);
    assert_memory_equal(config.uuid, uuid, sizeof uuid);
    assert_memory_equal(config.mac, mac, sizeof mac);
    assert_int_equal(PARSE("--memory=64M", "--state", in_folder("two"), "--kernel", in_folder("kernel")), 0);
    assert_int_equal(config_complete(&config, &error), 0);
    assert_memory_not_equal(config.uuid, uuid, sizeof uuid);
    assert_memory_not_equal(config.mac, mac, sizeof mac);
}

static int complete_with_disks(const char *first, const char *second)
{
    int failed = PARSE("--memory=64M", "--state", in_folder("s"), "--kernel", in_folder("kernel"), "--disk", first,
                       "--disk", second);

    return failed < 0 ? failed : config_complete(&config, &error);
}

static void disks_are_there_and_differ(void **state)
{
    char read_only[160], link_path[128];

    (void)state;
    make_file("kernel", 4096);
    make_file("a.img", 1 << 20);
    make_file("b.img", 1 << 20);
    snprintf(link_path, sizeof link_path, "%s", in_folder("link.img"));
    assert_int_equal(symlink(in_folder("a.img"), link_path), 0);
    assert_int_equal(complete_with_disks(in_folder("a.img"), in_folder("b.img")), 0);
    assert_int_equal(complete_with_disks(in_folder("a.img"), in_folder("nowhere.img")), -ENOENT);
    assert_says("nowhere.img", "make it");
    assert_true(complete_with_disks(in_folder("a.img"), link_path) < 0);
    assert_says("link.img", "the same image");
    snprintf(read_only, sizeof read_only, "%s,readonly", in_folder("a.img"));
    assert_int_equal(complete_with_disks(read_only, read_only), 0);
}

static void memory_that_the_host_lacks(void **state)
{
    (void)state;
    make_file("kernel", 4096);
    assert_int_equal(PARSE("--memory=1024G", "--state", in_folder("s"), "--kernel", in_folder("kernel")), 0);
    assert_int_equal(config_complete(&config, &error), -ENOMEM);
    assert_says("--memory", "ask for less");
    assert_int_equal(PARSE("--memory=65M", "--state", in_folder("s"), "--kernel", in_folder("kernel")), 0);
    assert_int_equal(config_complete(&config, &error), -EINVAL);
    assert_says("--memory", "2 MiB");
}

static void state_that_cannot_be_made(void **state)
{
    (void)state;
    make_file("kernel", 4096);
    make_file("plain", 1);
    assert_int_equal(PARSE("--memory=64M", "--state", in_folder("plain/x"), "--kernel", in_folder("kernel")), 0);
    assert_int_equal(config_complete(&config, &error), -ENOTDIR);
    assert_says("--state", "writable");
}

static void kvm_missing_says_why(void **state)
{
    static const struct {
        const char *flags, *remedy;
    } hosts[] = {
        {"flags\t\t: fpu vmx sse\n", "modprobe kvm_intel"},
        {"flags\t\t: fpu svm hypervisor\n", "modprobe kvm_amd"},
        {"flags\t\t: fpu hypervisor\n", "nested virtualisation"},
        {"flags\t\t: fpu vmxx\n", "firmware settings"},
        {"Features\t: fp asimd\n", "unknown"},
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(hosts); n++) {
        make_text("cpuinfo", hosts[n].flags);
        assert_int_equal(kvm_open_at(in_folder("kvm"), in_folder("cpuinfo"), &error), -ENOENT);
        assert_says("not there", hosts[n].remedy);
        assert_says("/kvm", "--device /dev/kvm");
    }
}

static void kvm_that_is_something_else(void **state)
{
    (void)state;
    make_file("notkvm", 0);
    assert_int_equal(kvm_open_at(in_folder("notkvm"), in_folder("cpuinfo"), &error), -ENODEV);
    assert_says("notkvm", "not the KVM device");
    assert_int_equal(kvm_open_at("/dev/null", in_folder("cpuinfo"), &error), -ENODEV);
    assert_int_equal(kvm_open_at(folder, in_folder("cpuinfo"), &error), -EISDIR);
}

/* Root passes every permission, so the test puts its rights aside for a moment. */
static void kvm_without_permission_names_the_group(void **state)
{
    (void)state;
    make_file("locked", 0);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(in_folder("locked"), 0), 0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    assert_int_equal(kvm_open_at(in_folder("locked"), in_folder("cpuinfo"), &error), -EACCES);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_says("no permission", "--group-add");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks),
        cmocka_unit_test(forwards),
        cmocka_unit_test(addresses_and_screen),
        cmocka_unit_test(direct_boot_excludes_firmware),
        cmocka_unit_test(identity_stays_the_same),
        cmocka_unit_test(disks_are_there_and_differ),
        cmocka_unit_test(memory_that_the_host_lacks),
        cmocka_unit_test(state_that_cannot_be_made),
        cmocka_unit_test(kvm_missing_says_why),
        cmocka_unit_test(kvm_that_is_something_else),
        cmocka_unit_test(kvm_without_permission_names_the_group),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
