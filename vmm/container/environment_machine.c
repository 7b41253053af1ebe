/* Sizes and numbers of processors, as numbers or as a share of what the container may use. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "casement/bytes.h"
#include "environment_private.h"
#include "limits.h"

/* dockurr/windows takes a number alone for GiB below this and for MiB from it on. */
#define MEGABYTES_FROM 130
#define RAM_DEFAULT (4 * GiB) /* of `casement windows`, too */

/* The factor of a unit's letter, also with B or iB behind it; 0: none. */
static uint64_t unit_of(const char *text)
{
    static const char letters[] = "KMGT";
    const char *letter = *text ? strchr(letters, toupper((unsigned char)*text)) : NULL;

    if (!letter || (text[1] && strcasecmp(text + 1, "B") != 0 && strcasecmp(text + 1, "iB") != 0))
        return 0;
    return UINT64_C(1) << (10 * (letter - letters + 1));
}

int reader_size(struct reader *reader, const char *name, const char *value, uint64_t unit, uint64_t *bytes)
{
    size_t digits = strspn(value, "0123456789.");
    const char *rest = value + digits + strspn(value + digits, " ");
    char *end = NULL;
    double number = isdigit((unsigned char)*value) ? strtod(value, &end) : 0;

    if (*rest)
        unit = unit_of(rest);
    if (end != value + digits || !unit || number * (double)unit < 1 || number * (double)unit > 0x1p60)
        return reader_refuse(reader, name, value, "a size such as 4G or 512M, half, or max");
    *bytes = (uint64_t)(number * (double)unit);
    return 0;
}

int variable_cpu_cores(struct reader *reader, const struct variable *variable, const char *value)
{
    const unsigned processors = MIN(limits_processors(reader->place->root), (unsigned)CONFIG_CPUS_MAX);
    const unsigned share = MIN(limits_cpus(reader->place->root), processors);
    unsigned long cores;
    char *end;

    if (!value)
        return 0;
    cores = strtoul(value, &end, 10);
    if (!strcasecmp(value, "max"))
        cores = share;
    else if (!strcasecmp(value, "half"))
        cores = MAX(share / 2, 1U);
    else if (!isdigit((unsigned char)*value) || *end || !cores)
        return reader_refuse(reader, variable->name, value, "a number, half, or max");
    if (cores > processors) {
        reader_warn(reader, "%s %s: this container has %u processors to run on, so Windows gets as many",
                    variable->name, value, processors);
        cores = processors;
    } else if (cores > share) {
        reader_warn(reader,
                    "%s %s: the container's limit is the time of %u, so they wait for it; give half or max, or "
                    "raise the limit",
                    variable->name, value, share);
    }
    reader_give(reader, variable->option, variable->name, reader_text(reader, "%lu", cores));
    return 0;
}

/* Without a size it is the usual one, which a small host may not have either. */
int variable_ram_size(struct reader *reader, const struct variable *variable, const char *value)
{
    const char *said = value ? value : "(4G without one)";
    const uint64_t most = limits_memory(reader->place->root);
    const int check = reader_switch(reader, "RAM_CHECK", true);
    const bool all = value && !strcasecmp(value, "max"), half = value && !strcasecmp(value, "half");
    uint64_t bytes = !value ? RAM_DEFAULT : all ? most : most / 2;
    int failed = 0;

    if (check < 0 || (!value && reader_value(reader, "CASEMENT_MEMORY")))
        return MIN(check, 0);
    if ((all || half) && most == UINT64_MAX)
        return error_set(reader->error, EINVAL, "%s %s: what the host has cannot be read; give a size such as 4G",
                         variable->name, value);
    if (value && !all && !half)
        failed = reader_size(reader, variable->name, value, atof(value) < MEGABYTES_FROM ? GiB : MiB, &bytes);
    if (failed < 0)
        return failed;
    if (check && bytes > most) {
        reader_warn(reader,
                    "%s %s: %" PRIu64 "M can be had here without hurting the machine itself, so Windows gets as much; "
                    "give less or free some memory",
                    variable->name, said, most / (uint64_t)MiB);
        bytes = most;
    } else if (!value) {
        return 0;
    }
    reader_give(reader, variable->option, variable->name,
                reader_text(reader, "%" PRIu64 "M", bytes / (uint64_t)(2 * MiB) * 2));
    return 0;
}

/* SHUTDOWN=N: Windows is not asked at all. */
int variable_timeout(struct reader *reader, const struct variable *variable, const char *value)
{
    const int shutdown = reader_switch(reader, "SHUTDOWN", true);

    if (shutdown == 0)
        reader_give(reader, variable->option, "SHUTDOWN", "0");
    else if (shutdown > 0 && value)
        reader_give(reader, variable->option, variable->name, value);
    return MIN(shutdown, 0);
}
