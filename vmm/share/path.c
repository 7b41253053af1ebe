/* See path.h. Names: what NTFS and the Win32 file functions take. Encoding: RFC 3986, 2.1 and 3.3. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "casement/bytes.h"
#include "casement/utf8.h"
#include "path.h"

#define NAME_UNITS 255 /* of UTF-16, in a name of Windows; and bytes in one of Linux */

/* CON, NUL, COM1, ... are devices in every folder, whatever extension follows. */
static bool is_device(const char *name, size_t length)
{
    static const char names[][4] = {"CON", "PRN", "AUX", "NUL", "COM", "LPT"};
    size_t base = 0;

    while (base < length && name[base] != '.' && name[base] != ' ')
        base++;
    for (size_t n = 0; n < ARRAY_SIZE(names); n++)
        if (base >= 3 && !strncasecmp(name, names[n], 3))
            return n < 4 ? base == 3 : base == 4 && name[3] >= '1' && name[3] <= '9';
    return false;
}

static bool is_sign_allowed(uint32_t sign)
{
    return sign >= ' ' && sign != 0x7F && sign != 0xFFFE && sign != 0xFFFF &&
           (sign > 0x7F || !strchr("\"*/:<>?\\|", (int)sign));
}

bool path_name_allowed(const char *name, size_t length)
{
    size_t at = 0;

    if (length == 0 || length > NAME_UNITS || name[length - 1] == '.' || name[length - 1] == ' ')
        return false;
    while (at < length) {
        uint32_t sign;
        unsigned taken = utf8_take(name + at, length - at, &sign);

        if (!taken || !is_sign_allowed(sign))
            return false;
        at += taken;
    }
    return !is_device(name, length) && strncasecmp(name, PATH_STAGED, sizeof PATH_STAGED - 1) != 0;
}

static int hex_digit(char sign)
{
    return sign >= '0' && sign <= '9'   ? sign - '0'
           : sign >= 'a' && sign <= 'f' ? sign - 'a' + 10
           : sign >= 'A' && sign <= 'F' ? sign - 'A' + 10
                                        : -1;
}

/* One name, up to a slash or the end, behind the path so far. */
static int take_name(const char **from, char *path, size_t *used)
{
    size_t start = *used ? *used + 1 : 0, at = start;

    for (; **from && **from != '/'; ++*from) {
        int sign = (unsigned char)**from;

        if (sign == '%') {
            int high = hex_digit((*from)[1]), low = high < 0 ? -1 : hex_digit((*from)[2]);

            if (low < 0)
                return -EINVAL;
            sign = high << 4 | low;
            *from += 2;
        }
        if (at + 1 >= PATH_ROOM)
            return -ENAMETOOLONG;
        path[at++] = (char)sign;
    }
    if (at == start)
        return 0;
    if (!path_name_allowed(path + start, at - start))
        return -ENOENT;
    if (start)
        path[start - 1] = '/';
    path[at] = 0;
    *used = at;
    return 0;
}

int path_decode(const char *target, char path[PATH_ROOM])
{
    char text[PATH_HREF_ROOM];
    const char *from = text;
    size_t length = strcspn(target, "?"), used = 0;
    int failed = 0;

    path[0] = 0;
    if (length >= sizeof text)
        return -ENAMETOOLONG;
    memcpy(text, target, length);
    text[length] = 0;
    if (!strncasecmp(from, "http://", 7)) {
        from += 7;
        from += strcspn(from, "/");
    }
    if (*from != '/' || strchr(from, '#'))
        return -EINVAL;
    while (failed == 0 && *from == '/') {
        from++;
        failed = take_name(&from, path, &used);
    }
    return failed;
}

void path_encode(const char *path, bool folder, char href[PATH_HREF_ROOM])
{
    static const char digits[] = "0123456789ABCDEF";
    char *to = href;

    *to++ = '/';
    for (const char *from = path; *from; from++) {
        unsigned char sign = (unsigned char)*from;

        if (((sign | 0x20) >= 'a' && (sign | 0x20) <= 'z') || strchr("0123456789-._~/", sign)) {
            *to++ = *from;
        } else {
            *to++ = '%';
            *to++ = digits[sign >> 4];
            *to++ = digits[sign & 15];
        }
    }
    if (folder && *path)
        *to++ = '/';
    *to = 0;
}

bool path_is_within(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    return length == 0 || (!strncmp(path, folder, length) && (path[length] == 0 || path[length] == '/'));
}

bool path_parent(const char *path, char parent[PATH_ROOM])
{
    const char *slash = strrchr(path, '/');

    if (!*path)
        return false;
    snprintf(parent, PATH_ROOM, "%.*s", slash ? (int)(slash - path) : 0, path);
    return true;
}

bool path_join(const char *path, const char *name, char joined[PATH_ROOM])
{
    return snprintf(joined, PATH_ROOM, "%s%s%s", path, *path ? "/" : "", name) < PATH_ROOM;
}
