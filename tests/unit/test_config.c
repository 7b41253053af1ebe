/* Values with a form of their own, what contradicts itself, what the host must have. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"

#include "../../vmm/host_memory.h"
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
    return options_parse(&config, OPTIONS_RUN, (int)count, arguments, &error);
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
                                      "a,bus=ide",
                                      "a,rw"};
    const struct config_disk *disk = config.disks;
    char *many[2 * CONFIG_DISKS + 2];

    (void)state;
    assert_int_equal(
        PARSE("--disk", "a,,b.img,bus=virtio,readonly,serial=X1,queues=3,cache=host,engine=threads", "--disk=c"), 0);
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
    assert_int_equal(options_parse(&config, OPTIONS_RUN, 2 * CONFIG_DISKS, many, &error), 0);
    config_free(&config);
    assert_int_equal(options_parse(&config, OPTIONS_RUN, 2 * CONFIG_DISKS + 2, many, &error), -EINVAL);
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
    assert_int_equal(PARSE("--forward", "0.0.0.0:2222:22", "--forward", "2222:23"), -EINVAL);
    assert_says("2222", "choose another");
    assert_int_equal(PARSE("--forward", "127.0.0.2:2222:22", "--forward", "2222:23"), 0);
    assert_int_equal(PARSE("--forward", "::1:2222:22"), -EINVAL);
    assert_says("::1", "not an IPv4 address");
    assert_int_equal(PARSE("--forward", "localhost:2222:22"), -EINVAL);
    assert_says("localhost", "not an IPv4 address");
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

/* A kernel of which only the header is looked at (Linux Documentation/arch/x86/boot.rst). */
static void make_kernel(void)
{
    static uint8_t image[8192];
    int fd = open(in_folder("kernel"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    image[0x1F1] = 1;
    image[0x201] = 0x6A;
    put_le32(image + 0x202, 0x53726448); /* "HdrS" */
    put_le16(image + 0x206, 0x020F);
    image[0x234] = 1;
    image[0x236] = 1;
    put_le32(image + 0x238, 2047);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, image, sizeof image), sizeof image);
    close(fd);
}

static int complete(int failed)
{
    if (failed == 0)
        failed = config_complete(&config, &error);
    return failed < 0 ? failed : config_check(&config, &error);
}
#define BASE "--memory=64M", "--web=none", "--state", in_folder("s"), "--kernel", in_folder("kernel")
#define COMPLETE(...) complete(PARSE(__VA_ARGS__))

static void assert_untouched(void)
{
    assert_int_equal(access(in_folder("s"), F_OK), -1);
}

static void a_shared_folder(void **state)
{
    (void)state;
    assert_int_equal(COMPLETE("--share", "/srv", "--share-readonly", "--state=/nowhere"), 0);
    assert_int_equal(config.share_count, 1);
    assert_string_equal(config.shares[0], "/srv");
    assert_string_equal(config.share_sockets[0], "/nowhere/share.sock");
    assert_null(config.share_sockets[1]);
    assert_true(config.share_read_only);
    assert_int_equal(COMPLETE("--share=/srv", "--share=/usr", "--share=/var", "--state=/nowhere"), 0);
    assert_string_equal(config.shares[2], "/var");
    assert_string_equal(config.share_sockets[2], "/nowhere/share3.sock");
    assert_int_equal(COMPLETE("--share=/srv", "--share=/usr", "--share=/var", "--share=/opt"), -EINVAL);
    assert_says("--share /opt", "at most 3");
    assert_int_equal(COMPLETE("--share=/srv", "--net=none"), -EINVAL);
    assert_says("--share", "--net none");
    assert_int_equal(COMPLETE("--share-readonly"), -EINVAL);
    assert_says("--share-readonly", "add --share FOLDER");
}

static void options_that_exclude_each_other(void **state)
{
    (void)state;
    make_kernel();
    assert_int_equal(COMPLETE(BASE), 0);
    assert_int_equal(COMPLETE(BASE, "--firmware", "x"), -EINVAL);
    assert_says("--firmware", "--kernel");
    assert_int_equal(COMPLETE(BASE, "--vars", "x"), -EINVAL);
    assert_says("--vars", "--kernel");
    assert_int_equal(COMPLETE("--append", "quiet"), -EINVAL);
    assert_says("--append", "add --kernel");
    assert_int_equal(COMPLETE("--initrd", "x"), -EINVAL);
    assert_says("--initrd", "add --kernel");
    assert_int_equal(COMPLETE(BASE, "--net=none", "--forward=2222:22"), -EINVAL);
    assert_says("--forward", "--net none");
    assert_int_equal(COMPLETE(BASE, "--net=none", "--mac=02:00:00:00:00:01"), -EINVAL);
    assert_says("--mac", "--net none");
    assert_int_equal(COMPLETE(BASE, "--net=bridge", "--forward=2222:22"), -EINVAL);
    assert_says("--forward", "--net bridge");
    assert_int_equal(COMPLETE(BASE, "--net-interface=eth0"), -EINVAL);
    assert_says("--net-interface", "--net nat");
    assert_int_equal(COMPLETE(BASE, "--net=nat", "--net-interface=eth0", "--forward=2222:22"), 0);
    assert_int_equal(COMPLETE(BASE, "--display=none", "--screenshot", in_folder("x.png")), -EINVAL);
    assert_says("--screenshot", "--display none");
    assert_untouched();
}

static void kernels(void **state)
{
    (void)state;
    assert_int_equal(
        COMPLETE("--memory=64M", "--web=none", "--state", in_folder("s"), "--kernel", in_folder("missing")), -ENOENT);
    assert_says("--kernel", "missing");
    make_text("text", "no kernel\n");
    assert_int_equal(COMPLETE("--memory=64M", "--web=none", "--state", in_folder("s"), "--kernel", in_folder("text")),
                     -EINVAL);
    assert_says("--kernel", "bzImage");
    make_kernel();
    assert_int_equal(COMPLETE(BASE, "--initrd", in_folder("missing")), -ENOENT);
    assert_says("--initrd", "missing");
    make_file("large", 80 << 20);
    assert_int_equal(COMPLETE(BASE, "--initrd", in_folder("large")), -ENOMEM);
    assert_says("--initrd", "--memory");
    assert_untouched();
}

static void firmware_files(void **state)
{
    (void)state;
    make_file("CODE.fd", 0x37C000);
    make_file("VARS.fd", 0x84000);
    make_file("small.fd", 0x1000);
    assert_int_equal(
        COMPLETE("--memory=64M", "--web=none", "--state", in_folder("s"), "--firmware", in_folder("CODE.fd")), 0);
    assert_string_equal(config.vars_template, in_folder("VARS.fd"));
    assert_string_equal(config.vars, in_folder("s/vars.fd"));
    assert_int_equal(COMPLETE("--memory=64M", "--web=none", "--state", in_folder("s"), "--firmware",
                              in_folder("CODE.fd"), "--vars-template", in_folder("small.fd")),
                     -EINVAL);
    assert_says("--vars-template", "come with it");
    assert_int_equal(COMPLETE("--memory=64M", "--web=none", "--state", in_folder("s"), "--firmware",
                              in_folder("CODE.fd"), "--vars", in_folder("small.fd")),
                     -EINVAL);
    assert_says("--vars", "move the file away");
    assert_int_equal(
        COMPLETE("--memory=64M", "--web=none", "--state", in_folder("s"), "--firmware", in_folder("small.fd")),
        -EINVAL);
    assert_says("--firmware", "--vars-template FILE");
    assert_int_equal(COMPLETE("--memory=64M", "--web=none", "--state", in_folder("s"), "--firmware",
                              in_folder("none.fd"), "--vars-template", in_folder("VARS.fd")),
                     -ENOENT);
    assert_says("--firmware", "package ovmf");
    assert_untouched();
}

/* Random, kept in the state folder, and the address follows from it. */
static void identity_stays_the_same(void **state)
{
    uint8_t uuid[16], mac[6];
    int lock;

    (void)state;
    make_kernel();
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("one")), 0);
    assert_false(config.uuid_known);
    assert_string_equal(config.control, in_folder("one/control.sock"));
    lock = state_take(&config, &error);
    assert_true(lock >= 0);
    close(lock);
    memcpy(uuid, config.uuid, sizeof uuid);
    memcpy(mac, config.mac, sizeof mac);
    assert_int_equal(mac[0] & 3, 2);
    assert_int_equal(uuid[6] >> 4, 4);
    assert_int_equal(uuid[8] >> 6, 2);
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("one")), 0);
    assert_memory_equal(config.uuid, uuid, sizeof uuid);
    assert_memory_equal(config.mac, mac, sizeof mac);
    lock = state_take(&config, &error);
    assert_true(lock >= 0);
    close(lock);
    assert_memory_equal(config.uuid, uuid, sizeof uuid);
    assert_memory_equal(config.mac, mac, sizeof mac);
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("two")), 0);
    lock = state_take(&config, &error);
    assert_true(lock >= 0);
    close(lock);
    assert_memory_not_equal(config.uuid, uuid, sizeof uuid);
    assert_memory_not_equal(config.mac, mac, sizeof mac);
    /* What is given has the last word and changes nothing that is kept. */
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("one"), "--uuid", "00010203-0405-0607-0809-0a0b0c0d0e0f",
                              "--mac", "02:00:00:00:00:01"),
                     0);
    lock = state_take(&config, &error);
    assert_true(lock >= 0);
    close(lock);
    assert_int_equal(config.uuid[15], 15);
    assert_int_equal(config.mac[5], 1);
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("one")), 0);
    assert_memory_equal(config.uuid, uuid, sizeof uuid);
}

static void a_state_folder_has_one_machine(void **state)
{
    int lock;

    (void)state;
    make_kernel();
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("shared")), 0);
    lock = state_take(&config, &error);
    assert_true(lock >= 0);
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("shared")), -EBUSY);
    assert_says("--state", "a machine is running with it");
    assert_int_equal(state_take(&config, &error), -EBUSY);
    close(lock);
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("shared")), 0);
    make_text("shared/uuid", "nonsense\n");
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("shared")), -EINVAL);
    assert_says("--state", "remove that file");
    /* An empty one is what a power failure leaves. */
    make_file("shared/uuid", 0);
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("shared")), 0);
    lock = state_take(&config, &error);
    assert_true(lock >= 0);
    close(lock);
}

static void disks_are_there_and_differ(void **state)
{
    char read_only[160], link_path[128];

    (void)state;
    make_kernel();
    make_file("a.img", 1 << 20);
    make_file("b.img", 1 << 20);
    make_file("odd.img", 1000);
    snprintf(link_path, sizeof link_path, "%s", in_folder("link.img"));
    assert_int_equal(symlink(in_folder("a.img"), link_path), 0);
    assert_int_equal(COMPLETE(BASE, "--disk", in_folder("a.img"), "--disk", in_folder("b.img")), 0);
    assert_int_equal(COMPLETE(BASE, "--disk", in_folder("a.img"), "--disk", in_folder("no.img")), -ENOENT);
    assert_says("no.img", "make it");
    assert_int_equal(COMPLETE(BASE, "--disk", in_folder("odd.img")), -EINVAL);
    assert_says("1000 bytes", "truncate");
    assert_int_equal(COMPLETE(BASE, "--disk", folder), -EISDIR);
    assert_says("--disk", "an image in it");
    assert_int_equal(COMPLETE(BASE, "--disk", "/dev/null"), -EINVAL);
    assert_says("/dev/null", "block device");
    assert_int_equal(COMPLETE(BASE, "--disk", in_folder("a.img"), "--disk", link_path), -EINVAL);
    assert_says("link.img", "the same file");
    snprintf(read_only, sizeof read_only, "%s,readonly", in_folder("a.img"));
    assert_int_equal(COMPLETE(BASE, "--disk", read_only, "--disk", read_only), 0);
    assert_int_equal(COMPLETE(BASE, "--disk", read_only, "--disk", in_folder("a.img")), -EINVAL);
    assert_untouched();
}

static void a_disk_that_another_machine_has(void **state)
{
    struct block_options options = {.path = in_folder("held.img")};
    char read_only[160];
    struct block *held;

    (void)state;
    make_kernel();
    make_file("held.img", 1 << 20);
    snprintf(read_only, sizeof read_only, "%s,readonly", options.path);
    assert_int_equal(block_open(&options, &held, &error), 0);
    assert_int_equal(COMPLETE(BASE, "--disk", in_folder("held.img")), -EBUSY);
    assert_says("--disk", "in use by another machine");
    assert_int_equal(COMPLETE(BASE, "--disk", read_only), -EBUSY);
    block_close(held);
    assert_int_equal(COMPLETE(BASE, "--disk", in_folder("held.img")), 0);
}

static void outputs(void **state)
{
    (void)state;
    make_kernel();
    make_file("a.img", 1 << 20);
    assert_int_equal(COMPLETE(BASE, "--disk", in_folder("a.img"), "--serial", in_folder("a.img")), -EINVAL);
    assert_says("--serial", "the same file as --disk");
    assert_int_equal(COMPLETE(BASE, "--disk", in_folder("a.img"), "--screenshot", in_folder("a.img")), -EINVAL);
    assert_says("--screenshot", "the same file as --disk");
    assert_int_equal(COMPLETE(BASE, "--serial", in_folder("new"), "--screenshot", in_folder("new")), -EINVAL);
    assert_says("--screenshot", "give each its own");
    assert_int_equal(COMPLETE(BASE, "--serial", in_folder("kernel")), -EINVAL);
    assert_says("--serial", "the same file as --kernel");
    assert_int_equal(COMPLETE(BASE, "--serial", folder), -EISDIR);
    assert_says("--serial", "is a folder");
    assert_int_equal(COMPLETE(BASE, "--screenshot", in_folder("no/such/x.png")), -ENOENT);
    assert_says("--screenshot", "writable");
    assert_int_equal(COMPLETE(BASE, "--serial", in_folder("s/serial.log"), "--screenshot", "/dev/null"), 0);
    assert_int_equal(COMPLETE(BASE, "--serial", "/dev/null", "--screenshot", "/dev/null"), 0);
    assert_int_equal(COMPLETE(BASE, "--control", in_folder("a.img")), -EEXIST);
    assert_says("a.img", "name another path");
    assert_int_equal(access(in_folder("new"), F_OK), -1);
    assert_untouched();
}

static void a_port_that_is_taken(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char forward[32];

    (void)state;
    make_kernel();
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    snprintf(forward, sizeof forward, "%u:22", ntohs(address.sin_port));
    assert_int_equal(COMPLETE(BASE, "--forward", forward), -EADDRINUSE);
    assert_says("in use", "choose another");
    close(fd);
    assert_int_equal(COMPLETE(BASE, "--forward", forward), 0);
    assert_int_equal(COMPLETE(BASE, "--forward", "192.0.2.1:2222:22"), -EADDRNOTAVAIL);
    assert_says("192.0.2.1", "an address of this host");
    assert_untouched();
}

static void memory_that_the_host_lacks(void **state)
{
    (void)state;
    make_kernel();
    assert_int_equal(COMPLETE(BASE, "--memory=1024G"), -ENOMEM);
    assert_says("--memory", "ask for less");
    assert_int_equal(COMPLETE(BASE, "--memory=65M"), -EINVAL);
    assert_says("--memory 65M", "give 66M");
    assert_int_equal(COMPLETE(BASE, "--memory=67108865"), -EINVAL);
    assert_says("--memory", "give 66M");
    assert_int_equal(COMPLETE(BASE, "--memory=1024G", "--huge-pages"), -ENOMEM);
    assert_says("--huge-pages", "vm.nr_hugepages");
    assert_untouched();
}

/* A host in the test's folder: what /proc and /sys say there. */
static void control_groups_limit_memory(void **state)
{
    static const char *const folders[] = {"proc",
                                          "proc/self",
                                          "proc/sys",
                                          "proc/sys/vm",
                                          "sys",
                                          "sys/fs",
                                          "sys/fs/cgroup",
                                          "sys/fs/cgroup/a",
                                          "sys/fs/cgroup/a/b",
                                          "sys/fs/cgroup/memory",
                                          "sys/fs/cgroup/memory/x"};
    uint64_t page;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(folders); n++)
        assert_int_equal(mkdir(in_folder(folders[n]), 0700), 0);
    assert_true(host_memory_available(folder) == UINT64_MAX);
    make_text("proc/meminfo",
              "MemTotal: 9000 kB\nMemAvailable:    8000 kB\nHugePages_Free:  5\nHugePages_Rsvd: 2\nHugePages_Surp: 1\n"
              "Hugepagesize: 2048 kB\n");
    assert_true(host_memory_available(folder) == 8000 * KiB);
    assert_true(host_memory_huge(folder, &page) == 6 * MiB);
    assert_true(page == 2 * MiB);
    make_text("proc/sys/vm/nr_overcommit_hugepages", "3\n");
    assert_true(host_memory_huge(folder, &page) == 10 * MiB);
    /* The least on the way counts, and "max" is no limit. */
    make_text("proc/self/cgroup", "1:name=systemd:/\n0::/a/b\n");
    make_text("sys/fs/cgroup/a/memory.max", "3000000\n");
    make_text("sys/fs/cgroup/a/b/memory.max", "max\n");
    assert_true(host_memory_available(folder) == 3000000);
    make_text("sys/fs/cgroup/a/b/memory.max", "2000000\n");
    assert_true(host_memory_available(folder) == 2000000);
    /* In a container the path is the host's, and its group is mounted at the root. */
    make_text("proc/self/cgroup", "0::/elsewhere\n");
    make_text("sys/fs/cgroup/memory.max", "4000000\n");
    assert_true(host_memory_available(folder) == 4000000);
    make_text("proc/self/cgroup", "0::/\n");
    assert_true(host_memory_available(folder) == 4000000);
    make_text("proc/self/cgroup", "4:memory:/x\n0::/\n");
    make_text("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1000000\n");
    assert_true(host_memory_available(folder) == 1000000);
}

static void state_that_cannot_be_made(void **state)
{
    (void)state;
    make_kernel();
    make_file("plain", 1);
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("plain/x")), -ENOTDIR);
    assert_says("--state", "writable");
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("plain")), -ENOTDIR);
    assert_int_equal(COMPLETE(BASE, "--state", in_folder("no/such")), -ENOENT);
    assert_says("--state", "writable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disks),
        cmocka_unit_test(forwards),
        cmocka_unit_test(addresses_and_screen),
        cmocka_unit_test(a_shared_folder),
        cmocka_unit_test(options_that_exclude_each_other),
        cmocka_unit_test(kernels),
        cmocka_unit_test(firmware_files),
        cmocka_unit_test(identity_stays_the_same),
        cmocka_unit_test(a_state_folder_has_one_machine),
        cmocka_unit_test(disks_are_there_and_differ),
        cmocka_unit_test(a_disk_that_another_machine_has),
        cmocka_unit_test(outputs),
        cmocka_unit_test(a_port_that_is_taken),
        cmocka_unit_test(memory_that_the_host_lacks),
        cmocka_unit_test(control_groups_limit_memory),
        cmocka_unit_test(state_that_cannot_be_made),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
