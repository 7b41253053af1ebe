/*
 * MC146818A real-time clock with CMOS RAM (Motorola MC146818A datasheet; platform contract 2.3, 8.1). The time is the
 * host's plus an offset, so nothing ticks here unless the guest asks for an interrupt.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "casement/bytes.h"
#include "casement/chipset.h"

enum { SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR, A, B, C, D };
#define CENTURY 0x32
#define SHUTDOWN_STATUS 0x0F

#define B_SET 0x80
#define B_PERIODIC 0x40
#define B_ALARM 0x20
#define B_UPDATE 0x10
#define B_BINARY 0x04
#define B_24_HOURS 0x02
#define C_IRQ 0x80
#define D_VALID 0x80
#define PM 0x80

#define IRQ 8
#define SECOND_NS INT64_C(1000000000)

struct rtc_state {
    uint8_t index;
    uint8_t ram[128]; /* alarm, A, B, C and CMOS; the time only while SET stops it */
    int64_t offset_s; /* of the guest's clock from the host's */
};

struct rtc {
    struct device device;
    struct board *board;
    struct rtc_options options;
    pthread_mutex_t lock;
    struct rtc_state state;
    struct irq_line irq;
    struct loop_timer periodic, second;
    int64_t period_ns;
    struct bus_region region;
};

static uint8_t encode(const struct rtc *rtc, int value)
{
    return rtc->state.ram[B] & B_BINARY ? (uint8_t)value : (uint8_t)(value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
    return rtc->state.ram[B] & B_BINARY ? value : (value >> 4) * 10 + (value & 0x0F);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
    int hour;

    if (rtc->state.ram[B] & B_24_HOURS)
        return decode(rtc, value);
    hour = decode(rtc, value & (uint8_t)~PM) % 12;
    return value & PM ? hour + 12 : hour;
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
    if (rtc->state.ram[B] & B_24_HOURS)
        return encode(rtc, hour);
    return (uint8_t)(encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? PM : 0));
}

/* Seconds since 1970 as the guest's clock shows them, local or universal. */
static time_t host_seconds(const struct rtc *rtc)
{
    time_t now = time(NULL);
    struct tm local;

    if (!rtc->options.local_time || !localtime_r(&now, &local))
        return now;
    return now + local.tm_gmtoff;
}

/* The time registers from the running clock. With the lock held, as all below. */
static void show_time(struct rtc *rtc)
{
    uint8_t *ram = rtc->state.ram;
    time_t now = host_seconds(rtc) + rtc->state.offset_s;
    struct tm at;

    if ((ram[B] & B_SET) || !gmtime_r(&now, &at))
        return;
    ram[SECONDS] = encode(rtc, at.tm_sec);
    ram[MINUTES] = encode(rtc, at.tm_min);
    ram[HOURS] = encode_hour(rtc, at.tm_hour);
    ram[WEEKDAY] = encode(rtc, at.tm_wday + 1);
    ram[DAY] = encode(rtc, at.tm_mday);
    ram[MONTH] = encode(rtc, at.tm_mon + 1);
    ram[YEAR] = encode(rtc, at.tm_year % 100);
    ram[CENTURY] = (uint8_t)((at.tm_year / 100 + 19) / 10 << 4 | (at.tm_year / 100 + 19) % 10);
}

/* The clock goes on from what the registers say. */
static void take_time(struct rtc *rtc)
{
    const uint8_t *ram = rtc->state.ram;
    int century = (ram[CENTURY] >> 4) * 10 + (ram[CENTURY] & 0x0F);
    struct tm at = {
        .tm_sec = decode(rtc, ram[SECONDS]),
        .tm_min = decode(rtc, ram[MINUTES]),
        .tm_hour = decode_hour(rtc, ram[HOURS]),
        .tm_mday = decode(rtc, ram[DAY]),
        .tm_mon = decode(rtc, ram[MONTH]) - 1,
        .tm_year = decode(rtc, ram[YEAR]) + (century >= 19 && century <= 29 ? century * 100 - 1900 : 100),
    };

    rtc->state.offset_s = timegm(&at) - host_seconds(rtc);
}

static void raise_irq(struct rtc *rtc, uint8_t cause)
{
    rtc->state.ram[C] |= cause;
    if (rtc->state.ram[B] & cause) {
        rtc->state.ram[C] |= C_IRQ;
        irq_line_set(&rtc->irq, true);
    }
}

static bool alarm_matches(const struct rtc *rtc)
{
    const uint8_t *ram = rtc->state.ram;

    /* The two top bits set mean "whatever it is". */
    return ((ram[SECONDS_ALARM] & 0xC0) == 0xC0 || ram[SECONDS_ALARM] == ram[SECONDS]) &&
           ((ram[MINUTES_ALARM] & 0xC0) == 0xC0 || ram[MINUTES_ALARM] == ram[MINUTES]) &&
           ((ram[HOURS_ALARM] & 0xC0) == 0xC0 || ram[HOURS_ALARM] == ram[HOURS]);
}

static void on_second(void *opaque)
{
    struct rtc *rtc = opaque;

    pthread_mutex_lock(&rtc->lock);
    show_time(rtc);
    if (!(rtc->state.ram[B] & B_SET)) {
        raise_irq(rtc, B_UPDATE);
        if (alarm_matches(rtc))
            raise_irq(rtc, B_ALARM);
    }
    if (rtc->state.ram[B] & (B_ALARM | B_UPDATE))
        loop_timer_set(rtc->board->loop, &rtc->second, clock_ns() + SECOND_NS);
    pthread_mutex_unlock(&rtc->lock);
}

static void on_period(void *opaque)
{
    struct rtc *rtc = opaque;

    pthread_mutex_lock(&rtc->lock);
    raise_irq(rtc, B_PERIODIC);
    if (rtc->period_ns)
        loop_timer_set(rtc->board->loop, &rtc->periodic, clock_ns() + rtc->period_ns);
    pthread_mutex_unlock(&rtc->lock);
}

/* Starts and stops the two timers as registers A and B ask. */
static void arm(struct rtc *rtc)
{
    unsigned rate = rtc->state.ram[A] & 0x0F;
    struct timespec now;

    /* 32,768 Hz divided by 2^(rate - 1); 1 and 2 stand for 8 and 9. */
    rate = rate && rate < 3 ? rate + 7 : rate;
    rtc->period_ns = (rtc->state.ram[B] & B_PERIODIC) && rate ? SECOND_NS * (INT64_C(1) << (rate - 1)) / 32768 : 0;
    loop_timer_set(rtc->board->loop, &rtc->periodic, rtc->period_ns ? clock_ns() + rtc->period_ns : 0);
    if (!(rtc->state.ram[B] & (B_ALARM | B_UPDATE))) {
        loop_timer_set(rtc->board->loop, &rtc->second, 0);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    loop_timer_set(rtc->board->loop, &rtc->second, clock_ns() + SECOND_NS - now.tv_nsec);
}

static uint8_t read_ram(struct rtc *rtc)
{
    uint8_t *ram = rtc->state.ram, value;

    show_time(rtc);
    switch (rtc->state.index) {
    case C: /* reading acknowledges */
        value = ram[C];
        ram[C] = 0;
        irq_line_set(&rtc->irq, false);
        return value;
    case D:
        return D_VALID;
    default:
        return ram[rtc->state.index]; /* an update is never seen in progress: UIP stays 0 */
    }
}

static void write_ram(struct rtc *rtc, uint8_t value)
{
    uint8_t *ram = rtc->state.ram, index = rtc->state.index, before = ram[B];

    switch (index) {
    case C:
    case D:
        return;
    case A:
        ram[A] = value & 0x7F;
        arm(rtc);
        return;
    case B:
        show_time(rtc);
        ram[B] = value & B_SET ? value & (uint8_t)~B_UPDATE : value;
        if ((before & B_SET) && !(value & B_SET))
            take_time(rtc);
        arm(rtc);
        return;
    default:
        show_time(rtc);
        ram[index] = value;
        if ((index <= YEAR && index != SECONDS_ALARM && index != MINUTES_ALARM && index != HOURS_ALARM &&
             index != WEEKDAY) ||
            index == CENTURY)
            if (!(ram[B] & B_SET))
                take_time(rtc);
    }
}

static uint64_t region_read(void *opaque, uint64_t offset, unsigned size)
{
    struct rtc *rtc = opaque;
    uint64_t value = 0;

    pthread_mutex_lock(&rtc->lock);
    for (unsigned n = 0; n < size; n++)
        value |= (uint64_t)(offset + n == 1 ? read_ram(rtc) : 0xFF) << (8 * n);
    pthread_mutex_unlock(&rtc->lock);
    return value;
}

static void region_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct rtc *rtc = opaque;

    pthread_mutex_lock(&rtc->lock);
    for (unsigned n = 0; n < size; n++) {
        uint8_t byte = (uint8_t)(value >> (8 * n));

        if (offset + n == 0)
            rtc->state.index = byte & 0x7F; /* bit 7 masks NMI */
        else
            write_ram(rtc, byte);
    }
    pthread_mutex_unlock(&rtc->lock);
}

static const struct bus_ops region_ops = {region_read, region_write};

/* Time and CMOS go on over a reset; interrupts do not (datasheet, RESET pin). */
static void reset(struct device *device)
{
    struct rtc *rtc = container_of(device, struct rtc, device);

    pthread_mutex_lock(&rtc->lock);
    rtc->state.index = 0;
    rtc->state.ram[B] &= (uint8_t) ~(B_PERIODIC | B_ALARM | B_UPDATE);
    rtc->state.ram[C] = 0;
    irq_line_set(&rtc->irq, false);
    arm(rtc);
    pthread_mutex_unlock(&rtc->lock);
}

static void destroy(struct device *device)
{
    struct rtc *rtc = container_of(device, struct rtc, device);

    bus_remove(rtc->board->bus, &rtc->region);
    loop_timer_remove(rtc->board->loop, &rtc->periodic);
    loop_timer_remove(rtc->board->loop, &rtc->second);
    pthread_mutex_destroy(&rtc->lock);
    free(rtc);
}

static void put_memory_sizes(struct rtc *rtc)
{
    uint64_t low = rtc->options.low_memory, high = rtc->options.high_memory;
    uint64_t above = low > 16 * MiB ? MIN((low - 16 * MiB) / (64 * KiB), UINT64_C(0xFFFF)) : 0;
    uint64_t extended = MIN(MIN(low, 64 * MiB) / KiB - 1024, UINT64_C(0xFFFF));

    put_le16(rtc->state.ram + 0x15, 640);
    put_le16(rtc->state.ram + 0x17, (uint16_t)extended);
    put_le16(rtc->state.ram + 0x30, (uint16_t)extended);
    put_le16(rtc->state.ram + 0x34, (uint16_t)above);
    put_le(rtc->state.ram + 0x5B, 2, high / (64 * KiB) & 0xFFFF);
    rtc->state.ram[0x5D] = (uint8_t)(high / (64 * KiB) >> 16);
}

int rtc_create(struct board *board, const struct rtc_options *options, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    struct rtc *rtc = calloc(1, sizeof *rtc);

    if (!rtc)
        return error_set(error, ENOMEM, "clock: out of memory");
    rtc->device = (struct device){.name = "clock", .ops = &ops};
    rtc->board = board;
    rtc->options = *options;
    pthread_mutex_init(&rtc->lock, NULL);
    irq_line_init(board->irq, &rtc->irq, IRQ);
    rtc->periodic = (struct loop_timer){.expired = on_period, .opaque = rtc};
    rtc->second = (struct loop_timer){.expired = on_second, .opaque = rtc};
    rtc->state.ram[A] = 0x26;
    rtc->state.ram[B] = B_24_HOURS;
    put_memory_sizes(rtc);
    rtc->region = (struct bus_region){
        .name = "clock", .space = BUS_PORT, .base = 0x70, .size = 2, .ops = &region_ops, .device = rtc};
    if (bus_add(board->bus, &rtc->region) < 0) {
        destroy(&rtc->device);
        return error_set(error, ENOMEM, "clock: out of memory");
    }
    board_add(board, &rtc->device);
    return 0;
}
