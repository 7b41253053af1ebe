/* Variables of dockurr/windows that mean something together, and with what is in the container. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "cmocka_all.h"
#include "fake_environment.h"

#include "../../vmm/windows/prepare.h"

/* The machine's configuration for these variables; the caller's to free. */
static void configure(const char *variables, struct config *config)
{
    assert_int_equal(fake_variables(variables), 0);
    if (options_parse_with(config, OPTIONS_WINDOWS, fake_settings.options, fake_settings.option_count, 0, NULL,
                           &fake_error) < 0)
        fail_msg("%s: %s", variables, fake_error.text);
}

static void a_password_is_in_a_file_of_its_own(void **state)
{
    struct stat info;
    char text[64] = "";

    (void)state;
    fake_container();
    assert_int_equal(fake_variables("DISPLAY=vnc;PASS=long enough;PASSWORD=other"), 0);
    assert_true(fake_settings.password >= 0);
    snprintf(text, sizeof text, "web-password-file=/proc/self/fd/%d PASS", fake_settings.password);
    assert_true(fake_gives(text));
    snprintf(text, sizeof text, "vnc-password-file=/proc/self/fd/%d PASS", fake_settings.password);
    assert_true(fake_gives(text));
    assert_int_equal(fstat(fake_settings.password, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0400);
    memset(text, 0, sizeof text);
    assert_int_equal(pread(fake_settings.password, text, sizeof text - 1, 0), 11);
    assert_string_equal(text, "long enough");
    /* A short one never opens the page; VNC takes any. */
    assert_int_equal(fake_variables("VNC_PORT=5900;PASS=short"), 0);
    assert_true(fake_gives("vnc=0.0.0.0:5900 VNC_PORT"));
    assert_true(fake_warns("PASS: the password has less than 8"));
    assert_null(strstr(fake_given, "access="));
    for (size_t n = 0; n < fake_settings.warning_count; n++)
        assert_null(strstr(fake_settings.warnings[n], "short,"));
}

/* Pods with IPv6 alone are asked by it; libslirp has one family on both sides of a forward, and the guest's is IPv4. */
static void the_page_is_at_every_address(void **state)
{
    struct config config;

    (void)state;
    fake_container();
    fake_six = true;
    configure("VNC_PORT=5901;PASS=long enough;NETWORK=user", &config);
    assert_true(fake_gives("web=[::]:8006 -") && fake_gives("vnc=[::]:5901 VNC_PORT"));
    assert_true(fake_gives("forward=0.0.0.0:3389:3389 -"));
    assert_string_equal(config.web_address, "::");
    assert_string_equal(config.vnc_address, "::");
    config_free(&config);
    fake_six = false;
}

static void a_domain_has_one_password(void **state)
{
    (void)state;
    fake_container();
    assert_int_equal(fake_variables("DOMAIN=a;USERNAME=u;PASSWORD=y;DOMAIN_PASSWORD_FILE=/x"), 0);
    assert_true(fake_gives("domain-user=u USERNAME") && fake_gives("domain-password-file=/x DOMAIN_PASSWORD_FILE"));
    assert_null(strstr(fake_given, "domain-password=y"));
}

/* Nothing leads into a machine without network, nor has its card an address. */
static void without_network_there_are_no_ports(void **state)
{
    (void)state;
    fake_container();
    assert_int_equal(fake_variables("NETWORK=none;USER_PORTS=22;MAC=02:00:00:00:00:01"), 0);
    assert_null(strstr(fake_given, "forward="));
    assert_null(strstr(fake_given, "mac="));
}

static void a_share_of_the_space_is_for_a_new_disk(void **state)
{
    unsigned long half, all;
    const char *at;

    (void)state;
    fake_container();
    assert_int_equal(fake_variables("DISK_SIZE=half"), 0);
    at = strstr(fake_given, "disk-size=");
    assert_non_null(at);
    half = strtoul(at + 10, NULL, 10);
    assert_int_equal(fake_variables("DISK_SIZE=max"), 0);
    at = strstr(fake_given, "disk-size=");
    assert_non_null(at);
    all = strtoul(at + 10, NULL, 10);
    assert_true(half > 1024 && all > half);
    /* All but 1 GiB, while others may write, too. */
    assert_true(labs((long)(2 * half) - (long)(all + 1024)) < 2048);
}

/* Ports that are kept from Windows where all others lead there; nonsense is refused where nothing is made of it. */
static void ports_are_read_in_every_network(void **state)
{
    static const char *const networks[] = {"NETWORK=user", "NETWORK=nat", "NETWORK=nat;DHCP=Y", "NETWORK=N"};

    (void)state;
    fake_container();
    fake_no_nat = NULL;
    for (size_t n = 0; n < ARRAY_SIZE(networks); n++)
        for (unsigned user = 0; user < 2; user++) {
            const char *name = user ? "USER_PORTS" : "HOST_PORTS";
            char variables[96];

            snprintf(variables, sizeof variables, "%s;%s=22,x", networks[n], name);
            fake_refused(&fake_error, fake_variables(variables), EINVAL, name, "ports such as 22");
            snprintf(variables, sizeof variables, "%s;%s=22,5000-5010,53/udp", networks[n], name);
            assert_int_equal(fake_variables(variables), 0);
            assert_int_equal(strstr(fake_given, "host-port=") != NULL, n == 1 && !user);
            assert_int_equal(strstr(fake_given, "forward=") != NULL, n == 0);
        }
    assert_int_equal(fake_variables("HOST_PORTS=22,5000-5010,53/udp;USER_PORTS=5001,1-3389"), 0);
    assert_true(fake_gives("host-port=22 HOST_PORTS") && fake_gives("host-port=5000-5010 HOST_PORTS"));
    assert_true(fake_gives("host-port=53/udp HOST_PORTS"));
    assert_true(fake_warns("USER_PORTS 5001: the container keeps port 5001"));
    assert_int_equal(fake_variables("HOST_PORTS=3389"), 0);
    assert_true(fake_gives("host-port=3389 HOST_PORTS") && fake_warns("HOST_PORTS 3389: the container keeps"));
    fake_no_nat = fake_without_rights;
}

/* The usual size is one that a host may not have, too. */
static void a_small_host_gives_what_it_has(void **state)
{
    static const struct {
        const char *limit, *variables, *gives, *says;
    } hosts[] = {{"2147483648\n", NULL, "memory=1792M RAM_SIZE", "RAM_SIZE (4G without one): 1792M can be had here"},
                 {"2147483648\n", "RAM_CHECK=N", NULL, NULL},
                 {"2147483648\n", "CASEMENT_MEMORY=1G", NULL, NULL},
                 {"5368709120\n", NULL, NULL, NULL}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(hosts); n++) {
        fake_container();
        fake_make_text("sys/fs/cgroup/memory.max", hosts[n].limit);
        assert_int_equal(fake_variables(hosts[n].variables), 0);
        if (hosts[n].gives)
            assert_true(fake_gives(hosts[n].gives));
        else
            assert_null(strstr(fake_given, "memory="));
        assert_int_equal(fake_warnings(), hosts[n].says != NULL);
        assert_true(!hosts[n].says || fake_warns(hosts[n].says));
    }
}

/* Not only an option of that name, but what it is for. */
static void variables_reach_the_machine(void **state)
{
    struct config_disk disk = {.engine = BLOCK_ENGINE_AUTO};
    struct config config;

    (void)state;
    fake_container();
    configure("TZ=Europe/Paris", &config);
    assert_true(config.local_time && config.hyperv && !config.nested && config.stop_timeout == 105);
    assert_int_equal(config.windows.disk_format, BLOCK_FORMAT_RAW);
    config_free(&config);
    configure("SHUTDOWN=N;TIMEOUT=60;CONNECTIONS=7;DISK_FMT=qcow2;DISK_IO=threads;VMX=Y;HV=N", &config);
    assert_true(config.stop_timeout == 0 && config.windows.connections == 7);
    assert_int_equal(config.windows.disk_format, BLOCK_FORMAT_QCOW2);
    assert_true(config.nested && !config.hyperv);
    config_complete_disk(&config, &disk);
    assert_int_equal(disk.engine, BLOCK_ENGINE_THREADS);
    disk.engine_given = true;
    disk.engine = BLOCK_ENGINE_URING;
    config_complete_disk(&config, &disk);
    assert_int_equal(disk.engine, BLOCK_ENGINE_URING);
    config_free(&config);
}

/* A new disk is what DISK_FMT says; one that is there stays what it is. */
static void the_disk_has_the_format(void **state)
{
    static const struct {
        const char *variables, *there, *disk;
    } cases[] = {{"DISK_FMT=raw", NULL, "/storage/data.img"},
                 {"DISK_FMT=qcow2", NULL, "/storage/data.qcow2"},
                 {"DISK_FMT=qcow2", "storage/data.img", "/storage/data.img"}};

    (void)state;
    fake_container();
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        struct preparation *p = calloc(1, sizeof *p);
        struct config config;

        assert_non_null(p);
        if (cases[n].there)
            assert_int_equal(close(open(fake_below(cases[n].there), O_CREAT | O_WRONLY, 0600)), 0);
        configure(cases[n].variables, &config);
        p->config = &config;
        p->disc = p->trial = -1;
        prepare_look(p, &fake_error);
        assert_string_equal(p->disk + strlen(fake_folder), cases[n].disk);
        assert_int_equal(p->qcow2, strstr(cases[n].disk, "qcow2") != NULL);
        config_free(&config);
        free(p);
    }
}

static void debug_shows_more(void **state)
{
    static const char *const values[] = {"DEBUG=N", "DEBUG=Y"};

    (void)state;
    fake_container();
    for (unsigned n = 0; n < ARRAY_SIZE(values); n++) {
        int log = memfd_create("log", MFD_CLOEXEC);
        struct config config;

        configure(values[n], &config);
        log_set_level(config.log_level);
        log_set_output(log);
        log_debug("a detail");
        log_set_output(STDERR_FILENO);
        log_set_level(LOG_INFO);
        assert_int_equal(lseek(log, 0, SEEK_END) > 0, n);
        close(log);
        config_free(&config);
    }
}

/* With the rights for it all ports lead into Windows, and none is named. */
static void all_ports_where_that_can_be_had(void **state)
{
    (void)state;
    fake_container();
    fake_no_nat = NULL;
    assert_int_equal(fake_variables("USER_PORTS=22;DEV=eth1"), 0);
    assert_true(fake_gives("net=nat -") && fake_gives("net-interface=eth1 DEV") && !strstr(fake_given, "forward="));
    assert_int_equal(fake_settings.warning_count, 0);
    assert_int_equal(fake_variables("NETWORK=nat"), 0);
    assert_true(fake_gives("net=nat NETWORK"));
    assert_int_equal(fake_variables("NETWORK=user"), 0);
    assert_true(fake_gives("forward=0.0.0.0:3389:3389 -") && !strstr(fake_given, "net="));
    assert_int_equal(fake_variables("DHCP=Y"), 0);
    assert_true(fake_gives("net=bridge DHCP") && !strstr(fake_given, "net=nat"));
    fake_no_nat = fake_without_rights;
}

static void further_disks_are_made(void **state)
{
    struct stat info;

    (void)state;
    fake_container();
    fake_make("storage2/");
    fake_make("storage3/data3.img");
    fake_make("storage4/");
    assert_int_equal(fake_variables("DISK2_SIZE=3M;DISK3_SIZE=5M;DISK_SIZE=7M"), 0);
    assert_int_equal(fake_settings.disk_count, 2);
    assert_false(fake_is_there(fake_below("storage2/data2.img")));
    assert_int_equal(container_settings_make_disks(&fake_settings, &fake_error), 0);
    assert_int_equal(lstat(fake_below("storage2/data2.img"), &info), 0);
    assert_true(info.st_size == 3 * MiB);
    assert_true(fake_has_text(fake_below("storage3/data3.img"), "x"));
    assert_int_equal(lstat(fake_below("storage4/data4.img"), &info), 0);
    assert_true(info.st_size == 7 * MiB);
    assert_false(fake_is_there(fake_below("storage2/data2.img.part")));
    /* Never over one that is there. */
    fake_refused(&fake_error, container_settings_make_disks(&fake_settings, &fake_error), EEXIST,
                 "DISK2_SIZE: ", "data2.img");
    assert_false(fake_is_there(fake_below("storage2/data2.img.part")));
    assert_int_equal(fake_variables("DISK2_SIZE=9M"), 0);
    assert_int_equal(fake_settings.disk_count, 0);
}

/* Had the disk its name when its content went to the disk? */
static bool named_too_early;

int fsync(int fd)
{
    struct stat info;

    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
        named_too_early |= fake_is_there(fake_below("storage2/data2.qcow2"));
    return (int)syscall(SYS_fsync, fd);
}

/* Nor is what a killed process has left. */
static void half_a_disk_is_none(void **state)
{
    (void)state;
    fake_container();
    fake_make("storage2/");
    fake_make("storage2/data2.qcow2.part");
    assert_int_equal(fake_variables("DISK2_SIZE=3M;DISK_FMT=qcow2"), 0);
    assert_int_equal(fake_settings.disk_count, 1);
    assert_int_equal(container_settings_make_disks(&fake_settings, &fake_error), 0);
    assert_true(fake_is_there(fake_below("storage2/data2.qcow2")) && !named_too_early);
    assert_false(fake_is_there(fake_below("storage2/data2.qcow2.part")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(a_password_is_in_a_file_of_its_own),
        IN_PLACE(the_page_is_at_every_address),
        IN_PLACE(a_domain_has_one_password),
        IN_PLACE(without_network_there_are_no_ports),
        IN_PLACE(a_share_of_the_space_is_for_a_new_disk),
        IN_PLACE(ports_are_read_in_every_network),
        IN_PLACE(a_small_host_gives_what_it_has),
        IN_PLACE(variables_reach_the_machine),
        IN_PLACE(the_disk_has_the_format),
        IN_PLACE(debug_shows_more),
        IN_PLACE(all_ports_where_that_can_be_had),
        IN_PLACE(further_disks_are_made),
        IN_PLACE(half_a_disk_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
