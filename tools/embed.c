/*
 * Writes a C file with the content of folders, compressed, as vmm/viewer/assets.h describes it. The same input gives
 * the same bytes. A host's tool: the build runs it, the program does not contain it. usage: embed /PREFIX=FOLDER...
 * >assets.c
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define FILES 512
#define WINDOW_GZIP (15 + 16)

static struct file {
    char *path, *name; /* in the page, and here */
} files[FILES];
static size_t count;

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "embed: %s: %s\n", what, why);
    exit(1);
}

static char *join(const char *a, const char *b, const char *c)
{
    size_t size = strlen(a) + strlen(b) + strlen(c) + 1;
    char *text = malloc(size);

    if (!text)
        fail(a, "out of memory");
    snprintf(text, size, "%s%s%s", a, b, c);
    return text;
}

static void add_folder(const char *prefix, const char *folder)
{
    DIR *directory = opendir(folder);
    struct stat status;

    if (!directory)
        fail(folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(directory));) {
        char *name = join(folder, "/", entry->d_name);

        if (entry->d_name[0] == '.') {
            free(name);
            continue;
        }
        if (stat(name, &status) < 0)
            fail(name, strerror(errno));
        if (S_ISDIR(status.st_mode)) {
            char *below = join(prefix, entry->d_name, "/");

            add_folder(below, name);
            free(below);
            free(name);
            continue;
        }
        if (count == FILES)
            fail(name, "too many files");
        files[count++] =
            (struct file){join(prefix, !strcmp(entry->d_name, "index.html") ? "" : entry->d_name, ""), name};
    }
    closedir(directory);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static const char *type_of(const char *name)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"},         {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},     {".svg", "image/svg+xml"},
        {".webmanifest", "application/manifest+json"}, {".png", "image/png"},
    };
    const char *extension = strrchr(name, '.');

    for (size_t n = 0; extension && n < sizeof types / sizeof types[0]; n++)
        if (!strcmp(extension, types[n][0]))
            return types[n][1];
    return "text/plain; charset=utf-8"; /* licences */
}

static uint8_t *read_file(const char *name, size_t *size)
{
    FILE *file = fopen(name, "rb");
    struct stat status;
    uint8_t *data;

    if (!file || fstat(fileno(file), &status) < 0)
        fail(name, strerror(errno));
    *size = (size_t)status.st_size;
    data = malloc(*size + 1);
    if (!data || fread(data, 1, *size, file) != *size)
        fail(name, "cannot be read");
    fclose(file);
    return data;
}

/* Without a time or a name in its header. */
static uint8_t *compress_gzip(const uint8_t *data, size_t size, size_t *compressed)
{
    z_stream stream = {.next_in = (uint8_t *)data, .avail_in = (unsigned)size};
    uint8_t *out;

    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, WINDOW_GZIP, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        fail("zlib", "cannot be set up");
    *compressed = deflateBound(&stream, size);
    out = malloc(*compressed);
    stream.next_out = out;
    stream.avail_out = (unsigned)*compressed;
    if (!out || deflate(&stream, Z_FINISH) != Z_STREAM_END)
        fail("zlib", "cannot compress");
    *compressed = stream.total_out;
    deflateEnd(&stream);
    return out;
}

static void write_bytes(size_t number, const uint8_t *data, size_t size)
{
    printf("static const uint8_t bytes%zu[] = {", number);
    for (size_t n = 0; n < size; n++)
        printf("%s%u,", n % 32 ? "" : "\n", data[n]);
    printf("\n};\n");
}

int main(int argc, char **argv)
{
    char *rows = NULL;
    size_t rows_size;
    FILE *table = open_memstream(&rows, &rows_size);

    for (int n = 1; n < argc; n++) {
        char *folder = strchr(argv[n], '=');

        if (!folder || argv[n][0] != '/')
            fail(argv[n], "not /PREFIX=FOLDER");
        *folder = '\0';
        add_folder(argv[n], folder + 1);
    }
    if (argc < 2 || !table)
        fail("usage", "embed /PREFIX=FOLDER...");
    qsort(files, count, sizeof files[0], by_path);
    printf("/* Made by tools/embed, do not edit. */\n#include \"../../vmm/viewer/assets.h\"\n\n");
    for (size_t n = 0; n < count; n++) {
        size_t size, compressed;
        uint8_t *data = read_file(files[n].name, &size), *gzip = compress_gzip(data, size, &compressed);

        write_bytes(n, gzip, compressed);
        fprintf(table, "    {\"%s\", \"%s\", bytes%zu, %zu, %zu, \"\\\"%08lx-%zx\\\"\"},\n", files[n].path,
                type_of(files[n].name), n, compressed, size, crc32(0, data, (unsigned)size), size);
        free(data);
        free(gzip);
    }
    fclose(table);
    printf("\nconst struct asset assets[] = {\n%s};\nconst size_t asset_count = %zu;\n", rows, count);
    free(rows);
    return fflush(stdout) ? 1 : 0;
}
