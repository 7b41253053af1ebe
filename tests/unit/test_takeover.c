/* Storage folders that have a Windows already: of the other container, or of this one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_environment.h"

#include "../../vmm/windows/journey.h"

/* DISK_TYPE moves no Windows that is installed here, nor one whose installation has begun. */
static void an_installed_windows_keeps_its_disk(void **state)
{
    static const struct {
        enum journey_step step;
        const char *profile, *variables, *gives, *gives_not;
    } kinds[] = {{JOURNEY_INSTALLED, "inbox", "DISK_TYPE=sata", NULL, "profile="},
                 {JOURNEY_INSTALLING, "inbox", "DISK_TYPE=scsi", "disk=/dev/b,bus=nvme DEVICE2", "profile="},
                 {JOURNEY_INSTALLED, "scsi", "DISK_TYPE=scsi", "disk=/dev/b,bus=scsi DEVICE2", "profile="},
                 {JOURNEY_PREPARED, "inbox", "DISK_TYPE=sata", "profile=ahci DISK_TYPE", "bus=nvme"}};
    struct journey journey = {.phase = 1};

    (void)state;
    fake_container();
    fake_make("storage/data.img");
    fake_make("*dev/b");
    for (size_t n = 0; n < ARRAY_SIZE(kinds); n++) {
        char variables[64];

        journey.step = kinds[n].step;
        snprintf(journey.profile, sizeof journey.profile, "%s", kinds[n].profile);
        assert_int_equal(journey_write(fake_below("storage"), &journey, &fake_error), 0);
        snprintf(variables, sizeof variables, "DEVICE2=/dev/b;%s", kinds[n].variables);
        assert_int_equal(fake_variables(variables), 0);
        assert_int_equal(fake_warnings(), 0);
        assert_true(!kinds[n].gives || fake_gives(kinds[n].gives));
        assert_null(strstr(fake_given, kinds[n].gives_not));
    }
}

static int take_over(const char *variables, const char *note, const char *text)
{
    fake_container();
    fake_make("storage/data.img");
    fake_make("storage/windows.boot");
    fake_make_text("storage/windows.mac", "02:11:22:33:44:55\n");
    fake_make("storage/windows.vars");
    if (note)
        fake_make_text(note, text);
    return fake_variables(variables);
}

/* What dockurr/windows has installed starts by what lies there; afterwards the journey knows. */
static void a_windows_of_the_other_container_is_taken_over(void **state)
{
    static const char zeroes[] = "uuid=00000000-0000-0000-0000-000000000000 -";
    struct journey adopted = {.step = JOURNEY_INSTALLED, .profile = "scsi", .report = "found on the disk"};

    (void)state;
    take_over(NULL, NULL, NULL);
    assert_true(fake_gives("profile=scsi -") && fake_gives("mac=02:11:22:33:44:55 -") && fake_gives(zeroes));
    assert_true(fake_gives("vars-template=/storage/windows.vars -"));
    assert_true(fake_warns("may ask for its activation again"));
    take_over("DISK_TYPE=blk;ADAPTER=virtio-net-pci;MAC=02:11:22:33:44:66", NULL, NULL);
    assert_true(fake_gives("profile=virtio -") && fake_gives("mac=02:11:22:33:44:66 MAC"));
    assert_int_equal(fake_warnings(), 1);
    /* Its drivers are in it, whatever lies in /drivers. */
    fake_make("*dev/b");
    take_over("DISK_TYPE=scsi;DEVICE2=/dev/b", NULL, NULL);
    assert_true(fake_gives("profile=scsi -") && fake_gives("disk=/dev/b,bus=scsi DEVICE2") &&
                !fake_gives("profile=scsi DISK_TYPE"));
    take_over(NULL, "storage/windows.type", "sata\n");
    assert_true(fake_gives("profile=ahci -"));
    /* Later starts find the journey that the first has written. */
    assert_int_equal(journey_write(fake_below("storage"), &adopted, &fake_error), 0);
    fake_variables(NULL);
    assert_false(fake_gives("profile=ahci -"));
    assert_true(fake_gives("mac=02:11:22:33:44:55 -") && fake_gives(zeroes));
    assert_int_equal(fake_warnings(), 0);
    fake_variables("UUID=00010203-0405-0607-0809-0a0b0c0d0e0f");
    assert_false(fake_gives(zeroes));
    unlink(fake_below("storage/windows.mac"));
    fake_variables(NULL);
    assert_false(fake_gives(zeroes));
    fake_make_text("storage/windows.mac", "02:11:22:33:44:55\n");
    /* What was installed here since is another machine. */
    snprintf(adopted.medium, sizeof adopted.medium, "/custom.iso");
    assert_int_equal(journey_write(fake_below("storage"), &adopted, &fake_error), 0);
    fake_variables(NULL);
    assert_false(fake_gives("mac=02:11:22:33:44:55 -") || fake_gives(zeroes));
}

static void a_windows_that_cannot_start_here_is_refused(void **state)
{
    static const struct {
        const char *note, *text, *says;
    } kinds[] = {{"storage/windows.mode", "windows_legacy\n", "installed for a BIOS"},
                 {"storage/windows.mode", "windows_secure", "Secure Boot and a TPM"},
                 {"storage/windows.mode", "windows_plain", NULL},
                 {"storage/windows.type", "usb", "whose disk is on usb"}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(kinds); n++) {
        int result = take_over(NULL, kinds[n].note, kinds[n].text);

        if (kinds[n].says)
            fake_refused(&fake_error, result, EINVAL, "STORAGE ", kinds[n].says);
        else
            assert_true(result == 0 && fake_warns("is taken over"));
    }
    unlink(fake_below("storage/windows.type"));
    unlink(fake_below("storage/windows.boot"));
    fake_make("storage/windows.base");
    fake_refused(&fake_error, fake_variables(NULL), EINVAL, "STORAGE ", "not finished");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(an_installed_windows_keeps_its_disk),
        IN_PLACE(a_windows_of_the_other_container_is_taken_over),
        IN_PLACE(a_windows_that_cannot_start_here_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
