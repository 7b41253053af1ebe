/* See fake_environment.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmocka_all.h"
#include "fake_environment.h"

#define DEVICE_MODE 0111

struct container_settings fake_settings = {.password = -1};
struct error fake_error;
const char fake_without_rights[] = "--net nat: a right is missing";
const char *fake_no_nat = fake_without_rights;
bool fake_six;
char fake_given[65536];
static bool devices; /* one was made */

/* A file of this mode is a block device to the code under test: real ones need a privilege. */
int stat64(const char *path, struct stat64 *info)
{
    int result = fstatat64(AT_FDCWD, path, info, 0);

    if (devices && result == 0 && S_ISREG(info->st_mode) && (info->st_mode & 0777) == DEVICE_MODE)
        info->st_mode = S_IFBLK | DEVICE_MODE;
    return result;
}

/* A file with its folders; a name that ends in a slash is a folder, and one that begins with * a device. */
void fake_make(const char *name)
{
    bool device = *name == '*', folder = name[strlen(name) - 1] == '/';
    char path[512];

    snprintf(path, sizeof path, "%s", fake_below(device ? name + 1 : name));
    for (char *slash = strchr(path + strlen(fake_folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    if (!folder)
        fake_text(path, "x");
    devices |= device;
    if (device)
        assert_int_equal(chmod(path, DEVICE_MODE), 0);
}

void fake_make_text(const char *name, const char *text)
{
    fake_make(name);
    fake_text(fake_below(name), text);
}

/* In a container with 8 processors, the time of 4, and 8 GiB of memory. */
void fake_container(void)
{
    fake_make("storage/");
    fake_make_text("proc/self/status", "Cpus_allowed_list:\t0-7\n");
    fake_make_text("proc/self/cgroup", "0::/\n");
    fake_make_text("sys/fs/cgroup/cpu.max", "400000 100000\n");
    fake_make_text("sys/fs/cgroup/memory.max", "8589934592\n");
    fake_make_text("proc/meminfo", "MemAvailable: 33554432 kB\n");
}

static void write_given(void)
{
    size_t used = 0;

    fake_given[0] = 0;
    for (size_t n = 0; n < fake_settings.option_count; n++) {
        const struct option_value *option = &fake_settings.options[n];
        const char *value = option->value;

        if (!strncmp(value, fake_folder, strlen(fake_folder)))
            value += strlen(fake_folder);
        used += (size_t)snprintf(fake_given + used, sizeof fake_given - used, "%s=%s %s\n", option->name, value,
                                 option->variable ? option->variable : "-");
        assert_true(used < sizeof fake_given);
    }
}

/* "A=1;B=2"; NULL: none. */
int fake_variables(const char *list)
{
    const struct container_place place = {fake_folder, (char *[64]){NULL}, fake_no_nat, fake_six};
    char *copy = strdup(list ? list : ""), *rest = copy, *item;
    int result;

    for (size_t n = 0; (item = strsep(&rest, ";")); n++)
        ((char **)place.variables)[n] = item;
    container_settings_free(&fake_settings);
    result = container_settings_read(&place, &fake_settings, &fake_error);
    write_given();
    free(copy);
    return result;
}

int fake_environment_remove(void **state)
{
    container_settings_free(&fake_settings);
    return fake_folder_remove(state);
}

bool fake_gives(const char *line)
{
    const size_t length = strlen(line);

    for (const char *at = strstr(fake_given, line); at; at = strstr(at + 1, line))
        if ((at == fake_given || at[-1] == '\n') && at[length] == '\n')
            return true;
    return false;
}

/* Beside the one that says what kind of network there is. */
size_t fake_warnings(void)
{
    size_t count = 0;

    for (size_t n = 0; n < fake_settings.warning_count; n++)
        count += strncmp(fake_settings.warnings[n], "NETWORK: in user mode", strlen("NETWORK: in user mode")) != 0;
    return count;
}

bool fake_warns(const char *text)
{
    for (size_t n = 0; n < fake_settings.warning_count; n++)
        if (strstr(fake_settings.warnings[n], text))
            return true;
    return false;
}
