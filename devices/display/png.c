/* PNG: signature, header, one stream of filtered rows, end (ISO/IEC 15948, 5 and 11). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "png.h"

#define FILTER_NONE 0
#define FAST 3 /* a screen is flat: the first levels do most of it */

static int put_chunk(FILE *file, const char *type, const uint8_t *data, size_t length)
{
    uint8_t head[8], tail[4];
    uLong sum;

    put_be32(head, (uint32_t)length);
    memcpy(head + 4, type, 4);
    sum = crc32(0, head + 4, 4);
    if (length)
        sum = crc32(sum, data, (uInt)length);
    put_be32(tail, (uint32_t)sum);
    return fwrite(head, sizeof head, 1, file) == 1 && (!length || fwrite(data, length, 1, file) == 1) &&
                   fwrite(tail, sizeof tail, 1, file) == 1
               ? 0
               : -EIO;
}

static void filter_row(uint8_t *row, const uint8_t *pixels, unsigned width)
{
    *row++ = FILTER_NONE;
    for (unsigned x = 0; x < width; x++, pixels += 4) {
        *row++ = pixels[2];
        *row++ = pixels[1];
        *row++ = pixels[0];
    }
}

/* All rows as one zlib stream in memory; the caller frees it. */
static int compress_rows(const uint8_t *pixels, unsigned width, unsigned height, unsigned stride, uint8_t **data,
                         size_t *length)
{
    size_t row_bytes = 1 + (size_t)width * 3;
    uint8_t *row = malloc(row_bytes), *out = NULL;
    z_stream stream = {0};
    int status = Z_MEM_ERROR;

    if (row && deflateInit(&stream, FAST) == Z_OK) {
        size_t room = deflateBound(&stream, (uLong)(row_bytes * height));

        out = malloc(room);
        stream.next_out = out;
        stream.avail_out = (uInt)room;
        status = out ? Z_OK : Z_MEM_ERROR;
        for (unsigned y = 0; y < height && status == Z_OK; y++) {
            filter_row(row, pixels + (size_t)y * stride, width);
            stream.next_in = row;
            stream.avail_in = (uInt)row_bytes;
            status = deflate(&stream, y + 1 == height ? Z_FINISH : Z_NO_FLUSH);
        }
        *length = stream.total_out;
        deflateEnd(&stream);
    }
    free(row);
    if (status != Z_STREAM_END) {
        free(out);
        return -ENOMEM;
    }
    *data = out;
    return 0;
}

static int write_file(FILE *file, const uint8_t *data, size_t length, unsigned width, unsigned height)
{
    static const uint8_t signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    uint8_t header[13] = {0};
    int failed;

    put_be32(header, width);
    put_be32(header + 4, height);
    header[8] = 8; /* bits a sample */
    header[9] = 2; /* red, green, blue */
    failed = fwrite(signature, sizeof signature, 1, file) == 1 ? 0 : -EIO;
    if (failed == 0)
        failed = put_chunk(file, "IHDR", header, sizeof header);
    if (failed == 0)
        failed = put_chunk(file, "IDAT", data, length);
    if (failed == 0)
        failed = put_chunk(file, "IEND", NULL, 0);
    return failed;
}

int png_write(const char *path, const uint8_t *pixels, unsigned width, unsigned height, unsigned stride,
              struct error *error)
{
    char temporary[4096];
    uint8_t *data = NULL;
    size_t length = 0;
    FILE *file;
    int fd, failed = compress_rows(pixels, width, height, stride, &data, &length);

    if (failed < 0)
        return error_set(error, -failed, "%s: no memory for the picture", path);
    snprintf(temporary, sizeof temporary, "%s.XXXXXX", path);
    fd = mkstemp(temporary);
    file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!file) {
        failed =
            error_set(error, errno, "%s: the picture cannot be written: %s; name a file in a folder that is writable",
                      path, strerror(errno));
        if (fd >= 0)
            close(fd);
    } else {
        failed = write_file(file, data, length, width, height);
        if (fclose(file) != 0 && failed == 0)
            failed = -EIO;
        if (failed == 0 && rename(temporary, path) < 0)
            failed = -errno;
        if (failed < 0)
            error_set(error, -failed, "%s: the picture cannot be written: %s; is there space?", path,
                      strerror(-failed));
    }
    if (failed < 0 && fd >= 0)
        unlink(temporary);
    free(data);
    return failed;
}
