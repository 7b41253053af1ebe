/* 16550A serial port (National Semiconductor PC16550D datasheet; platform contract 6.5, lessons 3.5 row 16). */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "casement/chipset.h"

#define QUEUE 4096 /* what waits for the guest; a power of two */

/* Registers by offset; 0 and 1 are the divisor while LCR.DLAB is set. */
enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCRATCH };

#define IER_RECEIVED 0x01
#define IER_EMPTY 0x02
#define IER_LINE 0x04
#define IIR_NONE 0x01
#define IIR_EMPTY 0x02
#define IIR_RECEIVED 0x04
#define IIR_LINE 0x06
#define IIR_FIFO 0xC0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVER 0x02
#define LCR_DLAB 0x80
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define LSR_DATA 0x01
#define LSR_OVERRUN 0x02
#define LSR_EMPTY 0x60   /* holding register and transmitter */
#define MSR_PRESENT 0xB0 /* carrier, data set ready, clear to send */

struct serial_state {
    uint8_t ier, fcr, lcr, mcr, scratch, overrun;
    uint8_t empty_pending; /* the transmitter became empty and nobody was told yet */
    uint16_t divisor;
};

struct serial {
    struct device device;
    struct board *board;
    struct serial_options options;
    pthread_mutex_t lock;
    struct serial_state state;
    uint8_t queue[QUEUE];
    unsigned head, count;
    struct irq_line irq;
    struct bus_region region;
};

/* What interrupts now, by priority. With the lock held. */
static uint8_t pending(const struct serial *serial)
{
    const struct serial_state *state = &serial->state;

    if ((state->ier & IER_LINE) && state->overrun)
        return IIR_LINE;
    if ((state->ier & IER_RECEIVED) && serial->count)
        return IIR_RECEIVED;
    if ((state->ier & IER_EMPTY) && state->empty_pending)
        return IIR_EMPTY;
    return IIR_NONE;
}

static void update(struct serial *serial)
{
    /* OUT2 gates the interrupt on a PC; in loopback the pin is off. */
    irq_line_set(&serial->irq, pending(serial) != IIR_NONE && (serial->state.mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2);
}

static void enqueue(struct serial *serial, uint8_t byte)
{
    serial->queue[(serial->head + serial->count++) % QUEUE] = byte;
}

static uint8_t read_register(struct serial *serial, unsigned offset)
{
    struct serial_state *state = &serial->state;
    uint8_t value = 0;

    switch (offset) {
    case DATA:
        if (state->lcr & LCR_DLAB)
            return state->divisor & 0xFF;
        if (serial->count) {
            value = serial->queue[serial->head];
            serial->head = (serial->head + 1) % QUEUE;
            serial->count--;
        }
        return value;
    case IER:
        return state->lcr & LCR_DLAB ? state->divisor >> 8 : state->ier;
    case IIR_FCR:
        value = pending(serial);
        if (value == IIR_EMPTY)
            state->empty_pending = 0; /* reading tells it once */
        return value | (state->fcr & FCR_ENABLE ? IIR_FIFO : 0);
    case LCR:
        return state->lcr;
    case MCR:
        return state->mcr;
    case LSR:
        value = LSR_EMPTY | (serial->count ? LSR_DATA : 0) | (state->overrun ? LSR_OVERRUN : 0);
        state->overrun = 0;
        return value;
    case MSR:
        if (state->mcr & MCR_LOOP) /* the modem outputs come back as inputs */
            return (uint8_t)((state->mcr & 0x0C) << 4 | (state->mcr & 0x02) << 3 | (state->mcr & 0x01) << 5);
        return MSR_PRESENT;
    default:
        return state->scratch;
    }
}

static uint64_t region_read(void *opaque, uint64_t offset, unsigned size)
{
    struct serial *serial = opaque;
    uint64_t value = 0;

    pthread_mutex_lock(&serial->lock);
    for (unsigned n = 0; n < size; n++)
        value |= (uint64_t)read_register(serial, (unsigned)offset + n) << (8 * n);
    update(serial);
    pthread_mutex_unlock(&serial->lock);
    return value;
}

/* true: the byte goes out, after the lock is released. */
static bool transmit(struct serial *serial, uint8_t value)
{
    serial->state.empty_pending = 1;
    if (!(serial->state.mcr & MCR_LOOP))
        return true;
    if (serial->count < 16)
        enqueue(serial, value);
    else
        serial->state.overrun = 1;
    return false;
}

/* true: value is for the outside. */
static bool write_register(struct serial *serial, unsigned offset, uint8_t value)
{
    struct serial_state *state = &serial->state;

    switch (offset) {
    case DATA:
        if (!(state->lcr & LCR_DLAB))
            return transmit(serial, value);
        state->divisor = (state->divisor & 0xFF00) | value;
        break;
    case IER:
        if (state->lcr & LCR_DLAB) {
            state->divisor = (uint16_t)((state->divisor & 0xFF) | value << 8);
        } else {
            /* The rising edge of this bit tells of an empty transmitter, as on the chip; Windows waits for it. */
            if ((value & IER_EMPTY) && !(state->ier & IER_EMPTY))
                state->empty_pending = 1;
            state->ier = value & 0x0F;
        }
        break;
    case IIR_FCR:
        state->fcr = value & 0xC9;
        if (value & FCR_CLEAR_RECEIVER)
            serial->count = 0;
        break;
    case LCR:
        state->lcr = value;
        break;
    case MCR:
        state->mcr = value & 0x1F;
        break;
    case SCRATCH:
        state->scratch = value;
        break;
    default:
        break; /* LSR and MSR are the chip's */
    }
    return false;
}

static void region_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct serial *serial = opaque;
    bool out = false;
    uint8_t byte = 0;

    for (unsigned n = 0; n < size; n++) {
        pthread_mutex_lock(&serial->lock);
        byte = (uint8_t)(value >> (8 * n));
        out = write_register(serial, (unsigned)offset + n, byte);
        update(serial);
        pthread_mutex_unlock(&serial->lock);
        if (out && serial->options.output)
            serial->options.output(serial->options.opaque, &byte, 1);
    }
}

static const struct bus_ops region_ops = {region_read, region_write};

size_t serial_input(struct serial *serial, const uint8_t *bytes, size_t length)
{
    size_t taken = 0;

    pthread_mutex_lock(&serial->lock);
    while (taken < length && serial->count < QUEUE)
        enqueue(serial, bytes[taken++]);
    update(serial);
    pthread_mutex_unlock(&serial->lock);
    return taken;
}

static void reset(struct device *device)
{
    struct serial *serial = container_of(device, struct serial, device);

    pthread_mutex_lock(&serial->lock);
    serial->state = (struct serial_state){.divisor = 12, .empty_pending = 1};
    serial->count = 0;
    update(serial);
    pthread_mutex_unlock(&serial->lock);
}

static void destroy(struct device *device)
{
    struct serial *serial = container_of(device, struct serial, device);

    bus_remove(serial->board->bus, &serial->region);
    pthread_mutex_destroy(&serial->lock);
    free(serial);
}

int serial_create(struct board *board, const struct serial_options *options, struct serial **result,
                  struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    struct serial *serial = calloc(1, sizeof *serial);

    if (!serial)
        return error_set(error, ENOMEM, "serial port: out of memory");
    serial->device = (struct device){.name = "serial port", .ops = &ops};
    serial->board = board;
    serial->options = *options;
    pthread_mutex_init(&serial->lock, NULL);
    irq_line_init(board->irq, &serial->irq, options->irq);
    reset(&serial->device);
    serial->region = (struct bus_region){.name = "serial port",
                                         .space = BUS_PORT,
                                         .base = options->base,
                                         .size = 8,
                                         .ops = &region_ops,
                                         .device = serial};
    if (bus_add(board->bus, &serial->region) < 0) {
        destroy(&serial->device);
        return error_set(error, EINVAL, "serial port: no ports at 0x%x", options->base);
    }
    board_add(board, &serial->device);
    *result = serial;
    return 0;
}
