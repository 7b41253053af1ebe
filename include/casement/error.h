/*
 * What a user reads when something cannot be done.
 *
 * A function that can fail for a reason the user can mend takes a struct error as its last parameter and returns
 * 0 or a negative errno. The text is one line: the thing, its value, the reason, and what to do about it.
 */
#ifndef CASEMENT_ERROR_H
#define CASEMENT_ERROR_H

struct error {
    char text[512]; /* without a line end; empty until something failed */
};

/*
 * Writes the text (cut at the end of the buffer) and returns -err, so that a caller can `return error_set(...)`.
 * error may be NULL: then only the number travels. err is a positive errno. Any thread.
 */
int error_set(struct error *error, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
