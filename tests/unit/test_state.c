/* The state folder of a machine: on a volume that is full, and while another one has it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "fake_folder.h"

#include "../../vmm/config.h"
#include "../../vmm/exit_codes.h"
#include "../../vmm/options.h"
#include "../../vmm/windows/install.h"

static long room = -1; /* bytes that the volume takes yet; -1: as many as come */

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    if (room == 0) {
        errno = ENOSPC;
        return -1;
    }
    if (room > 0 && size > (size_t)room)
        size = (size_t)room;
    if (room > 0)
        room -= (long)size;
    return syscall(SYS_pwrite64, fd, bytes, size, at);
}

/* Whether all of it is refused or a part, it is said as what it is, and the next start with room makes the identity. */
static void a_full_volume_is_no_damaged_one(void **state)
{
    static const long rooms[] = {0, 1, 36};
    struct error error;
    char folder[128];
    struct config config = {.state = folder};
    int lock;

    (void)state;
    for (size_t n = 0; n < sizeof rooms / sizeof *rooms; n++) {
        snprintf(folder, sizeof folder, "%s/%zu", fake_folder, n);
        room = rooms[n];
        fake_refused(&error, state_take(&config, &error), ENOSPC, "--state ", "make room");
        room = -1;
        assert_int_equal(state_check(&config, &error), 0);
        lock = state_take(&config, &error);
        assert_true(lock >= 0);
        close(lock);
    }
}

/* A KVM for who only asks whether there is one. */
int open64(const char *path, int flags, ...)
{
    va_list arguments;
    int mode;

    va_start(arguments, flags);
    mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return (int)syscall(SYS_openat, AT_FDCWD, strcmp(path, "/dev/kvm") != 0 ? path : "/dev/null", flags, mode);
}

int access(const char *path, int mode)
{
    return strstr(path, "/kvm_") ? 0 : (int)syscall(SYS_access, path, mode);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    void *argument;

    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request == KVM_CREATE_VM)
        return dup(fd);
    if (request == KVM_GET_API_VERSION || request == KVM_CHECK_EXTENSION)
        return KVM_API_VERSION;
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

static int make(void *opaque, struct error *error)
{
    ++*(unsigned *)opaque;
    return error_set(error, EIO, "DISK2_SIZE: as far as this test goes");
}

/* Further disks are made when it is known that no other machine has the folder, so not on the volumes of one. */
static void a_folder_in_use_is_left_alone(void **state)
{
    char folder[128], code[160], vars[160];
    const struct option_value values[] = {
        {"state", folder, NULL}, {"firmware", code, NULL}, {"vars-template", vars, NULL}};
    struct config config = {.state = folder};
    struct error error;
    unsigned made = 0;
    const struct install install = {.values = values, .value_count = 3, .make = make, .opaque = &made};
    int lock;

    (void)state;
    snprintf(folder, sizeof folder, "%s/state", fake_folder);
    snprintf(code, sizeof code, "%s/CODE.fd", fake_folder);
    snprintf(vars, sizeof vars, "%s/VARS.fd", fake_folder);
    lock = state_take(&config, &error);
    assert_true(lock >= 0);
    assert_int_equal(install_run(&install), EXIT_CODE_CONFIGURATION);
    assert_int_equal(made, 0);
    close(lock);
    assert_int_equal(install_run(&install), EXIT_CODE_CONFIGURATION);
    assert_int_equal(made, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {IN_FOLDER(a_full_volume_is_no_damaged_one),
                                       IN_FOLDER(a_folder_in_use_is_left_alone)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
