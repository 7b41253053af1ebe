/*
 * Preloaded into the emulator that is the outer machine: makes good three faults of its AMD-V. Works with QEMU 7.2 to
 * 10.0, which export their symbols for their own modules.
 *
 * An interrupt that comes twice. VMRUN injects an interrupt and leaves its vector behind as the exception that the
 * processor's loop has yet to deliver. When the loop is asked to stop before the next exception or interrupt clears it,
 * the vector is delivered once more, whatever the inner guest does at that moment: with interrupts off, or with a
 * user's stack. Its kernel dies by a double or a triple fault. VMRUN empties the TLB, so the injection itself misses it
 * at once; there the exception is taken back, which is right for any other miss too: what is being delivered is known
 * by then.
 *
 * An interrupt that never comes. VMRUN adds to the processor's pending interrupts without the big lock, and so may wipe
 * out one that a device or the other processor adds at that instant. So other threads hand theirs to the processor's
 * own thread.
 *
 * An abort. When an inner guest writes CR8 while KVM has an interrupt window open, the emulated CPU raises a virtual
 * interrupt without the lock, and the accelerator's interrupt hook asserts that it is held. So it is taken.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CLASS_WORDS 64 /* more than the class has, fewer than its allocation rounds up to */
#define TRIES 2000
#define STEP_NS 2000000L
/* The class appears while the emulator starts, single-threaded; its firmware runs far longer than this. */
#define START_NS 800000000L
/* CPU_INTERRUPT_POLL of an x86 processor: the local APIC is asked what is pending. All that other threads raise. */
#define INTERRUPT_POLL 0x10
#define NO_EXCEPTION (-1)

typedef void (*interrupt_hook)(void *cpu, int mask);
typedef bool (*tlb_filler)(void *cpu, uint64_t address, int size, int access, int index, bool probe, uintptr_t from);

static struct {
    interrupt_hook hook;
    tlb_filler fill;
    uint32_t exception_at; /* offset of the pending exception in a processor */
    bool (*held)(void);
    void (*take)(const char *file, int line);
    void (*give)(void);
    bool (*is_self)(void *cpu);
    void (*run_on)(void *cpu, void (*work)(void *cpu, uint64_t data), uint64_t data);
} emulator;

/* On the processor's own thread, with the lock. */
static void raise_here(void *cpu, uint64_t mask)
{
    emulator.hook(cpu, (int)mask);
}

static void safe_hook(void *cpu, int mask)
{
    bool held = emulator.held();

    if (!held)
        emulator.take(__FILE__, __LINE__);
    if (mask == INTERRUPT_POLL && !emulator.is_self(cpu))
        emulator.run_on(cpu, raise_here, (uint64_t)mask);
    else
        emulator.hook(cpu, mask);
    if (!held)
        emulator.give();
}

static bool fill_and_forget(void *cpu, uint64_t address, int size, int access, int index, bool probe, uintptr_t from)
{
    *(int32_t *)((char *)cpu + emulator.exception_at) = NO_EXCEPTION;
    return emulator.fill(cpu, address, size, access, index, probe, from);
}

/* cpu_loop_exit_noexc() begins by taking the exception back: movl $-1, offset(%rdi). */
static bool find_exception(void)
{
    static const uint8_t none[] = {0xFF, 0xFF, 0xFF, 0xFF};
    const uint8_t *code = dlsym(RTLD_DEFAULT, "cpu_loop_exit_noexc");

    for (int n = 0; code && n < 16; n++)
        if (code[n] == 0xC7 && code[n + 1] == 0x87 && !memcmp(code + n + 6, none, sizeof none)) {
            memcpy(&emulator.exception_at, code + n + 2, sizeof emulator.exception_at);
            return true;
        }
    return false;
}

/* Replaces the pointer to the filler in the program's tables of functions, which the loader has made read-only. */
static int lead_fill(struct dl_phdr_info *info, size_t size, void *found)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)size;
    if (*info->dlpi_name) /* the program itself has no name */
        return 0;
    for (int n = 0; n < info->dlpi_phnum; n++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[n];
        uintptr_t *word = (uintptr_t *)(info->dlpi_addr + part->p_vaddr);

        if (part->p_type != PT_LOAD || !(part->p_flags & PF_W))
            continue;
        for (uintptr_t *end = word + part->p_filesz / sizeof *word; word < end; word++)
            if (*word == (uintptr_t)emulator.fill &&
                mprotect((void *)((uintptr_t)word & ~(page - 1)), page, PROT_READ | PROT_WRITE) == 0) {
                *word = (uintptr_t)fill_and_forget;
                *(bool *)found = true;
            }
    }
    return 1;
}

/* Before version 8 the accelerator is a shared object of its own, whose symbols are not global. */
static int find_accelerator(struct dl_phdr_info *info, size_t size, void *handle)
{
    (void)size;
    if (info->dlpi_name && strstr(info->dlpi_name, "accel-tcg-x86_64.so"))
        *(void **)handle = dlopen(info->dlpi_name, RTLD_NOW | RTLD_NOLOAD);
    return 0;
}

static bool wrap(uintptr_t *class)
{
    static const char *const names[] = {"tcg_handle_interrupt", "icount_handle_interrupt"};
    void *handle = RTLD_DEFAULT;

    dl_iterate_phdr(find_accelerator, &handle);
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        uintptr_t hook = (uintptr_t)dlsym(handle, names[n]);

        for (int word = 0; hook && word < CLASS_WORDS; word++)
            if (class[word] == hook) {
                emulator.hook = (interrupt_hook)hook;
                class[word] = (uintptr_t)safe_hook;
                return true;
            }
    }
    return false;
}

static void *watch_start(void *unused)
{
    void *(*class_by_name)(const char *) = (void *(*)(const char *))dlsym(RTLD_DEFAULT, "object_class_by_name");
    struct timespec pause = {.tv_nsec = START_NS};

    (void)unused;
    for (int n = 0; class_by_name && n < TRIES; n++) {
        nanosleep(&pause, NULL);
        uintptr_t *class = class_by_name("tcg-accel-ops");

        if (class && wrap(class))
            return NULL;
        pause.tv_nsec = STEP_NS;
    }
    fputs("emulator_shim: no interrupt hook found; inner guests may hang or abort the outer machine\n", stderr);
    return NULL;
}

static void *either(const char *name, const char *name_before_version_9)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);

    return symbol ? symbol : dlsym(RTLD_DEFAULT, name_before_version_9);
}

__attribute__((constructor)) static void start(void)
{
    pthread_t thread;
    bool led = false;

    emulator.fill = (tlb_filler)dlsym(RTLD_DEFAULT, "x86_cpu_tlb_fill");
    if (!emulator.fill) /* another program, such as a compiler that a test starts */
        return;
    if (find_exception())
        dl_iterate_phdr(lead_fill, &led);
    if (!led)
        fputs("emulator_shim: the pending exception was not found; inner guests may crash\n", stderr);
    emulator.held = (bool (*)(void))either("bql_locked", "qemu_mutex_iothread_locked");
    emulator.take = (void (*)(const char *, int))either("bql_lock_impl", "qemu_mutex_lock_iothread_impl");
    emulator.give = (void (*)(void))either("bql_unlock", "qemu_mutex_unlock_iothread");
    emulator.is_self = (bool (*)(void *))dlsym(RTLD_DEFAULT, "qemu_cpu_is_self");
    emulator.run_on = (void (*)(void *, void (*)(void *, uint64_t), uint64_t))dlsym(RTLD_DEFAULT, "async_run_on_cpu");
    if (emulator.held && emulator.take && emulator.give && emulator.is_self && emulator.run_on &&
        !pthread_create(&thread, NULL, watch_start, NULL))
        pthread_detach(thread);
}
