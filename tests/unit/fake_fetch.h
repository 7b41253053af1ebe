/*
 * Downloads under test: a file of FILE_SIZE bytes on a server that misbehaves, the options that fetch it in small
 * pieces with hardly a pause, and what must hold afterwards. fake_fetch_disk.h puts a disk under it.
 */
#ifndef CASEMENT_TESTS_FAKE_FETCH_H
#define CASEMENT_TESTS_FAKE_FETCH_H

#include "../../vmm/windows/fetch_private.h"
#include "casement/bytes.h"
#include "fake_http.h"

#define FILE_SIZE (400 * KiB + 123)
#define PIECE (16 * KiB)
#define DATE "Wed, 21 Oct 2015 07:28:00 GMT"

/* The first two are what a test wishes, the others what was found. */
struct fake_disk {
    uint64_t room; /* bytes; UINT64_MAX: no end */
    int sync_error;
    bool data_unsynced, name_unsynced;
    unsigned noted_too_early; /* states that were written before the data that they speak of were safe */
};

struct fake_fetch {
    char folder[64], path[96];
    uint8_t data[FILE_SIZE], other[FILE_SIZE];
    char digest[65], other_digest[65];
    struct fake_http_page page[8]; /* the first is /file and has the data; more may be added */
    struct fake_http *server;
    struct fetch_options options;
    struct fetch_tuning tuning;
    struct error error;
    char got[65]; /* the digest that fetch() gave */
    struct fake_disk disk;
};
extern struct fake_fetch download;

/* Before and after all tests; 0 when it went well. */
int download_prepare(void **state);
int download_clean_up(void **state);
/* Before and after each. */
int download_setup(void **state);
int download_teardown(void **state);

/* The file's name with a suffix; in a place that the fourth next call uses again. */
const char *download_path(const char *suffix);
bool download_exists(const char *suffix);
void download_store(const char *suffix, const void *from, size_t size);

/* fetch() as the options say. */
int download_run(void);
/* Leaves what is there after `count` bytes came, when the server ends the connection. */
void download_some(uint64_t count);

/* The last error is one line with this text in it. */
void assert_says(const char *text);
void assert_content(const char *suffix, const uint8_t *wanted, uint64_t size);
/* Runs it: the file is whole and there is nothing else. Removes it. */
void assert_fetched(const uint8_t *wanted);
/* Runs it: -err with this text, and no file. */
void assert_fails(int err, const char *text);
void assert_nothing_left(void);

#endif
