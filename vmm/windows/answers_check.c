/*
 * Are the wishes such as Windows takes (see answers.h)? Lengths count as Windows does, in units of UTF-16. What is not
 * printable is refused everywhere: it would survive in the answer file, and then fail in Setup without a word.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "answers_private.h"
#include "casement/bytes.h"
#include "casement/utf8.h"

static bool printable(uint32_t code)
{
    return code >= ' ' && (code < 0x7F || code > 0x9F) && code != 0x2028 && code != 0x2029 &&
           (code & 0xFFFE) != 0xFFFE && code != UTF8_BAD;
}

/* No text has the value in it: it may be a secret, or too long to show. */
static int check_text(const char *option, const char *value, unsigned most, struct error *error)
{
    const char *at = value;
    unsigned units = 0;

    if (!value)
        return 0;
    for (uint32_t code = utf8_next(&at); code; code = utf8_next(&at)) {
        if (code == UTF8_BAD)
            return error_set(error, EINVAL, "%s: its value is not UTF-8; give it as UTF-8", option);
        if (!printable(code))
            return error_set(error, EINVAL,
                             "%s: its value has a control character (U+%04X); leave out line breaks and the like",
                             option, (unsigned)code);
        units += code > 0xFFFF ? 2 : 1;
    }
    if (units > most)
        return error_set(error, EINVAL, "%s: its value has %u characters; Windows takes %u at most", option, units,
                         most);
    return 0;
}

static int check_texts(const struct answers *answers, struct error *error)
{
    const struct {
        const char *option, *value;
        unsigned most;
        bool may_be_empty;
    } texts[] = {
        {"--edition", answers->edition, 64, false},
        {"--language", answers->language, 64, false},
        {"--region", answers->region, 64, false},
        {"--keyboard-locale", answers->keyboard, 64, false},
        {"--key", answers->key, 64, false},
        {"--user", answers->user, 20, false},
        {"--password", answers->password, 127, true},
        {"--computer", answers->computer, 15, false},
        {"--workgroup", answers->workgroup, 15, false},
        {"--domain", answers->domain, 64, false},
        {"--domain-ou", answers->domain_ou, 256, false},
        {"--domain-user", answers->domain_user, 64, false},
        {"--domain-password", answers->domain_password, 127, false},
        {"--command", answers->command, 1024, false},
        {"--time-zone", answers->time_zone, 64, false},
    };
    int failed = 0;

    for (unsigned n = 0; n < ARRAY_SIZE(texts) && failed == 0; n++) {
        if (texts[n].value && !*texts[n].value && !texts[n].may_be_empty)
            return error_set(error, EINVAL, "%s: its value is empty; give one or leave it out", texts[n].option);
        failed = check_text(texts[n].option, texts[n].value, texts[n].most, error);
    }
    return failed;
}

/* A name without any of these signs, not at its ends a space, and not of dots and spaces only. */
static int check_signs(const char *option, const char *name, const char *forbidden, struct error *error)
{
    size_t length = strlen(name), at = strcspn(name, forbidden);

    if (name[at])
        return error_set(error, EINVAL, "%s %s: has a %c, which such a name cannot have; leave out %s", option, name,
                         name[at], forbidden);
    if (name[0] == ' ' || name[length - 1] == ' ' || strspn(name, ". ") == length)
        return error_set(error, EINVAL, "%s \"%s\": begins or ends with a space, or has nothing but dots; use letters",
                         option, name);
    return 0;
}

static int check_user(const struct answers *answers, struct error *error)
{
    const char *user = answers->user ? answers->user : "Docker";
    int failed = check_signs("--user", user, "\"/\\[]:;|=,+*?<>@%", error);

    if (failed < 0)
        return failed;
    if (user[strlen(user) - 1] == '.')
        return error_set(error, EINVAL, "--user %s: ends with a dot, which Windows refuses; leave it out", user);
    if (answers_is_reserved(user))
        return error_set(error, EINVAL, "--user %s: Windows has that name for itself; give another one", user);
    if (answers->computer && !strcasecmp(user, answers->computer))
        return error_set(error, EINVAL, "--user %s: is the computer's name too, which Windows refuses; change one",
                         user);
    return 0;
}

static int check_computer(const char *name, struct error *error)
{
    static const char signs[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    if (!name)
        return 0;
    if (name[strspn(name, signs)] || name[0] == '-' || name[strlen(name) - 1] == '-')
        return error_set(error, EINVAL,
                         "--computer %s: no name of a computer; give letters, digits and hyphens, a hyphen not first "
                         "or last",
                         name);
    if (strspn(name, "0123456789") == strlen(name))
        return error_set(error, EINVAL, "--computer %s: has only digits, which Windows refuses; add a letter", name);
    return 0;
}

static int check_workgroup(const struct answers *answers, struct error *error)
{
    const char *name = answers->workgroup;
    int failed = name ? check_signs("--workgroup", name, "\"/\\[]:|<>+=;,?*", error) : 0;

    if (failed < 0 || !name)
        return failed;
    if (answers->domain)
        return error_set(error, EINVAL,
                         "--workgroup %s: a machine is in a workgroup or in a domain (--domain %s); give "
                         "one of them",
                         name, answers->domain);
    if (answers->computer && !strcasecmp(name, answers->computer))
        return error_set(error, EINVAL, "--workgroup %s: is the computer's name too, which Windows refuses; change one",
                         name);
    return 0;
}

/* Labels of letters, digits and hyphens, with dots between them. */
static bool is_domain(const char *name)
{
    for (const char *label = name;; label++) {
        const char *end = label + strcspn(label, ".");

        if (end == label || *label == '-' || end[-1] == '-')
            return false;
        for (; label < end; label++)
            if (!isascii(*label) || (!isalnum((unsigned char)*label) && *label != '-'))
                return false;
        if (!*end)
            return true;
    }
}

static int check_domain(const struct answers *answers, struct error *error)
{
    if (!answers->domain) {
        const char *option = answers->domain_ou         ? "--domain-ou"
                             : answers->domain_user     ? "--domain-user"
                             : answers->domain_password ? "--domain-password"
                                                        : NULL;

        return option
                   ? error_set(error, EINVAL, "%s: has no use without a domain; add --domain, or leave it out", option)
                   : 0;
    }
    if (!is_domain(answers->domain))
        return error_set(error, EINVAL, "--domain %s: no name of a domain; give one such as example.com",
                         answers->domain);
    if (!answers->domain_user || !answers->domain_password)
        return error_set(error, EINVAL,
                         "--domain %s: nobody joins a domain without an account in it; give --domain-user and "
                         "--domain-password",
                         answers->domain);
    if (strpbrk(answers->domain_user, "\\@/"))
        return error_set(error, EINVAL, "--domain-user %s: give the name alone; the domain is that of --domain",
                         answers->domain_user);
    if (answers->domain_ou && !strchr(answers->domain_ou, '='))
        return error_set(error, EINVAL,
                         "--domain-ou %s: no distinguished name; give one such as OU=Machines,DC=example,DC=com",
                         answers->domain_ou);
    return 0;
}

/* The alphabet of base 24, and N, which keys have had since Windows 8. */
static int check_key(const char *key, struct error *error)
{
    static const char signs[] = "BCDFGHJKMNPQRTVWXY2346789";
    size_t n = 0;

    if (!key)
        return 0;
    for (; key[n]; n++)
        if (n % 6 == 5 ? key[n] != '-' : !strchr(signs, toupper((unsigned char)key[n])))
            break;
    if (n != 29 || key[n])
        return error_set(error, EINVAL,
                         "--key: no product key; give five groups of five signs such as VK7JG-NPHTM-C97JM-9MPGT-3V66T "
                         "(they never have A, E, I, L, O, S, U, Z, 0, 1 or 5)");
    return 0;
}

bool answers_is_keyboard_id(const char *text)
{
    static const char digits[] = "0123456789ABCDEFabcdef";

    return strlen(text) == 13 && strspn(text, digits) == 4 && text[4] == ':' && strspn(text + 5, digits) == 8;
}

static int check_locales(const struct answers *answers, struct error *error)
{
    if (answers->language && !locale_require("--language", answers->language, error))
        return -EINVAL;
    if (answers->region && !locale_require("--region", answers->region, error))
        return -EINVAL;
    if (answers->keyboard && !answers_is_keyboard_id(answers->keyboard) &&
        !locale_require("--keyboard-locale", answers->keyboard, error))
        return -EINVAL;
    return 0;
}

static int check_resolution(unsigned width, unsigned height, struct error *error)
{
    if ((width || height) && (width < 640 || width > 7680 || height < 480 || height > 4320))
        return error_set(error, EINVAL, "--display %ux%u: no such screen; give 640x480 to 7680x4320", width, height);
    return 0;
}

int answers_check(const struct answers *answers, struct error *error)
{
    int failed = check_texts(answers, error);

    if (failed == 0)
        failed = check_locales(answers, error);
    if (failed == 0)
        failed = check_key(answers->key, error);
    if (failed == 0)
        failed = check_user(answers, error);
    if (failed == 0)
        failed = check_computer(answers->computer, error);
    if (failed == 0)
        failed = check_workgroup(answers, error);
    if (failed == 0)
        failed = check_domain(answers, error);
    if (failed == 0)
        failed = answers_check_time_zone(answers->time_zone, error);
    return failed < 0 ? failed : check_resolution(answers->width, answers->height, error);
}
