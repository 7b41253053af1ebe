/* See fake_wim.h. */
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_wim.h"

void fake_wim_make_raw(struct fake_wim *wim, const void *xml, size_t length, bool esd)
{
    wim->length = FAKE_WIM_HEADER + length;
    wim->bytes = calloc(1, wim->length);
    assert_non_null(wim->bytes);
    memcpy(wim->bytes, "MSWIM\0\0", 8);
    put_le32(wim->bytes + 0x08, FAKE_WIM_HEADER);
    put_le32(wim->bytes + 0x0C, esd ? 0xE00 : 0x10D00);
    put_le32(wim->bytes + 0x10, esd ? 0x80082 : 0x20082); /* compressed, LZMS or LZX, with reparse points mended */
    put_le32(wim->bytes + 0x14, esd ? 0x20000 : 0x8000);
    put_le16(wim->bytes + 0x28, 1);
    put_le16(wim->bytes + 0x2A, 1);
    put_le32(wim->bytes + 0x2C, 1);
    put_le64(wim->bytes + 0x48, length | UINT64_C(2) << 56);
    put_le64(wim->bytes + 0x50, FAKE_WIM_HEADER);
    put_le64(wim->bytes + 0x58, length);
    if (length)
        memcpy(wim->bytes + FAKE_WIM_HEADER, xml, length);
}

void fake_wim_make(struct fake_wim *wim, const char *xml, bool esd, bool mark)
{
    iconv_t convert = iconv_open("UTF-16LE", "UTF-8");
    size_t left = strlen(xml), room = 2 * left + 2, start = room;
    char *utf16 = malloc(room), *to = utf16, *from = (char *)xml;

    assert_true((intptr_t)convert != -1 && utf16);
    if (mark) {
        put_le16(to, 0xFEFF);
        to += 2;
        room -= 2;
    }
    assert_true(iconv(convert, &from, &left, &to, &room) != (size_t)-1);
    iconv_close(convert);
    fake_wim_make_raw(wim, utf16, start - room, esd);
    free(utf16);
}

void fake_wim_free(struct fake_wim *wim)
{
    free(wim->bytes);
    *wim = (struct fake_wim){0};
}

static int read_wim(void *opaque, void *to, size_t length, uint64_t offset)
{
    const struct fake_wim *wim = opaque;

    assert_true(offset <= wim->length && length <= wim->length - offset);
    memcpy(to, wim->bytes + offset, length);
    return 0;
}

struct medium_source fake_wim_source(struct fake_wim *wim)
{
    return (struct medium_source){read_wim, wim, wim->length, "test.iso: sources/install.wim"};
}
