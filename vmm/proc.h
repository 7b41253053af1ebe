/* What the kernel says in small files of text: below /proc (proc(5)), and of control groups. Any thread. */
#ifndef CASEMENT_PROC_H
#define CASEMENT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What follows "key:" in the first line that begins so, cut to size. root stands in front of path. false: there is
 * none. */
bool proc_field(const char *root, const char *path, const char *key, char *value, size_t size);
/* The up to two numbers that a file begins with; how many it had. "max" is none. second may be NULL: one is wanted. */
unsigned proc_numbers(const char *path, uint64_t *first, uint64_t *second);

#endif
