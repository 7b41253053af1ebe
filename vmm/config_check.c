/* The configuration against the host: what is missing, in use, or does not fit. Nothing is created or changed here. */
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/firmware.h"
#include "casement/memory.h"
#include "config.h"
#include "control.h"
#include "host_memory.h"
#include "network/network.h"
#include "share/share.h"
#include "viewer/rfb_port.h"
#include "viewer/secret.h"
#include "viewer/tls.h"
#include "viewer/web.h"

static int check_memory(const struct config *config, struct error *error)
{
    const uint64_t mebibytes = config->memory / (uint64_t)MiB;
    uint64_t page, available = config->huge_pages ? host_memory_huge("", &page) : host_memory_available("");

    if (config->memory % (uint64_t)MiB)
        return error_set(error, EINVAL, "--memory: %" PRIu64 " bytes are not a multiple of 2 MiB; give %" PRIu64 "M",
                         config->memory, (mebibytes / 2 + 1) * 2);
    if (config->memory % (2 * MiB))
        return error_set(error, EINVAL, "--memory %" PRIu64 "M: not a multiple of 2 MiB; give %" PRIu64 "M", mebibytes,
                         mebibytes + 1);
    if (config->memory <= available)
        return 0;
    if (config->huge_pages)
        return error_set(error, ENOMEM,
                         "--huge-pages: %" PRIu64 "M are free in the pool of huge pages and --memory is %" PRIu64
                         "M; `sysctl vm.nr_hugepages=%" PRIu64 "` on the host, or leave it out",
                         available / (uint64_t)MiB, mebibytes,
                         page ? (config->memory + page - 1) / page : config->memory / (uint64_t)(2 * MiB));
    return error_set(error, ENOMEM,
                     "--memory %" PRIu64 "M: the host has %" PRIu64 "M to give; ask for less or free some memory",
                     mebibytes, available / (uint64_t)MiB);
}

/* A file that is written or made: it is none that cannot be, and its folder is there. The state folder may come later.
 */
static int check_output(const struct config *config, const char *option, const char *path, struct error *error)
{
    size_t folder = strlen(path) - strlen(strrchr(path, '/') ? strrchr(path, '/') : path);
    char *parent = NULL;
    struct stat info;
    int failed = 0;

    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return error_set(error, EISDIR, "%s %s: is a folder; name a file in it", option, path);
        if (access(path, W_OK) < 0)
            return error_set(error, errno, "%s %s: %s; name a file that is writable", option, path, strerror(errno));
        return 0;
    }
    if (errno != ENOENT)
        return error_set(error, errno, "%s %s: %s; name a file in a folder that is writable", option, path,
                         strerror(errno));
    if (strlen(config->state) == folder && !strncmp(path, config->state, folder))
        return 0;
    if (asprintf(&parent, "%.*s", folder ? (int)folder : 1, folder ? path : *path == '/' ? "/" : ".") < 0)
        return error_set(error, ENOMEM, "configuration: out of memory");
    if (access(parent, W_OK | X_OK) < 0)
        failed = error_set(error, errno, "%s %s: its folder: %s; name a file in a folder that is writable", option,
                           path, strerror(errno));
    free(parent);
    return failed;
}

static int check_outputs(const struct config *config, struct error *error)
{
    bool file = strcmp(config->serial, "stdio") != 0 && strcmp(config->serial, "none") != 0;
    int failed = file ? check_output(config, "--serial", config->serial, error) : 0;

    if (failed == 0 && config->screenshot)
        failed = check_output(config, "--screenshot", config->screenshot, error);
    if (failed == 0 && config->vars)
        failed = check_output(config, "--vars", config->vars, error);
    if (failed == 0)
        failed = check_output(config, "--control", config->control, error);
    return failed;
}

struct use {
    const char *option, *path;
    bool written;
};

/* Two names for one place: by what they lead to, or, when nothing is there yet, by the name. */
static bool same_file(const char *one, const char *other)
{
    struct stat a, b;
    bool found = stat(one, &a) == 0;

    if (found != (stat(other, &b) == 0))
        return false;
    if (!found)
        return !strcmp(one, other);
    if (S_ISBLK(a.st_mode) && S_ISBLK(b.st_mode))
        return a.st_rdev == b.st_rdev;
    return !S_ISCHR(a.st_mode) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int check_shared_files(const struct config *config, struct error *error)
{
    struct use uses[2 * CONFIG_DISKS + 8];
    size_t count = 0;

#define USE(name, file, writes) uses[count++] = (struct use){name, file, writes}
    USE("--firmware", config->firmware, false);
    USE("--vars-template", config->vars_template, false);
    USE("--kernel", config->kernel, false);
    USE("--initrd", config->initrd, false);
    USE("--vars", config->vars, true);
    for (unsigned n = 0; n < config->disk_count; n++)
        USE("--disk backing", config->disks[n].backing, false);
    for (unsigned n = 0; n < config->disk_count; n++)
        USE(config->disks[n].cdrom ? "--cdrom" : "--disk", config->disks[n].path, !config->disks[n].read_only);
    USE("--serial", config->serial, true);
    USE("--screenshot", config->screenshot, true);
    USE("--control", config->control, true);
#undef USE
    for (size_t n = 0; n < count; n++)
        for (size_t other = 0; other < n; other++)
            if (uses[n].path && uses[other].path && (uses[n].written || uses[other].written) &&
                same_file(uses[n].path, uses[other].path))
                return error_set(error, EINVAL, "%s %s: the same file as %s %s; give each its own", uses[n].option,
                                 uses[n].path, uses[other].option, uses[other].path);
    return 0;
}

/* The kernel and its RAM disk are loaded once for nothing, which says all that can be wrong with them. */
static int check_kernel(const struct config *config, struct error *error)
{
    const struct kernel_options options = {
        .kernel = config->kernel, .initrd = config->initrd, .command_line = config->append};
    const struct memory_options ram = {.size = config->memory};
    struct kernel_entry entry;
    struct memory *memory;
    int failed = memory_create(&ram, &memory, error);

    if (failed < 0)
        return failed;
    failed = kernel_load(memory, &options, &entry, error);
    memory_destroy(memory);
    return failed;
}

static int check_boot(const struct config *config, struct error *error)
{
    const struct flash_options flash = {
        .code_path = config->firmware, .vars_path = config->vars, .vars_template = config->vars_template};

    if (config->kernel)
        return check_kernel(config, error);
    if (!config->firmware)
        return error_set(error, ENOENT,
                         "--firmware: no OVMF found in its usual places; install the package ovmf or name "
                         "the file with --firmware FILE");
    if (!config->vars_template)
        return error_set(error, EINVAL, "--firmware %s: no variables template known for it; give --vars-template FILE",
                         config->firmware);
    return flash_check(&flash, error);
}

/* Opened and locked as the machine does it, and let go again. */
static int check_disks(const struct config *config, struct error *error)
{
    for (unsigned n = 0; n < config->disk_count; n++) {
        const struct config_disk *disk = &config->disks[n];
        struct block_options options, backing;
        struct block *block;
        int failed;

        config_disk_image(disk, &options, &backing);
        options.read_only |= disk->format == BLOCK_FORMAT_QCOW2; /* opening one for writing may mend it: not yet */
        failed = block_open(&options, &block, error);

        if (failed < 0)
            return failed;
        block_close(block);
    }
    return 0;
}

static int check_shares(const struct config *config, struct error *error)
{
    int failed = 0;

    for (unsigned n = 0; n < config->share_count && failed == 0; n++)
        failed = share_check(&(const struct share_options){.folder = config->shares[n],
                                                           .state = config->state,
                                                           .read_only = config->share_read_only},
                             error);
    return failed;
}

int config_read_vnc_password(const struct config *config, char *password, size_t size, struct error *error)
{
    return secret_line("--vnc-password-file", config->vnc_password_file, password, size, NULL, error);
}

/* The port is taken for a moment. */
static int check_vnc(const struct config *config, struct error *error)
{
    char password[256];
    int failed;

    if (!config->vnc_address)
        return 0;
    failed = config_read_vnc_password(config, password, sizeof password, error);
    explicit_bzero(password, sizeof password);
    if (failed == 0)
        failed = rfb_port_open(config->vnc_address, config->vnc_port, error);
    if (failed < 0)
        return failed;
    close(failed);
    return 0;
}

static int check_secret(const struct config *config, struct error *error)
{
    char *password = NULL, token[ACCESS_TEXT];
    bool ignored;
    int failed = 0;

    if (config->access == ACCESS_PASSWORD)
        failed = secret_password(config->web_password_file, &password, &ignored, error);
    else if (config->access == ACCESS_TOKEN && access(config->web_token_file, F_OK) == 0)
        failed = secret_token(config->web_token_file, token, &ignored, error);
    if (password)
        OPENSSL_cleanse(password, strlen(password));
    free(password);
    OPENSSL_cleanse(token, sizeof token);
    return failed;
}

/* The port is taken for a moment. */
static int check_web(const struct config *config, struct error *error)
{
    int failed = 0, fd;

    if (!config->web_port)
        return 0;
    failed = check_secret(config, error);
    if (failed == 0 && config->web_tls && !config->web_self_signed)
        failed = tls_check(config->web_cert, config->web_key, error);
    if (failed < 0)
        return failed;
    fd = web_listen("--web", config->web_address, config->web_port, error);
    if (fd >= 0)
        close(fd);
    return MIN(fd, 0);
}

int config_check(const struct config *config, struct error *error)
{
    static int (*const checks[])(const struct config *, struct error *) = {
        check_memory, state_check,   check_shared_files, check_outputs, check_disks,
        check_boot,   network_check, check_shares,       check_vnc,     check_web,
    };
    int failed = 0;

    for (size_t n = 0; n < ARRAY_SIZE(checks) && failed == 0; n++)
        failed = checks[n](config, error);
    return failed == 0 ? control_check(config->control, error) : failed;
}
