/* The guest's side of a display (see fake_display.h). */
#include <stdlib.h>

#include "casement/bytes.h"
#include "casement/pci.h"
#include "fake_display.h"

#define DEVFN (FAKE_DISPLAY_SLOT << 3)
#define DISPI (FAKE_REGISTERS + 0x500)
enum { XRES = 1, YRES, BPP, ENABLE, VIRT_WIDTH = 6, Y_OFFSET = 9 };

struct fake *fake_display_create(struct display **display)
{
    const struct display_options options = {.width = 1280, .height = 800, .slot = FAKE_DISPLAY_SLOT};
    struct fake *fake = fake_create(0);

    if (pci_bus_create(&fake->board, &fake->board.pci) < 0 || display_create(&fake->board, &options, display, NULL) < 0)
        abort();
    fake_config_write(fake, DEVFN, 0x10, 4, FAKE_VIDEO);
    fake_config_write(fake, DEVFN, 0x18, 4, FAKE_REGISTERS);
    fake_config_write(fake, DEVFN, 4, 2, 2);
    return fake;
}

void fake_display_move(struct fake *fake, uint64_t address)
{
    fake_config_write(fake, DEVFN, 0x10, 4, address);
}

static void dispi(struct fake *fake, unsigned index, unsigned value)
{
    fake_write(fake, BUS_MMIO, DISPI + 2 * (uint64_t)index, 2, value);
}

void fake_display_mode(struct fake *fake, unsigned width, unsigned height, unsigned virtual_width, unsigned y_offset)
{
    dispi(fake, ENABLE, 0);
    if (!width)
        return;
    dispi(fake, XRES, width);
    dispi(fake, YRES, height);
    dispi(fake, BPP, 32);
    dispi(fake, VIRT_WIDTH, virtual_width);
    dispi(fake, Y_OFFSET, y_offset);
    dispi(fake, ENABLE, 0x41);
}

void fake_display_draw(struct fake *fake, uint64_t pixel, uint32_t value)
{
    uint8_t bytes[4];

    put_le32(bytes, value);
    if (!fake_store(fake, FAKE_VIDEO + 4 * pixel, bytes, sizeof bytes))
        abort();
}
