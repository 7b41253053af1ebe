/* The words that cmd.exe knows itself, and what it does with a line that begins with none (see batch.h). */
#include <ctype.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "batch.h"

#define CALLS 32

static bool is_label(const char *line, const char *label)
{
    size_t length = strcspn(label, " \t");

    line = blanks(line);
    return *line == ':' && strncasecmp(line + 1, label, length) == 0 && !line[1 + length];
}

static unsigned find_label(const struct batch *batch, const char *label)
{
    for (unsigned n = 0; n < batch->count; n++)
        if (is_label(batch->lines[n], label))
            return n + 1;
    refuse("line %u: there is no label %s", batch->at, label);
}

static void call(struct batch *batch, const char *label, FILE *out)
{
    unsigned at = batch->at, to;

    if (*label != ':')
        refuse("line %u: call without a label", batch->at);
    to = find_label(batch, label + 1);
    if (batch->only_checks)
        return;
    if (++batch->depth > CALLS)
        refuse("line %u: calls itself without end", batch->at);
    run_lines(batch, to, out);
    batch->depth--;
    batch->ended = false;
    batch->at = at;
}

static void set(struct batch *batch, const char *text, FILE *out)
{
    char word[LINE_SIZE];
    bool computes = strncasecmp(text, "/a ", 3) == 0;
    const char *equals;
    char *end;

    (void)out;
    if (*take_word(batch, computes ? text + 3 : text, word) || !(equals = strchr(word, '=')) || equals == word)
        refuse("line %u: set %s: not \"NAME=VALUE\"", batch->at, text);
    if (computes && !batch->only_checks) {
        long value = strtol(equals + 1, &end, 0);
        char number[32];

        if (*end || end == equals + 1)
            refuse("line %u: set /a %s: no number", batch->at, word);
        snprintf(number, sizeof number, "%ld", value);
        set_variable(batch, word, (size_t)(equals - word), number);
        return;
    }
    set_variable(batch, word, (size_t)(equals - word), equals + 1);
}

/* A script of its own is a batch of its own; the user's programs are not run, only named. */
static void run_command(const struct batch *from, const char *line, FILE *out)
{
    char words[LINE_SIZE], *word[64], host[2048];
    unsigned count = split_words(line, words, sizeof words, word, 64);
    size_t length = count ? strlen(word[0]) : 0;
    bool is_script =
        length > 4 && (!strcasecmp(word[0] + length - 4, ".cmd") || !strcasecmp(word[0] + length - 4, ".bat"));

    if (is_script && !find_path(from, word[0], host, sizeof host))
        refuse("%s is not there", word[0]);
    if (is_script && strcasestr(word[0], "SetupComplete.cmd"))
        run_line(from, line, out);
    else if (is_script && strcasecmp(word[0], "install.bat") == 0 && strcasecmp(from->folder, "C:\\OEM") == 0)
        note("install.bat", from->folder);
    else
        note("command", line);
}

/* cmd.exe's own words, and its rule about the quotes of what follows /c: all but two quotes around one name go. */
void run_shell(const struct batch *from, const char *text, FILE *out)
{
    char command[LINE_SIZE], *last;
    bool strips = false;
    unsigned quotes = 0;

    for (text = blanks(text); strncasecmp(text, "/c ", 3) != 0; text = blanks(text + 2)) {
        if (strncasecmp(text, "/d ", 3) != 0 && strncasecmp(text, "/s ", 3) != 0)
            refuse("line %u: cmd.exe %s", from->at, text);
        strips |= tolower((unsigned char)text[1]) == 's';
    }
    snprintf(command, sizeof command, "%s", blanks(text + 3));
    for (const char *at = command; *at; at++)
        quotes += *at == '"';
    if (*command == '"' &&
        (strips || quotes != 2 || !strchr(command, ' ') || strchr(command, ' ') > strrchr(command, '"'))) {
        last = strrchr(command, '"');
        memmove(last, last + 1, strlen(last));
        memmove(command, command + 1, strlen(command));
    }
    run_command(from, command, out);
}

/* Words of cmd.exe itself; rest is what stands behind the word. */
static void echo(struct batch *batch, const char *rest, FILE *out)
{
    if (strcasecmp(rest, "off") != 0 && strcasecmp(rest, "on") != 0 && !batch->only_checks)
        fprintf(out, "%s\r\n", rest);
}

static void go_to(struct batch *batch, const char *rest, FILE *out)
{
    unsigned to = find_label(batch, *rest == ':' ? rest + 1 : rest);

    (void)out;
    if (!batch->only_checks)
        batch->at = to;
}

static void leave(struct batch *batch, const char *rest, FILE *out)
{
    (void)out;
    if (strncasecmp(rest, "/b ", 3) != 0 || !isdigit((unsigned char)rest[3]))
        refuse("line %u: exit without /b NUMBER", batch->at);
    batch->ended = !batch->only_checks;
}

static void set_local(struct batch *batch, const char *rest, FILE *out)
{
    (void)out;
    if (strcasecmp(rest, "EnableExtensions DisableDelayedExpansion") != 0)
        refuse("line %u: setlocal %s", batch->at, rest);
}

static void change_folder(struct batch *batch, const char *rest, FILE *out)
{
    char name[LINE_SIZE], host[2048];

    (void)out;
    if (strncasecmp(rest, "/d ", 3) != 0)
        refuse("line %u: cd without /d", batch->at);
    take_word(batch, rest + 3, name);
    if (!batch->only_checks && !find_path(batch, name, host, sizeof host))
        refuse("line %u: cd %s: is not there", batch->at, name);
    if (strlen(name) >= sizeof batch->folder)
        refuse("line %u: cd %s: too long", batch->at, name);
    memcpy(batch->folder, name, strlen(name) + 1);
}

/* Not beside the script, as Windows does it, but before its next line. */
static void start(struct batch *batch, const char *rest, FILE *out)
{
    char title[LINE_SIZE];

    if (*rest != '"')
        refuse("line %u: start without a title: the first quoted word would be one", batch->at);
    run_simple(batch, take_word(batch, rest, title), out);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static void remove_folder(struct batch *batch, const char *rest, FILE *out)
{
    char name[LINE_SIZE], host[2048];

    if (strncasecmp(rest, "/s /q ", 6) != 0 || *take_word(batch, rest + 6, name) || !*name)
        refuse("line %u: rd: not /s /q FOLDER", batch->at);
    if (batch->only_checks)
        return;
    if (!find_path(batch, name, host, sizeof host))
        fputs("The system cannot find the file specified.\n", out);
    else if (nftw(host, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
        refuse("line %u: rd: %s cannot be removed", batch->at, name);
}

static void delete_file(struct batch *batch, const char *rest, FILE *out)
{
    char name[LINE_SIZE], host[2048];

    if (strncasecmp(rest, "/f /q ", 6) != 0 || *take_word(batch, rest + 6, name) || !*name || strpbrk(name, "*?"))
        refuse("line %u: del: not /f /q FILE", batch->at);
    if (batch->only_checks)
        return;
    if (!find_path(batch, name, host, sizeof host))
        fprintf(out, "Could Not Find %s\n", name);
    else if (unlink(host) < 0)
        refuse("line %u: del: %s cannot be removed", batch->at, name);
}

static void shell(struct batch *batch, const char *rest, FILE *out)
{
    if (!batch->only_checks)
        run_shell(batch, rest, out);
}

void run_simple(struct batch *batch, const char *text, FILE *out)
{
    static const struct {
        const char *name;
        void (*run)(struct batch *batch, const char *rest, FILE *out);
    } words[] = {{"echo", echo},        {"set", set},     {"goto", go_to},
                 {"call", call},        {"exit", leave},  {"setlocal", set_local},
                 {"cd", change_folder}, {"start", start}, {"rd", remove_folder},
                 {"del", delete_file},  {"cmd", shell},   {"cmd.exe", shell}};
    char name[LINE_SIZE];
    const char *rest = take_word(batch, text, name);

    for (size_t n = 0; n < sizeof words / sizeof words[0]; n++)
        if (strcasecmp(words[n].name, name) == 0) {
            words[n].run(batch, rest, out);
            return;
        }
    if (knows_program(name)) {
        if (!batch->only_checks)
            run_program(batch, name, rest, out);
    } else if (*blanks(text) == '"' && (strchr(name, '\\') || *name == '%')) {
        if (!batch->only_checks)
            note("program", name);
    } else {
        refuse("line %u: %s is no command of Windows that this player knows", batch->at, name);
    }
}
