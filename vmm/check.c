/* `casement check`: what this host offers and lacks, one line each, with what to do about it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <linux/kvm.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "commands.h"
#include "config.h"
#include "exit_codes.h"
#include "host_memory.h"
#include "kvm_probe.h"
#include "network/network.h"
#include "proc.h"

#define VCPUS_WANTED CONFIG_CPUS_MAX

static void say(FILE *out, bool good, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void say(FILE *out, bool good, const char *format, ...)
{
    va_list arguments;

    fputs(good ? "ok   " : "miss ", out);
    va_start(arguments, format);
    vfprintf(out, format, arguments);
    va_end(arguments);
    fputc('\n', out);
}

static int extension(int kvm, int number)
{
    int value = ioctl(kvm, KVM_CHECK_EXTENSION, number);

    return MAX(value, 0);
}

static bool check_capabilities(FILE *out, int kvm)
{
    unsigned present = 0;
    bool runs = true;

    for (unsigned n = 0; n < kvm_probe_capability_count; n++) {
        const struct kvm_probe_capability *capability = &kvm_probe_capabilities[n];

        if (extension(kvm, capability->number)) {
            present++;
        } else if (capability->required) {
            say(out, false, "KVM %s: not in this kernel, no machine can run; use Linux 5.10 or later on the host",
                capability->name);
            runs = false;
        } else {
            say(out, false, "KVM %s: not in this kernel, %s; use a newer kernel on the host", capability->name,
                capability->without);
        }
    }
    if (present == kvm_probe_capability_count)
        say(out, true, "KVM capabilities: all %u that are used", present);
    return runs;
}

/* The parts of the Hyper-V interface, as Windows likes them (Hypervisor Top-Level Functional Specification). */
static void check_hyperv(FILE *out, int kvm)
{
    static const struct {
        int number;
        const char *name;
    } parts[] = {
        {KVM_CAP_HYPERV, "hypercalls"},
        {KVM_CAP_HYPERV_CPUID, "CPUID"},
        {KVM_CAP_HYPERV_TIME, "reference time"},
        {KVM_CAP_HYPERV_VP_INDEX, "processor index"},
        {KVM_CAP_HYPERV_SYNIC2, "synthetic interrupts and timers"},
        {KVM_CAP_HYPERV_TLBFLUSH, "TLB flush"},
        {KVM_CAP_HYPERV_SEND_IPI, "interprocessor interrupts"},
    };
    char lacking[256] = "";
    size_t used = 0;

    for (size_t n = 0; n < ARRAY_SIZE(parts); n++)
        if (!extension(kvm, parts[n].number) &&
            !(parts[n].number == KVM_CAP_HYPERV_CPUID && extension(kvm, KVM_CAP_SYS_HYPERV_CPUID)))
            used += (size_t)snprintf(lacking + used, sizeof lacking - used, "%s%s", used ? ", " : "", parts[n].name);
    if (used)
        say(out, false, "Hyper-V interface: lacks %s, Windows is slower; use a host kernel with CONFIG_KVM_HYPERV",
            lacking);
    else
        say(out, true, "Hyper-V interface: complete");
}

static void check_vcpus(FILE *out, int kvm)
{
    int most = extension(kvm, KVM_CAP_MAX_VCPUS);

    say(out, most >= VCPUS_WANTED,
        most >= VCPUS_WANTED ? "vCPUs: up to %d by KVM, %d by casement"
                             : "vCPUs: KVM allows %d and not %d; give --cpus no more than that",
        most, VCPUS_WANTED);
}

static bool check_kvm(FILE *out)
{
    struct error error;
    int kvm = kvm_open(&error), machine;
    bool runs;

    if (kvm < 0) {
        say(out, false, "%s", error.text);
        return false;
    }
    say(out, true, "/dev/kvm: usable (API %d)", KVM_PROBE_API);
    runs = check_capabilities(out, kvm);
    check_hyperv(out, kvm);
    check_vcpus(out, kvm);
    machine = kvm_make_machine(kvm);
    if (machine < 0) {
        say(out, false, "virtual machine: KVM makes none: %s; another hypervisor may hold the processor: stop it",
            strerror(-machine));
        runs = false;
    } else {
        say(out, true, "virtual machine: KVM makes one");
        close(machine);
    }
    close(kvm);
    return runs;
}

static void check_processor(FILE *out)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    char sizes[128];

    say(out, cores > 0, "processors: %ld online", cores);
    if (proc_field("", "/proc/cpuinfo", "address sizes", sizes, sizeof sizes))
        say(out, true, "address bits: %s", sizes);
    else
        say(out, false, "address bits: /proc/cpuinfo does not say them; mount /proc");
}

static void check_memory(FILE *out)
{
    uint64_t page, available = host_memory_available("") / (uint64_t)MiB, huge = host_memory_huge("", &page);

    say(out, available >= 1024, "memory: %" PRIu64 " MiB available%s", available,
        available >= 1024 ? "" : "; little for a machine: free some, or give a small --memory");
    if (huge)
        say(out, true, "huge pages: %" PRIu64 " of %" PRIu64 " KiB free for --huge-pages", huge / page,
            page / (uint64_t)KiB);
    else
        say(out, false,
            "huge pages: none in the pool, --huge-pages fails; on the host `sysctl vm.nr_hugepages=1024` "
            "gives 2 GiB");
}

static void check_uring(FILE *out)
{
    struct io_uring ring;
    int failed = io_uring_queue_init(4, &ring, 0);
    char disabled[16] = "";
    FILE *file;

    if (failed == 0) {
        io_uring_queue_exit(&ring);
        say(out, true, "io_uring: usable for disks");
        return;
    }
    file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (file) {
        if (!fgets(disabled, sizeof disabled, file))
            disabled[0] = 0;
        fclose(file);
    }
    if (failed == -EPERM && (disabled[0] == '1' || disabled[0] == '2'))
        say(out, false, "io_uring: switched off, disks use threads; `sysctl kernel.io_uring_disabled=0` on the host");
    else if (failed == -EPERM)
        say(out, false,
            "io_uring: refused, disks use threads; in a container allow io_uring_setup, io_uring_enter and "
            "io_uring_register in the seccomp profile");
    else if (failed == -ENOSYS)
        say(out, false,
            "io_uring: not in this kernel or hidden by a seccomp profile, disks use threads; allow "
            "io_uring_setup, io_uring_enter and io_uring_register");
    else
        say(out, false, "io_uring: %s, disks use threads; raise the limits of memory and files", strerror(-failed));
}

static void check_firmware(FILE *out)
{
    unsigned found = 0;

    for (size_t n = 0; config_firmware_places[n]; n++)
        if (access(config_firmware_places[n], R_OK) == 0) {
            say(out, true, "firmware: %s", config_firmware_places[n]);
            found++;
        }
    if (!found)
        say(out, false, "firmware: no OVMF found; install the package ovmf, or give --firmware FILE or --kernel FILE");
}

static void check_network(FILE *out)
{
    static const struct {
        enum config_net net;
        const char *name;
    } kinds[] = {{CONFIG_NET_NAT, "nat"}, {CONFIG_NET_BRIDGE, "bridge"}};
    struct error error;

    say(out, true, "--net user: usable");
    for (size_t n = 0; n < ARRAY_SIZE(kinds); n++)
        if (network_available(kinds[n].net, &error) == 0)
            say(out, true, "--net %s: usable", kinds[n].name);
        else
            say(out, false, "%s", error.text);
}

/* It saves time and nothing more, and only a virtio card on a network that nothing here looks into can have it. */
static void check_vhost(FILE *out)
{
    int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
    uint64_t features;

    if (fd >= 0 && ioctl(fd, VHOST_GET_FEATURES, &features) == 0)
        say(out, true, "vhost-net: usable by a virtio card with --net bridge");
    else
        say(out, false,
            "vhost-net: /dev/vhost-net: %s, frames of --net bridge pass through the program; `modprobe vhost_net` on "
            "the host, and in a container add --device /dev/vhost-net",
            strerror(errno));
    if (fd >= 0)
        close(fd);
}

int check_main(FILE *out)
{
    bool runs = check_kvm(out);

    check_processor(out);
    check_memory(out);
    check_uring(out);
    check_firmware(out);
    check_network(out);
    check_vhost(out);
    return runs ? EXIT_CODE_POWERED_OFF : EXIT_CODE_NO_KVM;
}
