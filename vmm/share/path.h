/*
 * Names in the shared folder: as a request writes them, as the folder has them. A name that Windows cannot have does
 * not exist here, in either direction. Any thread.
 */
#ifndef CASEMENT_SHARE_PATH_H
#define CASEMENT_SHARE_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Room for a path below the folder: names with single slashes between them; empty for the folder itself. */
#define PATH_ROOM 4096
/* And for how it is written in an answer. */
#define PATH_HREF_ROOM (3 * PATH_ROOM + 4)
/* What files are called that are not whole yet. */
#define PATH_STAGED ".casement-share-"

/* One name without slashes: UTF-8, nothing that Windows forbids, neither "." nor ".." nor one of our own. */
bool path_name_allowed(const char *name, size_t length);
/*
 * The path of a request target: "/a%20b" or "http://host/a%20b", what follows a question mark left out. -EINVAL: no
 * such target, or badly encoded; -ENOENT: a name in it is none that a file here can have; -ENAMETOOLONG.
 */
int path_decode(const char *target, char path[PATH_ROOM]);
/* "/a%20b", with a slash at the end for a folder. */
void path_encode(const char *path, bool folder, char href[PATH_HREF_ROOM]);
/* Whether path is folder itself or something below it. */
bool path_is_within(const char *path, const char *folder);
/* The path of the folder that the path's last name is in; false for the shared folder itself. */
bool path_parent(const char *path, char parent[PATH_ROOM]);
/* path/name; false: too long. */
bool path_join(const char *path, const char *name, char joined[PATH_ROOM]);

#endif
