/*
 * A table of the kernel's packet filter, by libnftables. Where the kernel can (Linux 5.12), the table belongs to the
 * process and vanishes with it, however it ends. Elsewhere it is removed by table_remove(), or replaced by the next
 * process that uses the same interface name.
 */
#ifndef CASEMENT_NETWORK_TABLE_H
#define CASEMENT_NETWORK_TABLE_H

#include "casement/error.h"
#include "rules.h"

struct table_owner;

/* Would the kernel take these rules? Changes nothing. Needs CAP_NET_ADMIN. 0, or -errno with a text. */
int table_check(const struct rules *rules, struct error *error);
/* Makes the table. Needs CAP_NET_ADMIN. */
int table_create(const struct rules *rules, struct table_owner **table, struct error *error);
/* Does it stay when the process dies? Then table_remove() is needed, with CAP_NET_ADMIN. */
bool table_stays(const struct table_owner *table);
void table_remove(struct table_owner *table);
/* The table of an owner goes here. NULL is nothing. */
void table_destroy(struct table_owner *table);

#endif
