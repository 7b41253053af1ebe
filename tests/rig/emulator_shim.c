/*
 * Preloaded into the emulator that is the outer machine: makes good four faults of its AMD-V. Works with QEMU 7.2 to
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
 * out one that a device or the other processor adds at that instant. The interrupt stays noted in the local APIC, but
 * the processor does not look there before the next one comes; when the lost one was its timer's, none does. So every
 * processor is asked to look, again and again.
 *
 * A processor that sleeps for ever. Now and then one halts, in the outer machine's idle loop, while its global
 * interrupt flag is clear, which nothing but a #VMEXIT or CLGI does, and KVM sets it again before it goes on; how it
 * gets there is not known. On hardware no software halts like that, so the flag is set again.
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
/* CPU_INTERRUPT_POLL of an x86 processor: the local APIC is asked what is pending. */
#define INTERRUPT_POLL 0x10
#define NO_EXCEPTION (-1)
#define GLOBAL_INTERRUPT 1U /* HF2_GIF_MASK */
#define LOOK_NS 50000000L
#define PROCESSORS 64

typedef void (*interrupt_hook)(void *cpu, int mask);
typedef bool (*tlb_filler)(void *cpu, uint64_t address, int size, int access, int index, bool probe, uintptr_t from);

static struct {
    interrupt_hook hook;
    tlb_filler fill;
    /* Offsets in a processor: the pending exception, whether it is halted, and a word with the global interrupt flag.
     */
    size_t exception_at, halted_at, flags_at;
    bool (*held)(void);
    void (*take)(const char *file, int line);
    void (*give)(void);
    void *(*processor)(int index);
    void (*kick)(void *cpu);
} emulator;

static uint32_t *word_at(void *cpu, size_t offset)
{
    return (uint32_t *)((char *)cpu + offset);
}

static void safe_hook(void *cpu, int mask)
{
    bool held = emulator.held();

    if (!held)
        emulator.take(__FILE__, __LINE__);
    emulator.hook(cpu, mask);
    if (!held)
        emulator.give();
}

static bool fill_and_forget(void *cpu, uint64_t address, int size, int access, int index, bool probe, uintptr_t from)
{
    *word_at(cpu, emulator.exception_at) = (uint32_t)NO_EXCEPTION;
    return emulator.fill(cpu, address, size, access, index, probe, from);
}

/* One field of the description of a processor's state that the emulator has for migration (VMStateField). */
struct field {
    const char *name, *hint;
    size_t offset, size;
};

static const struct {
    const char *name;
    size_t *offset;
} wanted[] = {
    {"exception_index", &emulator.exception_at},
    {"halted", &emulator.halted_at},
    {"env.hflags2", &emulator.flags_at},
};

static void find_fields(const struct field *field, uintptr_t low, uintptr_t high)
{
    for (size_t n = 0; n < sizeof wanted / sizeof *wanted; n++)
        if (field->size == sizeof(uint32_t) && (uintptr_t)field->name >= low && (uintptr_t)field->name < high &&
            !strcmp(field->name, wanted[n].name) && !*wanted[n].offset)
            *wanted[n].offset = field->offset;
}

/* Goes over the program's tables, which the loader has made read-only: leads the filler to us, looks for the fields. */
static int search_program(struct dl_phdr_info *info, size_t size, void *led)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), low = UINTPTR_MAX, high = 0;

    (void)size;
    if (*info->dlpi_name) /* the program itself has no name */
        return 0;
    for (int n = 0; n < info->dlpi_phnum; n++)
        if (info->dlpi_phdr[n].p_type == PT_LOAD) {
            uintptr_t start = info->dlpi_addr + info->dlpi_phdr[n].p_vaddr;

            low = start < low ? start : low;
            high = start + info->dlpi_phdr[n].p_filesz > high ? start + info->dlpi_phdr[n].p_filesz : high;
        }
    for (int n = 0; n < info->dlpi_phnum; n++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[n];
        uintptr_t *word = (uintptr_t *)(info->dlpi_addr + part->p_vaddr);
        uintptr_t *end = word + part->p_filesz / sizeof *word;

        if (part->p_type != PT_LOAD || !(part->p_flags & PF_W))
            continue;
        for (; word < end; word++) {
            if (word + sizeof(struct field) / sizeof *word <= end)
                find_fields((const struct field *)word, low, high);
            if (*word == (uintptr_t)emulator.fill &&
                mprotect((void *)((uintptr_t)word & ~(page - 1)), page, PROT_READ | PROT_WRITE) == 0) {
                *word = (uintptr_t)fill_and_forget;
                *(bool *)led = true;
            }
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

/* A halted processor's thread waits for the lock that is held here. */
static void *keep_looking(void *unused)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};

    (void)unused;
    for (;;) {
        void *cpu;

        nanosleep(&pause, NULL);
        emulator.take(__FILE__, __LINE__);
        for (int n = 0; n < PROCESSORS && (cpu = emulator.processor(n)); n++) {
            if (*word_at(cpu, emulator.halted_at) && !(*word_at(cpu, emulator.flags_at) & GLOBAL_INTERRUPT)) {
                *word_at(cpu, emulator.flags_at) |= GLOBAL_INTERRUPT;
                emulator.kick(cpu);
                fprintf(stderr, "emulator_shim: processor %d halted with its global interrupt flag clear\n", n);
            }
            emulator.hook(cpu, INTERRUPT_POLL);
        }
        emulator.give();
    }
    return NULL;
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
            return keep_looking(NULL);
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
    dl_iterate_phdr(search_program, &led);
    for (size_t n = 0; n < sizeof wanted / sizeof *wanted; n++)
        led &= *wanted[n].offset != 0;
    if (!led) {
        fputs("emulator_shim: this emulator is not known; inner guests may crash or hang\n", stderr);
        return;
    }
    emulator.processor = (void *(*)(int))dlsym(RTLD_DEFAULT, "qemu_get_cpu");
    emulator.kick = (void (*)(void *))dlsym(RTLD_DEFAULT, "qemu_cpu_kick");
    emulator.held = (bool (*)(void))either("bql_locked", "qemu_mutex_iothread_locked");
    emulator.take = (void (*)(const char *, int))either("bql_lock_impl", "qemu_mutex_lock_iothread_impl");
    emulator.give = (void (*)(void))either("bql_unlock", "qemu_mutex_unlock_iothread");
    if (emulator.held && emulator.take && emulator.give && emulator.processor && emulator.kick &&
        !pthread_create(&thread, NULL, watch_start, NULL))
        pthread_detach(thread);
}
