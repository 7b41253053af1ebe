/* FOR in its three forms: /l counts, /f reads a file or what a command says, /r looks into folders (see batch.h). */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "batch.h"

/* Numbers: from, step, to. */
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

void run_for(struct batch *batch, const char *text, FILE *out)
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
