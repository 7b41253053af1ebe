/* --vnc and its password file: what they may say, and what the host must have. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../vmm/options.h"
#include "casement/bytes.h"
#include "cmocka_all.h"

static struct config config;
static struct error error;
static char folder[] = "/tmp/casement-vnc-XXXXXX";
static char firmware[64], variables[64], password[64], state_folder[64];

static void make_file(const char *path, const char *text, long size)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fflush(file), 0);
    if (size)
        assert_int_equal(ftruncate(fileno(file), size), 0);
    fclose(file);
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(firmware, sizeof firmware, "%s/CODE.fd", folder);
    snprintf(variables, sizeof variables, "%s/VARS.fd", folder);
    snprintf(password, sizeof password, "%s/password", folder);
    snprintf(state_folder, sizeof state_folder, "%s/state", folder);
    make_file(firmware, "", 0x37C000);
    make_file(variables, "", 0x84000);
    make_file(password, "sesame\n", 0);
    return 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    config_free(&config);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* Parsed, completed and checked with a machine that is otherwise in order. */
static int check(unsigned count, const char *const *words)
{
    const char *base[] = {"--memory=64M", "--web=none", "--state", state_folder, "--firmware", firmware};
    char *arguments[16];
    unsigned used = 0;
    int failed;

    error.text[0] = 0;
    config_free(&config);
    for (unsigned n = 0; n < ARRAY_SIZE(base); n++)
        arguments[used++] = (char *)base[n];
    for (unsigned n = 0; n < count; n++)
        arguments[used++] = (char *)words[n];
    failed = options_parse(&config, OPTIONS_RUN, (int)used, arguments, &error);
    if (failed == 0)
        failed = config_complete(&config, &error);
    return failed < 0 ? failed : config_check(&config, &error);
}
#define CHECK(...) \
    check(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})

static void assert_says(const char *thing, const char *remedy)
{
    assert_null(strchr(error.text, '\n'));
    if (!strstr(error.text, thing) || !strstr(error.text, remedy))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", error.text, thing, remedy);
}

/* A socket that listens on a port of 127.0.0.1 that was free. */
static int take_port(char *port, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    snprintf(port, size, "%u", ntohs(address.sin_port));
    return fd;
}

static void addresses_and_ports(void **state)
{
    static const char *const bad[] = {"",        "0",          "65536",          "x",        "5900x", ":5900",
                                      "-1",      "1.2.3:5900", "localhost:5900", "::1:5900", "[::1]", "[1.2.3.4]:5900",
                                      "5900:22", "127.0.0.1:", "none:5900"};

    (void)state;
    assert_int_equal(CHECK("--vnc=none"), 0);
    assert_null(config.vnc_address);
    for (size_t n = 0; n < ARRAY_SIZE(bad); n++) {
        assert_int_equal(CHECK("--vnc", bad[n], "--vnc-password-file", password), -EINVAL);
        assert_says("--vnc", "give");
    }
    assert_int_equal(CHECK("--vnc=5901", "--vnc=[::1]:5902", "--vnc-password-file=/dev/null"), -EINVAL);
    assert_string_equal(config.vnc_address, "::1");
    assert_int_equal(config.vnc_port, 5902);
    assert_int_equal(CHECK("--vnc=0.0.0.0:5903", "--vnc-password-file=/dev/null"), -EINVAL);
    assert_string_equal(config.vnc_address, "0.0.0.0");
    assert_int_equal(CHECK("--vnc=5904", "--vnc-password-file=/dev/null"), -EINVAL);
    assert_string_equal(config.vnc_address, "127.0.0.1");
    assert_int_equal(config.vnc_port, 5904);
}

static void what_belongs_together(void **state)
{
    (void)state;
    assert_int_equal(CHECK("--vnc=5901"), -EINVAL);
    assert_says("--vnc", "--vnc-password-file FILE");
    assert_int_equal(CHECK("--vnc-password-file", password), -EINVAL);
    assert_says("--vnc-password-file", "add --vnc");
    assert_int_equal(CHECK("--vnc=5901", "--vnc-password-file", password, "--display=none"), -EINVAL);
    assert_says("--vnc", "--display none");
}

static void passwords(void **state)
{
    char read_back[16];

    (void)state;
    assert_int_equal(CHECK("--vnc=5901", "--vnc-password-file", "/nowhere/password"), -ENOENT);
    assert_says("--vnc-password-file /nowhere/password", "can be read");
    assert_int_equal(CHECK("--vnc=5901", "--vnc-password-file", folder), -EISDIR);
    assert_says("--vnc-password-file", "can be read");
    make_file(password, "\nsecond line\n", 0);
    assert_int_equal(CHECK("--vnc=5901", "--vnc-password-file", password), -EINVAL);
    assert_says("--vnc-password-file", "write the secret there");
    make_file(password, "sesame\r\nmore\n", 0);
    assert_int_equal(config_read_vnc_password(&config, read_back, sizeof read_back, &error), 0);
    assert_string_equal(read_back, "sesame");
}

static void a_port_that_is_taken(void **state)
{
    char port[8];
    int fd = take_port(port, sizeof port);

    (void)state;
    assert_int_equal(CHECK("--vnc", port, "--vnc-password-file", password), -EADDRINUSE);
    assert_says(port, "choose another port");
    close(fd);
    assert_int_equal(CHECK("--vnc", port, "--vnc-password-file", password), 0);
    assert_int_equal(access(state_folder, F_OK), -1); /* nothing was made */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_and_ports),
        cmocka_unit_test(what_belongs_together),
        cmocka_unit_test(passwords),
        cmocka_unit_test(a_port_that_is_taken),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
