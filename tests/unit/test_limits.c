/* Half and all of what a container may use, by a tree of /proc and /sys that is made here. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_folder.h"

#include "../../vmm/container/limits.h"

static struct error error;

/* The file with its folders. */
static void tree_text(const char *name, const char *text)
{
    char path[512];

    snprintf(path, sizeof path, "%s", fake_below(name));
    for (char *slash = strchr(path + strlen(fake_folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    fake_text(path, text);
}

static void processors_are_counted(void **state)
{
    static const struct {
        const char *list;
        unsigned count;
    } lists[] = {{"0", 1}, {"0-3", 4}, {"0-3,8", 5}, {"1,3,5", 3}, {"0-1,4-7,9", 7},
                 {"", 1},  {"all", 1}, {"3-1", 1},   {"2-", 1},    {"0-63", 64}};

    (void)state;
    assert_int_equal(limits_processors(fake_folder), 1);
    for (size_t n = 0; n < ARRAY_SIZE(lists); n++) {
        char text[128];

        snprintf(text, sizeof text, "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t%s\nMems_allowed:\t1\n",
                 lists[n].list);
        tree_text("proc/self/status", text);
        if (limits_processors(fake_folder) != lists[n].count)
            fail_msg("%s: %u, not %u", lists[n].list, limits_processors(fake_folder), lists[n].count);
        assert_int_equal(limits_cpus(fake_folder), lists[n].count);
    }
}

static void a_share_of_time_is_rounded_up(void **state)
{
    static const struct {
        const char *quota;
        unsigned cpus;
    } quotas[] = {
        {"max 100000", 8},  {"800000 100000", 8}, {"400000 100000", 4}, {"150000 100000", 2},  {"100000 100000", 1},
        {"1000 100000", 1}, {"0 100000", 1},      {"900000 100000", 8}, {"100000 50000\n", 2}, {"", 8},
        {"200000 0", 8},    {"200000", 8}};

    (void)state;
    tree_text("proc/self/status", "Cpus_allowed_list:\t0-7\n");
    tree_text("proc/self/cgroup", "0::/a/b\n");
    for (size_t n = 0; n < ARRAY_SIZE(quotas); n++) {
        tree_text("sys/fs/cgroup/a/b/cpu.max", quotas[n].quota);
        if (limits_cpus(fake_folder) != quotas[n].cpus)
            fail_msg("%s: %u, not %u", quotas[n].quota, limits_cpus(fake_folder), quotas[n].cpus);
    }
    assert_int_equal(limits_processors(fake_folder), 8);
}

static void every_group_on_the_way_counts(void **state)
{
    (void)state;
    tree_text("proc/self/status", "Cpus_allowed_list:\t0-7\n");
    tree_text("proc/self/cgroup", "0::/a/b\n");
    tree_text("sys/fs/cgroup/a/b/cpu.max", "500000 100000\n");
    tree_text("sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    assert_int_equal(limits_cpus(fake_folder), 3);
    tree_text("sys/fs/cgroup/a/b/cpu.max", "200000 100000\n");
    assert_int_equal(limits_cpus(fake_folder), 2);
    /* In a container the path is the host's, and its group is mounted at the root. */
    tree_text("proc/self/cgroup", "0::/elsewhere/on/the/host\n");
    tree_text("sys/fs/cgroup/cpu.max", "400000 100000\n");
    assert_int_equal(limits_cpus(fake_folder), 4);
}

static void the_first_version_of_control_groups(void **state)
{
    (void)state;
    tree_text("proc/self/status", "Cpus_allowed_list:\t0-7\n");
    tree_text("proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/x\n0::/\n");
    tree_text("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
    tree_text("sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
    assert_int_equal(limits_cpus(fake_folder), 8);
    tree_text("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "250000\n");
    assert_int_equal(limits_cpus(fake_folder), 3);
    /* Another controller's name in the same list is not this one's. */
    tree_text("proc/self/cgroup", "4:cpuset,cpuacct:/x\n");
    assert_int_equal(limits_cpus(fake_folder), 8);
}

static void memory_leaves_what_the_machine_needs(void **state)
{
    (void)state;
    assert_true(limits_memory(fake_folder) == UINT64_MAX);
    tree_text("proc/meminfo", "MemAvailable: 16777216 kB\n");
    assert_true(limits_memory(fake_folder) == 15 * GiB);
    tree_text("proc/self/cgroup", "0::/\n");
    tree_text("sys/fs/cgroup/memory.max", "2147483648\n");
    assert_true(limits_memory(fake_folder) == 2 * GiB - 256 * MiB);
    tree_text("sys/fs/cgroup/memory.max", "200000000\n");
    assert_true(limits_memory(fake_folder) == 0);
}

static void space_is_the_folders(void **state)
{
    uint64_t bytes = 0;

    (void)state;
    assert_int_equal(limits_space(fake_folder, &bytes, &error), 0);
    assert_true(bytes > 0 && bytes % 512 == 0);
    fake_refused(&error, limits_space(fake_below("none"), &bytes, &error), ENOENT, "none: No such file", "bind");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(processors_are_counted),
        IN_FOLDER(a_share_of_time_is_rounded_up),
        IN_FOLDER(every_group_on_the_way_counts),
        IN_FOLDER(the_first_version_of_control_groups),
        IN_FOLDER(memory_leaves_what_the_machine_needs),
        IN_FOLDER(space_is_the_folders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
