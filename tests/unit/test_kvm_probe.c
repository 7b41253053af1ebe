/* Why /dev/kvm cannot be used, and what to do: on hosts, in containers, in Kubernetes. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_folder.h"

#include "../../vmm/kvm_probe.h"

#define NO_GROUP ((unsigned)-1)

static struct error error;
static char cpuinfo[128], modules[128];

/* A host without sysfs until a test makes it. */
static struct kvm_place place_of(const char *device)
{
    snprintf(cpuinfo, sizeof cpuinfo, "%s", fake_below("cpuinfo"));
    snprintf(modules, sizeof modules, "%s", fake_below("module"));
    return (struct kvm_place){device, cpuinfo, modules, .foreign_group = NO_GROUP};
}

static int open_kvm(const char *device)
{
    const struct kvm_place place = place_of(device);

    return kvm_open_at(&place, &error);
}

static void refused(int result, int err, const char *thing, const char *remedy)
{
    fake_refused(&error, result, err, thing, remedy);
}

/* A KVM that answers and yet runs no guest, such as kvm_pvm. */
static void kvm_without_hardware(void **state)
{
    const struct kvm_place place = place_of("/dev/kvm");

    (void)state;
    fake_text(cpuinfo, "flags : fpu hypervisor\n");
    /* No sysfs: the flags decide, and where there are none either nothing is known. */
    refused(kvm_check_hardware(&place, &error), ENOTSUP, "/dev/kvm", "nested");
    fake_text(cpuinfo, "flags : fpu svm\n");
    assert_int_equal(kvm_check_hardware(&place, &error), 0);
    fake_text(cpuinfo, "nothing\n");
    assert_int_equal(kvm_check_hardware(&place, &error), 0);
    assert_int_equal(mkdir(modules, 0700), 0);
    assert_int_equal(mkdir(fake_below("module/kvm"), 0700), 0);
    refused(kvm_check_hardware(&place, &error), ENOTSUP, "/dev/kvm", "load kvm_intel or kvm_amd");
    fake_text(cpuinfo, "flags : fpu vmx\n");
    refused(kvm_check_hardware(&place, &error), ENOTSUP, "/dev/kvm", "modprobe kvm_intel");
    assert_int_equal(mkdir(fake_below("module/kvm_amd"), 0700), 0);
    assert_int_equal(kvm_check_hardware(&place, &error), 0);
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
        fake_text(fake_below("cpuinfo"), hosts[n].flags);
        refused(open_kvm(fake_below("kvm")), ENOENT, "kvm: not there", hosts[n].remedy);
        refused(open_kvm(fake_below("kvm")), ENOENT, "kvm: not there", "in a container add --device /dev/kvm");
    }
}

static void kvm_that_is_something_else(void **state)
{
    (void)state;
    fake_text(fake_below("notkvm"), "");
    refused(open_kvm(fake_below("notkvm")), ENODEV, "notkvm", "not the KVM device");
    refused(open_kvm("/dev/null"), ENODEV, "/dev/null", "pass the host's own");
    refused(open_kvm(fake_folder), EISDIR, fake_folder, "casement check");
}

/* Opens what nobody may open. Root passes every permission, so the test puts its rights aside for a moment. */
static int open_without_rights(const struct kvm_place *place)
{
    int result;

    assert_int_equal(chmod(fake_folder, 0755), 0);
    assert_int_equal(chmod(place->device, 0), 0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    result = kvm_open_at(place, &error);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    return result;
}

static void kvm_without_permission_names_the_group(void **state)
{
    struct kvm_place place = place_of(fake_below("locked"));
    char device[128], remedy[64];

    (void)state;
    snprintf(device, sizeof device, "%s", place.device);
    place.device = device;
    fake_text(device, "");
    snprintf(remedy, sizeof remedy, "in a container add --group-add %u", getegid());
    refused(open_without_rights(&place), EACCES, "locked: no permission", remedy);
    place.kubernetes = true;
    snprintf(remedy, sizeof remedy, "supplementalGroups: [%u]", getegid());
    refused(open_without_rights(&place), EACCES, "locked: no permission", remedy);
}

/* Rootless: the number that the group seems to have is nobody's, and adding that one would help nobody. */
static void a_group_without_a_number_is_kept(void **state)
{
    struct kvm_place place = place_of("");
    char device[128];

    (void)state;
    snprintf(device, sizeof device, "%s", fake_below("locked"));
    place.device = device;
    place.foreign_group = getegid();
    fake_text(device, "");
    refused(open_without_rights(&place), EACCES, "its group has no number in here", "--group-add keep-groups");
}

static void kubernetes_has_ways_of_its_own(void **state)
{
    struct kvm_place place = place_of("/nowhere/kvm");

    (void)state;
    fake_text(cpuinfo, "flags : fpu vmx\n");
    place.kubernetes = true;
    refused(kvm_open_at(&place, &error), ENOENT, "/nowhere/kvm: not there", "device plug-in");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(kvm_without_hardware),
        IN_FOLDER(kvm_missing_says_why),
        IN_FOLDER(kvm_that_is_something_else),
        IN_FOLDER(kvm_without_permission_names_the_group),
        IN_FOLDER(a_group_without_a_number_is_kept),
        IN_FOLDER(kubernetes_has_ways_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
