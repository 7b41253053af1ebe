/* The table of options, and what walks over it (see options.h). */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "exit_codes.h"
#include "options.h"
#include "spelling.h"

enum type { FLAG, NUMBER, SIZE, TEXT, CHOICE, SPECIAL };

struct option {
    const char *group; /* of the first in each group; NULL: as before */
    const char *name, *metavar, *fallback, *help;
    const char *windows; /* the fallback of `casement windows`, where it is another */
    size_t member;
    uint64_t least, most; /* NUMBER, SIZE */
    const char *choices;  /* CHOICE: "first|second"; the value is the index, as an enum or bool of this size: */
    size_t choice_size;
    int (*apply)(struct config *config, const char *value, struct error *error); /* SPECIAL */
    /* Where the value comes from that nobody gave, and for SPECIAL what it is (config.h). */
    const char *derived;
    void (*show)(const struct config *config, char *text, size_t size);
    enum type type;
    bool repeats, secret;
    unsigned char only; /* enum options_command; 0: of both */
};

#define AT(name) .member = offsetof(struct config, name)
#define WISH(name) .type = TEXT, .only = OPTIONS_WINDOWS, .member = offsetof(struct config, windows.name)
#define CHOICE_OF(name, list) \
    .type = CHOICE, AT(name), .choices = (list), .choice_size = sizeof(((struct config *)0)->name)

/* clang-format off */
static const struct option options[] = {
    {.group = "Machine", .name = "cpus", .metavar = "N", .fallback = "2", .type = NUMBER, AT(cpus), .least = 1, .most = CONFIG_CPUS_MAX,
     .help = "number of vCPUs"},
    {.name = "memory", .metavar = "SIZE", .fallback = "2G", .windows = "4G", .type = SIZE, AT(memory), .least = 64 * MiB, .most = 1024 * GiB,
     .help = "guest RAM; K, M, G or T behind the number"},
    {.name = "memory-shared", .type = FLAG, AT(memory_shared), .help = "back guest RAM by a memfd"},
    {.name = "huge-pages", .type = FLAG, AT(huge_pages), .help = "take guest RAM from the host's huge page pool"},
    {.name = "hyperv", .metavar = "off|on", .fallback = "on", CHOICE_OF(hyperv, "off|on"),
     .help = "show the Hyper-V interface that Windows wants"},
    {.name = "nested", .type = FLAG, AT(nested), .help = "let the guest run virtual machines of its own"},
    {.name = "local-time", .type = FLAG, AT(local_time), .windows = "on", .help = "the clock shows local time, as Windows reads it"},
    {.name = "name", .metavar = "NAME", .fallback = "casement", .type = TEXT, AT(name), .help = "name of the machine; its serial number and DHCP host name"},
    {.name = "uuid", .metavar = "UUID", .type = SPECIAL, .apply = config_set_uuid, .derived = "kept in --state", .show = config_show_uuid,
     .help = "identity of the machine; without it a random one that is made once and kept in --state"},

    {.group = "Boot", .name = "firmware", .metavar = "FILE", .type = TEXT, AT(firmware), .derived = "the installed one", .help = "UEFI firmware (OVMF_CODE_4M.fd); without it the installed one"},
    {.name = "vars", .metavar = "FILE", .type = TEXT, AT(vars), .derived = "below --state", .help = "the machine's own UEFI variables; without it vars.fd in --state"},
    {.name = "vars-template", .metavar = "FILE", .type = TEXT, AT(vars_template), .derived = "beside the firmware", .help = "what new variables start from; without it beside --firmware"},
    {.name = "kernel", .metavar = "FILE", .only = OPTIONS_RUN, .type = TEXT, AT(kernel), .help = "start this Linux bzImage with no firmware in between"},
    {.name = "initrd", .metavar = "FILE", .only = OPTIONS_RUN, .type = TEXT, AT(initrd), .help = "initial RAM disk for --kernel"},
    {.name = "append", .metavar = "TEXT", .only = OPTIONS_RUN, .type = TEXT, AT(append), .help = "command line for --kernel"},

    {.group = "Disks and network", .name = "disk", .metavar = "FILE[,PROPERTY...]", .type = SPECIAL, .apply = config_add_disk, .repeats = true,
     .help = "a disk image or block device; properties bus=virtio|nvme|ahci|usb|scsi, format=raw|qcow2, backing=FILE, backing-format=raw|qcow2, readonly, serial=TEXT, queues=N, cache=none|host, engine=auto|io_uring|threads, iops=N and bps=SIZE each second"},
    {.name = "cdrom", .metavar = "FILE[,bus=ahci|usb]", .type = SPECIAL, .apply = config_add_cdrom, .repeats = true,
     .help = "a disc image in a CD-ROM drive; disks and drives are started in the order in which they are given"},
    {.name = "io-engine", .metavar = "auto|io_uring|threads", .fallback = "auto", CHOICE_OF(io_engine, "auto|io_uring|threads"),
     .help = "how disks are read and written, unless a disk says it"},
    {.name = "net", .metavar = "user|nat|bridge|none", .fallback = "user", CHOICE_OF(net, "user|nat|bridge|none"),
     .help = "network: user mode (needs no right); nat, where all ports of the container that nobody has there lead into the guest (needs --device /dev/net/tun and --cap-add NET_ADMIN); bridge, where the guest has its own address in the network that the container is in; or none"},
    {.name = "net-interface", .metavar = "NAME", .type = TEXT, AT(net_interface),
     .help = "the container's interface that is the way out for --net nat and bridge, or a bridge that the guest joins; without it that of the default route"},
    {.name = "net-card", .metavar = "virtio|e1000e", .fallback = "virtio", .only = OPTIONS_RUN, CHOICE_OF(card, "virtio|e1000e"),
     .help = "what the network card is: virtio (fastest), or an Intel 82574L, which Windows drives with what is on its medium"},
    {.name = "forward", .metavar = "[ADDRESS:]HOSTPORT:GUESTPORT[/udp]", .type = SPECIAL, .apply = config_add_forward, .derived = "for remote desktop",
     .show = config_show_forward, .repeats = true,
     .help = "lead a port of the host (127.0.0.1 unless ADDRESS says) into the guest; with --net nat, where all ports lead there anyway, lead one to another number; `windows` leads 3389 to remote desktop unless one is given"},
    {.name = "mac", .metavar = "ADDRESS", .type = SPECIAL, .apply = config_set_mac, .derived = "from the UUID", .show = config_show_mac,
     .help = "address of the network card; without it derived from the UUID"},
    {.name = "share", .metavar = "FOLDER", .type = TEXT, AT(share),
     .help = "a folder of the host that the guest may use as a drive, over WebDAV at http://" NET_SHARE_ADDRESS "/; needs nothing installed in Windows"},
    {.name = "share-readonly", .type = FLAG, AT(share_read_only), .help = "the guest may not change what is in --share"},

    {.group = "Screen and console", .name = "display", .metavar = "WIDTHxHEIGHT|none", .fallback = "1280x800", .windows = "1280x720", .type = SPECIAL, .apply = config_set_display,
     .help = "preferred size of the screen"},
    {.name = "keyboard", .metavar = "LAYOUT", .fallback = "us", .type = SPECIAL, .apply = config_set_keyboard,
     .help = "the keyboard layout that the guest has set (us, uk, de, fr, ...), for text that is typed and for viewers that tell signs"},
    {.name = "serial", .metavar = "stdio|none|FILE", .fallback = "stdio", .windows = "none", .type = TEXT, AT(serial), .help = "where the first serial port leads"},
    {.name = "vnc", .metavar = "[ADDRESS:]PORT|none", .fallback = "none", .type = SPECIAL, .apply = config_set_vnc,
     .help = "show the screen to VNC viewers on this port (of 127.0.0.1 unless ADDRESS says); nothing is encrypted there"},
    {.name = "vnc-password-file", .metavar = "FILE", .type = TEXT, AT(vnc_password_file),
     .help = "file whose first line is the password for --vnc; its first eight bytes count"},
    {.name = "screenshot", .metavar = "FILE", .type = TEXT, AT(screenshot), .help = "write the last picture of the screen here at the end, as PNG"},

    {.group = "Web page and API", .name = "web", .metavar = "[ADDRESS:]PORT|none", .fallback = "127.0.0.1:8006", .type = SPECIAL, .apply = config_set_web,
     .help = "where the page and the API are served; 0.0.0.0:8006 or [::]:8006 for every address of the host"},
    {.name = "access", .metavar = "token|password|open", .fallback = "token", CHOICE_OF(access, "token|password|open"),
     .help = "who may use them: who has the token that is made once and kept in --state, who has the password, or anybody"},
    {.name = "web-password-file", .metavar = "FILE", .type = TEXT, AT(web_password_file), .help = "the password, in its first line, for --access password"},
    {.name = "web-host", .metavar = "NAME", .type = SPECIAL, .apply = config_add_web_host, .repeats = true,
     .help = "a name by which browsers reach the page, besides localhost, addresses and --name"},
    {.name = "web-tls", .metavar = "off|on", .fallback = "off", CHOICE_OF(web_tls, "off|on"),
     .help = "serve over TLS, with --web-cert or else a certificate of the machine's own that is kept in --state"},
    {.name = "web-cert", .metavar = "FILE", .type = TEXT, AT(web_cert), .help = "certificate with its chain, as PEM; with it --web-tls is on"},
    {.name = "web-key", .metavar = "FILE", .type = TEXT, AT(web_key), .help = "its key, as PEM without passphrase; without it looked for in --web-cert"},

    {.group = "Windows (`casement windows`)", .name = "version", .metavar = "NAME|URL|ISO", .fallback = "11", WISH(version),
     .help = "what to install: a name that `casement windows list` shows, a URL, or the path of a disc image"},
    {.name = "edition", .metavar = "NAME", WISH(answers.edition), .help = "which edition of the medium; without it the best"},
    {.name = "language", .metavar = "TAG", WISH(answers.language), .help = "language of the display (de-DE, German), as the medium has it; without it the medium's"},
    {.name = "region", .metavar = "TAG", WISH(answers.region), .help = "formats of dates and numbers; without it as the language"},
    {.name = "keyboard-locale", .metavar = "TAG|LLLL:KKKKKKKK", WISH(answers.keyboard), .help = "keyboard that Windows is set to; without it the region's"},
    {.name = "key", .metavar = "KEY", .secret = true, WISH(answers.key), .help = "your product key; without it Windows is not activated"},
    {.name = "key-file", .metavar = "FILE", WISH(key_file), .help = "file whose first line is the product key"},
    {.name = "user", .metavar = "NAME", WISH(answers.user), .fallback = "Docker", .help = "name of the user"},
    {.name = "password", .metavar = "TEXT", .secret = true, WISH(answers.password), .derived = "admin", .help = "password of the user; other users of the host see it among the processes, --password-file keeps it from them"},
    {.name = "password-file", .metavar = "FILE", WISH(password_file), .help = "file whose first line is the password of the user"},
    {.name = "autologon", .metavar = "on|off", .fallback = "on", .only = OPTIONS_WINDOWS, CHOICE_OF(windows.answers.no_autologon, "on|off"), .help = "log the user on at each start"},
    {.name = "computer", .metavar = "NAME", WISH(answers.computer), .help = "name of the computer; without it Windows makes one up"},
    {.name = "workgroup", .metavar = "NAME", WISH(answers.workgroup), .help = "workgroup to join"},
    {.name = "domain", .metavar = "NAME", WISH(answers.domain), .help = "domain to join, with --domain-user and its password"},
    {.name = "domain-ou", .metavar = "DN", WISH(answers.domain_ou), .help = "organizational unit of the domain for the computer's account"},
    {.name = "domain-user", .metavar = "NAME", WISH(answers.domain_user), .help = "who may join computers to the domain"},
    {.name = "domain-password", .metavar = "TEXT", .secret = true, WISH(answers.domain_password), .help = "that user's password; better by --domain-password-file"},
    {.name = "domain-password-file", .metavar = "FILE", WISH(domain_password_file), .help = "file whose first line is that user's password"},
    {.name = "time-zone", .metavar = "NAME", WISH(answers.time_zone), .help = "time zone by Windows' name, such as W. Europe Standard Time"},
    {.name = "command", .metavar = "COMMAND", WISH(answers.command), .help = "run once at the first logon"},
    {.name = "oem", .metavar = "FOLDER", WISH(oem), .help = "folder to be copied to C:\\OEM; its install.bat is run at the first logon"},
    {.name = "answer-file", .metavar = "FILE", WISH(answer_file), .help = "your own answer file for Setup, used as it is instead of one made from these options"},
    {.name = "drivers", .metavar = "FOLDER|ISO", WISH(drivers), .help = "drivers for Setup and Windows: a folder, or a virtio-win disc image"},
    {.name = "profile", .metavar = "inbox|virtio|scsi|ahci", .fallback = "inbox", .only = OPTIONS_WINDOWS, CHOICE_OF(windows.profile, "inbox|virtio|scsi|ahci"),
     .help = "system disk and network card: NVMe and Intel 82574L, which Windows has drivers for, virtio (fastest), for which it needs --drivers, virtio SCSI with the same card, or AHCI with an 82574L; an installed Windows changes in two starts, when it has shown that it drives such disks"},
    {.name = "disk-size", .metavar = "SIZE", .fallback = "64G", .type = SIZE, .only = OPTIONS_WINDOWS, AT(windows.disk_size), .least = 256 * MiB, .most = 64 * 1024 * GiB,
     .help = "size of the system disk, when it is made"},
    {.name = "disk-format", .metavar = "raw|qcow2", .fallback = "raw", .only = OPTIONS_WINDOWS, CHOICE_OF(windows.disk_format, "raw|qcow2"), .help = "format of the system disk, when it is made"},
    {.name = "connections", .metavar = "N", .fallback = "4", .type = NUMBER, .only = OPTIONS_WINDOWS, AT(windows.connections), .least = 1, .most = 16, .help = "connections of a download"},
    {.name = "remove-medium", .metavar = "off|on", .fallback = "on", .only = OPTIONS_WINDOWS, CHOICE_OF(windows.remove_medium, "off|on"), .help = "delete a medium that was downloaded once Windows is installed"},

    {.group = "Life", .name = "state", .metavar = "FOLDER", .fallback = "machine", .windows = "windows", .type = TEXT, AT(state), .help = "folder for what the machine keeps"},
    {.name = "control", .metavar = "SOCKET", .type = TEXT, AT(control), .derived = "below --state", .help = "UNIX socket for `casement ctl`; without it control.sock in --state"},
    {.name = "stop-timeout", .metavar = "SECONDS", .fallback = "105", .type = NUMBER, AT(stop_timeout), .least = 0, .most = 86400,
     .help = "how long a guest may take to power off after SIGTERM or SIGINT"},
    {.name = "on-triple-fault", .metavar = "reset|stop", .fallback = "reset", CHOICE_OF(on_triple_fault, "reset|stop"),
     .help = "when the guest crashes its processor"},
    {.name = "on-reset", .metavar = "reset|stop", .fallback = "reset", CHOICE_OF(on_reset, "reset|stop"), .help = "when the guest resets the machine"},
    {.name = "on-full", .metavar = "pause|report", .fallback = "pause", CHOICE_OF(on_full, "pause|report"),
     .help = "when the host has no space left for a disk: the machine waits for space, or the guest gets the error"},
    {.name = "log-level", .metavar = "error|warning|info|debug", .fallback = "info", CHOICE_OF(log_level, "error|warning|info|debug"), .help = "what is worth a line"},
    {.name = "log-format", .metavar = "text|json", .fallback = "text", CHOICE_OF(log_format, "text|json"), .help = "a line of text, or a JSON object with time, level and message"},
};
/* clang-format on */

/* What was given and by whom; the last one of an option that does not repeat. */
static struct given {
    const struct option *option;
    const char *source;
    char *value;
} given[ARRAY_SIZE(options) + CONFIG_DISKS + CONFIG_FORWARDS + CONFIG_WEB_HOSTS + 3];
static size_t given_count;
static enum options_command parsed_for;

static const char defaults[] = "default", container[] = "container", environment[] = "environment",
                  command_line[] = "command line";

static bool belongs(const struct option *option, enum options_command command)
{
    return !option->only || option->only == (unsigned char)command;
}

static const char *fallback_of(const struct option *option, enum options_command command)
{
    return !belongs(option, command)                       ? NULL
           : command == OPTIONS_WINDOWS && option->windows ? option->windows
                                                           : option->fallback;
}

static const struct given *last_given(const struct option *option)
{
    for (size_t n = given_count; n--;)
        if (given[n].option == option)
            return &given[n];
    return NULL;
}

bool options_given(const char *name)
{
    for (size_t n = 0; n < given_count; n++)
        if (!strcmp(given[n].option->name, name) && (given[n].source == environment || given[n].source == command_line))
            return true;
    return false;
}

static void drop(struct given *entry)
{
    if (entry->value && entry->option->secret)
        explicit_bzero(entry->value, strlen(entry->value));
    free(entry->value);
}

static void note(const struct option *option, const char *value, const char *source)
{
    struct given *entry = option->repeats ? NULL : (struct given *)last_given(option);

    if (!entry && given_count < ARRAY_SIZE(given))
        entry = &given[given_count++];
    if (!entry)
        return; /* more disks, forwards or names than a machine takes: refused in a moment */
    drop(entry);
    *entry = (struct given){option, source, strdup(value)};
}

static void forget_given(void)
{
    while (given_count)
        drop(&given[--given_count]);
    memset(given, 0, sizeof given);
}

static void variable_name(const struct option *option, char *name, size_t size)
{
    size_t used = (size_t)snprintf(name, size, "CASEMENT_%s", option->name);

    for (size_t n = 0; n < used && n < size; n++)
        name[n] = name[n] == '-' ? '_' : (char)toupper((unsigned char)name[n]);
}

static int apply_number(const struct option *option, uint64_t *member, const char *value, struct error *error)
{
    static const char suffixes[] = "KMGT";
    char *end;
    uint64_t number, unit = 1;
    const char *suffix, *problem = NULL;

    errno = 0;
    number = strtoull(value, &end, 10);
    suffix = option->type == SIZE && *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
    if (suffix) {
        unit = UINT64_C(1) << (10 * (suffix - suffixes + 1));
        end += !strcasecmp(end + 1, "iB") ? 3 : !strcasecmp(end + 1, "B") ? 2 : 1;
    }
    if (!isdigit((unsigned char)*value) || *end)
        problem = option->type == SIZE ? "not a size" : "not a whole number";
    else if (errno || number > option->most / unit)
        problem = "above the limit";
    else if (number * unit < option->least)
        problem = "below the limit";
    if (problem && option->type == SIZE)
        return error_set(error, EINVAL, "--%s %s: %s; give %" PRIu64 "M to %" PRIu64 "G", option->name, value, problem,
                         option->least / (uint64_t)MiB, option->most / (uint64_t)GiB);
    if (problem)
        return error_set(error, EINVAL, "--%s %s: %s; give %" PRIu64 " to %" PRIu64, option->name, value, problem,
                         option->least, option->most);
    *member = number * unit;
    return 0;
}

static int apply_choice(const struct option *option, void *member, const char *value, struct error *error)
{
    const char *choice = option->choices;

    for (unsigned index = 0; choice; index++) {
        size_t length = strcspn(choice, "|");

        if (strlen(value) == length && !strncmp(choice, value, length)) {
            put_le(member, (unsigned)option->choice_size, index);
            return 0;
        }
        choice = choice[length] ? choice + length + 1 : NULL;
    }
    return error_set(error, EINVAL, "--%s %s: not one of its values; give %s", option->name, value, option->choices);
}

static int apply(struct config *config, const struct option *option, const char *value, const char *source,
                 struct error *error)
{
    void *member = (char *)config + option->member;
    char *text;

    note(option, value, source);
    switch (option->type) {
    case FLAG:
        if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
            return error_set(error, EINVAL, "--%s %s: not one of its values; give on or off", option->name, value);
        *(bool *)member = value[1] == 'n';
        return 0;
    case NUMBER:
    case SIZE:
        return apply_number(option, member, value, error);
    case TEXT:
        if (!*value && strcmp(option->metavar, "TEXT") != 0)
            return error_set(error, EINVAL, "--%s: its value is empty; give %s or leave it out", option->name,
                             option->metavar);
        text = strdup(value);
        if (!text)
            return error_set(error, ENOMEM, "configuration: out of memory");
        free(*(char **)member);
        *(char **)member = text;
        return 0;
    case CHOICE:
        return apply_choice(option, member, value, error);
    default:
        return option->apply(config, value, error);
    }
}

static const struct option *find_option(const char *name, size_t length)
{
    for (size_t n = 0; n < ARRAY_SIZE(options); n++)
        if (strlen(options[n].name) == length && !strncmp(options[n].name, name, length))
            return &options[n];
    return NULL;
}

/* The option that was probably meant, or NULL. */
static const struct option *nearest_option(const char *name, size_t length)
{
    const struct option *nearest = NULL;
    unsigned best = 4;

    for (size_t n = 0; n < ARRAY_SIZE(options); n++) {
        unsigned away = spelling_distance(name, length, options[n].name);

        if (away < best && away < length) {
            best = away;
            nearest = &options[n];
        }
    }
    return nearest;
}

static int unknown_option(const char *name, size_t length, struct error *error)
{
    int shown = (int)MIN(length, (size_t)64);
    const struct option *nearest = nearest_option(name, (size_t)shown);

    if (nearest)
        return error_set(error, EINVAL, "--%.*s: unknown option; did you mean --%s?", shown, name, nearest->name);
    return error_set(error, EINVAL, "--%.*s: unknown option; see `casement run --help`", shown, name);
}

static int parse_argument(struct config *config, int count, char **arguments, int *at, struct error *error)
{
    const char *argument = arguments[*at], *value = NULL;
    const struct option *option;

    if (strncmp(argument, "--", 2) != 0 || !argument[2])
        return error_set(error, EINVAL, "%s: not an option; options begin with --, see `casement run --help`",
                         argument);
    argument += 2;
    option = find_option(argument, strcspn(argument, "="));
    if (!option)
        return unknown_option(argument, strcspn(argument, "="), error);
    if (!belongs(option, parsed_for))
        return error_set(error, EINVAL, "--%s: %s; leave it out", option->name,
                         parsed_for == OPTIONS_RUN ? "is an option of `casement windows`"
                                                   : "is an option of `casement run`, which `casement windows` "
                                                     "decides by itself");
    argument += strlen(option->name);
    if (*argument == '=')
        value = argument + 1;
    else if (option->type == FLAG)
        value = "on";
    else if (*at + 1 < count && strncmp(arguments[*at + 1], "--", 2) != 0)
        value = arguments[++*at];
    else if (*at + 1 < count)
        return error_set(error, EINVAL,
                         "--%s: no value, for %s is an option; give --%s %s (a value that begins with -- is "
                         "written --%s=VALUE)",
                         option->name, arguments[*at + 1], option->name, option->metavar, option->name);
    else
        return error_set(error, EINVAL, "--%s: no value; give --%s %s", option->name, option->name, option->metavar);
    return apply(config, option, value, command_line, error);
}

/* A list in the environment is separated by line ends or semicolons. */
static int apply_variable(struct config *config, const struct option *option, const char *value, struct error *error)
{
    char *copy = strdup(value), *rest = copy;
    int failed = copy ? 0 : error_set(error, ENOMEM, "configuration: out of memory");

    if (!option->repeats) {
        failed = failed ? failed : apply(config, option, value, environment, error);
        free(copy);
        return failed;
    }
    for (char *item; failed == 0 && (item = strsep(&rest, ";\n"));)
        if (*item)
            failed = apply(config, option, item, environment, error);
    free(copy);
    return failed;
}

static int apply_environment(struct config *config, struct error *error)
{
    int failed = 0;

    for (size_t n = 0; n < ARRAY_SIZE(options) && failed == 0; n++) {
        char name[64];
        const char *value;

        variable_name(&options[n], name, sizeof name);
        value = belongs(&options[n], parsed_for) ? getenv(name) : NULL;
        if (value && *value)
            failed = apply_variable(config, &options[n], value, error);
    }
    return failed;
}

/* What is not ours though it has our prefix: tests' own settings, and what Kubernetes and container links set about a
 * service that is called casement. */
static bool belongs_to_others(const char *name)
{
    static const char *const prefixes[] = {"TEST_", "SERVICE_", "PORT=", "PORT_"};

    for (size_t n = 0; n < ARRAY_SIZE(prefixes); n++)
        if (!strncmp(name, prefixes[n], strlen(prefixes[n])))
            return true;
    return false;
}

/* A mistyped variable would be silently without effect. */
static int check_environment(struct error *error)
{
    static const char prefix[] = "CASEMENT_";

    for (char **variable = environ; *variable; variable++) {
        const char *name = *variable + sizeof prefix - 1;
        size_t length = strcspn(*variable, "=") - (sizeof prefix - 1);
        const struct option *nearest;
        char lower[64] = "", expected[64];

        if (strncmp(*variable, prefix, sizeof prefix - 1) != 0 || belongs_to_others(name))
            continue;
        for (size_t n = 0; n < MIN(length, sizeof lower - 1); n++)
            lower[n] = name[n] == '_' ? '-' : (char)tolower((unsigned char)name[n]);
        nearest = nearest_option(lower, strlen(lower));
        if (nearest) {
            variable_name(nearest, expected, sizeof expected);
            if (strlen(expected) == sizeof prefix - 1 + length && !strncmp(*variable, expected, strlen(expected)))
                continue;
            return error_set(error, EINVAL, "%s%.*s: unknown variable; did you mean %s?", prefix,
                             (int)MIN(length, sizeof lower), name, expected);
        }
        return error_set(error, EINVAL,
                         "%s%.*s: unknown variable; unset it, or see docs/options.md for those there are", prefix,
                         (int)MIN(length, sizeof lower), name);
    }
    return 0;
}

static int apply_values(struct config *config, const struct option_value *values, size_t count, struct error *error)
{
    int failed = 0;

    for (size_t n = 0; n < count && failed == 0; n++) {
        const char *name = values[n].name, *variable = values[n].variable;
        const struct option *option = find_option(name, strlen(name));

        failed = option
                     ? apply(config, option, values[n].value, variable ? variable : container, error)
                     : error_set(error, EINVAL, "%s: stands for --%s, which this program does not have; leave it out",
                                 variable ? variable : container, name);
    }
    return failed;
}

int options_parse_with(struct config *config, enum options_command command, const struct option_value *values,
                       size_t value_count, int count, char **arguments, struct error *error)
{
    int failed;

    *config = (struct config){0};
    parsed_for = command;
    forget_given();
    failed = check_environment(error);
    for (size_t n = 0; n < ARRAY_SIZE(options) && failed == 0; n++)
        if (fallback_of(&options[n], command))
            failed = apply(config, &options[n], fallback_of(&options[n], command), defaults, error);
    if (failed == 0)
        failed = apply_values(config, values, value_count, error);
    if (failed == 0)
        failed = apply_environment(config, error);
    for (int at = 0; at < count && failed == 0; at++)
        failed = parse_argument(config, count, arguments, &at, error);
    if (failed < 0)
        options_name_source(error);
    return failed;
}

int options_parse(struct config *config, enum options_command command, int count, char **arguments, struct error *error)
{
    return options_parse_with(config, command, NULL, 0, count, arguments, error);
}

/* Of an option that was given several times, the value that the text goes on with; else the last one. */
static const struct given *given_in(const struct option *option, const char *rest)
{
    for (size_t n = given_count; n-- && *rest == ' ';) {
        size_t length = given[n].option == option && given[n].value ? strlen(given[n].value) : 0;

        if (length && !strncmp(rest + 1, given[n].value, length) && strchr(" :,", rest[1 + length]))
            return &given[n];
    }
    return last_given(option);
}

/* The name of the variable that the value came from; false: it was none. */
static bool source_name(const struct given *from, char *name, size_t size)
{
    if (from->source == defaults || from->source == container || from->source == command_line)
        return false;
    if (from->source == environment)
        variable_name(from->option, name, size);
    else
        snprintf(name, size, "%s", from->source);
    return true;
}

void options_name_source(struct error *error)
{
    const struct error copy = *error;

    for (size_t n = 0; n < ARRAY_SIZE(options) && !strncmp(copy.text, "--", 2); n++) {
        const char *rest = copy.text + 2 + strlen(options[n].name);
        const struct given *from;
        char name[64];

        if (strncmp(copy.text + 2, options[n].name, strlen(options[n].name)) != 0 || !strchr(" :", *rest))
            continue;
        from = given_in(&options[n], rest);
        if (from && source_name(from, name, sizeof name))
            error_set(error, EINVAL, "%s%s", name, rest);
    }
}

static void print_derived(const struct config *config, const struct option *option, FILE *to)
{
    const char *text = option->type == FLAG ? "off" : "", *source = "default";
    char shown[64] = "";

    if (option->type == TEXT && option->derived) {
        text = *(char *const *)((const char *)config + option->member);
        source = text ? option->derived : "none";
    } else if (option->show) {
        option->show(config, shown, sizeof shown);
        text = shown;
        source = *shown ? option->derived : option->repeats ? source : "made by the first run";
    }
    fprintf(to, "%s = %s (%s)\n", option->name, text ? text : "", source);
}

void options_print(const struct config *config, FILE *to)
{
    for (size_t n = 0; n < ARRAY_SIZE(options); n++) {
        if (!belongs(&options[n], parsed_for))
            continue;
        if (!last_given(&options[n]))
            print_derived(config, &options[n], to);
        for (size_t item = 0; item < given_count; item++)
            if (given[item].option == &options[n])
                fprintf(to, "%s = %s (%s)\n", options[n].name,
                        options[n].secret && *given[item].value ? "(not shown)" : given[item].value,
                        given[item].source);
    }
}

void options_help(enum options_command command, FILE *to)
{
    for (size_t n = 0; n < ARRAY_SIZE(options); n++) {
        const struct option *option = &options[n];

        if (!belongs(option, command))
            continue;
        if (option->group)
            fprintf(to, "\n%s:\n", option->group);
        fprintf(to, "  --%s%s%s\n      %s", option->name, option->metavar ? " " : "",
                option->metavar ? option->metavar : "", option->help);
        if (fallback_of(option, command))
            fprintf(to, " (default %s)", fallback_of(option, command));
        if (option->repeats)
            fprintf(to, "; may be given several times");
        fputc('\n', to);
    }
}

static void print_cell(FILE *to, const char *text)
{
    for (; *text; text++)
        fprintf(to, *text == '|' ? "\\|" : "%c", *text);
}

void options_reference(FILE *to)
{
    fprintf(to, "# Options of `casement run` and `casement windows`\n\n"
                "Made by `make docs` from the program's own table. The environment is read first, then the command "
                "line; the last one "
                "wins.\nLists in the environment are separated by semicolons. A value that begins with `--` is written "
                "`--option=--value`.\nA variable that begins with `CASEMENT_` and is none of these is an error, except "
                "`CASEMENT_TEST_...`, and `CASEMENT_SERVICE_...` and\n`CASEMENT_PORT...`, which Kubernetes sets for a "
                "service of that name.\n");
    for (size_t n = 0; n < ARRAY_SIZE(options); n++) {
        const struct option *option = &options[n];
        char name[64];

        variable_name(option, name, sizeof name);
        if (option->group)
            fprintf(to, "\n## %s\n\n| option | environment | default | meaning |\n| --- | --- | --- | --- |\n",
                    option->group);
        fprintf(to, "| `--%s%s", option->name, option->metavar ? " " : "");
        print_cell(to, option->metavar ? option->metavar : "");
        fprintf(to, "` | `%s` | %s", name, option->fallback ? option->fallback : option->type == FLAG ? "off" : "");
        if (option->windows)
            fprintf(to, " (`windows`: %s)", option->windows);
        fputs(" | ", to);
        print_cell(to, option->help);
        fprintf(to, "%s |\n", option->repeats ? "; may be given several times" : "");
    }
    fprintf(to, "\n# Exit status\n\n| status | meaning |\n| --- | --- |\n");
#define X(name, value, meaning) fprintf(to, "| %d | %s |\n", value, meaning);
    EXIT_CODES(X)
#undef X
}
