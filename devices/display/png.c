/* PNG: signature, header, one stream of filtered rows, end (ISO/IEC 15948, 5 and 11). */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "casement/bytes.h"
#include "png.h"

#define FILTER_NONE 0
#define CHUNK_BYTES 65536U
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

/* Hands on what is compressed as one IDAT chunk, when the buffer is full or flush is set. */
static int put_data(FILE *file, z_stream *stream, uint8_t out[CHUNK_BYTES], bool flush)
{
    size_t length = CHUNK_BYTES - stream->avail_out;
    int failed = 0;

    if (length && (flush || !stream->avail_out)) {
        failed = put_chunk(file, "IDAT", out, length);
        stream->next_out = out;
        stream->avail_out = CHUNK_BYTES;
    }
    return failed;
}

static int put_row(FILE *file, z_stream *stream, uint8_t out[CHUNK_BYTES], bool last)
{
    int failed = 0, status;

    do {
        status = deflate(stream, last ? Z_FINISH : Z_NO_FLUSH);
        if (status != Z_OK && status != Z_STREAM_END)
            return -EIO;
        failed = put_data(file, stream, out, status == Z_STREAM_END);
    } while (failed == 0 && status == Z_OK && (last || stream->avail_in));
    return failed;
}

/* All rows as one zlib stream, in as many chunks as it takes: memory does not grow with the guest's mode. */
static int put_pixels(FILE *file, const uint8_t *pixels, unsigned width, unsigned height, unsigned stride)
{
    size_t row_bytes = 1 + (size_t)width * 3;
    uint8_t *row = malloc(row_bytes), *out = malloc(CHUNK_BYTES);
    z_stream stream = {.next_out = out, .avail_out = CHUNK_BYTES};
    int failed = -ENOMEM;

    if (row && out && deflateInit(&stream, FAST) == Z_OK) {
        failed = 0;
        for (unsigned y = 0; y < height && failed == 0; y++) {
            filter_row(row, pixels + (size_t)y * stride, width);
            stream.next_in = row;
            stream.avail_in = (uInt)row_bytes;
            failed = put_row(file, &stream, out, y + 1 == height);
        }
        deflateEnd(&stream);
    }
    free(out);
    free(row);
    return failed;
}

static int write_picture(FILE *file, const uint8_t *pixels, unsigned width, unsigned height, unsigned stride)
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
        failed = put_pixels(file, pixels, width, height, stride);
    if (failed == 0)
        failed = put_chunk(file, "IEND", NULL, 0);
    return failed;
}

int png_write(const char *path, const uint8_t *pixels, unsigned width, unsigned height, unsigned stride,
              struct error *error)
{
    char temporary[4096];
    FILE *file;
    int fd, failed;

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
        failed = write_picture(file, pixels, width, height, stride);
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
    return failed;
}

int png_write_memory(uint8_t **png, size_t *size, const uint8_t *pixels, unsigned width, unsigned height,
                     unsigned stride)
{
    char *memory = NULL;
    FILE *file = open_memstream(&memory, size);
    int failed;

    if (!file)
        return -errno;
    failed = write_picture(file, pixels, width, height, stride);
    if (fclose(file) != 0 && failed == 0)
        failed = -ENOMEM;
    if (failed < 0) {
        free(memory);
        memory = NULL;
    }
    *png = (uint8_t *)memory;
    return failed;
}
