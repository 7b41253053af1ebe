/* Screen, page, VNC port, and who may use them. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../viewer/secret.h"
#include "casement/bytes.h"
#include "casement/file.h"
#include "environment_private.h"

static bool display_is(struct reader *reader, const char *wanted)
{
    const char *value = reader_value(reader, "DISPLAY");

    return value && !strcasecmp(value, wanted);
}

int reader_port(struct reader *reader, const char *name, int fallback)
{
    const char *value = reader_value(reader, name);
    char *end = NULL;
    unsigned long port = value ? strtoul(value, &end, 10) : (unsigned long)fallback;

    if (value && (!isdigit((unsigned char)*value) || *end || port < 1 || port > 65535))
        return reader_refuse(reader, name, value, "a port from 1 to 65535");
    return (int)port;
}

bool reader_has_web(struct reader *reader)
{
    return reader_switch(reader, "WEB", true) != 0 && !display_is(reader, "disabled");
}

/* dockurr/windows has a VNC port beside the page, without password. Here one has to be asked for. */
bool reader_has_vnc(struct reader *reader)
{
    return (display_is(reader, "vnc") || reader_value(reader, "VNC_PORT")) && !display_is(reader, "disabled") &&
           !display_is(reader, "none");
}

/* Pixels; what the guest's screen cannot have exactly becomes the next that it can. */
static int side(struct reader *reader, const char *name, unsigned fallback, unsigned *pixels)
{
    const char *value = reader_value(reader, name);
    char *end = NULL;
    unsigned long number = value ? strtoul(value, &end, 10) : fallback;

    if (value && (!isdigit((unsigned char)*value) || *end || number > 16384))
        return reader_refuse(reader, name, value, "a number of pixels");
    *pixels = (unsigned)number;
    return 0;
}

int variable_screen(struct reader *reader, const struct variable *variable, const char *value)
{
    const char *height_value = reader_value(reader, "HEIGHT");
    unsigned width = 0, height = 0;
    int failed;

    if (display_is(reader, "none"))
        reader_give(reader, variable->option, "DISPLAY", "none");
    if (display_is(reader, "none") || (!value && !height_value))
        return 0;
    failed = side(reader, variable->name, 1280, &width);
    if (failed == 0)
        failed = side(reader, "HEIGHT", 720, &height);
    if (failed < 0)
        return failed;
    if (width % 8)
        reader_warn(reader, "%s %s: the screen's width is a multiple of 8, so it is %u", variable->name, value,
                    width - width % 8);
    reader_give(reader, variable->option, value ? variable->name : "HEIGHT",
                reader_text(reader, "%ux%u", width - width % 8, height));
    return 0;
}

/* Of the container; a pod may have addresses of IPv6 alone. */
static const char *every_address(struct reader *reader)
{
    return reader->place->six ? "[::]" : "0.0.0.0";
}

int variable_web(struct reader *reader, const struct variable *variable, const char *value)
{
    const int wanted = reader_switch(reader, "WEB", true), port = reader_port(reader, variable->name, 8006);

    if (wanted < 0 || port < 0)
        return -EINVAL;
    if (wanted == 0 || display_is(reader, "disabled"))
        reader_give(reader, variable->option, wanted ? "DISPLAY" : "WEB", "none");
    else
        reader_give(reader, variable->option, value ? variable->name : NULL,
                    reader_text(reader, "%s:%d", every_address(reader), port));
    return 0;
}

/* The viewers' password: a file, and by what it was named. */
struct password {
    const char *path, *variable;
    size_t length; /* 0: it is in a file of the user's */
};

/* Options name a file, so one is made of what is in the environment, which no other process can open by name. */
static int put_in_memory(struct reader *reader, struct password *password, const char *value)
{
    int *fd = &reader->settings->password, failed = 0;

    if (*fd < 0) {
        *fd = memfd_create("viewer-password", MFD_CLOEXEC);
        failed = *fd < 0 || fchmod(*fd, S_IRUSR) < 0 ? -errno : file_write(*fd, value, strlen(value));
    }
    if (failed < 0)
        return error_set(reader->error, -failed, "%s: a file in memory: %s; give %s_FILE", password->variable,
                         strerror(-failed), password->variable);
    password->path = reader_text(reader, "/proc/self/fd/%d", *fd);
    password->length = strlen(value);
    return 0;
}

/* PASS was the page's own; PROTECT=Y alone takes that of the Windows account. path is NULL when there is none. */
static int find_password(struct reader *reader, struct password *password)
{
    const bool protect = reader_switch(reader, "PROTECT", false) > 0;
    const char *const names[] = {"PASS", "PASS_FILE", "PASSWORD", "PASSWORD_FILE"};

    *password = (struct password){0};
    for (size_t n = 0; n < (protect ? 4 : 2); n++) {
        const char *value = reader_value(reader, names[n]);

        if (!value)
            continue;
        password->variable = names[n];
        if (n % 2 == 0)
            return put_in_memory(reader, password, value);
        password->path = reader_text(reader, "%s%s", reader->place->root, value);
        return 0;
    }
    return 0;
}

int variable_vnc(struct reader *reader, const struct variable *variable, const char *value)
{
    const int port = reader_port(reader, variable->name, 5900);
    const char *by = value ? variable->name : "DISPLAY";
    struct password password;
    int failed;

    if (port < 0 || !reader_has_vnc(reader))
        return MIN(port, 0);
    failed = find_password(reader, &password);
    if (failed == 0 && !password.path) {
        reader_warn(reader, "%s %s: a VNC port needs a password, so there is none; give PASS or PASS_FILE", by,
                    reader_value(reader, by));
    } else if (failed == 0) {
        reader_give(reader, variable->option, by, reader_text(reader, "%s:%d", every_address(reader), port));
        reader_give(reader, "vnc-password-file", password.variable, password.path);
    }
    return failed;
}

/*
 * Without a word about it the page asks for its token, where dockurr/windows lets in anybody; that has to be said with
 * PROTECT=N. A password that the page would not take does not open it, either.
 */
int variable_access(struct reader *reader, const struct variable *variable, const char *value)
{
    static const char token[] = "the page asks for the token that is kept in the storage folder (web-token)";
    const int protect = reader_switch(reader, variable->name, false);
    struct password password;
    int failed = protect < 0 ? protect : find_password(reader, &password);

    if (failed < 0 || !reader_has_web(reader))
        return failed;
    if (password.path && (!password.length || password.length >= SECRET_PASSWORD_MIN)) {
        reader_give(reader, variable->option, password.variable, "password");
        reader_give(reader, "web-password-file", password.variable, password.path);
    } else if (password.path) {
        reader_warn(reader, "%s: the password has less than %d characters, so %s; give PASS a longer one",
                    password.variable, SECRET_PASSWORD_MIN, token);
    } else if (protect) {
        reader_warn(reader, "%s %s: no password is given, so %s; give PASS or PASS_FILE", variable->name, value, token);
    } else if (value) {
        reader_give(reader, variable->option, variable->name, "open");
        reader_warn(reader, "%s %s: whoever reaches the page uses the machine; leave it out for a token, or give PASS",
                    variable->name, value);
    }
    return 0;
}
