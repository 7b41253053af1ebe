/* Opening /dev/kvm, with the right reason when that fails (see kvm_probe.h). */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "kvm_probe.h"
#include "proc.h"

#define UNKNOWN_GROUP ((unsigned)-1) /* no file's */

const struct kvm_probe_capability kvm_probe_capabilities[] = {
    {KVM_CAP_IRQCHIP, "in-kernel interrupt controllers", true, NULL},
    {KVM_CAP_PIT2, "in-kernel timer", true, NULL},
    {KVM_CAP_IRQ_ROUTING, "interrupt routing", true, NULL},
    {KVM_CAP_IRQFD, "irqfd", true, NULL},
    {KVM_CAP_IOEVENTFD, "ioeventfd", true, NULL},
    {KVM_CAP_IOEVENTFD_ANY_LENGTH, "ioeventfd of any length", true, NULL},
    {KVM_CAP_READONLY_MEM, "read-only memory slots", true, NULL},
    {KVM_CAP_SET_IDENTITY_MAP_ADDR, "moving the identity map", true, NULL},
    {KVM_CAP_SET_TSS_ADDR, "moving the task state segment", true, NULL},
    {KVM_CAP_IMMEDIATE_EXIT, "immediate exit", true, NULL},
    {KVM_CAP_MP_STATE, "multiprocessor state", true, NULL},
    {KVM_CAP_SIGNAL_MSI, "direct message interrupts", false, "interrupts go by routes"},
    {KVM_CAP_X86_USER_SPACE_MSR, "MSRs in user space", false, "a guest that touches an unknown MSR may crash"},
    {KVM_CAP_TSC_DEADLINE_TIMER, "TSC deadline timer", false, "guests use slower timers"},
    {KVM_CAP_X2APIC_API, "x2APIC", false, "interrupts are slower with many processors"},
};
const unsigned kvm_probe_capability_count = ARRAY_SIZE(kvm_probe_capabilities);

struct cpu_flags {
    bool vmx, svm, hypervisor, known;
};

/* The flags of the first processor; Linux leaves out vmx and svm that firmware has switched off and locked. */
static struct cpu_flags read_flags(const char *cpuinfo)
{
    struct cpu_flags flags = {0};
    FILE *file = fopen(cpuinfo, "re");
    char *line = NULL, *rest = NULL;
    size_t room = 0;

    while (file && !flags.known && getline(&line, &room, file) > 0) {
        if (strncmp(line, "flags", 5) != 0)
            continue;
        flags.known = true;
        for (const char *word = strtok_r(line, " \t\n", &rest); word; word = strtok_r(NULL, " \t\n", &rest)) {
            flags.vmx |= !strcmp(word, "vmx");
            flags.svm |= !strcmp(word, "svm");
            flags.hypervisor |= !strcmp(word, "hypervisor");
        }
    }
    free(line);
    if (file)
        fclose(file);
    return flags;
}

/* Why nothing serves the device, and what to do. */
static const char *no_driver(const char *cpuinfo)
{
    const struct cpu_flags flags = read_flags(cpuinfo);

    if (flags.vmx)
        return "the processor has VMX, but kvm_intel is not loaded; run `modprobe kvm_intel` on the host";
    if (flags.svm)
        return "the processor has SVM, but kvm_amd is not loaded; run `modprobe kvm_amd` on the host (if that fails, "
               "enable SVM in the firmware settings)";
    if (flags.hypervisor)
        return "this is a virtual machine whose processor shows neither VMX nor SVM; enable nested virtualisation in "
               "the hypervisor that it runs in";
    if (flags.known)
        return "the processor shows neither VMX nor SVM; enable virtualisation (VT-x or AMD-V) in the firmware "
               "settings of the host";
    return "the processor's features are unknown; load kvm_intel or kvm_amd on the host";
}

static const char *how_to_pass(const struct kvm_place *place)
{
    return place->kubernetes ? "in Kubernetes request it from a device plug-in, or as the last resort make the pod "
                               "privileged (deploy/kubernetes.yml)"
                             : "in a container add --device /dev/kvm";
}

/* By its permission bits. */
static int no_permission(const struct kvm_place *place, struct error *error)
{
    const char *device = place->device;
    struct stat info;
    const struct group *group;

    if (stat(device, &info) < 0)
        return error_set(error, EACCES, "%s: no permission to reach it; check the permissions of its folder", device);
    if (info.st_gid == place->foreign_group)
        return error_set(error, EACCES,
                         "%s: no permission; its group has no number in here (gid %u, mode %03o), as in a rootless "
                         "container: add the user to that group on the host, and --group-add keep-groups (Podman with "
                         "crun) to the container",
                         device, info.st_gid, info.st_mode & 0777U);
    if (place->kubernetes)
        return error_set(error, EACCES,
                         "%s: no permission; its group is %u (mode %03o): add supplementalGroups: [%u] to the pod's "
                         "securityContext",
                         device, info.st_gid, info.st_mode & 0777U, info.st_gid);
    group = getgrgid(info.st_gid);
    return error_set(error, EACCES,
                     "%s: no permission; its group is %s (gid %u, mode %03o): add the user to that group, or in a "
                     "container add --group-add %u",
                     device, group ? group->gr_name : "nameless here", info.st_gid, info.st_mode & 0777U, info.st_gid);
}

static int explain(const struct kvm_place *place, int err, struct error *error)
{
    const char *device = place->device;

    switch (err) {
    case ENOENT:
        return error_set(error, err, "%s: not there; %s; %s", device, no_driver(place->cpuinfo), how_to_pass(place));
    case EACCES:
        return no_permission(place, error);
    case EPERM: /* never by permission bits: a container's list of devices, or a security module */
        return error_set(error, err, "%s: refused by the container or a security policy; %s", device,
                         how_to_pass(place));
    case ENXIO:
    case ENODEV:
        return error_set(error, err, "%s: nothing serves it (%s); %s", device, strerror(err),
                         no_driver(place->cpuinfo));
    default:
        return error_set(error, err, "%s: cannot be opened: %s; see `casement check`", device, strerror(err));
    }
}

static bool module_there(const struct kvm_place *place, const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", place->modules, name);
    return access(path, F_OK) == 0;
}

/* The driver has a folder there also when it is built into the kernel. Where sysfs is hidden the flags have to do. */
int kvm_check_hardware(const struct kvm_place *place, struct error *error)
{
    struct cpu_flags flags;

    if (module_there(place, "kvm_intel") || module_there(place, "kvm_amd"))
        return 0;
    flags = read_flags(place->cpuinfo);
    if (!module_there(place, "kvm") && (flags.vmx || flags.svm || !flags.known))
        return 0;
    return error_set(error, ENOTSUP,
                     "%s: this KVM works without the processor's virtualisation (neither kvm_intel nor kvm_amd is "
                     "there) and runs no unmodified guest; %s",
                     place->device, no_driver(place->cpuinfo));
}

int kvm_check_capabilities(int kvm, struct error *error)
{
    for (unsigned n = 0; n < kvm_probe_capability_count; n++)
        if (kvm_probe_capabilities[n].required &&
            ioctl(kvm, KVM_CHECK_EXTENSION, kvm_probe_capabilities[n].number) <= 0)
            return error_set(error, ENOTSUP, "/dev/kvm: the host's kernel lacks %s; use Linux 5.10 or later",
                             kvm_probe_capabilities[n].name);
    return 0;
}

int kvm_open_at(const struct kvm_place *place, struct error *error)
{
    const char *device = place->device;
    int fd = open(device, O_RDWR | O_CLOEXEC), version, failed;

    if (fd < 0)
        return explain(place, errno, error);
    version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version < 0)
        failed = error_set(error, ENODEV, "%s: not the KVM device; pass the host's own /dev/kvm", device);
    else if (version != KVM_PROBE_API)
        failed = error_set(error, ENOTSUP, "%s: KVM speaks version %d and not %d; use Linux 5.10 or later", device,
                           version, KVM_PROBE_API);
    else
        failed = kvm_check_hardware(place, error);
    if (failed == 0)
        return fd;
    close(fd);
    return failed;
}

int kvm_open(struct error *error)
{
    struct kvm_place place = {"/dev/kvm", "/proc/cpuinfo", "/sys/module", .foreign_group = UNKNOWN_GROUP};
    uint64_t group;

    /* Kubernetes tells every container where its API is, whatever else it is told. */
    place.kubernetes = getenv("KUBERNETES_SERVICE_HOST");
    if (proc_numbers("/proc/sys/kernel/overflowgid", &group, NULL) == 1)
        place.foreign_group = (unsigned)group;
    return kvm_open_at(&place, error);
}

int kvm_make_machine(int kvm)
{
    int machine;

    /* Registering with the memory management gives up when a signal or task work is pending. */
    do
        machine = ioctl(kvm, KVM_CREATE_VM, 0);
    while (machine < 0 && errno == EINTR);
    return machine < 0 ? -errno : machine;
}

int kvm_check(struct error *error)
{
    int kvm = kvm_open(error), machine, failed;

    if (kvm < 0)
        return kvm;
    failed = kvm_check_capabilities(kvm, error);
    if (failed == 0) {
        machine = kvm_make_machine(kvm);
        if (machine < 0)
            failed = error_set(error, -machine,
                               "/dev/kvm: makes no virtual machine: %s; another hypervisor may hold the processor: "
                               "stop it",
                               strerror(-machine));
        else
            close(machine);
    }
    close(kvm);
    return failed;
}
