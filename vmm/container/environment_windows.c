/* Which Windows, and its accounts. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "casement/bytes.h"
#include "environment_private.h"

/* What a container runtime makes where the file to bind is missing. */
static int missing_medium(struct reader *reader, const char *path)
{
    static const char reason[] = "is a folder, for the file that is bound there does not exist on the host";

    if (!reader_has_system(reader))
        return error_set(reader->error, EISDIR, "%s: %s; mend the path of the volume", path, reason);
    reader_warn(reader, "%s: %s; Windows is there already and starts without it", path, reason);
    return 0;
}

/* A medium that is bound comes before VERSION, which the image of dockurr/windows always sets. */
int variable_version(struct reader *reader, const struct variable *variable, const char *value)
{
    static const char *const names[] = {"custom.iso", "boot.iso"};

    for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
        const char *path = reader_find(reader, names[n]);
        struct stat info;
        int failed;

        if (!path || stat(path, &info) < 0)
            continue;
        if (!S_ISDIR(info.st_mode)) {
            reader_give(reader, variable->option, NULL, path);
            return 0;
        }
        failed = missing_medium(reader, path);
        if (failed < 0)
            return failed;
    }
    if (value)
        reader_give(reader, variable->option, variable->name, value);
    return 0;
}

/*
 * With DOMAIN, USERNAME and PASSWORD are an account of the domain in dockurr/windows, unless DOMAIN_USER or
 * DOMAIN_PASSWORD name another. The local account keeps its usual name then, and takes the same password rather than
 * one that all the world knows.
 */
int variable_account(struct reader *reader, const struct variable *variable, const char *value)
{
    bool user = !strcmp(variable->option, "user");
    bool other = reader_value(reader, "DOMAIN_USER") ||
                 (!user && (reader_value(reader, "DOMAIN_PASSWORD") || reader_value(reader, "DOMAIN_PASSWORD_FILE")));
    bool domain = reader_value(reader, "DOMAIN") && !other;

    if (!value)
        return 0;
    if (domain)
        reader_give(reader, reader_text(reader, "domain-%s", variable->option), variable->name, value);
    if (!domain || !user)
        reader_give(reader, variable->option, variable->name, value);
    return 0;
}
