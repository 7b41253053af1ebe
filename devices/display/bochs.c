/* A bochs-display function: video memory that the guest maps, a dozen registers, EDID (platform contract 5.2). */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "casement/bytes.h"
#include "casement/display.h"
#include "casement/pci.h"
#include "edid.h"
#include "png.h"

enum { VIDEO_BAR = 0, REGISTERS_BAR = 2 };
#define REGISTERS_SIZE 4096
#define EDID_AT 0x000
#define EDID_END 0x100
#define DISPI_AT 0x500
#define QEXT_AT 0x600

/* DISPI registers; the field's names. */
enum { ID, XRES, YRES, BPP, ENABLE, BANK, VIRT_WIDTH, VIRT_HEIGHT, X_OFFSET, Y_OFFSET, VIDEO_MEMORY, DISPI_COUNT };
#define DISPI_ID 0xB0C5
#define ENABLED 0x01
#define LINEAR 0x40
#define BYTES_PER_PIXEL 4U
#define LITTLE_ENDIAN_PIXELS 0x1E1E1E1E

#define MIN_MEMORY (4 * MiB)
#define MAX_MEMORY (256 * MiB)
#define DEFAULT_MEMORY (16 * MiB)

/* What the guest can observe, apart from video memory. */
struct display_state {
    uint16_t dispi[DISPI_COUNT];
};

struct display {
    struct device device;
    struct pci_function function;
    pthread_mutex_t lock;
    struct display_state state;
    uint8_t edid[EDID_BYTES];
    uint8_t *memory;
    uint64_t memory_size;
    _Atomic bool all_dirty; /* what the log does not know */
};

/* The scan-out that the registers describe; no size at all when it would not lie inside video memory. Lock held. */
static void scan_out(const struct display *display, struct display_mode *mode)
{
    const uint16_t *dispi = display->state.dispi;
    uint64_t stride = (uint64_t)dispi[VIRT_WIDTH] * BYTES_PER_PIXEL;
    uint64_t offset = ((uint64_t)dispi[Y_OFFSET] * dispi[VIRT_WIDTH] + dispi[X_OFFSET]) * BYTES_PER_PIXEL;

    *mode = (struct display_mode){0};
    if (!(dispi[ENABLE] & ENABLED) || dispi[BPP] != 32 || !dispi[XRES] || !dispi[YRES] ||
        dispi[XRES] > dispi[VIRT_WIDTH] ||
        offset + (dispi[YRES] - 1) * stride + (uint64_t)dispi[XRES] * BYTES_PER_PIXEL > display->memory_size)
        return;
    *mode = (struct display_mode){
        .width = dispi[XRES], .height = dispi[YRES], .offset = offset, .stride = (unsigned)stride};
}

static void write_dispi(struct display *display, unsigned index, uint16_t value)
{
    struct display_state before = display->state;
    struct display_mode mode;

    if (index == ID || index == VIDEO_MEMORY || index >= DISPI_COUNT)
        return;
    display->state.dispi[index] = value;
    /* The virtual width follows a resolution that is larger; firmware sets the two in either order. */
    if (index == XRES && value > display->state.dispi[VIRT_WIDTH])
        display->state.dispi[VIRT_WIDTH] = value;
    if (index == ENABLE && (value & ENABLED)) {
        scan_out(display, &mode);
        if (!mode.width)
            display->state = before;
    }
    if (memcmp(&before, &display->state, sizeof before) != 0)
        atomic_store(&display->all_dirty, true);
}

static uint16_t read_dispi(const struct display *display, unsigned index)
{
    return index < DISPI_COUNT ? display->state.dispi[index] : 0;
}

static uint8_t read_byte(const struct display *display, unsigned offset)
{
    if (offset < EDID_END)
        return offset < EDID_BYTES ? display->edid[offset] : 0;
    if (offset >= DISPI_AT && offset < DISPI_AT + 2 * DISPI_COUNT)
        return (uint8_t)(read_dispi(display, (offset - DISPI_AT) / 2) >> (8 * (offset & 1)));
    if (offset >= QEXT_AT && offset < QEXT_AT + 8) {
        uint8_t words[8];

        put_le32(words, 8);
        put_le32(words + 4, LITTLE_ENDIAN_PIXELS);
        return words[offset - QEXT_AT];
    }
    return 0xFF; /* the VGA ports that are not there */
}

static uint64_t registers_read(void *opaque, uint64_t offset, unsigned size)
{
    struct display *display = opaque;
    uint64_t value = 0;

    pthread_mutex_lock(&display->lock);
    for (unsigned n = 0; n < size; n++)
        value |= (uint64_t)read_byte(display, (unsigned)offset + n) << (8 * n);
    pthread_mutex_unlock(&display->lock);
    return value;
}

static void registers_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct display *display = opaque;

    /* The registers are 16 bits wide; a wider write is several of them, and a byte alone means nothing. */
    if (offset < DISPI_AT || (offset & 1) || size < 2)
        return;
    pthread_mutex_lock(&display->lock);
    for (unsigned n = 0; n < size; n += 2)
        write_dispi(display, (unsigned)(offset - DISPI_AT + n) / 2, (uint16_t)(value >> (8 * n)));
    pthread_mutex_unlock(&display->lock);
}

static const struct bus_ops registers_ops = {registers_read, registers_write};

void display_mode(struct display *display, struct display_mode *mode)
{
    pthread_mutex_lock(&display->lock);
    scan_out(display, mode);
    pthread_mutex_unlock(&display->lock);
}

const uint8_t *display_memory(const struct display *display)
{
    return display->memory;
}

uint64_t display_memory_size(const struct display *display)
{
    return display->memory_size;
}

bool display_dirty(struct display *display, uint64_t *bitmap)
{
    size_t words = (size_t)((display->memory_size / DISPLAY_PAGE + 63) / 64);
    bool all = atomic_exchange(&display->all_dirty, false), any = false;
    int result = pci_bar_dirty_log(&display->function, VIDEO_BAR, bitmap);

    if (all || (result < 0 && result != -ENOENT)) {
        memset(bitmap, 0xFF, words * sizeof *bitmap);
        return true;
    }
    if (result == -ENOENT)
        memset(bitmap, 0, words * sizeof *bitmap);
    for (size_t n = 0; n < words && !any; n++)
        any = bitmap[n] != 0;
    return any;
}

/* With the bus's lock held. The log of what was written at the last place is lost. */
static void video_moved(struct pci_function *function, unsigned bar, uint64_t address)
{
    struct display *display = container_of(function, struct display, function);

    (void)bar, (void)address;
    atomic_store(&display->all_dirty, true);
}

static const uint8_t black[640 * 480 * BYTES_PER_PIXEL];

int display_write_png(struct display *display, const char *path, struct error *error)
{
    struct display_mode mode;

    display_mode(display, &mode);
    if (mode.width)
        return png_write(path, display->memory + mode.offset, mode.width, mode.height, mode.stride, error);
    return png_write(path, black, 640, 480, 640 * BYTES_PER_PIXEL, error);
}

int display_png(struct display *display, uint8_t **png, size_t *size)
{
    struct display_mode mode;

    display_mode(display, &mode);
    if (mode.width)
        return png_write_memory(png, size, display->memory + mode.offset, mode.width, mode.height, mode.stride);
    return png_write_memory(png, size, black, 640, 480, 640 * BYTES_PER_PIXEL);
}

/* Nothing of the last system's picture is left: the guest has lost the BAR already, and fresh pages read 0. */
static void reset(struct device *device)
{
    struct display *display = container_of(device, struct display, device);

    pthread_mutex_lock(&display->lock);
    if (madvise(display->memory, display->memory_size, MADV_DONTNEED) < 0)
        memset(display->memory, 0, display->memory_size);
    display->state = (struct display_state){0};
    display->state.dispi[ID] = DISPI_ID;
    display->state.dispi[VIDEO_MEMORY] = (uint16_t)(display->memory_size / (64 * KiB));
    atomic_store(&display->all_dirty, true);
    pthread_mutex_unlock(&display->lock);
}

static void destroy(struct device *device)
{
    struct display *display = container_of(device, struct display, device);

    pci_function_remove(&display->function);
    if (display->memory)
        munmap(display->memory, display->memory_size);
    pthread_mutex_destroy(&display->lock);
    free(display);
}

static int add_function(struct board *board, struct display *display, int slot)
{
    const struct pci_identity identity = {0x1234, 0x1111, 0x1AF4, 0x1100, 2, 0x038000};
    const struct pci_bar video = {.type = PCI_BAR_MEMORY32,
                                  .prefetchable = true,
                                  .size = display->memory_size,
                                  .memory = display->memory,
                                  .moved = video_moved};
    const struct pci_bar registers = {
        .type = PCI_BAR_MEMORY32, .size = REGISTERS_SIZE, .region = {.ops = &registers_ops, .device = display}};
    int failed = pci_function_init(&display->function, "display", &identity);

    if (failed == 0)
        failed = pci_bar_add(&display->function, VIDEO_BAR, &video);
    if (failed == 0)
        failed = pci_bar_add(&display->function, REGISTERS_BAR, &registers);
    if (failed == 0)
        failed = pci_function_add(board->pci, &display->function, slot, 0);
    return failed;
}

/* The mode's own size rounded up to a power of two, at least 16 MiB. */
static int choose_memory(const struct display_options *options, uint64_t *result, struct error *error)
{
    uint64_t needed = (uint64_t)options->width * options->height * BYTES_PER_PIXEL;
    uint64_t size = options->memory ? options->memory : DEFAULT_MEMORY;

    if (options->width < DISPLAY_MIN_WIDTH || options->width > DISPLAY_MAX_WIDTH || options->width % 8 ||
        options->height < DISPLAY_MIN_HEIGHT || options->height > DISPLAY_MAX_HEIGHT)
        return error_set(error, EINVAL,
                         "display: %ux%u is not a size that the screen has; take one from %ux%u to %ux%u, the width a "
                         "multiple of 8",
                         options->width, options->height, DISPLAY_MIN_WIDTH, DISPLAY_MIN_HEIGHT, DISPLAY_MAX_WIDTH,
                         DISPLAY_MAX_HEIGHT);
    while (!options->memory && size < needed)
        size *= 2;
    if (size < MIN_MEMORY || size > MAX_MEMORY || (size & (size - 1)) || size < needed)
        return error_set(error, EINVAL,
                         "display: %" PRIu64 " bytes of video memory do not do for %ux%u; take a power of two from 4 "
                         "to 256 MiB that holds %" PRIu64 " bytes",
                         size, options->width, options->height, needed);
    *result = size;
    return 0;
}

int display_create(struct board *board, const struct display_options *options, struct display **result,
                   struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    struct display *display;
    uint64_t size = 0;
    int failed = choose_memory(options, &size, error);

    if (failed < 0)
        return failed;
    display = calloc(1, sizeof *display);
    if (!display)
        return error_set(error, ENOMEM, "display: out of memory");
    display->device = (struct device){.name = "display", .ops = &ops};
    display->memory_size = size;
    pthread_mutex_init(&display->lock, NULL);
    edid_make(display->edid, options->width, options->height);
    display->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (display->memory == MAP_FAILED) {
        display->memory = NULL;
        failed = -ENOMEM;
    } else {
        failed = add_function(board, display, options->slot);
    }
    if (failed < 0) {
        destroy(&display->device);
        return error_set(error, -failed, "display: no room on the PCI bus or no memory (error %d)", -failed);
    }
    reset(&display->device);
    board_add(board, &display->device);
    *result = display;
    return 0;
}
