/* See locks.h. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "casement/bytes.h"
#include "casement/loop.h"
#include "locks.h"
#include "path.h"

#define SECOND_NS INT64_C(1000000000)

struct locks {
    struct lock all[LOCKS_MAX]; /* path NULL: free */
};

struct locks *locks_create(void)
{
    return calloc(1, sizeof(struct locks));
}

void locks_destroy(struct locks *locks)
{
    for (unsigned n = 0; locks && n < LOCKS_MAX; n++)
        free(locks->all[n].path);
    free(locks);
}

void locks_remove(struct lock *lock)
{
    free(lock->path);
    lock->path = NULL;
}

/* The n-th lock if there is one; one whose time is over goes. */
static struct lock *lock_at(struct locks *locks, unsigned n)
{
    struct lock *lock = &locks->all[n];

    if (lock->path && lock->ends_ns <= clock_ns())
        locks_remove(lock);
    return lock->path ? lock : NULL;
}

static bool make_token(char token[LOCK_TOKEN_ROOM])
{
    uint8_t b[16];

    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        return false;
    b[6] = (b[6] & 0x0F) | 0x40; /* version 4, variant 1 (RFC 9562, 5.4) */
    b[8] = (b[8] & 0x3F) | 0x80;
    snprintf(token, LOCK_TOKEN_ROOM,
             "opaquelocktoken:%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
             b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return true;
}

void locks_refresh(struct lock *lock, unsigned seconds)
{
    lock->seconds = MIN(MAX(seconds, 1U), LOCK_SECONDS_MAX);
    lock->ends_ns = clock_ns() + lock->seconds * SECOND_NS;
}

struct lock *locks_add(struct locks *locks, const char *path, const struct lock *given)
{
    unsigned n = 0;
    struct lock *lock;

    while (n < LOCKS_MAX && lock_at(locks, n))
        n++;
    if (n == LOCKS_MAX)
        return NULL;
    lock = &locks->all[n];
    *lock = *given;
    lock->path = make_token(lock->token) ? strdup(path) : NULL;
    if (!lock->path)
        return NULL;
    locks_refresh(lock, given->seconds);
    return lock;
}

void locks_forget(struct locks *locks, const char *path)
{
    for (unsigned n = 0; n < LOCKS_MAX; n++) {
        struct lock *lock = lock_at(locks, n);

        if (lock && path_is_within(lock->path, path))
            locks_remove(lock);
    }
}

static bool binds(const struct lock *lock, const char *path)
{
    return lock->infinite ? path_is_within(path, lock->path) : !strcmp(path, lock->path);
}

struct lock *locks_find(struct locks *locks, const char *path)
{
    for (unsigned n = 0; n < LOCKS_MAX; n++) {
        struct lock *lock = lock_at(locks, n);

        if (lock && binds(lock, path))
            return lock;
    }
    return NULL;
}

struct lock *locks_find_below(struct locks *locks, const char *path)
{
    for (unsigned n = 0; n < LOCKS_MAX; n++) {
        struct lock *lock = lock_at(locks, n);

        if (lock && path_is_within(lock->path, path) && strcmp(lock->path, path) != 0)
            return lock;
    }
    return NULL;
}

struct lock *locks_with_token(struct locks *locks, const char *path, const char *token)
{
    for (unsigned n = 0; n < LOCKS_MAX; n++) {
        struct lock *lock = lock_at(locks, n);

        if (lock && binds(lock, path) && !strcmp(lock->token, token))
            return lock;
    }
    return NULL;
}

static bool shows(const struct tokens *tokens, const struct lock *lock)
{
    for (unsigned n = 0; n < tokens->count; n++)
        if (!strcmp(tokens->text[n], lock->token))
            return true;
    return false;
}

bool locks_permit(struct locks *locks, const char *path, unsigned bits, const struct tokens *tokens)
{
    char parent[PATH_ROOM];
    bool has_parent = (bits & LOCKS_NAME) && path_parent(path, parent);

    for (unsigned n = 0; n < LOCKS_MAX; n++) {
        const struct lock *lock = lock_at(locks, n);
        bool in_the_way = lock && (binds(lock, path) || (has_parent && !strcmp(lock->path, parent)) ||
                                   ((bits & LOCKS_BELOW) && path_is_within(lock->path, path)));

        if (in_the_way && !shows(tokens, lock))
            return false;
    }
    return true;
}
