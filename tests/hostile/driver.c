/* The driver's hands (see driver.h). */
#include "driver.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PCI_DEVICES "/sys/bus/pci/devices"
#define PAGE 4096U
#define PCI_COMMAND 4
#define COMMAND_WANTED 0x0406 /* memory, bus master, no pin */

void die(const char *format, ...)
{
    va_list arguments;

    printf("HOSTILE-DIES ");
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    exit(2);
}

double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Memory. */

struct area area_create(void)
{
    struct area area = {0};
    uint64_t entry = 0;
    int map = open("/proc/self/pagemap", O_RDONLY);

    area.at = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE | MAP_LOCKED, -1, 0);
    if (area.at == MAP_FAILED)
        die("no huge page: start the kernel with hugepages=N");
    memset(area.at, 0, AREA_BYTES);
    if (map < 0 || pread(map, &entry, sizeof entry, (off_t)((uintptr_t)area.at / PAGE * 8)) != sizeof entry)
        die("no page map");
    close(map);
    area.physical = (entry & ((UINT64_C(1) << 55) - 1)) * PAGE;
    if (!area.physical)
        die("the page map shows no addresses");
    return area;
}

uint64_t physical(const struct area *area, const volatile void *at)
{
    return area->physical + (uint64_t)((const volatile uint8_t *)at - area->at);
}

/* PCI. */

static unsigned read_number(const char *folder, const char *name)
{
    char path[340], text[32] = "";
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0)
        die("%s cannot be read", path);
    close(fd);
    return (unsigned)strtoul(text, NULL, 16);
}

static void write_text(const char *folder, const char *name, const char *text)
{
    char path[340];
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_WRONLY);
    if (fd < 0)
        return; /* no driver is bound */
    if (write(fd, text, strlen(text)) < 0)
        die("%s cannot be written", path);
    close(fd);
}

uint32_t config_get(const struct device *device, unsigned offset, unsigned size)
{
    uint32_t value = 0;

    if (pread(device->config, &value, size, offset) != (ssize_t)size)
        die("%s: configuration space at 0x%x cannot be read", device->name, offset);
    return value;
}

void config_put(const struct device *device, unsigned offset, unsigned size, uint32_t value)
{
    if (pwrite(device->config, &value, size, offset) != (ssize_t)size)
        die("%s: configuration space at 0x%x cannot be written", device->name, offset);
}

static void map_bars(struct device *device, const char *folder)
{
    char path[340];
    FILE *resources;
    unsigned long long first, last, flags;

    snprintf(path, sizeof path, "%s/resource", folder);
    resources = fopen(path, "r");
    for (unsigned n = 0; resources && n < 6; n++) {
        struct region *bar = &device->bars[n];
        void *at;
        int fd;

        if (fscanf(resources, "%llx %llx %llx", &first, &last, &flags) != 3)
            break;
        if (!last || (flags & 0x100)) /* none, or ports */
            continue;
        snprintf(path, sizeof path, "%s/resource%u", folder, n);
        fd = open(path, O_RDWR | O_SYNC);
        bar->length = (uint32_t)(last - first + 1);
        at = fd < 0 ? MAP_FAILED : mmap(NULL, bar->length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            die("%s cannot be mapped", path);
        bar->at = at;
        close(fd);
    }
    if (resources)
        fclose(resources);
}

static struct region inside(const struct device *device, unsigned bar, uint32_t offset, uint32_t length)
{
    if (bar >= 6 || !device->bars[bar].at || offset > device->bars[bar].length ||
        length > device->bars[bar].length - offset)
        die("%s: a capability names %u bytes at 0x%x of BAR %u", device->name, length, offset, bar);
    return (struct region){device->bars[bar].at + offset, length};
}

/* 4.1.4: one vendor capability for each structure. */
static void take_capability(struct device *device, unsigned at)
{
    struct region *const structures[] = {NULL, &device->common, &device->notify, &device->isr, &device->specific};
    unsigned type = config_get(device, at + 3, 1), bar = config_get(device, at + 4, 1);

    if (type == 5)
        device->window = at;
    if (type < 1 || type > 4 || structures[type]->at)
        return;
    if (type == 1)
        device->window_bar = bar;
    *structures[type] = inside(device, bar, config_get(device, at + 8, 4), config_get(device, at + 12, 4));
    if (type == 2)
        device->notify_multiplier = config_get(device, at + 16, 4);
}

static void take_msix(struct device *device, unsigned at)
{
    uint32_t table = config_get(device, at + 4, 4), pending = config_get(device, at + 8, 4);

    device->msix = at;
    device->vectors = (config_get(device, at + 2, 2) & 0x7FF) + 1;
    device->msix_table = inside(device, table & 7, table & ~7U, device->vectors * 16);
    device->msix_pba = inside(device, pending & 7, pending & ~7U, (device->vectors + 63) / 64 * 8);
}

static void take_over(struct device *device, const char *folder, const char *slot)
{
    char path[340];
    unsigned at, bus, number, function;

    if (sscanf(slot, "%*x:%x:%x.%x", &bus, &number, &function) != 3)
        die("%s is no PCI address", slot);
    device->place = bus << 16 | number << 11 | function << 8;

    write_text(folder, "driver/unbind", slot);
    write_text(folder, "enable", "1");
    snprintf(path, sizeof path, "%s/config", folder);
    device->config = open(path, O_RDWR);
    if (device->config < 0)
        die("%s cannot be opened", path);
    config_put(device, PCI_COMMAND, 2, config_get(device, PCI_COMMAND, 2) | COMMAND_WANTED);
    map_bars(device, folder);
    at = config_get(device, 0x34, 1);
    for (unsigned n = 0; at && n < 48; n++, at = config_get(device, at + 1, 1)) {
        unsigned id = config_get(device, at, 1);

        if (id == 0x09)
            take_capability(device, at);
        if (id == 0x11)
            take_msix(device, at);
    }
}

bool function_open(struct device *device, unsigned vendor, unsigned number, unsigned n, const char *name)
{
    struct dirent **entries;
    int count = scandir(PCI_DEVICES, &entries, NULL, alphasort);
    bool found = false;

    *device = (struct device){0};
    snprintf(device->name, sizeof device->name, "%s", name);
    for (int i = 0; i < count; i++) {
        char folder[300];

        snprintf(folder, sizeof folder, "%s/%s", PCI_DEVICES, entries[i]->d_name);
        if (!found && entries[i]->d_name[0] != '.' && read_number(folder, "vendor") == vendor &&
            read_number(folder, "device") == number && n-- == 0) {
            take_over(device, folder, entries[i]->d_name);
            found = true;
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return found;
}

bool device_open(struct device *device, unsigned number, unsigned n, const char *name)
{
    if (!function_open(device, 0x1AF4, number, n, name))
        return false;
    if (!device->common.at || !device->notify.at || !device->isr.at || !device->window || !device->msix)
        die("%s: a capability is missing", device->name);
    return true;
}

/* Registers. One instruction each, which the compiler may neither split nor merge. */

uint64_t mmio_get(volatile uint8_t *at, unsigned size)
{
    uint64_t value = 0;

    if (size == 1)
        __asm__ volatile("movzbl %1, %k0" : "=r"(value) : "m"(*at) : "memory");
    else if (size == 2)
        __asm__ volatile("movzwl %1, %k0" : "=r"(value) : "m"(*at) : "memory");
    else if (size == 4)
        __asm__ volatile("movl %1, %k0" : "=r"(value) : "m"(*at) : "memory");
    else
        __asm__ volatile("movq %1, %0" : "=r"(value) : "m"(*at) : "memory");
    return value;
}

void mmio_put(volatile uint8_t *at, unsigned size, uint64_t value)
{
    if (size == 1)
        __asm__ volatile("movb %b1, %0" : "=m"(*at) : "q"(value) : "memory");
    else if (size == 2)
        __asm__ volatile("movw %w1, %0" : "=m"(*at) : "r"(value) : "memory");
    else if (size == 4)
        __asm__ volatile("movl %k1, %0" : "=m"(*at) : "r"(value) : "memory");
    else
        __asm__ volatile("movq %1, %0" : "=m"(*at) : "r"(value) : "memory");
}

uint64_t common_get(const struct device *device, unsigned offset, unsigned size)
{
    return mmio_get(device->common.at + offset, size);
}

void common_put(const struct device *device, unsigned offset, unsigned size, uint64_t value)
{
    mmio_put(device->common.at + offset, size, value);
}

unsigned device_status(const struct device *device)
{
    return (unsigned)common_get(device, C_STATUS, 1);
}

void device_reset(const struct device *device)
{
    double end = seconds_now() + WAIT_SECONDS;

    common_put(device, C_STATUS, 1, 0);
    while (device_status(device))
        if (seconds_now() > end)
            die("%s: status is 0x%x after a reset", device->name, device_status(device));
}

void device_negotiate(const struct device *device, uint32_t features)
{
    device_reset(device);
    common_put(device, C_STATUS, 1, 1);
    common_put(device, C_STATUS, 1, 3);
    common_put(device, C_DRIVER_FEATURE_SELECT, 4, 0);
    common_put(device, C_DRIVER_FEATURE, 4, features);
    common_put(device, C_DRIVER_FEATURE_SELECT, 4, 1);
    common_put(device, C_DRIVER_FEATURE, 4, 1);
    common_put(device, C_STATUS, 1, 11);
    if (device_status(device) != 11)
        die("%s: status is 0x%x instead of FEATURES_OK", device->name, device_status(device));
}

void device_ready(const struct device *device)
{
    common_put(device, C_STATUS, 1, STATUS_READY);
}

/* Queues. */

void queue_place(struct queue *queue, struct device *device, unsigned number, unsigned size, const struct area *area,
                 unsigned at)
{
    uint8_t *pages = area->at + at;

    memset(pages, 0, (size_t)3 * PAGE);
    *queue = (struct queue){.device = device,
                            .number = number,
                            .size = size,
                            .descriptors = (volatile struct descriptor *)pages,
                            .available = (volatile uint16_t *)(pages + PAGE),
                            .used = pages + (size_t)2 * PAGE,
                            .descriptors_at = physical(area, pages),
                            .available_at = physical(area, pages + PAGE),
                            .used_at = physical(area, pages + (size_t)2 * PAGE)};
    common_put(device, C_QUEUE_SELECT, 2, number);
    queue->doorbell = device->notify.at + common_get(device, C_QUEUE_NOTIFY_OFF, 2) * device->notify_multiplier;
}

void queue_enable(const struct queue *queue)
{
    const struct device *device = queue->device;

    common_put(device, C_QUEUE_SELECT, 2, queue->number);
    common_put(device, C_QUEUE_SIZE, 2, queue->size);
    common_put(device, C_QUEUE_DESC, 4, (uint32_t)queue->descriptors_at);
    common_put(device, C_QUEUE_DESC + 4, 4, queue->descriptors_at >> 32);
    common_put(device, C_QUEUE_DRIVER, 4, (uint32_t)queue->available_at);
    common_put(device, C_QUEUE_DRIVER + 4, 4, queue->available_at >> 32);
    common_put(device, C_QUEUE_DEVICE, 4, (uint32_t)queue->used_at);
    common_put(device, C_QUEUE_DEVICE + 4, 4, queue->used_at >> 32);
    common_put(device, C_QUEUE_ENABLE, 2, 1);
}

void queue_describe(const struct queue *queue, unsigned n, uint64_t address, uint32_t length, unsigned flags,
                    unsigned next)
{
    queue->descriptors[n].address = address;
    queue->descriptors[n].length = length;
    queue->descriptors[n].flags = (uint16_t)flags;
    queue->descriptors[n].next = (uint16_t)next;
}

void queue_set_index(struct queue *queue, uint16_t index)
{
    queue->index = index;
    __atomic_store_n(&queue->available[1], index, __ATOMIC_RELEASE);
}

void queue_add(struct queue *queue, unsigned head)
{
    queue->available[2 + queue->index % queue->size] = (uint16_t)head;
    queue_set_index(queue, (uint16_t)(queue->index + 1));
}

void queue_kick(const struct queue *queue)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    mmio_put(queue->doorbell, 2, queue->number);
}

uint16_t queue_used(const struct queue *queue)
{
    return __atomic_load_n((const volatile uint16_t *)(const volatile void *)(queue->used + 2), __ATOMIC_ACQUIRE);
}

struct used_element queue_element(const struct queue *queue, uint16_t n)
{
    const volatile uint32_t *element = (const volatile uint32_t *)(queue->used + 4 + (size_t)(n % queue->size) * 8);

    return (struct used_element){element[0], element[1]};
}

enum outcome queue_wait(const struct queue *queue, double seconds)
{
    double end = seconds_now() + seconds;

    do {
        for (unsigned n = 0; n < 100; n++) {
            if (queue_used(queue) == queue->index)
                return SERVED;
            usleep(n / 10);
        }
        /* A register costs an exit, so it is asked seldom. */
        if (device_status(queue->device) & STATUS_NEEDS_RESET)
            return BROKEN;
    } while (seconds_now() < end);
    return SILENT;
}

const char *outcome_name(enum outcome outcome)
{
    return outcome == SERVED ? "served" : outcome == BROKEN ? "broken" : "silent";
}
