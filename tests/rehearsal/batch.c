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
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batch.h"

struct variable {
    struct variable *next;
    char name[64], value[LINE_SIZE];
};

/* A command without its redirections. */
struct simple {
    char text[LINE_SIZE];
    char to[LINE_SIZE];   /* where its output goes; empty: where it went before */
    char lock[LINE_SIZE]; /* a file that a handle of no meaning writes to while it runs; empty: none */
    bool appends;
};

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
        {"SystemRoot", "C:\\Windows"},
        {"SystemDrive", "C:"},
        {"windir", "C:\\Windows"},
        {"LOCALAPPDATA", "C:\\Windows\\Temp"}}; /* the user has no folders of his own here */

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

void set_variable(struct batch *batch, const char *name, size_t length, const char *value)
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

const char *blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* One word that may be quoted; the quotes stay away. */
const char *take_word(const struct batch *batch, const char *text, char *word)
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

/* 3> to 9> before the command: the digits that mean nothing by themselves. */
static bool begins_lock(const struct simple *simple, size_t used)
{
    return used == 1 && simple->text[0] >= '3' && simple->text[0] <= '9' && !simple->lock[0];
}

/* The second phase: redirections taken out, carets resolved. Other operators are none that the player knows. */
static void split(const struct batch *batch, const char *text, struct simple *simple)
{
    size_t used = 0;
    bool quoted = false, errors_too = false;

    simple->to[0] = simple->lock[0] = 0;
    simple->appends = false;
    for (; *text; text++) {
        if (*text == '"')
            quoted = !quoted;
        if (*text == '>' && text[1] != '>' && begins_lock(simple, used)) {
            text = take_word(batch, text + 1, simple->lock) - 1;
            used = 0;
            continue;
        }
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

/* Two cannot write to one file. -1: another does, so the command is not run. */
static int take_lock(const struct batch *batch, const char *path)
{
    char host[2048];
    int fd;

    find_path(batch, path, host, sizeof host);
    fd = open(host, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void run_if(struct batch *batch, const char *text, FILE *out)
{
    char left[LINE_SIZE] = "", right[LINE_SIZE], host[2048];
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

void run_text(struct batch *batch, const char *text, FILE *out)
{
    struct simple simple = {.text = ""};
    char final[LINE_SIZE];
    FILE *file = NULL;
    int lock = -1;

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
    if (simple.lock[0] && !batch->only_checks && (lock = take_lock(batch, simple.lock)) < 0)
        return;
    if (simple.to[0] && !batch->only_checks)
        file = open_output(batch, &simple);
    put_for_values(batch, simple.text, final);
    run_simple(batch, final, file ? file : out);
    if (file)
        fclose(file);
    if (lock >= 0)
        close(lock);
}

void run_lines(struct batch *batch, unsigned from, FILE *out)
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
