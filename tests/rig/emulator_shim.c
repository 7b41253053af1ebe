/*
 * Preloaded into the emulator that is the outer machine: makes good four faults that matter to its AMD-V. Works with
 * QEMU 7.2 to 10.0, which export their symbols for their own modules.
 *
 * A processor whose state is half the outer kernel's and half the inner guest's. Whatever processor loads its FPU's
 * state (FXRSTOR, XRSTOR: at every switch of a process) clears a flag of the first one, the chipset's IGNNE#, without
 * any lock, in the word that has that one's global interrupt flag and whether nested paging is on. What the first
 * processor changes there at that instant by VMRUN, #VMEXIT, CLGI or STGI is lost: it halts with its global interrupt
 * flag clear for ever; or nested paging stays on behind a #VMEXIT, the next access causes another #VMEXIT, which saves
 * the outer kernel's state as the inner guest's, and the outer kernel runs as a guest until its stack is full. Nothing
 * here raises FERR#, so the function that clears the flag becomes one that returns.
 *
 * An interrupt that comes twice. VMRUN injects an interrupt and leaves its vector behind as the exception that the
 * processor's loop has yet to deliver. When the loop is asked to stop before the next exception or #VMEXIT, the vector
 * is delivered once more, whatever the inner guest does at that moment: inside the first one's handler, with interrupts
 * off, where its kernel then waits for ever for a lock that it holds itself, or dies by a double fault. VMRUN empties
 * the TLB, so the injection itself misses it at once; there the exception is taken back, which is right for any other
 * miss too: what is being delivered is known by then.
 *
 * An interrupt that never comes. VMRUN with an interrupt window adds a bit to the processor's pending interrupts
 * without the big lock, and so may wipe out one that a device or the other processor adds at that instant. The
 * interrupt stays noted in the local APIC, but the processor does not look there before the next one comes; when the
 * lost one was its timer's, none does. So every processor is asked to look, again and again.
 *
 * An abort. When an inner guest writes CR8 while KVM has an interrupt window open, the emulated CPU raises a virtual
 * interrupt without the lock, and the accelerator's interrupt hook asserts that it is held. So it is taken. The hook is
 * a function pointer in the class "tcg-accel-ops".
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
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
#define LOOK_NS 50000000L
/* CPU_INTERRUPT_POLL of an x86 processor: the local APIC is asked what is pending. */
#define INTERRUPT_POLL 0x10
#define PROCESSORS 64
#define NO_EXCEPTION (-1)

typedef void (*interrupt_hook)(void *cpu, int mask);
typedef bool (*tlb_filler)(void *cpu, uint64_t address, int size, int access, int index, bool probe, uintptr_t from);

static struct {
    interrupt_hook hook;
    tlb_filler fill;
    size_t exception_at; /* where a processor has its pending exception */
    bool (*held)(void);
    void (*take)(const char *file, int line);
    void (*give)(void);
    void *(*processor)(int index);
} emulator;

static void locked_hook(void *cpu, int mask)
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
    *(int32_t *)((char *)cpu + emulator.exception_at) = NO_EXCEPTION;
    return emulator.fill(cpu, address, size, access, index, probe, from);
}

/* One field of the description of a processor's state that the emulator has for migration (VMStateField). */
struct field {
    const char *name, *hint;
    size_t offset, size;
};

/* NOLINTBEGIN(performance-no-int-to-ptr): the loader's addresses are numbers */
/* Goes over the program's tables, which the loader has made read-only: leads the filler to us, looks for the field. */
static void search_table(uintptr_t *word, const uintptr_t *end, uintptr_t low, uintptr_t high, bool *led)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    for (; word < end; word++) {
        const struct field *field = (const struct field *)word;

        if (word + sizeof *field / sizeof *word <= end && field->size == sizeof(int32_t) &&
            (uintptr_t)field->name >= low && (uintptr_t)field->name < high && !strcmp(field->name, "exception_index"))
            emulator.exception_at = field->offset;
        if (*word == (uintptr_t)emulator.fill &&
            mprotect((void *)((uintptr_t)word & ~(page - 1)), page, PROT_READ | PROT_WRITE) == 0) {
            *word = (uintptr_t)fill_and_forget;
            *led = true;
        }
    }
}

static int search_program(struct dl_phdr_info *info, size_t size, void *led)
{
    uintptr_t low = UINTPTR_MAX, high = 0;

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

        if (part->p_type == PT_LOAD && part->p_flags & PF_W)
            search_table(word, word + part->p_filesz / sizeof *word, low, high, led);
    }
    return 1;
}

/* NOLINTEND(performance-no-int-to-ptr) */

#define RETURN 0xC3 /* the instruction RET */

static bool make_return(const char *name)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uint8_t *function = dlsym(RTLD_DEFAULT, name);
    void *start = (void *)((uintptr_t)function & ~(page - 1)); /* NOLINT(performance-no-int-to-ptr) */

    if (!function || mprotect(start, page, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
        return false;
    *function = RETURN;
    return mprotect(start, page, PROT_READ | PROT_EXEC) == 0;
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
                emulator.hook = (interrupt_hook)hook; /* NOLINT(performance-no-int-to-ptr): as dlsym gave it */
                class[word] = (uintptr_t)locked_hook;
                return true;
            }
    }
    return false;
}

static void *keep_looking(void *unused)
{
    const struct timespec pause = {.tv_nsec = LOOK_NS};

    (void)unused;
    for (;;) {
        void *cpu;

        nanosleep(&pause, NULL);
        emulator.take(__FILE__, __LINE__);
        for (int n = 0; n < PROCESSORS && (cpu = emulator.processor(n)); n++)
            emulator.hook(cpu, INTERRUPT_POLL);
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
    fputs("emulator_shim: no interrupt hook found; an inner guest that writes CR8 may abort the outer machine\n",
          stderr);
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
    if (!led || !emulator.exception_at || !make_return("cpu_clear_ignne")) {
        fputs("emulator_shim: this emulator is not known; inner guests may crash or hang\n", stderr);
        return;
    }
    emulator.held = (bool (*)(void))either("bql_locked", "qemu_mutex_iothread_locked");
    emulator.take = (void (*)(const char *, int))either("bql_lock_impl", "qemu_mutex_lock_iothread_impl");
    emulator.give = (void (*)(void))either("bql_unlock", "qemu_mutex_unlock_iothread");
    emulator.processor = (void *(*)(int))dlsym(RTLD_DEFAULT, "qemu_get_cpu");
    if (emulator.held && emulator.take && emulator.give && emulator.processor &&
        !pthread_create(&thread, NULL, watch_start, NULL))
        pthread_detach(thread);
}
