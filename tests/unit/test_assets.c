/* The page in the program is the page in the tree, and it asks for nothing that is not there. Run in the tree's root.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../../vmm/viewer/assets.h"
#include "casement/bytes.h"
#include "cmocka_all.h"

#define PAGE "vmm/viewer/page"
#define NOVNC "build/novnc"
#define WINDOW_GZIP (15 + 16)

/* The caller frees it; a zero byte is behind it. */
static char *unpacked(const struct asset *asset)
{
    char *content = malloc(asset->size + 1);
    z_stream stream = {.next_in = (uint8_t *)asset->gzip,
                       .avail_in = (unsigned)asset->gzip_size,
                       .next_out = (uint8_t *)content,
                       .avail_out = (unsigned)asset->size};

    assert_non_null(content);
    assert_int_equal(inflateInit2(&stream, WINDOW_GZIP), Z_OK);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_int_equal(stream.total_out, asset->size);
    assert_int_equal(stream.avail_in, 0);
    inflateEnd(&stream);
    content[asset->size] = '\0';
    return content;
}

static void same_as_file(const struct asset *asset, const char *name)
{
    FILE *file = fopen(name, "rb");
    char *content = unpacked(asset), *wanted = malloc(asset->size + 1);

    if (!file)
        fail_msg("%s is not there", name);
    assert_non_null(wanted);
    assert_int_equal(fread(wanted, 1, asset->size + 1, file), asset->size);
    assert_memory_equal(content, wanted, asset->size);
    fclose(file);
    free(content);
    free(wanted);
}

static void each_is_its_file(void **state)
{
    (void)state;
    assert_true(asset_count > 60);
    for (size_t n = 0; n < asset_count; n++) {
        const char *path = assets[n].path;
        char name[512];

        if (!strncmp(path, "/novnc/", 7))
            snprintf(name, sizeof name, NOVNC "/%s", path + 7);
        else
            snprintf(name, sizeof name, PAGE "%s%s", path, path[1] ? "" : "index.html");
        same_as_file(&assets[n], name);
    }
}

static void each_file_is_there(void **state)
{
    DIR *folder = opendir(PAGE);

    (void)state;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[512];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/%s", strcmp(entry->d_name, "index.html") != 0 ? entry->d_name : "");
        if (!asset_find(path))
            fail_msg("%s is not in the program", path);
    }
    closedir(folder);
}

static void found_by_path_alone(void **state)
{
    static const char *const none[] = {"", "//", "/index.html", "/app", "/app.js2", "/novnc/", "/../app.js", "/zzz"};

    (void)state;
    for (size_t n = 0; n < asset_count; n++)
        assert_ptr_equal(asset_find(assets[n].path), &assets[n]);
    for (size_t n = 0; n < ARRAY_SIZE(none); n++)
        assert_null(asset_find(none[n]));
}

static void types_and_tags(void **state)
{
    static const char *const wanted[][2] = {{"/", "text/html; charset=utf-8"},
                                            {"/style.css", "text/css; charset=utf-8"},
                                            {"/app.js", "text/javascript; charset=utf-8"},
                                            {"/icon.svg", "image/svg+xml"},
                                            {"/novnc/core/rfb.js", "text/javascript; charset=utf-8"},
                                            {"/novnc/LICENSE.MPL-2.0.txt", "text/plain; charset=utf-8"}};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(wanted); n++) {
        const struct asset *asset = asset_find(wanted[n][0]);

        assert_non_null(asset);
        assert_string_equal(asset->type, wanted[n][1]);
    }
    for (size_t n = 0; n < asset_count; n++) {
        size_t length = strlen(assets[n].etag);

        assert_true(length > 4 && assets[n].etag[0] == '"' && assets[n].etag[length - 1] == '"');
        assert_true(n == 0 || strcmp(assets[n - 1].path, assets[n].path) < 0);
        assert_int_equal(assets[n].gzip[3], 0); /* no name, no time: the same bytes from the same input */
        assert_memory_equal(assets[n].gzip + 4, "\0\0\0\0", 4);
    }
}

/* Every href, src and import of the page's own files; and none to elsewhere, nothing inline. */
static void links_lead_to_assets(void **state)
{
    static const char *const before[] = {"href=\"", "src=\"", "from '"};
    unsigned count = 0;

    (void)state;
    for (size_t n = 0; n < asset_count; n++) {
        char *content;

        if (!strncmp(assets[n].path, "/novnc/", 7))
            continue;
        content = unpacked(&assets[n]);
        for (size_t b = 0; b < ARRAY_SIZE(before); b++)
            for (char *at = content; (at = strstr(at, before[b])); count++) {
                char path[256];
                size_t length;

                at += strlen(before[b]);
                length = strcspn(at, "\"'");
                snprintf(path, sizeof path, "%.*s", (int)length, at);
                if (*path == '#')
                    continue;
                if (!asset_find(path[0] == '.' ? path + 1 : path))
                    fail_msg("%s asks for %s", assets[n].path, path);
            }
        assert_null(strstr(content, "https://"));
        assert_null(strstr(content, "<style"));
        assert_null(strstr(content, " style="));
        assert_null(strstr(content, " onclick="));
        free(content);
    }
    assert_true(count > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_its_file),     cmocka_unit_test(each_file_is_there),
        cmocka_unit_test(found_by_path_alone),  cmocka_unit_test(types_and_tags),
        cmocka_unit_test(links_lead_to_assets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
