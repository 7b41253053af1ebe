/*
 * Preloaded into the emulator that is the outer machine: makes good where it forgets its big lock.
 *
 * When an inner guest writes CR8 while KVM has an interrupt window open, the emulated CPU raises a virtual interrupt
 * without the lock, and the accelerator's interrupt hook aborts because it asserts that the lock is held. The hook is a
 * function pointer in the class "tcg-accel-ops". The emulator exports its symbols for its own modules, so the pointer
 * can be found by value and led through a function that takes the lock.
 *
 * VMRUN with an interrupt window adds a bit to the processor's pending interrupts without the lock, and so may wipe out
 * one that a device or the other processor adds at that instant. The interrupt stays noted in the local APIC, but the
 * processor does not look there before the next one comes; when the lost one was its timer's, none does. So every
 * processor is asked to look, again and again. Works with QEMU 7.2 to 10.0.
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
#include <time.h>

#define CLASS_WORDS 64 /* more than the class has, fewer than its allocation rounds up to */
#define TRIES 2000
#define STEP_NS 2000000L
/* The class appears while the emulator starts, single-threaded; its firmware runs far longer than this. */
#define START_NS 800000000L
#define LOOK_NS 50000000L
/* CPU_INTERRUPT_POLL of an x86 processor: the local APIC is asked what is pending. */
#define INTERRUPT_POLL 0x10
#define PROCESSORS 64

typedef void (*interrupt_hook)(void *cpu, int mask);

static struct {
    interrupt_hook hook;
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
            return emulator.processor ? keep_looking(NULL) : NULL;
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

    emulator.held = (bool (*)(void))either("bql_locked", "qemu_mutex_iothread_locked");
    emulator.take = (void (*)(const char *, int))either("bql_lock_impl", "qemu_mutex_lock_iothread_impl");
    emulator.give = (void (*)(void))either("bql_unlock", "qemu_mutex_unlock_iothread");
    emulator.processor = (void *(*)(int))dlsym(RTLD_DEFAULT, "qemu_get_cpu");
    if (emulator.held && emulator.take && emulator.give && !pthread_create(&thread, NULL, watch_start, NULL))
        pthread_detach(thread);
}
