/*
 * The language of scripts (see batch.h).
 *
 *     batch C COM1 COMMAND-LINE      as Windows would start it: a script, or cmd.exe with one
 *     batch C COM1 --check SCRIPT    every line, whether it would be run or not
 *
 * C is the folder that stands for C:\. What the script says goes where it sends it; what the player has to say of it,
 * to standard output.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "batch.h"

#define CALLS 32
#define VARIABLES_OF_WINDOWS                              \
    {"SystemRoot", "C:\\Windows"}, {"SystemDrive", "C:"}, \
    {                                                     \
        "windir", "C:\\Windows"                           \
    }

struct variable {
    struct variable *next;
    char name[64], value[LINE_SIZE];
};

/* A command without its redirections. */
struct simple {
    char text[LINE_SIZE];
    char to[LINE_SIZE]; /* where its output goes; empty: where it went before */
    bool appends;
};

static void run_text(struct batch *batch, const char *text, FILE *out);

void refuse(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("REHEARSAL-REFUSED: ", stdout);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    exit(1);
}

void note(const char *what, const char *text)
{
    printf("REHEARSAL-RAN %s: %s\n", what, text);
    fflush(stdout);
}

bool find_path(const struct batch *batch, const char *path, char *host, size_t size)
{
    char full[2048], *at, *end;
    bool there = true;

    if (strncasecmp(path, "C:\\", 3) == 0)
        snprintf(full, sizeof full, "%s", path + 3);
    else if (isalpha((unsigned char)path[0]) && path[1] == ':')
        refuse("%s: not on C:", path);
    else
        snprintf(full, sizeof full, "%s\\%s", batch->folder + 3, path);
    snprintf(host, size, "%s", batch->root);
    for (at = full; *at; at = end) {
        struct dirent *entry = NULL;
        DIR *folder = opendir(host);

        end = at + strcspn(at, "\\");
        if (*end)
            *end++ = 0;
        while (*at && folder && (entry = readdir(folder)) && strcasecmp(entry->d_name, at) != 0)
            ;
        if (*at) {
            snprintf(host + strlen(host), size - strlen(host), "/%s", entry ? entry->d_name : at);
            there &= entry != NULL;
        }
        if (folder)
            closedir(folder);
    }
    return there;
}

static const char *value_of(const struct batch *batch, const char *name, size_t length)
{
    static const char *const of_windows[][2] = {
        {"SystemRoot", "C:\\Windows"}, {"SystemDrive", "C:"}, {"windir", "C:\\Windows"}};

    for (const struct variable *variable = batch->variables; variable; variable = variable->next)
        if (strlen(variable->name) == length && strncasecmp(variable->name, name, length) == 0)
            return variable->value;
    for (size_t n = 0; n < sizeof of_windows / sizeof of_windows[0]; n++)
        if (strlen(of_windows[n][0]) == length && strncasecmp(of_windows[n][0], name, length) == 0)
            return of_windows[n][1];
    if (!batch->only_checks)
        refuse("line %u: %%%.*s%% is not set", batch->at, (int)length, name);
    return "";
}

static void set_variable(struct batch *batch, const char *name, size_t length, const char *value)
{
    struct variable *variable;

    for (variable = batch->variables; variable; variable = variable->next)
        if (strlen(variable->name) == length && strncasecmp(variable->name, name, length) == 0)
            break;
    if (!variable) {
        variable = calloc(1, sizeof *variable);
        if (!variable || length >= sizeof variable->name)
            refuse("line %u: set", batch->at);
        memcpy(variable->name, name, length);
        variable->next = batch->variables;
        batch->variables = variable;
    }
    snprintf(variable->value, sizeof variable->value, "%s", value);
}

static const char *folder_of(const char *path, char *folder, size_t size)
{
    snprintf(folder, size, "%s", path);
    strrchr(folder, '\\')[1] = 0;
    return folder;
}

/* What the letters behind a percent sign mean; *used counts them. */
static const char *argument(const struct batch *batch, const char *at, size_t *used, char *buffer, size_t size)
{
    static const char *const forms[] = {"~f0", "~dp0", "~1", "0", "1"};

    for (size_t n = 0; n < sizeof forms / sizeof forms[0]; n++) {
        char words[LINE_SIZE], *word[16];

        if (strncmp(at, forms[n], strlen(forms[n])) != 0)
            continue;
        *used = strlen(forms[n]);
        if (n == 0 || n == 3)
            return batch->script;
        if (n == 1)
            return folder_of(batch->script, buffer, size);
        if (split_words(batch->arguments, words, sizeof words, word, 16) == 0)
            return "";
        snprintf(buffer, size, "%s", word[0]);
        return buffer;
    }
    return NULL;
}

/* The first phase. Alone among texts a line at a prompt keeps percent signs that mean nothing. */
static void expand(const struct batch *batch, const char *line, char *to)
{
    size_t used = 0;

    while (*line) {
        const char *value = NULL, *end = strchr(line + 1, '%');
        char buffer[LINE_SIZE];
        size_t skip = 1;

        if (used + 1 >= LINE_SIZE)
            refuse("line %u: too long", batch->at);
        if (*line != '%') {
            to[used++] = *line++;
            continue;
        }
        if (line[1] == '%') {
            value = "%";
        } else if (!(value = argument(batch, line + 1, &skip, buffer, sizeof buffer))) {
            if (!end)
                refuse("line %u: a lonely percent sign", batch->at);
            skip = (size_t)(end - line);
            value = value_of(batch, line + 1, skip - 1);
        }
        if (used + strlen(value) >= LINE_SIZE)
            refuse("line %u: too long", batch->at);
        used += (size_t)sprintf(to + used, "%s", value);
        line += skip + 1;
    }
    to[used] = 0;
}

/* The last phase: %a, which a script has written as %%a. */
static void put_for_values(const struct batch *batch, const char *text, char *to)
{
    size_t used = 0;

    for (; *text; text++)
        if (text[0] == '%' && isalpha((unsigned char)text[1]) && batch->for_values[(unsigned char)text[1]][0]) {
            used += (size_t)snprintf(to + used, LINE_SIZE - used, "%s", batch->for_values[(unsigned char)text[1]] + 1);
            text++;
            if (used >= LINE_SIZE)
                refuse("line %u: too long", batch->at);
        } else {
            to[used++] = *text;
        }
    to[used] = 0;
}

static const char *blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* One word that may be quoted; the quotes stay away. */
static const char *take_word(const struct batch *batch, const char *text, char *word)
{
    bool quoted = false;
    size_t used = 0;

    for (text = blanks(text); *text && (quoted || (*text != ' ' && *text != '\t')); text++)
        if (*text == '"')
            quoted = !quoted;
        else
            word[used++] = *text;
    word[used] = 0;
    if (quoted)
        refuse("line %u: a quote has no end", batch->at);
    return blanks(text);
}

/* The second phase: redirections taken out, carets resolved. Other operators are none that the player knows. */
static void split(const struct batch *batch, const char *text, struct simple *simple)
{
    size_t used = 0;
    bool quoted = false, errors_too = false;

    simple->to[0] = 0;
    simple->appends = false;
    for (; *text; text++) {
        if (*text == '"')
            quoted = !quoted;
        if (!quoted && *text == '^' && text[1]) {
            simple->text[used++] = *++text;
        } else if (!quoted && (*text == '&' || *text == '|' || *text == '<' || *text == '(' || *text == ')')) {
            refuse("line %u: %c is not known to this player", batch->at, *text);
        } else if (!quoted && *text == '>') {
            bool errors =
                used && simple->text[used - 1] == '2' && (used == 1 || strchr(" \t\"", simple->text[used - 2]));

            if (!errors && used && isdigit((unsigned char)simple->text[used - 1]) &&
                (used == 1 || strchr(" \t", simple->text[used - 2])))
                refuse("line %u: a digit before > is a handle", batch->at);
            used -= errors;
            if (errors && strncmp(text, ">&1", 3) == 0 && simple->to[0]) {
                errors_too = true;
                text += 2;
                continue;
            }
            if (errors || errors_too || simple->to[0])
                refuse("line %u: a redirection that this player does not know", batch->at);
            simple->appends = text[1] == '>';
            text = take_word(batch, text + 1 + simple->appends, simple->to) - 1;
            if (!simple->to[0])
                refuse("line %u: > leads nowhere", batch->at);
        } else {
            simple->text[used++] = *text;
        }
    }
    if (quoted)
        refuse("line %u: a quote has no end", batch->at);
    simple->text[used] = 0;
}

static FILE *open_output(const struct batch *batch, const struct simple *simple)
{
    char host[2048];
    FILE *file;

    if (strcasecmp(simple->to, "nul") == 0)
        return fopen("/dev/null", "w");
    if (strcasecmp(simple->to, "\\\\.\\COM1") == 0)
        return fopen(batch->com1, "a");
    find_path(batch, simple->to, host, sizeof host);
    file = fopen(host, simple->appends ? "a" : "w");
    if (!file)
        refuse("line %u: %s cannot be written, so the command is not run", batch->at, simple->to);
    return file;
}

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

static void run_lines(struct batch *batch, unsigned from, FILE *out)
{
    for (batch->at = from; batch->at < batch->count && !batch->ended;) {
        const char *line = blanks(batch->lines[batch->at++]);
        char expanded[LINE_SIZE];

        if (!*line || *line == ':')
            continue;
        expand(batch, line, expanded);
        run_text(batch, expanded, out);
    }
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

static void set(struct batch *batch, const char *text)
{
    char word[LINE_SIZE];
    bool computes = strncasecmp(text, "/a ", 3) == 0;
    const char *equals;
    char *end;

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
static void run_shell(const struct batch *from, const char *text, FILE *out)
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

static void run_simple(struct batch *batch, char *text, FILE *out)
{
    char name[LINE_SIZE];
    const char *rest = take_word(batch, text, name);

    if (strcasecmp(name, "echo") == 0) {
        if (strcasecmp(rest, "off") != 0 && strcasecmp(rest, "on") != 0 && !batch->only_checks)
            fprintf(out, "%s\r\n", rest);
    } else if (strcasecmp(name, "set") == 0) {
        set(batch, rest);
    } else if (strcasecmp(name, "goto") == 0) {
        unsigned to = find_label(batch, *rest == ':' ? rest + 1 : rest);

        batch->at = batch->only_checks ? batch->at : to;
    } else if (strcasecmp(name, "call") == 0) {
        call(batch, rest, out);
    } else if (strcasecmp(name, "exit") == 0) {
        if (strncasecmp(rest, "/b ", 3) != 0 || !isdigit((unsigned char)rest[3]))
            refuse("line %u: exit without /b NUMBER", batch->at);
        batch->ended = !batch->only_checks;
    } else if (strcasecmp(name, "setlocal") == 0) {
        if (strcasecmp(rest, "EnableExtensions DisableDelayedExpansion") != 0)
            refuse("line %u: setlocal %s", batch->at, rest);
    } else if (strcasecmp(name, "cd") == 0) {
        char host[2048];

        if (strncasecmp(rest, "/d ", 3) != 0)
            refuse("line %u: cd without /d", batch->at);
        take_word(batch, rest + 3, name);
        if (!batch->only_checks && !find_path(batch, name, host, sizeof host))
            refuse("line %u: cd %s: is not there", batch->at, name);
        snprintf(batch->folder, sizeof batch->folder, "%s", name);
    } else if (strcasecmp(name, "start") == 0) {
        if (*rest != '"')
            refuse("line %u: start without a title: the first quoted word would be one", batch->at);
        rest = take_word(batch, rest, name);
        run_simple(batch, (char *)rest, out);
    } else if (strcasecmp(name, "rd") == 0) {
        if (strncasecmp(rest, "/s /q ", 6) != 0)
            refuse("line %u: rd without /s /q", batch->at);
        if (!batch->only_checks)
            note("rd", rest + 6);
    } else if (strcasecmp(name, "cmd.exe") == 0 || strcasecmp(name, "cmd") == 0) {
        if (!batch->only_checks)
            run_shell(batch, rest, out);
    } else if (knows_program(name)) {
        if (!batch->only_checks)
            run_program(batch, name, rest, out);
    } else if (*blanks(text) == '"' && (strchr(name, '\\') || *name == '%')) {
        if (!batch->only_checks)
            note("program", name);
    } else {
        refuse("line %u: %s is no command of Windows that this player knows", batch->at, name);
    }
}

static void run_if(struct batch *batch, const char *text, FILE *out)
{
    char left[LINE_SIZE], right[LINE_SIZE], host[2048];
    bool ignores_case = strncasecmp(text, "/i ", 3) == 0, negated, holds;

    text = blanks(ignores_case ? text + 3 : text);
    negated = strncasecmp(text, "not ", 4) == 0;
    text = blanks(negated ? text + 4 : text);
    if (strncasecmp(text, "exist ", 6) == 0) {
        text = take_word(batch, text + 6, left);
        put_for_values(batch, left, right);
        holds = !batch->only_checks && find_path(batch, right, host, sizeof host);
    } else {
        char *equals;

        text = take_word(batch, text, left);
        equals = strstr(left, "==");
        if (!equals)
            refuse("line %u: if without exist or ==", batch->at);
        *equals = 0;
        holds = (ignores_case ? strcasecmp : strcmp)(left, equals + 2) == 0;
    }
    if (!*text)
        refuse("line %u: if without a command", batch->at);
    if (batch->only_checks || holds != negated)
        run_text(batch, text, out);
}

/* FOR /L: numbers from, step, to. As a rehearsal has nobody to wait for, a loop that only waits ends at once. */
static void for_numbers(struct batch *batch, const char *set_text, const char *body, FILE *out)
{
    int from, step, to;

    if (sscanf(set_text, "%d,%d,%d", &from, &step, &to) != 3 || step <= 0)
        refuse("line %u: for /l (%s)", batch->at, set_text);
    for (int n = from; n <= to && !batch->ended; n += batch->only_checks ? to : step)
        run_text(batch, body, out);
}

static void for_folders(struct batch *batch, char *value, const char *host, const char *path, const char *names,
                        const char *body, FILE *out)
{
    struct dirent *entry;
    DIR *folder = opendir(host);

    snprintf(value, LINE_SIZE, "\1%s\\%s", path, names);
    run_text(batch, body, out);
    while (folder && (entry = readdir(folder))) {
        char below[2048], below_host[2048];
        struct stat status;

        snprintf(below, sizeof below, "%s\\%s", path, entry->d_name);
        snprintf(below_host, sizeof below_host, "%s/%s", host, entry->d_name);
        if (entry->d_name[0] != '.' && stat(below_host, &status) == 0 && S_ISDIR(status.st_mode))
            for_folders(batch, value, below_host, below, names, body, out);
    }
    if (folder)
        closedir(folder);
}

struct reading_rules {
    bool other_quotes;
    unsigned token;
    char delimiters[16], end_of_line;
};

static void read_rules(const struct batch *batch, const char *text, struct reading_rules *rules)
{
    char words[LINE_SIZE], *word[8];
    unsigned count = split_words(text, words, sizeof words, word, 8);

    *rules = (struct reading_rules){.token = 1, .delimiters = " \t", .end_of_line = ';'};
    for (unsigned n = 0; n < count; n++) {
        if (strcasecmp(word[n], "usebackq") == 0)
            rules->other_quotes = true;
        else if (strncasecmp(word[n], "tokens=", 7) == 0 && isdigit((unsigned char)word[n][7]) && !word[n][8])
            rules->token = (unsigned)(word[n][7] - '0');
        else if (strncasecmp(word[n], "delims=", 7) == 0)
            snprintf(rules->delimiters, sizeof rules->delimiters, "%s", word[n] + 7);
        else if (strncasecmp(word[n], "eol=", 4) == 0)
            rules->end_of_line = word[n][4];
        else
            refuse("line %u: for /f has no option %s", batch->at, word[n]);
    }
}

/* One line's token; a line that has fewer does not run the body. */
static void for_line(struct batch *batch, const struct reading_rules *rules, char *value, char *line, const char *body,
                     FILE *out)
{
    line[strcspn(line, "\r\n")] = 0;
    if (!*line || (rules->end_of_line && *line == rules->end_of_line))
        return;
    for (unsigned n = 1; *(line += strspn(line, rules->delimiters)); n++) {
        size_t length = rules->delimiters[0] ? strcspn(line, rules->delimiters) : strlen(line);

        if (n == rules->token) {
            snprintf(value, LINE_SIZE, "\1%.*s", (int)length, line);
            run_text(batch, body, out);
            return;
        }
        line += length;
    }
}

static FILE *output_of(struct batch *batch, const char *command)
{
    FILE *file = tmpfile();
    char line[LINE_SIZE];

    if (!file)
        refuse("no temporary file");
    snprintf(line, sizeof line, "%s", command);
    run_simple(batch, line, file);
    rewind(file);
    return file;
}

static void for_text(struct batch *batch, const char *options, char *value, const char *set_text, const char *body,
                     FILE *out)
{
    struct reading_rules rules;
    char inner[LINE_SIZE], host[2048], line[LINE_SIZE];
    size_t length = strlen(set_text);
    FILE *file = NULL;
    char quote;

    read_rules(batch, options, &rules);
    quote = length > 1 && set_text[length - 1] == set_text[0] ? set_text[0] : 0;
    snprintf(inner, sizeof inner, "%.*s", (int)length - 2, set_text + 1);
    if (quote == (rules.other_quotes ? '`' : '\''))
        file = output_of(batch, inner);
    else if (quote != '"' || !rules.other_quotes)
        refuse("line %u: for /f (%s): neither a command nor a file", batch->at, set_text);
    else if (!batch->only_checks && (!find_path(batch, inner, host, sizeof host) || !(file = fopen(host, "r"))))
        refuse("line %u: for /f: %s is not there", batch->at, inner);
    if (batch->only_checks)
        run_text(batch, body, out);
    while (file && fgets(line, sizeof line, file))
        for_line(batch, &rules, value, line, body, out);
    if (file)
        fclose(file);
}

/* Up to the parenthesis that ends the set: those in quotes do not. */
static const char *take_set(const struct batch *batch, const char *text, char *set_text)
{
    bool quoted = false;
    size_t used = 0;

    if (*text++ != '(')
        refuse("line %u: for without in (...)", batch->at);
    for (; *text && (quoted || *text != ')'); text++) {
        if (*text == '"')
            quoted = !quoted;
        set_text[used++] = *text;
    }
    set_text[used] = 0;
    if (!*text)
        refuse("line %u: for without in (...)", batch->at);
    return blanks(text + 1);
}

/* Options of /f may be quoted, or have carets before what would end them. */
static const char *take_options(const struct batch *batch, const char *text, char *options)
{
    size_t used = 0;

    text = blanks(text);
    if (*text == '"')
        return take_word(batch, text, options);
    for (; *text && *text != '%' && *text != ' '; text++)
        options[used++] = *text == '^' && text[1] ? *++text : *text;
    options[used] = 0;
    return blanks(text);
}

static void run_for(struct batch *batch, const char *text, FILE *out)
{
    char options[LINE_SIZE] = "", set_text[LINE_SIZE], host[2048], *value;
    char kind = (char)tolower((unsigned char)text[1]);

    if (*text != '/' || !strchr("lfr", kind) || text[2] != ' ')
        refuse("line %u: for without /l, /f or /r", batch->at);
    text = blanks(text + 2);
    if (kind != 'l' && *text != '%')
        text = take_options(batch, text, options);
    if (text[0] != '%' || !isalpha((unsigned char)text[1]) || strncasecmp(text + 2, " in (", 5) != 0)
        refuse("line %u: for %s: no variable, or no in (", batch->at, text);
    value = batch->for_values[(unsigned char)text[1]];
    text = take_set(batch, text + 6, set_text);
    if (strncasecmp(text, "do ", 3) != 0)
        refuse("line %u: for without do", batch->at);
    text = blanks(text + 3);
    if (kind == 'l')
        for_numbers(batch, set_text, text, out);
    else if (kind == 'f')
        for_text(batch, options, value, set_text, text, out);
    else if (batch->only_checks)
        run_text(batch, text, out);
    else if (find_path(batch, options, host, sizeof host))
        for_folders(batch, value, host, options, set_text, text, out);
    value[0] = 0;
}

static void run_text(struct batch *batch, const char *text, FILE *out)
{
    struct simple simple = {.text = ""};
    char final[LINE_SIZE];
    FILE *file = NULL;

    text += *text == '@';
    if (strncasecmp(text, "if ", 3) == 0) {
        run_if(batch, blanks(text + 3), out);
        return;
    }
    if (strncasecmp(text, "for ", 4) == 0) {
        run_for(batch, blanks(text + 4), out);
        return;
    }
    split(batch, text, &simple);
    if (simple.to[0] && !batch->only_checks)
        file = open_output(batch, &simple);
    put_for_values(batch, simple.text, final);
    run_simple(batch, final, file ? file : out);
    if (file)
        fclose(file);
}

static void read_script(struct batch *batch)
{
    char host[2048], line[LINE_SIZE + 2];
    FILE *file = find_path(batch, batch->script, host, sizeof host) ? fopen(host, "rb") : NULL;

    if (!file)
        refuse("%s is not there", batch->script);
    while (fgets(line, sizeof line, file)) {
        size_t length = strlen(line);

        if (length < 2 || strcmp(line + length - 2, "\r\n") != 0)
            refuse("%s line %u: too long, or its end is not CR LF", batch->script, batch->count + 1);
        line[length - 2] = 0;
        for (const char *at = line; *at; at++)
            if (*at < ' ' || *at > '~')
                refuse("%s line %u: a sign that is not ASCII", batch->script, batch->count + 1);
        batch->lines = realloc(batch->lines, (batch->count + 1) * sizeof batch->lines[0]);
        if (!batch->lines || !(batch->lines[batch->count++] = strdup(line)))
            refuse("out of memory");
    }
    fclose(file);
}

static struct batch *batch_for(const struct batch *from, const char *line)
{
    char words[LINE_SIZE], *word[64];
    struct batch *batch = calloc(1, sizeof *batch);

    if (!batch || split_words(line, words, sizeof words, word, 64) == 0)
        refuse("nothing to run");
    batch->root = from->root;
    batch->com1 = from->com1;
    batch->only_checks = from->only_checks;
    snprintf(batch->folder, sizeof batch->folder, "%s", from->folder);
    snprintf(batch->script, sizeof batch->script, "%s", word[0]);
    snprintf(batch->arguments, sizeof batch->arguments, "%s", line + strlen(word[0]));
    if (strncasecmp(batch->script, "C:\\", 3) != 0 || strlen(batch->script) != strcspn(batch->script, " "))
        refuse("%s is not a whole path", batch->script);
    read_script(batch);
    return batch;
}

static void destroy(struct batch *batch)
{
    while (batch->variables) {
        struct variable *next = batch->variables->next;

        free(batch->variables);
        batch->variables = next;
    }
    while (batch->count)
        free(batch->lines[--batch->count]);
    free(batch->lines);
    free(batch);
}

void run_line(const struct batch *from, const char *line, FILE *out)
{
    struct batch *batch = batch_for(from, line);

    run_lines(batch, 0, out);
    destroy(batch);
}

int main(int argc, char **argv)
{
    struct batch from = {.folder = "C:\\Windows\\System32"};
    FILE *nowhere = fopen("/dev/null", "w");

    if (argc < 4 || argc > 5 || !nowhere) {
        fputs("usage: batch C COM1 [--check] COMMAND-LINE\n", stderr);
        return 2;
    }
    from.root = argv[1];
    from.com1 = argv[2];
    from.only_checks = argc == 5;
    if (strncasecmp(argv[argc - 1], "cmd.exe ", 8) == 0)
        run_shell(&from, argv[argc - 1] + 8, nowhere);
    else
        run_line(&from, argv[argc - 1], nowhere);
    fclose(nowhere);
    return 0;
}
