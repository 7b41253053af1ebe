/*
 * Flash: code that is read-only memory, and variables that speak the Intel command set and persist in a file of the
 * machine's own (platform contract 1.1). Reads of the variables never exit while the device is in array mode: they hit
 * a read-only slot that is the mapped file. Writes exit, and only a command that changes what reads return takes the
 * slot away.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/file.h"
#include "casement/firmware.h"
#include "casement/log.h"

#define FLASH_END UINT64_C(0x100000000)
#define ERASE_BLOCK 4096U
/* Written back this long after the last change; what a killed process wrote is in the page cache in any case. */
#define SYNC_DELAY_NS INT64_C(1000000000)

enum command {
    ARRAY = 0xFF,
    PROGRAM = 0x10,
    PROGRAM_OTHER = 0x40,
    ERASE = 0x20,
    ERASE_CONFIRM = 0xD0,
    CLEAR_STATUS = 0x50,
    READ_STATUS = 0x70,
    READ_ID = 0x90,
    READ_QUERY = 0x98,
};
#define STATUS_READY 0x80
#define STATUS_SEQUENCE_ERROR 0x30 /* erase and program error together: the command was wrong */

/* What the guest can observe; the array is the file. */
struct flash_state {
    uint8_t command; /* whose second byte is awaited, or what reads return */
    uint8_t status;
};

struct flash {
    struct device device;
    struct board *board;
    pthread_mutex_t lock;
    struct flash_state state;
    struct vm_slot code_slot, vars_slot;
    struct bus_region code_region, vars_region;
    uint8_t *vars;
    int vars_fd;
    struct loop_timer sync;
};

static bool reads_array(const struct flash *flash)
{
    uint8_t command = flash->state.command;

    return command != READ_STATUS && command != READ_ID && command != READ_QUERY;
}

/* The slot is there exactly while reads return the array. With the lock held. */
static void map_for_mode(struct flash *flash)
{
    bool mapped = flash->vars_slot.number >= 0;

    if (reads_array(flash) == mapped)
        return;
    if (mapped)
        vm_slot_remove(flash->board->vm, &flash->vars_slot);
    else if (vm_slot_add(flash->board->vm, &flash->vars_slot) < 0)
        log_error("flash: KVM does not map the variables again; they are read the slow way");
}

/* Only while the slot is off: status, identity, query, or, if KVM refused the slot, the array. */
static uint64_t vars_read(void *opaque, uint64_t offset, unsigned size)
{
    struct flash *flash = opaque;
    uint64_t value;

    pthread_mutex_lock(&flash->lock);
    if (flash->state.command == READ_STATUS)
        value = flash->state.status * UINT64_C(0x0101010101010101);
    else if (flash->state.command == READ_ID)
        value = (offset & 1 ? 0x18 : 0x89) * UINT64_C(0x0101010101010101);
    else if (flash->state.command == READ_QUERY)
        value = offset - 0x10 < 3 ? (uint8_t) "QRY"[offset - 0x10] : 0; /* no more than that it is a CFI chip */
    else
        value = get_le(flash->vars + offset, size);
    pthread_mutex_unlock(&flash->lock);
    return value;
}

static void changed(struct flash *flash)
{
    flash->state.status |= STATUS_READY;
    loop_timer_set(flash->board->loop, &flash->sync, clock_ns() + SYNC_DELAY_NS);
}

/* The byte after a command that takes one. true: it was such a byte. */
static bool second_byte(struct flash *flash, uint64_t offset, uint8_t value)
{
    switch (flash->state.command) {
    case PROGRAM:
    case PROGRAM_OTHER:
        flash->vars[offset] = value;
        break;
    case ERASE:
        if (value == ERASE_CONFIRM)
            memset(flash->vars + (offset & ~(uint64_t)(ERASE_BLOCK - 1)), 0xFF, ERASE_BLOCK);
        else
            flash->state.status |= STATUS_SEQUENCE_ERROR;
        break;
    default:
        return false;
    }
    changed(flash);
    flash->state.command = ARRAY;
    return true;
}

static void command(struct flash *flash, uint8_t value)
{
    switch (value) {
    case CLEAR_STATUS:
        flash->state.status = 0;
        flash->state.command = ARRAY;
        break;
    case PROGRAM:
    case PROGRAM_OTHER:
    case ERASE:
    case READ_STATUS:
    case READ_ID:
    case READ_QUERY:
        flash->state.command = value;
        break;
    default: /* 0xFF, and whatever this chip has not */
        flash->state.command = ARRAY;
    }
}

static void vars_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct flash *flash = opaque;

    pthread_mutex_lock(&flash->lock);
    for (unsigned n = 0; n < size; n++)
        if (!second_byte(flash, offset + n, (uint8_t)(value >> (8 * n))))
            command(flash, (uint8_t)(value >> (8 * n)));
    map_for_mode(flash);
    pthread_mutex_unlock(&flash->lock);
}

static uint64_t code_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct flash *flash = opaque;

    return get_le((const uint8_t *)flash->code_slot.host + offset, size);
}

/* Code is read-only memory: a write is lost. */
static void code_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    (void)opaque, (void)offset, (void)size, (void)value;
}

static const struct bus_ops vars_ops = {vars_read, vars_write};
static const struct bus_ops code_ops = {code_read, code_write};

static void sync_expired(void *opaque)
{
    struct flash *flash = opaque;

    /* Starts the write-back and returns (MS_ASYNC starts nothing); where a file system has not got it, the host writes
     * the pages back in its own time. */
    sync_file_range(flash->vars_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static void reset(struct device *device)
{
    struct flash *flash = container_of(device, struct flash, device);

    pthread_mutex_lock(&flash->lock);
    flash->state = (struct flash_state){.command = ARRAY};
    map_for_mode(flash);
    pthread_mutex_unlock(&flash->lock);
}

static void destroy(struct device *device)
{
    struct flash *flash = container_of(device, struct flash, device);

    loop_timer_remove(flash->board->loop, &flash->sync);
    bus_remove(flash->board->bus, &flash->vars_region);
    bus_remove(flash->board->bus, &flash->code_region);
    vm_slot_remove(flash->board->vm, &flash->vars_slot);
    vm_slot_remove(flash->board->vm, &flash->code_slot);
    if (flash->vars) {
        if (msync(flash->vars, flash->vars_slot.size, MS_SYNC) < 0)
            log_error("UEFI variables: the last changes are not on the disk: %s", strerror(errno));
        munmap(flash->vars, flash->vars_slot.size);
    }
    if (flash->code_slot.host)
        munmap(flash->code_slot.host, flash->code_slot.size);
    if (flash->vars_fd >= 0)
        close(flash->vars_fd);
    pthread_mutex_destroy(&flash->lock);
    free(flash);
}

static int open_code(const char *path, uint64_t *size, struct error *error)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC), failed;

    if (fd < 0 || fstat(fd, &info) < 0) {
        failed = error_set(error, errno, "--firmware %s: %s; install the package ovmf or name another file", path,
                           strerror(errno));
        if (fd >= 0)
            close(fd);
        return failed;
    }
    *size = (uint64_t)info.st_size;
    if (S_ISREG(info.st_mode) && *size && *size % 4096 == 0 && *size <= 8 * MiB)
        return fd;
    close(fd);
    if (!S_ISREG(info.st_mode))
        return error_set(error, EINVAL, "--firmware %s: is not a file; name one such as OVMF_CODE_4M.fd", path);
    return error_set(error, EINVAL, "--firmware %s: %" PRIu64 " bytes are no flash image; use OVMF_CODE_4M.fd", path,
                     *size);
}

static int map_code(struct flash *flash, const char *path, struct error *error)
{
    uint64_t size = 0;
    void *host;
    int fd = open_code(path, &size, error);

    if (fd < 0)
        return fd;
    host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    close(fd);
    if (host == MAP_FAILED)
        return error_set(error, errno, "--firmware %s: cannot be mapped: %s", path, strerror(errno));
    flash->code_slot =
        (struct vm_slot){.gpa = FLASH_END - size, .size = size, .host = host, .read_only = true, .number = -1};
    return 0;
}

static int copy_file(int from, int to)
{
    uint8_t buffer[65536];
    ssize_t count;
    int failed = 0;

    while (failed == 0 && (count = read(from, buffer, sizeof buffer)) != 0)
        failed = count < 0 ? -errno : file_write(to, buffer, (size_t)count);
    return failed == 0 && fsync(to) < 0 ? -errno : failed;
}

/* Code and variables fill a chip of 4 MiB, or of 2 MiB in old releases. */
static bool fits_code(uint64_t code_size, uint64_t size)
{
    uint64_t total = code_size + size;

    return size > 0 && size % 4096 == 0 && (total == 4 * MiB || total == 2 * MiB);
}

static int open_template(const char *path, uint64_t code_size, struct error *error)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC), failed;

    if (fd < 0 || fstat(fd, &info) < 0)
        failed = error_set(error, errno, "--vars-template %s: %s; install the package ovmf or name another file", path,
                           strerror(errno));
    else if (!S_ISREG(info.st_mode) || !fits_code(code_size, (uint64_t)info.st_size))
        failed = error_set(error, EINVAL,
                           "--vars-template %s: %" PRIdMAX " bytes do not fit this firmware (%" PRIu64
                           " bytes); name the variables that come with it, such as OVMF_VARS_4M.fd for "
                           "OVMF_CODE_4M.fd",
                           path, (intmax_t)info.st_size, code_size);
    else
        return fd;
    if (fd >= 0)
        close(fd);
    return failed;
}

/* For file systems that cannot rename without replacing: whoever makes the file writes it, and a second machine finds
 * it locked or incomplete and gives up. */
static int write_exclusively(int from, const char *path)
{
    int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), failed;

    if (to < 0)
        return -errno;
    failed = lseek(from, 0, SEEK_SET) < 0 ? -errno : copy_file(from, to);
    if (failed < 0)
        unlink(path);
    close(to);
    return failed;
}

/* New variables appear whole or not at all: a temporary file beside them that gets the name unless it is taken by
 * then. */
static int make_vars(const struct flash *flash, const struct flash_options *options, struct error *error)
{
    char temporary[4096];
    int from = open_template(options->vars_template, flash->code_slot.size, error), to, failed;

    if (from < 0)
        return from;
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", options->vars_path);
    to = mkostemp(temporary, O_CLOEXEC);
    failed = to < 0 ? -errno : copy_file(from, to);
    if (failed == 0 && renameat2(AT_FDCWD, temporary, AT_FDCWD, options->vars_path, RENAME_NOREPLACE) < 0)
        failed = errno == EINVAL || errno == ENOSYS ? write_exclusively(from, options->vars_path) : -errno;
    if (failed == -EEXIST)
        failed = 0;
    if (to >= 0) {
        unlink(temporary);
        close(to);
    }
    close(from);
    if (failed == 0)
        file_sync_folder(options->vars_path);
    return failed < 0
               ? error_set(error, -failed, "--vars %s: cannot be made: %s; name a file in a folder that is writable",
                           options->vars_path, strerror(-failed))
               : 0;
}

static int lock_vars(int fd, const char *path, struct error *error)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno == EAGAIN || errno == EACCES)
        return error_set(error, EBUSY, "--vars %s: in use by another machine; give this one its own --vars or --state",
                         path);
    return error_set(error, errno, "--vars %s: cannot be locked: %s; put it on a file system that has locks", path,
                     strerror(errno));
}

/* Locked, and of a size that fits. */
static int open_vars(const char *path, uint64_t code_size, uint64_t *size, struct error *error)
{
    struct stat info = {0};
    int fd = open(path, O_RDWR | O_CLOEXEC), failed;

    if (fd < 0 || fstat(fd, &info) < 0)
        failed = error_set(error, errno, "--vars %s: %s; make it writable or name another file", path, strerror(errno));
    else
        failed = lock_vars(fd, path, error);
    if (failed == 0 && !fits_code(code_size, (uint64_t)info.st_size))
        failed = error_set(error, EINVAL,
                           "--vars %s: %" PRIdMAX " bytes do not fit this firmware (%" PRIu64
                           " bytes); name variables made for it, or move the file away and a new one is made",
                           path, (intmax_t)info.st_size, code_size);
    if (failed == 0) {
        *size = (uint64_t)info.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return failed;
}

static int map_vars(struct flash *flash, const struct flash_options *options, struct error *error)
{
    const char *path = options->vars_path;
    uint64_t size = 0;
    void *host;
    int failed = 0;

    if (access(path, F_OK) < 0)
        failed = make_vars(flash, options, error);
    if (failed < 0)
        return failed;
    flash->vars_fd = open_vars(path, flash->code_slot.size, &size, error);
    if (flash->vars_fd < 0)
        return flash->vars_fd;
    host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, flash->vars_fd, 0);
    if (host == MAP_FAILED)
        return error_set(error, errno, "--vars %s: cannot be mapped: %s", path, strerror(errno));
    flash->vars = host;
    flash->vars_slot = (struct vm_slot){
        .gpa = flash->code_slot.gpa - size, .size = size, .host = host, .read_only = true, .number = -1};
    return 0;
}

int flash_check(const struct flash_options *options, struct error *error)
{
    uint64_t code_size = 0, size = 0;
    int fd = open_code(options->code_path, &code_size, error);

    if (fd < 0)
        return fd;
    close(fd);
    if (access(options->vars_path, F_OK) == 0)
        fd = open_vars(options->vars_path, code_size, &size, error);
    else
        fd = open_template(options->vars_template, code_size, error);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static int attach(struct flash *flash)
{
    struct board *board = flash->board;
    int failed;

    flash->code_region = (struct bus_region){.name = "firmware code",
                                             .space = BUS_MMIO,
                                             .base = flash->code_slot.gpa,
                                             .size = flash->code_slot.size,
                                             .ops = &code_ops,
                                             .device = flash,
                                             .priority = 2};
    flash->vars_region = (struct bus_region){.name = "UEFI variables",
                                             .space = BUS_MMIO,
                                             .base = flash->vars_slot.gpa,
                                             .size = flash->vars_slot.size,
                                             .ops = &vars_ops,
                                             .device = flash,
                                             .priority = 2};
    failed = vm_slot_add(board->vm, &flash->code_slot);
    if (failed == 0)
        failed = vm_slot_add(board->vm, &flash->vars_slot);
    if (failed == 0)
        failed = bus_add(board->bus, &flash->code_region);
    if (failed == 0)
        failed = bus_add(board->bus, &flash->vars_region);
    return failed;
}

int flash_create(struct board *board, const struct flash_options *options, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    struct flash *flash = calloc(1, sizeof *flash);
    int failed;

    if (!flash)
        return error_set(error, ENOMEM, "flash: out of memory");
    flash->device = (struct device){.name = "flash", .ops = &ops};
    flash->board = board;
    flash->vars_fd = -1;
    flash->state.command = ARRAY;
    flash->code_slot.number = flash->vars_slot.number = -1;
    flash->sync = (struct loop_timer){.expired = sync_expired, .opaque = flash};
    pthread_mutex_init(&flash->lock, NULL);
    failed = map_code(flash, options->code_path, error);
    if (failed == 0)
        failed = map_vars(flash, options, error);
    if (failed == 0) {
        failed = attach(flash);
        if (failed < 0)
            error_set(error, -failed, "flash: KVM refuses it: %s", strerror(-failed));
    }
    if (failed < 0) {
        destroy(&flash->device);
        return failed;
    }
    board_add(board, &flash->device);
    return 0;
}
