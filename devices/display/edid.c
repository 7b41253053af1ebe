/* EDID 1.4: one detailed timing that says the preferred mode, and the usual smaller ones. */
#include <string.h>

#include "casement/bytes.h"
#include "edid.h"

#define REFRESH_HZ 60U
/* Reduced blanking (VESA CVT 1.2, 3.4): fixed horizontal blanking, vertical blanking of at least 460 us. */
#define H_BLANK 160U
#define H_FRONT 48U
#define H_SYNC 32U
#define V_FRONT 3U
#define V_SYNC 6U
#define MIN_V_BLANK_US 460U
#define DOTS_PER_INCH 96U

static unsigned vertical_blank(unsigned height)
{
    unsigned frame_us = 1000000 / REFRESH_HZ;
    unsigned lines = (MIN_V_BLANK_US * height + (frame_us - MIN_V_BLANK_US) - 1) / (frame_us - MIN_V_BLANK_US) + 1;

    return MAX(lines, V_FRONT + V_SYNC + 6);
}

/* Section 3.10.2: the first of the four descriptors is the preferred mode. */
static void put_timing(uint8_t *at, unsigned width, unsigned height)
{
    unsigned v_blank = vertical_blank(height);
    unsigned clock_10khz = (width + H_BLANK) * (height + v_blank) / (10000 / REFRESH_HZ) + 1;
    unsigned width_mm = width * 254 / (DOTS_PER_INCH * 10), height_mm = height * 254 / (DOTS_PER_INCH * 10);

    put_le16(at, (uint16_t)MIN(clock_10khz, 65535U));
    at[2] = width & 0xFF;
    at[3] = H_BLANK & 0xFF;
    at[4] = (uint8_t)(width >> 8 << 4 | H_BLANK >> 8);
    at[5] = height & 0xFF;
    at[6] = v_blank & 0xFF;
    at[7] = (uint8_t)(height >> 8 << 4 | v_blank >> 8);
    at[8] = H_FRONT;
    at[9] = H_SYNC;
    at[10] = (uint8_t)(V_FRONT << 4 | V_SYNC);
    at[12] = width_mm & 0xFF;
    at[13] = height_mm & 0xFF;
    at[14] = (uint8_t)(width_mm >> 8 << 4 | height_mm >> 8);
    at[17] = 0x1A; /* digital separate sync, horizontal positive */
}

static void put_text(uint8_t *at, uint8_t kind, const char *text)
{
    size_t length = strlen(text);

    at[3] = kind;
    memset(at + 5, ' ', 13);
    memcpy(at + 5, text, length);
    if (length < 13)
        at[5 + length] = '\n';
}

void edid_make(uint8_t edid[EDID_BYTES], unsigned width, unsigned height)
{
    static const uint8_t header[] = {0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0};
    /* sRGB primaries and white point, section 3.7. */
    static const uint8_t chromaticity[] = {0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54};
    /* 1024x768, 1280x720, 1280x800, 1280x1024, 1440x900, 1600x900, 1680x1050, 1920x1080 at 60 Hz, section 3.9. */
    static const uint8_t standard[] = {0x61, 0x40, 0x81, 0xC0, 0x81, 0x00, 0x81, 0x80,
                                       0x95, 0x00, 0xA9, 0xC0, 0xB3, 0x00, 0xD1, 0xC0};
    uint8_t sum = 0;

    memset(edid, 0, EDID_BYTES);
    memcpy(edid, header, sizeof header);
    put_be16(edid + 8, 0x0E6D); /* "CSM": five bits a letter */
    put_le16(edid + 10, 1);
    put_le32(edid + 12, 1);
    edid[16] = 1;  /* week */
    edid[17] = 36; /* 2026 */
    edid[18] = 1;
    edid[19] = 4;
    edid[20] = 0xA5; /* digital, 8 bits a colour, DisplayPort */
    edid[21] = (uint8_t)MIN(width * 254 / (DOTS_PER_INCH * 100), 255U);
    edid[22] = (uint8_t)MIN(height * 254 / (DOTS_PER_INCH * 100), 255U);
    edid[23] = 120;  /* gamma 2.2 */
    edid[24] = 0x06; /* sRGB; the first timing is the native one */
    memcpy(edid + 25, chromaticity, sizeof chromaticity);
    edid[35] = 0x21; /* 640x480, 800x600 */
    edid[36] = 0x08; /* 1024x768 */
    memcpy(edid + 38, standard, sizeof standard);
    put_timing(edid + 54, width, height);
    put_text(edid + 72, 0xFC, "Casement");
    put_text(edid + 90, 0xFF, "1");
    edid[111] = 0x10; /* an empty descriptor */
    for (unsigned n = 0; n < EDID_BYTES - 1; n++)
        sum = (uint8_t)(sum + edid[n]);
    edid[EDID_BYTES - 1] = (uint8_t)-sum;
}
