/* The programs that scripts of an installation call (see batch.h): what they would be told is judged, and noted. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "batch.h"

#define REGISTRY "C:\\Windows\\System32\\config\\REHEARSAL"
#define WORDS 64

struct words {
    char buffer[LINE_SIZE], *all[WORDS];
    unsigned count;
};

unsigned split_words(const char *line, char *buffer, size_t size, char **words, unsigned most)
{
    unsigned count = 0;
    size_t used = 0;

    while (*(line += strspn(line, " \t"))) {
        bool quoted = false;

        if (count == most)
            refuse("too many words: %s", line);
        words[count++] = buffer + used;
        for (; *line && (quoted || (*line != ' ' && *line != '\t')); line++)
            if (*line == '"')
                quoted = !quoted;
            else if (used + 2 < size)
                buffer[used++] = *line;
        if (quoted)
            refuse("a quote has no end: %s", line);
        buffer[used++] = 0;
    }
    return count;
}

static bool same(const char *text, const char *other)
{
    return strcasecmp(text, other) == 0;
}

static bool is_one_of(const char *text, const char *const *choices, size_t count)
{
    for (size_t n = 0; n < count; n++)
        if (same(text, choices[n]))
            return true;
    return false;
}

static bool is_number(const char *text)
{
    char *end;

    strtoul(text, &end, 0);
    return isdigit((unsigned char)*text) && !*end;
}

/* A key with its root's long name. */
static void check_key(const char *key, char *full, size_t size)
{
    static const char *const roots[][2] = {{"HKLM", "HKEY_LOCAL_MACHINE"},
                                           {"HKCU", "HKEY_CURRENT_USER"},
                                           {"HKU", "HKEY_USERS"},
                                           {"HKCR", "HKEY_CLASSES_ROOT"}};
    size_t length = strcspn(key, "\\");

    for (size_t n = 0; n < sizeof roots / sizeof roots[0]; n++)
        for (unsigned form = 0; form < 2; form++)
            if (strlen(roots[n][form]) == length && strncasecmp(roots[n][form], key, length) == 0 && key[length] &&
                key[length + 1] && key[strlen(key) - 1] != '\\') {
                snprintf(full, size, "%s%s", roots[n][1], key + length);
                return;
            }
    refuse("reg: %s is no key", key);
}

/* What stands behind an option; NULL: the option is not there. */
static const char *option(const struct words *words, const char *name)
{
    for (unsigned n = 2; n + 1 < words->count; n++)
        if (same(words->all[n], name))
            return words->all[n + 1];
    return NULL;
}

static void reg_add(const struct batch *batch, const struct words *words)
{
    const char *name = option(words, "/v"), *type = option(words, "/t"), *data = option(words, "/d");
    char key[1024], path[1024];
    FILE *file;

    if (words->count != 9 || !name || !type || !data || !same(words->all[8], "/f"))
        refuse("reg add: not KEY /v NAME /t TYPE /d DATA /f");
    check_key(words->all[1], key, sizeof key);
    if (same(type, "REG_DWORD") ? !is_number(data) : !same(type, "REG_SZ"))
        refuse("reg add: %s is no %s", data, type);
    if (!find_path(batch, REGISTRY, path, sizeof path))
        refuse("the image has no registry");
    file = fopen(path, "a");
    if (!file)
        refuse("the registry cannot be written");
    fprintf(file, "%s\t%s\t%s\t%s%s\n", key, name, type, same(type, "REG_DWORD") && data[1] != 'x' ? "0x" : "", data);
    fclose(file);
}

static void reg_query(const struct batch *batch, const struct words *words, FILE *out)
{
    const char *name = option(words, "/v");
    char key[1024], path[1024], line[LINE_SIZE], found[LINE_SIZE] = "";
    FILE *file;

    if (words->count != 4 || !name)
        refuse("reg query: not KEY /v NAME");
    check_key(words->all[1], key, sizeof key);
    file = find_path(batch, REGISTRY, path, sizeof path) ? fopen(path, "r") : NULL;
    if (!file)
        refuse("the image has no registry");
    while (fgets(line, sizeof line, file)) {
        char *value_name = strchr(line, '\t'), *type = value_name ? strchr(value_name + 1, '\t') : NULL,
             *data = type ? strchr(type + 1, '\t') : NULL;

        if (!data)
            refuse("the registry is damaged: %s", line);
        *value_name++ = *type++ = *data++ = 0;
        data[strcspn(data, "\r\n")] = 0;
        if (same(line, key) && same(value_name, name))
            snprintf(found, sizeof found, "\n%s\n    %s    %s    %s\n\n", line, value_name, type, data);
    }
    fclose(file);
    fputs(*found ? found : "ERROR: The system was unable to find the specified registry key or value.\n", out);
}

static void reg_delete(const struct batch *batch, const struct words *words, FILE *out)
{
    const char *name = option(words, "/v");
    char key[1024], path[1024], fresh[1100], line[LINE_SIZE], wanted[2048];
    bool found = false;
    FILE *from, *to;

    if (words->count != 5 || !name || !same(words->all[4], "/f"))
        refuse("reg delete: not KEY /v NAME /f");
    check_key(words->all[1], key, sizeof key);
    from = find_path(batch, REGISTRY, path, sizeof path) ? fopen(path, "r") : NULL;
    snprintf(fresh, sizeof fresh, "%s.new", path);
    to = from ? fopen(fresh, "w") : NULL;
    if (!to)
        refuse("the registry cannot be written");
    snprintf(wanted, sizeof wanted, "%s\t%s\t", key, name);
    while (fgets(line, sizeof line, from))
        if (strncasecmp(line, wanted, strlen(wanted)) == 0)
            found = true;
        else
            fputs(line, to);
    fclose(from);
    if (fclose(to) != 0 || rename(fresh, path) < 0)
        refuse("the registry cannot be written");
    fputs(found ? "The operation completed successfully.\n"
                : "ERROR: The system was unable to find the specified "
                  "registry key or value.\n",
          out);
}

static void run_reg(struct batch *batch, const struct words *words, FILE *out)
{
    if (words->count > 1 && same(words->all[0], "add"))
        reg_add(batch, words);
    else if (words->count > 1 && same(words->all[0], "query"))
        reg_query(batch, words, out);
    else if (words->count > 1 && same(words->all[0], "delete"))
        reg_delete(batch, words, out);
    else
        refuse("reg: none of add, query, delete");
}

/* A drive of the shared folder: the client of Windows takes the address of a WebDAV server. */
static void net_use(const struct words *words)
{
    char text[256];

    if (words->count != 4 || strlen(words->all[1]) != 2 || !isalpha((unsigned char)words->all[1][0]) ||
        words->all[1][1] != ':' || strncasecmp(words->all[2], "http://", 7) != 0 ||
        !same(words->all[3], "/persistent:yes"))
        refuse("net use: not DRIVE: http://SERVER/ /persistent:yes");
    snprintf(text, sizeof text, "%s %s", words->all[1], words->all[2]);
    note("net use", text);
}

static void run_net(struct batch *batch, const struct words *words, FILE *out)
{
    (void)batch;
    if (words->count > 0 && same(words->all[0], "use"))
        net_use(words);
    else if (words->count != 2 ||
             !(same(words->all[0], "accounts") ? same(words->all[1], "/maxpwage:unlimited")
                                               : same(words->all[0], "start") && same(words->all[1], "WebClient")))
        refuse("net: neither accounts /maxpwage:unlimited, use, nor start WebClient");
    fputs("The command completed successfully.\n", out);
}

/* The space behind "start=" belongs to sc's grammar. */
static void run_sc(struct batch *batch, const struct words *words, FILE *out)
{
    (void)batch;
    if (words->count != 4 || !same(words->all[0], "config") || !same(words->all[1], "WebClient") ||
        !same(words->all[2], "start=") || !same(words->all[3], "auto"))
        refuse("sc: not config WebClient start= auto");
    fputs("[SC] ChangeServiceConfig SUCCESS\n", out);
}

static void run_powercfg(struct batch *batch, const struct words *words, FILE *out)
{
    static const char *const settings[] = {"monitor-timeout-ac",   "monitor-timeout-dc",  "disk-timeout-ac",
                                           "disk-timeout-dc",      "standby-timeout-ac",  "standby-timeout-dc",
                                           "hibernate-timeout-ac", "hibernate-timeout-dc"};
    (void)batch;
    (void)out;
    if (words->count == 2 && (same(words->all[0], "/hibernate") || same(words->all[0], "/h")) &&
        (same(words->all[1], "off") || same(words->all[1], "on")))
        return;
    if (words->count == 3 && (same(words->all[0], "/change") || same(words->all[0], "/x")) &&
        is_one_of(words->all[1], settings, sizeof settings / sizeof settings[0]) && is_number(words->all[2]))
        return;
    refuse("powercfg: neither /hibernate on|off nor /change SETTING MINUTES");
}

static void run_netsh(struct batch *batch, const struct words *words, FILE *out)
{
    static const char *const wanted[] = {"advfirewall", "firewall", "set", "rule", NULL, "new", "enable=Yes"};
    static const char group[] = "group=@FirewallAPI.dll,-";

    (void)batch;
    if (words->count != sizeof wanted / sizeof wanted[0])
        refuse("netsh: not advfirewall firewall set rule group=... new enable=Yes");
    for (unsigned n = 0; n < words->count; n++)
        if (wanted[n] ? !same(words->all[n], wanted[n])
                      : strncasecmp(words->all[n], group, sizeof group - 1) != 0 ||
                            !is_number(words->all[n] + sizeof group - 1))
            refuse("netsh: %s", words->all[n]);
    fputs("Updated 16 rule(s).\nOk.\n", out);
}

static void run_mode(struct batch *batch, const struct words *words, FILE *out)
{
    static const char *const settings[] = {"baud", "parity", "data", "stop", "to",  "xon",
                                           "odsr", "octs",   "dtr",  "rts",  "idsr"};

    (void)batch;
    (void)out;
    if (words->count < 2 || !same(words->all[0], "COM1:"))
        refuse("mode: not COM1:");
    for (unsigned n = 1; n < words->count; n++) {
        char *value = strchr(words->all[n], '=');

        if (!value || !value[1])
            refuse("mode: %s", words->all[n]);
        *value = 0;
        if (!is_one_of(words->all[n], settings, sizeof settings / sizeof settings[0]))
            refuse("mode: %s", words->all[n]);
    }
}

/* Waits for no one: only how long something takes would show it. */
/* A wait, shorter than there. */
static void run_ping(struct batch *batch, const struct words *words, FILE *out)
{
    (void)out;
    if (words->count != 3 || !same(words->all[0], "-n") || !is_number(words->all[1]))
        refuse("ping: not -n COUNT ADDRESS");
    if (!batch->only_checks)
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
}

static void run_chcp(struct batch *batch, const struct words *words, FILE *out)
{
    (void)batch;
    if (words->count != 1 || !is_number(words->all[0]))
        refuse("chcp: no number");
    fprintf(out, "Active code page: %s\n", words->all[0]);
}

/* Of its language only the one sentence that says the time by rules of no country. */
static void run_powershell(struct batch *batch, const struct words *words, FILE *out)
{
    static const char sentence[] = "[DateTime]::Now.ToString('yyyy-MM-ddTHH:mm:ssK', "
                                   "[Globalization.CultureInfo]::InvariantCulture)";
    time_t now = time(NULL);
    struct tm broken;
    char text[64];

    (void)batch;
    if (words->count == 4 && same(words->all[2], "-Command") &&
        same(words->all[3], "Install-WindowsFeature WebDAV-Redirector"))
        return note("powershell", "Install-WindowsFeature WebDAV-Redirector");
    if (words->count != 4 || !same(words->all[0], "-NoProfile") || !same(words->all[1], "-NonInteractive") ||
        !same(words->all[2], "-Command") || strcmp(words->all[3], sentence) != 0)
        refuse("powershell: a command that this player does not know");
    localtime_r(&now, &broken);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &broken);
    fprintf(out, "%.*s:%s\n", (int)strlen(text) - 2, text, text + strlen(text) - 2);
}

static void run_pnputil(struct batch *batch, const struct words *words, FILE *out)
{
    char folder[1024], host[1024], *last;

    (void)out;
    if (words->count != 4 || !same(words->all[0], "/add-driver") || !same(words->all[2], "/subdirs") ||
        !same(words->all[3], "/install"))
        refuse("pnputil: not /add-driver FILES /subdirs /install");
    snprintf(folder, sizeof folder, "%s", words->all[1]);
    last = strrchr(folder, '\\');
    if (!last || !same(last, "\\*.inf"))
        refuse("pnputil: %s", folder);
    *last = 0;
    if (find_path(batch, folder, host, sizeof host))
        note("pnputil", words->all[1]);
}

static void run_cscript(struct batch *batch, const struct words *words, FILE *out)
{
    (void)batch;
    (void)out;
    if (words->count != 5 || !same(words->all[0], "//nologo") || !same(words->all[1], "//b") ||
        !same(words->all[2], "C:\\Windows\\System32\\slmgr.vbs") || !same(words->all[3], "/ipk"))
        refuse("cscript: not slmgr.vbs /ipk KEY");
    note("slmgr", "a key was installed");
}

static const struct program {
    const char *name;
    void (*run)(struct batch *batch, const struct words *words, FILE *out);
} programs[] = {{"reg", run_reg},
                {"net", run_net},
                {"powercfg", run_powercfg},
                {"netsh", run_netsh},
                {"mode", run_mode},
                {"ping", run_ping},
                {"chcp", run_chcp},
                {"powershell", run_powershell},
                {"pnputil", run_pnputil},
                {"cscript", run_cscript},
                {"sc", run_sc}};

/* With ".exe" or ".com" or without. */
static const struct program *find_program(const char *name)
{
    for (size_t n = 0; n < sizeof programs / sizeof programs[0]; n++) {
        size_t length = strlen(programs[n].name);

        if (strncasecmp(programs[n].name, name, length) == 0 &&
            (!name[length] || same(name + length, ".exe") || same(name + length, ".com")))
            return &programs[n];
    }
    return NULL;
}

bool knows_program(const char *name)
{
    return find_program(name) || same(name, "cmd") || same(name, "cmd.exe");
}

void run_program(struct batch *batch, const char *name, const char *arguments, FILE *out)
{
    const struct program *program = find_program(name);
    struct words words;

    words.count = split_words(arguments, words.buffer, sizeof words.buffer, words.all, WORDS);
    if (!program)
        refuse("%s is no program that this player knows", name);
    program->run(batch, &words, out);
}
