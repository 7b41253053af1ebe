/*
 * The player's cmd.exe: as much of it as the scripts of an installation need, and that by the documented rules: percent
 * signs first, then operators and redirections, then the variables of FOR. What it does not know it refuses.
 * Single-threaded; the first complaint ends the program.
 */
#ifndef CASEMENT_REHEARSAL_BATCH_H
#define CASEMENT_REHEARSAL_BATCH_H

#include <stdbool.h>
#include <stdio.h>

#define LINE_SIZE 8192 /* cmd.exe's limit is 8191 */

/* One run of a script, or of a line as at a prompt (no script). */
struct batch {
    const char *root; /* the host's folder that is C:\ */
    const char *com1; /* what is written to COM1 goes there */
    char script[1024], arguments[LINE_SIZE], folder[1024];
    char **lines;
    unsigned count, at, depth;
    struct variable *variables;
    char for_values[128][LINE_SIZE]; /* of %%a, by its letter */
    bool ended, only_checks;
};

/* Says "REHEARSAL-REFUSED: why" and ends the program with status 1. */
_Noreturn void refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "REHEARSAL-RAN what", for what a rehearsal cannot run itself. */
void note(const char *what, const char *text);

/* Runs a command line as cmd.exe /c does, in the folder of the batch. */
void run_line(const struct batch *from, const char *line, FILE *out);
/* The host's path of one of Windows'; false: it is not there (the last part's path is there all the same). */
bool find_path(const struct batch *batch, const char *path, char *host, size_t size);

/* A command line of cmd.exe's own: switches, /c, and what is to be run. */
void run_shell(const struct batch *from, const char *text, FILE *out);

/* A line, or what follows IF or DO, when its percent signs are resolved. */
void run_text(struct batch *batch, const char *text, FILE *out);
/* The lines from that one, counted from 0, until the script or the part that was called ends. */
void run_lines(struct batch *batch, unsigned from, FILE *out);
/* What follows FOR. */
void run_for(struct batch *batch, const char *text, FILE *out);
/* A command without redirections. */
void run_simple(struct batch *batch, const char *text, FILE *out);

const char *blanks(const char *text);
/* One word, without its quotes; returns what follows. */
const char *take_word(const struct batch *batch, const char *text, char *word);
void set_variable(struct batch *batch, const char *name, size_t length, const char *value);

/* Is it a program of Windows that this player knows? */
bool knows_program(const char *name);
/* Runs it with that rest of the line; its output goes to out. */
void run_program(struct batch *batch, const char *name, const char *arguments, FILE *out);
/* Splits a command line as programs do: blanks outside quotes. Returns the count; words live in buffer. */
unsigned split_words(const char *line, char *buffer, size_t size, char **words, unsigned most);

#endif
