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
#define V_BACK 6U
#define MIN_V_BLANK_US 460U
#define SECOND_US 1000000U
#define CLOCK_STEP_HZ 250000U
#define DOTS_PER_INCH 96U

/* The width of the vertical sync tells the aspect ratio (VESA CVT 1.2, table 3-2). */
static unsigned vertical_sync(unsigned width, unsigned height)
{
    static const struct {
        uint8_t across, down, lines;
    } ratios[] = {{4, 3, 4}, {16, 9, 5}, {16, 10, 6}, {5, 4, 7}, {15, 9, 7}};

    for (size_t n = 0; n < ARRAY_SIZE(ratios); n++)
        if (height * ratios[n].across / ratios[n].down / 8 * 8 == width)
            return ratios[n].lines;
    return 10;
}

static unsigned vertical_blank(unsigned height, unsigned sync)
{
    unsigned lines = MIN_V_BLANK_US * REFRESH_HZ * height / (SECOND_US - MIN_V_BLANK_US * REFRESH_HZ) + 1;

    return MAX(lines, V_FRONT + sync + V_BACK);
}

/* Section 3.10.2: the first of the four descriptors is the preferred mode. */
static void put_timing(uint8_t *at, unsigned width, unsigned height)
{
    unsigned v_sync = vertical_sync(width, height), v_blank = vertical_blank(height, v_sync);
    unsigned clock_hz = REFRESH_HZ * (width + H_BLANK) * (height + v_blank);
    unsigned clock_10khz = clock_hz / CLOCK_STEP_HZ * (CLOCK_STEP_HZ / 10000);
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
    at[10] = (uint8_t)(V_FRONT << 4 | v_sync);
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
    memcpy(at + 5, text, length); /* NOLINT(bugprone-not-null-terminated-result): a field of the block, no string */
    if (length < 13)
        at[5 + length] = '\n';
}

void edid_make(uint8_t edid[EDID_BYTES], unsigned width, unsigned height)
{
    static const uint8_t header[] = {0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0};
    /* sRGB primaries and white point, section 3.7. */
    static const uint8_t chromaticity[] = {0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54};
    /*
     * 1024x768, 1280x800, 1280x1024, 1440x900, 1600x900, 1680x1050, 1920x1080, 1920x1200 at 60 Hz, section 3.9. Not
     * 1280x720: Windows has crashed where that was in the list.
     */
    static const uint8_t standard[] = {0x61, 0x40, 0x81, 0x00, 0x81, 0x80, 0x95, 0x00,
                                       0xA9, 0xC0, 0xB3, 0x00, 0xD1, 0xC0, 0xD1, 0x00};
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
