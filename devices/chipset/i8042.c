/*
 * i8042 keyboard controller with a keyboard and an IntelliMouse (IBM PS/2 Technical Reference, keyboard and auxiliary
 * device controller; platform contract 6.1).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "casement/chipset.h"
#include "scancodes.h"

#define QUEUE 16

#define STATUS_OUTPUT 0x01
#define STATUS_SYSTEM 0x04
#define STATUS_COMMAND 0x08
#define STATUS_UNLOCKED 0x10
#define STATUS_AUX 0x20

#define CONFIG_IRQ1 0x01
#define CONFIG_IRQ12 0x02
#define CONFIG_SYSTEM 0x04
#define CONFIG_KEYBOARD_OFF 0x10
#define CONFIG_AUX_OFF 0x20
#define CONFIG_TRANSLATE 0x40

#define ACK 0xFA
#define RESEND 0xFE
#define SELF_TEST_PASSED 0xAA

/* Firmware polls its keyboard every 20 ms and keeps few keys that nobody has read yet. */
#define KEY_PACE_NS INT64_C(20000000)
/* A mouse knows no edges: the steps that lead it across the picture, before the guest accelerates them. */
#define MOUSE_RANGE 1024

enum { KEYBOARD, MOUSE, CONTROLLER, SOURCES };

/* Bytes on their way to port 0x60 from one of the three sources. */
struct byte_queue {
    uint8_t bytes[QUEUE], head, count;
};

struct i8042_state {
    uint8_t config, output_port;
    uint8_t command; /* the controller's command that awaits its byte, or 0 */
    uint8_t last_was_command;
    uint8_t output, output_full, output_source; /* what port 0x60 reads */
    struct byte_queue queues[SOURCES];
    /* Keyboard: */
    uint8_t scanning, set, keyboard_command, leds;
    /* Mouse: */
    uint8_t reporting, mouse_command, sample_rate, resolution, mouse_id, knock, buttons, wrap, scaling, remote;
};

#define LED_CAPS_LOCK 4 /* of command 0xED */

struct i8042 {
    struct device device;
    struct board *board;
    struct input *input; /* may be NULL */
    pthread_mutex_t lock;
    struct i8042_state state;
    struct irq_line irqs[2];
    struct bus_region data, control;
    struct input_sink sink;
    int mouse_x, mouse_y; /* where the mouse was led, in its steps */
};

static bool queue_put(struct byte_queue *queue, uint8_t byte)
{
    if (queue->count == QUEUE)
        return false;
    queue->bytes[(queue->head + queue->count++) % QUEUE] = byte;
    return true;
}

static bool may_speak(const struct i8042_state *state, unsigned source)
{
    return state->queues[source].count && !(source == KEYBOARD && (state->config & CONFIG_KEYBOARD_OFF)) &&
           !(source == MOUSE && (state->config & CONFIG_AUX_OFF));
}

/* Moves the next byte to the output register when that is free. The controller's own answers go first. With the lock
 * held. */
static void advance(struct i8042 *i8042)
{
    static const unsigned order[] = {CONTROLLER, KEYBOARD, MOUSE};
    struct i8042_state *state = &i8042->state;

    for (size_t n = 0; n < ARRAY_SIZE(order) && !state->output_full; n++) {
        struct byte_queue *queue = &state->queues[order[n]];

        if (!may_speak(state, order[n]))
            continue;
        state->output = queue->bytes[queue->head];
        queue->head = (queue->head + 1) % QUEUE;
        queue->count--;
        state->output_full = 1;
        state->output_source = (uint8_t)order[n];
    }
    irq_line_set(&i8042->irqs[0], state->output_full && state->output_source != MOUSE && (state->config & CONFIG_IRQ1));
    irq_line_set(&i8042->irqs[1],
                 state->output_full && state->output_source == MOUSE && (state->config & CONFIG_IRQ12));
}

static void answer(struct i8042 *i8042, unsigned source, uint8_t byte)
{
    queue_put(&i8042->state.queues[source], byte);
}

static void keyboard_defaults(struct i8042_state *state)
{
    state->queues[KEYBOARD] = (struct byte_queue){0};
    state->scanning = 1;
    state->set = 2;
    state->keyboard_command = 0;
}

static void mouse_defaults(struct i8042_state *state)
{
    state->queues[MOUSE] = (struct byte_queue){0};
    state->reporting = state->mouse_command = state->wrap = state->scaling = state->remote = 0;
    state->sample_rate = 100;
    state->resolution = 2;
}

/* The byte that a keyboard command awaits. */
static void keyboard_argument(struct i8042 *i8042, uint8_t value)
{
    struct i8042_state *state = &i8042->state;
    uint8_t command = state->keyboard_command;

    state->keyboard_command = 0;
    answer(i8042, KEYBOARD, ACK);
    if (command == 0xED) {
        state->leds = value & 7;
        if (i8042->input)
            input_set_caps_lock(i8042->input, value & LED_CAPS_LOCK);
    } else if (command == 0xF0) {
        if (value == 0)
            answer(i8042, KEYBOARD, state->set);
        else if (value <= 2)
            state->set = value;
    }
}

static void keyboard_write(struct i8042 *i8042, uint8_t value)
{
    struct i8042_state *state = &i8042->state;

    if (state->keyboard_command && value < 0xED) {
        keyboard_argument(i8042, value);
        return;
    }
    state->keyboard_command = 0;
    switch (value) {
    case 0xED: /* LEDs */
    case 0xF0: /* scan code set */
    case 0xF3: /* repeat rate */
        state->keyboard_command = value;
        answer(i8042, KEYBOARD, ACK);
        break;
    case 0xEE: /* echo */
        answer(i8042, KEYBOARD, 0xEE);
        break;
    case 0xF2: /* identity */
        answer(i8042, KEYBOARD, ACK);
        answer(i8042, KEYBOARD, 0xAB);
        answer(i8042, KEYBOARD, 0x83);
        break;
    case 0xF4:
        state->scanning = 1;
        answer(i8042, KEYBOARD, ACK);
        break;
    case 0xF5:
    case 0xF6:
        keyboard_defaults(state);
        state->scanning = value == 0xF6;
        answer(i8042, KEYBOARD, ACK);
        break;
    case 0xFF:
        keyboard_defaults(state);
        answer(i8042, KEYBOARD, ACK);
        answer(i8042, KEYBOARD, SELF_TEST_PASSED);
        break;
    default:
        answer(i8042, KEYBOARD, RESEND);
    }
}

/* Sample rates 200, 100, 80 in a row make the mouse show its wheel. */
static void mouse_argument(struct i8042 *i8042, uint8_t value)
{
    static const uint8_t knock[] = {200, 100, 80};
    struct i8042_state *state = &i8042->state;

    if (state->mouse_command == 0xF3) {
        state->sample_rate = value;
        state->knock = value == knock[state->knock] ? state->knock + 1 : value == knock[0];
        if (state->knock == ARRAY_SIZE(knock)) {
            state->mouse_id = 3;
            state->knock = 0;
        }
    } else {
        state->resolution = value & 3;
    }
    state->mouse_command = 0;
    answer(i8042, MOUSE, ACK);
}

static void mouse_packet(struct i8042 *i8042, int dx, int dy, int dz)
{
    struct i8042_state *state = &i8042->state;
    uint8_t first = 0x08 | (state->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0);

    answer(i8042, MOUSE, first);
    answer(i8042, MOUSE, (uint8_t)dx);
    answer(i8042, MOUSE, (uint8_t)dy);
    if (state->mouse_id == 3)
        answer(i8042, MOUSE, (uint8_t)dz);
}

static void mouse_status(struct i8042 *i8042)
{
    const struct i8042_state *state = &i8042->state;

    answer(i8042, MOUSE,
           (uint8_t)(state->remote << 6 | state->reporting << 5 | state->scaling << 4 | (state->buttons & 1) << 2 |
                     (state->buttons & 4) >> 1 | (state->buttons & 2) >> 1));
    answer(i8042, MOUSE, state->resolution);
    answer(i8042, MOUSE, state->sample_rate);
}

static void mouse_write(struct i8042 *i8042, uint8_t value)
{
    struct i8042_state *state = &i8042->state;

    if (state->mouse_command) {
        mouse_argument(i8042, value);
        return;
    }
    if (state->wrap && value != 0xFF && value != 0xEC) {
        answer(i8042, MOUSE, value);
        return;
    }
    answer(i8042, MOUSE, ACK);
    switch (value) {
    case 0xE6:
    case 0xE7:
        state->scaling = value & 1;
        break;
    case 0xE8:
    case 0xF3:
        state->mouse_command = value;
        break;
    case 0xE9:
        mouse_status(i8042);
        break;
    case 0xEA:
    case 0xF0:
        state->remote = value == 0xF0;
        break;
    case 0xEB:
        mouse_packet(i8042, 0, 0, 0);
        break;
    case 0xEC:
    case 0xEE:
        state->wrap = value == 0xEE;
        break;
    case 0xF2:
        answer(i8042, MOUSE, state->mouse_id);
        break;
    case 0xF4:
    case 0xF5:
        state->reporting = value == 0xF4;
        break;
    case 0xF6:
        mouse_defaults(state);
        answer(i8042, MOUSE, ACK);
        break;
    case 0xFF:
        mouse_defaults(state);
        state->mouse_id = 0;
        answer(i8042, MOUSE, ACK);
        answer(i8042, MOUSE, SELF_TEST_PASSED);
        answer(i8042, MOUSE, 0);
        break;
    default:
        break;
    }
}

/* The byte that a controller command awaits. true: the machine is to be reset. */
static bool controller_argument(struct i8042 *i8042, uint8_t value)
{
    struct i8042_state *state = &i8042->state;
    uint8_t command = state->command;

    state->command = 0;
    switch (command) {
    case 0x60:
        state->config = value;
        break;
    case 0xD1:
        state->output_port = value;
        return !(value & 1);
    case 0xD2: /* as if the keyboard had sent it */
        answer(i8042, KEYBOARD, value);
        break;
    case 0xD3:
        answer(i8042, MOUSE, value);
        break;
    default:
        mouse_write(i8042, value);
    }
    return false;
}

static bool data_written(struct i8042 *i8042, uint8_t value)
{
    struct i8042_state *state = &i8042->state;

    state->last_was_command = 0;
    if (state->command)
        return controller_argument(i8042, value);
    state->config &= (uint8_t)~CONFIG_KEYBOARD_OFF;
    keyboard_write(i8042, value);
    return false;
}

static bool command_written(struct i8042 *i8042, uint8_t value)
{
    struct i8042_state *state = &i8042->state;

    state->last_was_command = 1;
    state->command = 0;
    switch (value) {
    case 0x20:
        answer(i8042, CONTROLLER, state->config);
        break;
    case 0x60:
    case 0xD1:
    case 0xD2:
    case 0xD3:
    case 0xD4:
        state->command = value;
        break;
    case 0xA7:
    case 0xA8:
        state->config = (uint8_t)(value == 0xA7 ? state->config | CONFIG_AUX_OFF : state->config & ~CONFIG_AUX_OFF);
        break;
    case 0xA9:
    case 0xAB:
        answer(i8042, CONTROLLER, 0x00); /* the line is good */
        break;
    case 0xAA:
        state->config |= CONFIG_SYSTEM;
        answer(i8042, CONTROLLER, 0x55);
        break;
    case 0xAD:
    case 0xAE:
        state->config =
            (uint8_t)(value == 0xAD ? state->config | CONFIG_KEYBOARD_OFF : state->config & ~CONFIG_KEYBOARD_OFF);
        break;
    case 0xC0:
        answer(i8042, CONTROLLER, 0x80); /* not locked */
        break;
    case 0xD0:
        answer(i8042, CONTROLLER, state->output_port);
        break;
    default:
        return value >= 0xF0 && !(value & 1); /* pulses the reset line */
    }
    return false;
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8042 *i8042 = opaque;
    uint8_t value;

    (void)offset, (void)size;
    pthread_mutex_lock(&i8042->lock);
    value = i8042->state.output;
    if (i8042->state.output_full) {
        i8042->state.output_full = 0;
        /* Down first, so that the next byte is an edge of its own. */
        irq_line_set(&i8042->irqs[0], false);
        irq_line_set(&i8042->irqs[1], false);
        advance(i8042);
    }
    pthread_mutex_unlock(&i8042->lock);
    return value;
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8042 *i8042 = opaque;
    const struct i8042_state *state = &i8042->state;
    uint8_t value;

    (void)offset, (void)size;
    pthread_mutex_lock(&i8042->lock);
    value = STATUS_UNLOCKED | (state->config & CONFIG_SYSTEM ? STATUS_SYSTEM : 0) |
            (state->last_was_command ? STATUS_COMMAND : 0) | (state->output_full ? STATUS_OUTPUT : 0) |
            (state->output_full && state->output_source == MOUSE ? STATUS_AUX : 0);
    pthread_mutex_unlock(&i8042->lock);
    return value;
}

static void write_port(struct i8042 *i8042, bool (*written)(struct i8042 *, uint8_t), uint8_t value)
{
    bool reset;

    pthread_mutex_lock(&i8042->lock);
    reset = written(i8042, value);
    advance(i8042);
    pthread_mutex_unlock(&i8042->lock);
    if (reset)
        i8042->board->power(i8042->board->machine, POWER_RESET, "keyboard controller");
}

static void data_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset, (void)size;
    write_port(opaque, data_written, (uint8_t)value);
}

static void control_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset, (void)size;
    write_port(opaque, command_written, (uint8_t)value);
}

static const struct bus_ops data_ops = {data_read, data_write};
static const struct bus_ops control_ops = {control_read, control_write};

/* All bytes of a key or none; false asks to come again. */
static bool sink_key(void *opaque, unsigned code, bool down)
{
    struct i8042 *i8042 = opaque;
    struct i8042_state *state = &i8042->state;
    uint8_t bytes[SCANCODE_MAX];
    bool taken = true;

    pthread_mutex_lock(&i8042->lock);
    if (state->scanning) {
        unsigned count = scancode(code, down, state->config & CONFIG_TRANSLATE ? 1 : state->set, bytes);

        taken = !state->keyboard_command && count <= QUEUE - (unsigned)state->queues[KEYBOARD].count;
        for (unsigned n = 0; taken && n < count; n++)
            queue_put(&state->queues[KEYBOARD], bytes[n]);
        advance(i8042);
    }
    pthread_mutex_unlock(&i8042->lock);
    return taken;
}

/* A step of at most what a packet holds towards the position; false until it is reached. */
static bool mouse_step(struct i8042 *i8042, const struct input_pointer *to)
{
    struct i8042_state *state = &i8042->state;
    int x = to->x * MOUSE_RANGE / INPUT_POINTER_MAX, y = to->y * MOUSE_RANGE / INPUT_POINTER_MAX;
    int dx = MAX(-255, MIN(x - i8042->mouse_x, 255)), dy = MAX(-255, MIN(y - i8042->mouse_y, 255));
    bool arrives;

    if (state->queues[MOUSE].count + 4 > QUEUE)
        return false;
    i8042->mouse_x += dx;
    i8042->mouse_y += dy;
    arrives = i8042->mouse_x == x && i8042->mouse_y == y;
    if (arrives)
        state->buttons = to->buttons & 7;
    mouse_packet(i8042, dx, -dy, arrives ? MAX(-8, MIN(-to->wheel, 7)) : 0);
    return arrives;
}

static bool sink_pointer(void *opaque, const struct input_pointer *pointer)
{
    struct i8042 *i8042 = opaque;
    bool taken = true;

    pthread_mutex_lock(&i8042->lock);
    if (i8042->state.reporting)
        taken = mouse_step(i8042, pointer);
    else
        i8042->state.buttons = pointer->buttons & 7;
    advance(i8042);
    pthread_mutex_unlock(&i8042->lock);
    return taken;
}

static void reset(struct device *device)
{
    struct i8042 *i8042 = container_of(device, struct i8042, device);

    pthread_mutex_lock(&i8042->lock);
    i8042->state = (struct i8042_state){.config = CONFIG_IRQ1 | CONFIG_SYSTEM | CONFIG_TRANSLATE, .output_port = 0xCF};
    keyboard_defaults(&i8042->state);
    mouse_defaults(&i8042->state);
    if (i8042->input)
        input_set_caps_lock(i8042->input, false);
    advance(i8042);
    pthread_mutex_unlock(&i8042->lock);
}

static void destroy(struct device *device)
{
    struct i8042 *i8042 = container_of(device, struct i8042, device);

    bus_remove(i8042->board->bus, &i8042->data);
    bus_remove(i8042->board->bus, &i8042->control);
    pthread_mutex_destroy(&i8042->lock);
    free(i8042);
}

int i8042_create(struct board *board, struct input *input, struct error *error)
{
    static const struct device_ops ops = {.reset = reset, .destroy = destroy};
    struct i8042 *i8042 = calloc(1, sizeof *i8042);

    if (!i8042)
        return error_set(error, ENOMEM, "keyboard controller: out of memory");
    i8042->device = (struct device){.name = "keyboard controller", .ops = &ops};
    i8042->board = board;
    i8042->input = input;
    pthread_mutex_init(&i8042->lock, NULL);
    irq_line_init(board->irq, &i8042->irqs[0], 1);
    irq_line_init(board->irq, &i8042->irqs[1], 12);
    i8042->data = (struct bus_region){
        .name = "i8042 data", .space = BUS_PORT, .base = 0x60, .size = 1, .ops = &data_ops, .device = i8042};
    i8042->control = (struct bus_region){
        .name = "i8042 control", .space = BUS_PORT, .base = 0x64, .size = 1, .ops = &control_ops, .device = i8042};
    reset(&i8042->device);
    if (bus_add(board->bus, &i8042->data) < 0 || bus_add(board->bus, &i8042->control) < 0) {
        destroy(&i8042->device);
        return error_set(error, ENOMEM, "keyboard controller: out of memory");
    }
    i8042->sink =
        (struct input_sink){.key = sink_key, .pointer = sink_pointer, .key_pace_ns = KEY_PACE_NS, .device = i8042};
    if (input)
        input_add_sink(input, &i8042->sink);
    board_add(board, &i8042->device);
    return 0;
}
