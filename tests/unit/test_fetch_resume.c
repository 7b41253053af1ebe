/*
 * Downloads that are taken up again: whatever interrupts them, a stop, a kill or a disk, and whatever state is left,
 * there is no file of the name but one that is whole and right. LONG=1: more kills and more damaged states.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/loop.h"
#include "cmocka_all.h"
#include "fake_fetch_disk.h"

#define LIMIT_NS (60 * FETCH_SECOND_NS)

/* Stopping and going on. */

/* Stops as soon as so many bytes are there. */
static bool stop_at(void *opaque, const struct fetch_progress *progress)
{
    return !strcmp(progress->title, "Downloading") && progress->done >= *(const uint64_t *)opaque;
}

/* The server holds the rest back until the client has stopped. */
static void stop_after(uint64_t count)
{
    download.page[0].hold_at = download.page[0].sent + count;
    download.options.progress = stop_at;
    download.options.opaque = &count;
    assert_fails(ECANCELED, "stopped");
    assert_true(download_exists(".part") && download_exists(".part.state"));
    download.options.progress = NULL;
    download.page[0].hold_at = 0;
}

static void the_next_call_fetches_only_the_rest(void **state)
{
    (void)state;
    stop_after(6 * PIECE + 4000);
    assert_int_equal(download.page[0].sent, 6 * PIECE + 4000);
    download.page[0].sent = 0;
    assert_fetched(download.data);
    assert_int_equal(download.page[0].sent, FILE_SIZE - 6 * PIECE);
    /* The same with a server that says nothing of versions: what is known of the content says enough. */
    download.page[0].now.etag = download.page[0].now.modified = NULL;
    download_some(6 * PIECE);
    download.page[0].sent = 0;
    assert_fetched(download.data);
    assert_int_equal(download.page[0].sent, FILE_SIZE - 6 * PIECE);
}

static void what_is_of_something_else_is_fetched_anew(void **state)
{
    (void)state;
    /* Another URL. */
    download_some(6 * PIECE);
    download.options.url = fake_http_url(download.server, "/file?");
    download.page[0].sent = 0;
    assert_fetched(download.data);
    assert_int_equal(download.page[0].sent, FILE_SIZE);
    /* Another version. */
    download_some(6 * PIECE);
    download.page[0].now.etag = "\"second\"";
    download.page[0].sent = 0;
    assert_fetched(download.data);
    assert_true(download.page[0].sent >= FILE_SIZE);
    /* Nothing is known of either version or content. */
    download.page[0].now.etag = download.page[0].now.modified = NULL;
    download_some(6 * PIECE);
    download.page[0].sent = 0;
    download.options.sha256 = NULL;
    assert_fetched(download.data);
    assert_int_equal(download.page[0].sent, FILE_SIZE);
    /* Pieces of another size. */
    download_some(6 * PIECE);
    download.tuning.piece *= 2;
    download.page[0].sent = 0;
    assert_fetched(download.data);
    assert_int_equal(download.page[0].sent, FILE_SIZE);
    /* The file is not as long as it was left. */
    download.options.sha256 = download.digest;
    download_some(6 * PIECE);
    assert_int_equal(truncate(download_path(".part"), FILE_SIZE - 1), 0);
    download.page[0].sent = 0;
    assert_fetched(download.data);
    assert_int_equal(download.page[0].sent, FILE_SIZE);
}

/* All is there and only the name is missing: nobody is asked. */
static bool stop_verifying(void *opaque, const struct fetch_progress *progress)
{
    (void)opaque;
    return !strcmp(progress->title, "Verifying");
}

static void stopped_while_verifying(void **state)
{
    (void)state;
    download.options.progress = stop_verifying;
    assert_fails(ECANCELED, "verified");
    download.options.progress = NULL;
    download.page[0].requests = 0;
    assert_fetched(download.data);
    assert_int_equal(download.page[0].requests, 0);
}

/* Who else wants the file. */

static bool fetch_again(void *opaque, const struct fetch_progress *progress)
{
    struct fetch_options options = download.options;

    (void)progress;
    options.progress = NULL;
    *(int *)opaque = fetch(&options, NULL, &download.error);
    return false;
}

static void only_one_at_a_time(void **state)
{
    int second = 0;

    (void)state;
    download.options.progress = fetch_again;
    download.options.opaque = &second;
    assert_int_equal(download_run(), 0);
    /* The last time that it was told is when the file was verified. */
    assert_int_equal(second, -EBUSY);
    assert_says("another process");
}

static bool make_file(void *opaque, const struct fetch_progress *progress)
{
    (void)opaque;
    if (!strcmp(progress->title, "Verifying"))
        close(open(download.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    return false;
}

static void a_file_that_is_there_stays(void **state)
{
    struct stat info;

    (void)state;
    download.options.progress = make_file;
    assert_int_equal(download_run(), -EEXIST);
    assert_says("is there already");
    assert_int_equal(stat(download.path, &info), 0);
    assert_int_equal(info.st_size, 0);
    download.page[0].requests = 0;
    assert_int_equal(download_run(), -EEXIST);
    assert_int_equal(download.page[0].requests, 0);
    /* A link that leads nowhere is there, too. */
    unlink(download.path);
    assert_int_equal(symlink("nowhere", download.path), 0);
    assert_int_equal(download_run(), -EEXIST);
}

/* Killing. */

/* How often something random is done. */
static unsigned rounds(unsigned usual, unsigned many)
{
    const char *longer = getenv("LONG");

    return longer && !strcmp(longer, "1") ? many : usual;
}

/* Until the server has sent so much, or the child has ended. */
static void wait_for_bytes(pid_t child, uint64_t wanted)
{
    int64_t end = clock_ns() + LIMIT_NS;
    siginfo_t info = {.si_pid = 0};

    while (download.page[0].sent < wanted && info.si_pid == 0) {
        if (clock_ns() > end)
            fail_msg("%u bytes after a minute", (unsigned)download.page[0].sent);
        usleep(1000);
        assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    }
}

static void killed_at_random(void **state)
{
    unsigned count = rounds(24, 200), whole = 0;
    uint32_t seed = 7;

    (void)state;
    download.options.connections = 3;
    for (unsigned n = 0; n < count; n++) {
        uint64_t wanted;
        pid_t child;

        seed = seed * 1664525 + 1013904223;
        wanted = download.page[0].sent + 1 + (seed >> 8) % (FILE_SIZE / 4);
        /* Most are killed while they are kept waiting, the others wherever they are, as far as the last steps. */
        download.page[0].hold_at = n % 3 == 2 ? 0 : wanted;
        child = fork();
        if (child == 0)
            _exit(download_run() == 0 ? 0 : 1);
        assert_true(child > 0);
        wait_for_bytes(child, wanted);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, NULL, 0), child);
        fake_http_settle(download.server);
        if (download_exists("")) {
            assert_content("", download.data, FILE_SIZE);
            unlink(download.path);
            whole++;
        }
    }
    assert_true(whole < count);
    download.page[0].hold_at = 0;
    assert_fetched(download.data);
}

/* Disks. */

static void more_than_the_disk_has(void **state)
{
    (void)state;
    download.options.size = UINT64_C(1) << 60;
    assert_fails(ENOSPC, "make room");
    assert_int_equal(download.page[0].requests, 0);
    assert_nothing_left();
    /* Only the server says how much it is. */
    download.options.size = 0;
    download.options.sha256 = NULL;
    download.page[0].add_total = INT64_C(1) << 60;
    assert_fails(ENOSPC, "make room");
    assert_int_equal(download.page[0].requests, 1);
    assert_nothing_left();
}

static void a_full_disk_keeps_what_is_there(void **state)
{
    (void)state;
    download.disk.room = 60 * KiB; /* the state takes 24 KiB of it */
    assert_fails(ENOSPC, "make room");
    assert_true(download_exists(".part") && download_exists(".part.state"));
    download.disk.room = UINT64_MAX;
    download.page[0].sent = 0;
    assert_fetched(download.data);
    /* A whole piece was noted. */
    assert_true(download.page[0].sent <= FILE_SIZE - PIECE);
}

/* What the host could not write is not noted, not even when its next sync succeeds. */
static void a_failed_sync_notes_nothing(void **state)
{
    (void)state;
    download_some(2 * PIECE);
    download.disk.sync_error = EIO;
    assert_fails(EIO, ".part: cannot be written");
    download.disk.sync_error = ENOSPC;
    assert_fails(ENOSPC, "make room");
    download.disk.sync_error = 0;
    download.page[0].sent = 0;
    assert_fetched(download.data);
    assert_int_equal(download.page[0].sent, FILE_SIZE - 2 * PIECE);
}

static void files_have_a_limit(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        const struct rlimit limit = {100 * KiB, 100 * KiB};

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(download_run() == -EFBIG && strstr(download.error.text, ".part: cannot be made") ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(download_exists(""));
    assert_fetched(download.data);
}

static void a_folder_that_may_not_be_written(void **state)
{
    (void)state;
    assert_int_equal(mkdir(download_path(".part"), 0700), 0);
    assert_fails(EISDIR, ".part: cannot be opened");
    assert_int_equal(rmdir(download_path(".part")), 0);
    assert_int_equal(symlink("/dev/null", download_path(".part.state")), 0);
    assert_fails(ELOOP, ".part.state: cannot be opened");
}

/* States that are damaged. */

static uint8_t kept_part[FILE_SIZE], kept_state[64 * KiB];
static size_t kept_length;

static size_t load(const char *suffix, void *to, size_t size)
{
    int fd = open(download_path(suffix), O_RDONLY | O_CLOEXEC);
    ssize_t count = read(fd, to, size);

    assert_true(fd >= 0 && count >= 0);
    close(fd);
    return (size_t)count;
}

/* In one of several ways; the new length. */
static size_t damage(uint8_t *bytes, size_t length, unsigned way, uint32_t random)
{
    size_t at = random % length, half = length / 2;

    switch (way % 6) {
    case 0:
        bytes[at] ^= (uint8_t)(1U << random % 8);
        break;
    case 1: /* in both places */
        bytes[at % half] ^= 0xFF;
        bytes[half + at % half] ^= 0xFF;
        break;
    case 2:
        return at;
    case 3:
        memset(bytes + at, 0, length - at);
        break;
    case 4: /* everything is there, it says */
        memset(bytes + 4096, 0xFF, 4);
        memset(bytes + half + 4096, 0xFF, 4);
        break;
    default: /* the newer place is torn: its first part is of the older */
        memcpy(bytes + half, bytes, at % half);
        break;
    }
    return length;
}

static void damaged_states_are_not_trusted(void **state)
{
    static uint8_t bytes[64 * KiB];
    unsigned count = rounds(30, 200), anew = 0;
    uint32_t random = 3;

    (void)state;
    download_some(20 * PIECE);
    assert_int_equal(load(".part", kept_part, FILE_SIZE), FILE_SIZE);
    kept_length = load(".part.state", kept_state, sizeof kept_state);
    assert_int_equal(kept_length, 2 * 12288);
    for (unsigned n = 0; n < count; n++) {
        size_t length;

        random = random * 1664525 + 1013904223;
        memcpy(bytes, kept_state, kept_length);
        length = damage(bytes, kept_length, n, random >> 4);
        download_store(".part", kept_part, FILE_SIZE);
        download_store(".part.state", bytes, length);
        download.page[0].sent = 0;
        assert_fetched(download.data);
        assert_true(download.page[0].sent >= FILE_SIZE - 20 * PIECE);
        anew += download.page[0].sent == FILE_SIZE;
    }
    assert_true(anew >= count / 3 && anew < count);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, download_setup, download_teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_next_call_fetches_only_the_rest),
        TEST(what_is_of_something_else_is_fetched_anew),
        TEST(stopped_while_verifying),
        TEST(only_one_at_a_time),
        TEST(a_file_that_is_there_stays),
        TEST(killed_at_random),
        TEST(more_than_the_disk_has),
        TEST(a_full_disk_keeps_what_is_there),
        TEST(a_failed_sync_notes_nothing),
        TEST(files_have_a_limit),
        TEST(a_folder_that_may_not_be_written),
        TEST(damaged_states_are_not_trusted),
    };
#undef TEST

    return cmocka_run_group_tests(tests, download_prepare, download_clean_up);
}
