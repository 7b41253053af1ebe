/*
 * An RFB client for tests, by the letter of RFC 6143: it decodes Raw, ZRLE and Tight (without JPEG) and fails the test
 * when the server does not keep to the protocol or is silent for too long.
 */
#ifndef CASEMENT_TESTS_FAKE_VIEWER_H
#define CASEMENT_TESTS_FAKE_VIEWER_H

#include <stdbool.h>
#include <stdint.h>
#include <zlib.h>

enum {
    RAW = 0,
    TIGHT = 7,
    ZRLE = 16,
    NEW_SIZE = -223,
    LAST_RECT = -224,
    CURSOR = -239,
    EXTENDED_KEY = -258,
    EXTENDED_SIZE = -308,
    EXTENDED_BUTTONS = -316
};

struct fake_viewer {
    int fd;
    unsigned width, height;
    uint32_t *pixels; /* 0x00RRGGBB */
    char name[128];
    z_stream streams[5]; /* four of Tight, one of ZRLE */
    /* Of the last update: */
    unsigned rectangles;
    int32_t encoding;                  /* of the last rectangle with pixels */
    unsigned left, top, right, bottom; /* around those rectangles; right and bottom exclusive */
    uint64_t area;
    bool resized, has_extended_key, has_extended_buttons, has_cursor;
    unsigned resize_reason, resize_status;
};

void fake_viewer_init(struct fake_viewer *viewer, int fd);
void fake_viewer_close(struct fake_viewer *viewer);
void fake_viewer_put(struct fake_viewer *viewer, const void *data, size_t size);
void fake_viewer_get(struct fake_viewer *viewer, void *data, size_t size);
/* Version and security; minor is 3, 7 or 8. password NULL: type None. false: refused. */
bool fake_viewer_let_in(struct fake_viewer *viewer, unsigned minor, const char *password);
/* ClientInit and ServerInit. */
void fake_viewer_start(struct fake_viewer *viewer);
void fake_viewer_encodings(struct fake_viewer *viewer, unsigned count, const int32_t *encodings);
#define FAKE_VIEWER_ENCODINGS(viewer, ...)                                                  \
    fake_viewer_encodings(viewer, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t), \
                          (const int32_t[]){__VA_ARGS__})
void fake_viewer_request(struct fake_viewer *viewer, bool incremental);
/* The next FramebufferUpdate. */
void fake_viewer_update(struct fake_viewer *viewer);
/* Updates until one says that the screen has this width. */
void fake_viewer_update_size(struct fake_viewer *viewer, unsigned width);
void fake_viewer_key(struct fake_viewer *viewer, uint32_t keysym, bool down);
void fake_viewer_extended_key(struct fake_viewer *viewer, uint32_t scan_code, uint32_t keysym, bool down);
void fake_viewer_pointer(struct fake_viewer *viewer, unsigned x, unsigned y, unsigned buttons);
/* Waits until the server has closed the connection; what it still sends is dropped. */
void fake_viewer_wait_end(struct fake_viewer *viewer);

#endif
