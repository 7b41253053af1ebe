/* See table.h. */
#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "table.h"

struct table_owner {
    struct nft_ctx *nft; /* its socket is the owner */
    char name[IF_NAMESIZE];
    unsigned features;
};

/* libnftables ends the process where there is no such socket, so it is asked for first. */
static int no_socket(struct error *error)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

    if (fd < 0)
        return error_set(
            error, errno,
            "--net nat: the kernel's packet filter: %s; load it on the host (`modprobe nf_tables`), or use "
            "--net user",
            strerror(errno));
    close(fd);
    return 0;
}

static int run(struct table_owner *table, const struct rules *rules, unsigned features)
{
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    int failed = -ENOMEM;

    if (!to)
        return failed;
    rules_write(rules, features, to);
    if (fclose(to) == 0)
        failed = nft_run_cmd_from_buffer(table->nft, text) == 0 ? 0 : -ENOTSUP;
    free(text);
    return failed;
}

/* The first line of what libnftables complains of. */
static int refused(struct table_owner *table, struct error *error)
{
    const char *text = nft_ctx_get_error_buffer(table->nft);

    return error_set(error, ENOTSUP,
                     "--net nat: the kernel's packet filter refuses the rules: %.*s; use a host kernel with nf_tables "
                     "(nft_nat, nft_masq, nft_fib_inet), or --net user",
                     (int)strcspn(text, "\n"), text);
}

/* only_try: the kernel judges the rules, and does not take them. */
static int create(const struct rules *rules, bool only_try, struct table_owner **table, struct error *error)
{
    static const unsigned tries[] = {RULES_OWNER | RULES_SOCKETS, RULES_OWNER, RULES_SOCKETS, 0};
    struct table_owner *made;
    int failed = no_socket(error);

    if (failed < 0)
        return failed;
    made = calloc(1, sizeof *made);
    if (made)
        made->nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!made || !made->nft || nft_ctx_buffer_error(made->nft) || nft_ctx_buffer_output(made->nft)) {
        table_destroy(made);
        return error_set(error, ENOMEM, "--net nat: the packet filter: out of memory");
    }
    nft_ctx_set_dry_run(made->nft, only_try);
    snprintf(made->name, sizeof made->name, "%s", rules->tap);
    failed = -ENOTSUP;
    for (size_t n = 0; n < ARRAY_SIZE(tries) && failed < 0; n++) {
        made->features = tries[n];
        failed = run(made, rules, made->features);
    }
    if (failed < 0) {
        failed = refused(made, error);
        table_destroy(made);
        return failed;
    }
    *table = made;
    return 0;
}

int table_check(const struct rules *rules, struct error *error)
{
    struct table_owner *tried = NULL;
    int failed = create(rules, true, &tried, error);

    table_destroy(tried);
    return failed;
}

int table_create(const struct rules *rules, struct table_owner **table, struct error *error)
{
    int failed = create(rules, false, table, error);

    if (failed == 0 && table_stays(*table))
        log_info(
            "network: this kernel has no tables with an owner (Linux 5.12 has), so the rules stay when the process "
            "is killed, until the next start or the end of the container");
    return failed;
}

bool table_stays(const struct table_owner *table)
{
    return !(table->features & RULES_OWNER);
}

void table_remove(struct table_owner *table)
{
    char text[64];

    snprintf(text, sizeof text, "delete table inet %s\n", table->name);
    nft_run_cmd_from_buffer(table->nft, text);
}

void table_destroy(struct table_owner *table)
{
    if (table && table->nft)
        nft_ctx_free(table->nft);
    free(table);
}
