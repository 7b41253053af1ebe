/* The name servers of this container (resolv.conf(5)). */
#ifndef CASEMENT_NETWORK_NAME_SERVERS_H
#define CASEMENT_NETWORK_NAME_SERVERS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define NAME_SERVERS 3 /* what resolvers use at most (MAXNS) */
#define NAME_SERVERS_FILE "/etc/resolv.conf"

struct name_server {
    struct sockaddr_storage address; /* with port 53 */
    socklen_t length;
};

/* The same file as when it was asked last? False the first time, for a zero-initialised seen. */
bool name_servers_unchanged(const char *path, struct stat *seen);
/* Their number; none when there is no such file. What is no numeric address is passed over. */
unsigned name_servers_read(const char *path, struct name_server servers[NAME_SERVERS]);

#endif
