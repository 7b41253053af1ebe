/* See fake_prepare.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../vmm/options.h"
#include "../../vmm/windows/wishes.h"
#include "casement/bytes.h"
#include "casement/log.h"
#include "cmocka_all.h"
#include "fake_folder.h"
#include "fake_prepare.h"
#include "fake_wim.h"

#define OPTIONS_MOST_HERE 24U

struct fake_prepare windows;

void fake_prepare_run(const char *format, const char *a, const char *b)
{
    char command[700];

    snprintf(command, sizeof command, format, a, b);
    if (system(command) != 0) /* NOLINT(cert-env33-c): a test's own words */
        fail_msg("%s: failed", command);
}

void fake_prepare_medium(const char *path, const char *images)
{
    char tree[96], name[128];
    struct fake_wim wim = {0};

    snprintf(tree, sizeof tree, "%s/tree", fake_folder);
    fake_prepare_run("mkdir -p %s/sources %s/efi/boot", tree, tree);
    fake_wim_make(&wim, images, false, false);
    snprintf(name, sizeof name, "%s/sources/install.wim", tree);
    fake_file(name, wim.bytes, wim.length);
    fake_wim_free(&wim);
    snprintf(name, sizeof name, "%s/efi/boot/bootx64.efi", tree);
    fake_text(name, "MZ");
    fake_prepare_run("genisoimage -quiet -udf -o %s %s", path, tree);
    fake_prepare_run("rm -r %s%s", tree, "");
}

int fake_prepare_set_up(void **unused)
{
    fake_folder_make(unused);
    windows = (struct fake_prepare){.p = {.disc = -1, .trial = -1}};
    snprintf(windows.state, sizeof windows.state, "%s/state", fake_folder);
    snprintf(windows.iso, sizeof windows.iso, "%s/medium.iso", fake_folder);
    snprintf(windows.disk, sizeof windows.disk, "%s/data.img", windows.state);
    mkdir(windows.state, 0700);
    fake_prepare_medium(windows.iso, FAKE_WIM_XML(FAKE_WIM_PRO("1")));
    return 0;
}

void fake_prepare_forget(void)
{
    config_free(&windows.config);
    if (windows.p.disc >= 0)
        close(windows.p.disc);
    if (windows.p.trial >= 0)
        close(windows.p.trial);
    windows.p = (struct preparation){.disc = -1, .trial = -1};
    windows.error.text[0] = 0;
}

int fake_prepare_tear_down(void **unused)
{
    fake_prepare_forget();
    return fake_folder_remove(unused);
}

int fake_prepare_look(const char *version, const char *const options[], unsigned count)
{
    const char *arguments[OPTIONS_MOST_HERE] = {"--version", version, "--state", windows.state,
                                                "--web",     "none",  "--net",   "none"};
    int failed;

    assert_true(8 + count <= OPTIONS_MOST_HERE);
    for (unsigned n = 0; n < count; n++)
        arguments[8 + n] = options[n];
    fake_prepare_forget();
    windows.p.config = &windows.config;
    failed = options_parse(&windows.config, OPTIONS_WINDOWS, 8 + (int)count, (char **)arguments, &windows.error);
    if (failed == 0)
        failed = wishes_complete(&windows.config, &windows.p.source, &windows.error);
    if (failed == 0)
        failed = config_complete(&windows.config, &windows.error);
    return failed == 0 ? prepare_look(&windows.p, &windows.error) : failed;
}

int fake_prepare_go(void)
{
    return prepare(&windows.p, &windows.error);
}

int fake_start_with(const char *version, const char *const options[], unsigned count)
{
    const char *all[OPTIONS_MOST_HERE] = {"--disk-size=256M"};
    int failed;

    for (unsigned n = 0; n < count; n++)
        all[n + 1] = options[n];
    failed = fake_prepare_look(version, all, count + 1);
    return failed == 0 ? fake_prepare_go() : failed;
}

int fake_start(const char *version, const char *option)
{
    return fake_start_with(version, &option, option ? 1 : 0);
}

const char *fake_prepare_option(const char *name, const char *file)
{
    static char texts[8][200];
    static unsigned next;
    char *text = texts[next++ % ARRAY_SIZE(texts)];

    snprintf(text, sizeof texts[0], "%s=%s/%s", name, fake_folder, file);
    return text;
}

void fake_prepare_step(enum journey_step step)
{
    struct journey journey;

    assert_int_equal(journey_read(windows.state, &journey, &windows.error), 0);
    journey.step = step;
    assert_int_equal(journey_write(windows.state, &journey, &windows.error), 0);
}

static int heard = -1;

void fake_prepare_listen(void)
{
    heard = open(fake_below("log"), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    assert_true(heard >= 0);
    log_set_output(heard);
}

bool fake_prepare_heard(const char *text)
{
    char lines[8192];
    ssize_t length = pread(heard, lines, sizeof lines - 1, 0);

    log_set_output(STDERR_FILENO);
    close(heard);
    assert_true(length >= 0);
    lines[length] = 0;
    return strstr(lines, text);
}

void fake_prepare_driver(const char *tree, const char *name)
{
    char path[256];

    fake_prepare_run("mkdir -p %s/%s/w11/amd64", tree, name);
    snprintf(path, sizeof path, "%s/%s/w11/amd64/%s.inf", tree, name, name);
    fake_text(path, "[Manufacturer]\n%M% = M, NTamd64.10.0\n");
}
