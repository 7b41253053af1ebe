/*
 * Files below one folder, and never anywhere else: each access begins at the folder's descriptor and goes through
 * openat2() (Linux 5.6), which neither follows a link nor leaves the folder, or names one file in a folder that was
 * opened so. So it makes no difference what others do to the tree meanwhile. Nothing is opened but files and folders: a
 * device may do things when it is opened.
 *
 * Paths are those of path.h. All of these return -errno when they fail; what is not there, or is a link, or is neither
 * file nor folder is -ENOENT. Any thread.
 */
#ifndef CASEMENT_SHARE_FOLDER_H
#define CASEMENT_SHARE_FOLDER_H

#include <dirent.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "casement/error.h"

/* How deep a tree may be that is copied or removed: each level costs a descriptor. */
#define FOLDER_LEVELS 64

/* The folder's descriptor, or -errno with a text, which begins with option. */
int folder_open(const char *option, const char *path, bool read_only, struct error *error);

/* Whether the folder at path, or where it is to be made, is root or in it. */
bool folder_holds(int root, const char *path);

bool folder_is_folder(const struct statx *info);
/* -ENOENT: nothing, or nothing that is shared. */
int folder_stat(int root, const char *path, struct statx *info);
/* A file or folder, opened with flags (O_RDONLY or O_RDWR, O_DIRECTORY); info is of what was opened. */
int folder_open_node(int root, const char *path, int flags, struct statx *info);
/* The folder that the last name is in, for calls that end in "at"; *name points into path. -EPERM: the root itself. */
int folder_open_parent(int root, const char *path, const char **name);
/* As folder_stat(), for a name in a folder that is open. */
int folder_stat_name(int parent, const char *name, struct statx *info);
/* The next name that is shared, or NULL at the end. */
const char *folder_next(DIR *list, struct statx *info);

/* A new file in parent that nobody sees yet. It is given a name by folder_publish(), or taken away by folder_drop(). */
struct folder_staged {
    int parent, fd; /* the caller's, and its own */
    char name[40];
};
int folder_stage(int parent, struct folder_staged *staged);
/*
 * To the disk, then in one step to its name, whatever file is there, unless `fresh`: then -EEXIST. mode: the bits that
 * a file there has had, or 0. In any case the staged file is done with.
 */
int folder_publish(struct folder_staged *staged, const char *name, bool fresh, mode_t mode);
void folder_drop(struct folder_staged *staged);

/* A file, a link, or a folder with all that is in it. -ECANCELED: *stop became true. */
int folder_remove(int parent, const char *name, const atomic_bool *stop);
struct folder_copying {
    bool with_content; /* of a folder */
    bool over;         /* a file there may be replaced */
    const atomic_bool *stop;
};
/* A file, or a folder with all that is shared in it. What is done stays when it fails. */
int folder_copy(int from_parent, const char *from, int to_parent, const char *to, const struct folder_copying *copying);

#endif
