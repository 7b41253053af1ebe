/* See inf.h. */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "casement/bytes.h"
#include "inf.h"

#define LINE 512

struct text {
    const uint8_t *bytes;
    size_t length, at;
    unsigned width; /* bytes of a character */
};

/* -1: there is none any more. What is not ASCII means nothing here. */
static int next_character(struct text *text)
{
    unsigned character;

    if (text->length - text->at < text->width)
        return -1;
    character = text->width == 2 ? get_le16(text->bytes + text->at) : text->bytes[text->at];
    text->at += text->width;
    return character < 0x80 ? (int)character : '?';
}

/*
 * A line in small letters, without blanks, comment and what is in quotes, and with the lines in which it goes on (\ at
 * its end). What is too long is cut off. false: there is none any more.
 */
static bool read_line(struct text *text, char line[LINE])
{
    bool quoted = false, comment = false, any = false;
    size_t used = 0;
    int character;

    while ((character = next_character(text)) >= 0) {
        any = true;
        if (character == '\n') {
            if (used == 0 || line[used - 1] != '\\')
                break;
            used--;
            quoted = comment = false;
        } else if (character == '"' && !comment) {
            quoted = !quoted;
        } else if (character == ';' && !quoted) {
            comment = true;
        } else if (character > ' ' && !quoted && !comment && used + 1 < LINE) {
            line[used++] = (char)tolower(character);
        }
    }
    line[used] = 0;
    return any;
}

/* TargetOSVersion: NT[architecture][.version]; without an architecture it is for all. */
static bool is_for_amd64(const char *target)
{
    target += strlen("nt");
    return !strncmp(target, "amd64", 5) || strchr(",.", *target); /* or the end */
}

enum inf_kind inf_kind(const void *bytes, size_t length)
{
    bool wide = length >= 2 && get_le16(bytes) == 0xFEFF;
    bool marked = length >= 3 && !memcmp(bytes, "\xEF\xBB\xBF", 3);
    struct text text = {bytes, length, wide ? 2 : marked ? 3 : 0, wide ? 2 : 1}; /* behind the mark */
    bool in_it = false, found = false, targets = false, amd64 = false;
    char line[LINE];

    while (read_line(&text, line)) {
        if (line[0] == '[') {
            in_it = !strcmp(line, "[manufacturer]");
            found = found || in_it;
        }
        /* maker = models, target, target ... */
        for (const char *at = in_it ? strchr(line, ',') : NULL; at; at = strchr(at + 1, ','))
            if (!strncmp(at + 1, "nt", 2)) {
                targets = true;
                amd64 = amd64 || is_for_amd64(at + 1);
            }
    }
    if (!found)
        return INF_NO_DRIVER;
    return targets && !amd64 ? INF_OTHER : INF_AMD64;
}
