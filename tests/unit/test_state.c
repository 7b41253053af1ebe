/* The state folder of a machine on a volume that is full. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "fake_folder.h"

#include "../../vmm/config.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {IN_FOLDER(a_full_volume_is_no_damaged_one)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
