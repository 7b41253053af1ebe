/* Guest RAM (see memory.h). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/memory.h"

#define HUGE_PAGE (2 * MiB)

struct memory {
    uint8_t *host; /* low RAM and high RAM, one behind the other */
    uint64_t low, high;
    int fd; /* the memfd, or -1 */
    struct vm *vm;
    struct vm_slot low_slot, high_slot;
};

static int reserve(struct memory *memory, const struct memory_options *options, struct error *error)
{
    int flags = MAP_NORESERVE;
    int failed;

    if (options->shared) {
        memory->fd = memfd_create("guest-ram", MFD_CLOEXEC | (options->huge_pages ? MFD_HUGETLB : 0));
        if (memory->fd < 0 || ftruncate(memory->fd, (off_t)options->size) < 0) {
            failed = errno;
            return error_set(error, failed, "guest memory: cannot create a memfd of %llu MiB: %s; %s",
                             (unsigned long long)(options->size / MiB), strerror(failed),
                             options->huge_pages ? "leave out huge pages or raise vm.nr_hugepages"
                                                 : "leave out shared memory");
        }
        flags |= MAP_SHARED;
    } else {
        flags |= MAP_PRIVATE | MAP_ANONYMOUS | (options->huge_pages ? MAP_HUGETLB : 0);
    }
    /* Huge pages that are missing would kill the monitor at first use; without NORESERVE the host says so now. */
    if (options->huge_pages)
        flags &= ~MAP_NORESERVE;
    memory->host = mmap(NULL, options->size, PROT_READ | PROT_WRITE, flags, memory->fd, 0);
    if (memory->host == MAP_FAILED) {
        failed = errno;
        memory->host = NULL;
        return error_set(error, failed, "guest memory: the host does not give %llu MiB: %s; %s",
                         (unsigned long long)(options->size / MiB), strerror(failed),
                         options->huge_pages ? "leave out huge pages or raise vm.nr_hugepages"
                                             : "ask for less memory or free some");
    }
    if (!options->huge_pages)
        madvise(memory->host, options->size, MADV_HUGEPAGE);
    madvise(memory->host, options->size, MADV_DONTDUMP);
    return 0;
}

int memory_create(const struct memory_options *options, struct memory **result, struct error *error)
{
    struct memory *memory;
    int failed;

    if (options->size == 0 || options->size % HUGE_PAGE)
        return error_set(error, EINVAL, "guest memory: %llu bytes is not a multiple of 2 MiB; round it",
                         (unsigned long long)options->size);
    memory = calloc(1, sizeof *memory);
    if (!memory)
        return error_set(error, ENOMEM, "guest memory: out of memory");
    memory->fd = -1;
    memory->low = MIN(options->size, MEMORY_LOW_LIMIT);
    memory->high = options->size - memory->low;
    memory->low_slot.number = memory->high_slot.number = -1;
    failed = reserve(memory, options, error);
    if (failed < 0) {
        memory_destroy(memory);
        return failed;
    }
    *result = memory;
    return 0;
}

int memory_attach(struct memory *memory, struct vm *vm, struct error *error)
{
    int failed;

    memory->low_slot = (struct vm_slot){.gpa = 0, .size = memory->low, .host = memory->host, .number = -1};
    memory->high_slot = (struct vm_slot){
        .gpa = MEMORY_HIGH_BASE, .size = memory->high, .host = memory->host + memory->low, .number = -1};
    memory->vm = vm;
    failed = vm_slot_add(vm, &memory->low_slot);
    if (failed == 0 && memory->high)
        failed = vm_slot_add(vm, &memory->high_slot);
    if (failed < 0)
        return error_set(error, -failed, "guest memory: KVM refuses it: %s; ask for less memory", strerror(-failed));
    return 0;
}

void memory_destroy(struct memory *memory)
{
    if (!memory)
        return;
    if (memory->vm && memory->high_slot.number >= 0)
        vm_slot_remove(memory->vm, &memory->high_slot);
    if (memory->vm && memory->low_slot.number >= 0)
        vm_slot_remove(memory->vm, &memory->low_slot);
    if (memory->host)
        munmap(memory->host, memory->low + memory->high);
    if (memory->fd >= 0)
        close(memory->fd);
    free(memory);
}

void *memory_at(const struct memory *memory, uint64_t gpa, uint64_t len)
{
    if (len == 0)
        return NULL;
    if (gpa < memory->low)
        return len <= memory->low - gpa ? memory->host + gpa : NULL;
    if (gpa < MEMORY_HIGH_BASE)
        return NULL;
    gpa -= MEMORY_HIGH_BASE;
    if (gpa >= memory->high || len > memory->high - gpa)
        return NULL;
    return memory->host + memory->low + gpa;
}

int memory_read(const struct memory *memory, uint64_t gpa, void *to, uint64_t len)
{
    const void *from = memory_at(memory, gpa, len);

    if (!from)
        return len ? -EFAULT : 0;
    memcpy(to, from, len);
    return 0;
}

int memory_write(const struct memory *memory, uint64_t gpa, const void *from, uint64_t len)
{
    void *to = memory_at(memory, gpa, len);

    if (!to)
        return len ? -EFAULT : 0;
    memcpy(to, from, len);
    return 0;
}

uint64_t memory_low_size(const struct memory *memory)
{
    return memory->low;
}

uint64_t memory_high_size(const struct memory *memory)
{
    return memory->high;
}

uint64_t memory_size(const struct memory *memory)
{
    return memory->low + memory->high;
}
