/* See conditions.h. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "conditions.h"
#include "path.h"

struct reading {
    const char *at;
    const struct conditions_facts *facts;
    struct tokens *tokens;
    char path[PATH_ROOM]; /* of the resource that the lists are about */
    bool known;           /* it is one that can be here */
};

static void skip_space(struct reading *reading)
{
    reading->at += strspn(reading->at, " \t");
}

/* What is between open, which is next, and the first close; false: it does not end, or has no room. */
static bool take_between(struct reading *reading, char close, char *text, size_t size)
{
    const char *end = strchr(reading->at + 1, close);
    size_t length = end ? (size_t)(end - reading->at - 1) : size;

    if (length >= size)
        return false;
    memcpy(text, reading->at + 1, length);
    text[length] = 0;
    reading->at = end + 1;
    return true;
}

static void note(struct tokens *tokens, const char *text)
{
    size_t length = strlen(text);

    if (tokens->count < TOKENS_MAX && length < LOCK_TOKEN_ROOM)
        memcpy(tokens->text[tokens->count++], text, length + 1);
}

static const char *without_weakness(const char *etag)
{
    return etag + (strncmp(etag, "W/", 2) == 0 ? 2 : 0);
}

/* One condition: <token> or [etag]. 1, 0 or -EINVAL. */
static int take_condition(struct reading *reading)
{
    const struct conditions_facts *facts = reading->facts;
    char text[256], etag[ETAG_ROOM];

    if (*reading->at == '<') {
        if (!take_between(reading, '>', text, sizeof text))
            return -EINVAL;
        note(reading->tokens, text);
        return reading->known && facts->is_locked_with(facts->opaque, reading->path, text);
    }
    if (*reading->at != '[' || !take_between(reading, ']', text, sizeof text))
        return -EINVAL;
    return reading->known && facts->etag(facts->opaque, reading->path, etag) && !strcmp(without_weakness(text), etag);
}

/* A list in brackets: all of its conditions. */
static int take_list(struct reading *reading)
{
    int holds = 1;
    bool empty = true;

    reading->at++;
    for (;;) {
        bool negated;
        int result;

        skip_space(reading);
        if (*reading->at == ')' && !empty) {
            reading->at++;
            return holds;
        }
        negated = !strncasecmp(reading->at, "Not", 3);
        if (negated) {
            reading->at += 3;
            skip_space(reading);
        }
        result = take_condition(reading);
        if (result < 0)
            return result;
        holds &= negated ? !result : result;
        empty = false;
    }
}

static int take_resource(struct reading *reading)
{
    char target[PATH_HREF_ROOM];

    if (!take_between(reading, '>', target, sizeof target))
        return -EINVAL;
    reading->known = path_decode(target, reading->path) == 0;
    skip_space(reading);
    return *reading->at == '(' ? 0 : -EINVAL;
}

int conditions_hold(const char *field, const char *path, const struct conditions_facts *facts, struct tokens *tokens)
{
    struct reading reading = {.at = field, .facts = facts, .tokens = tokens, .known = true};
    bool tagged, any = false;

    memcpy(reading.path, path, strnlen(path, PATH_ROOM - 1));
    skip_space(&reading);
    tagged = *reading.at == '<';
    do {
        int result = 0;

        if (tagged && *reading.at == '<')
            result = take_resource(&reading);
        if (result == 0)
            result = *reading.at == '(' ? take_list(&reading) : -EINVAL;
        if (result < 0)
            return result;
        any |= result;
        skip_space(&reading);
    } while (*reading.at);
    return any;
}
