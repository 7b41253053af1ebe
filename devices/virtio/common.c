/* The common configuration: what a driver sets a virtio device up with (Virtual I/O Device 1.2, sections 3.1.1
 * and 4.1.4.3). */
#include "casement/bytes.h"
#include "virtio_private.h"

/* struct virtio_pci_common_cfg (4.1.4.3); 64-bit addresses are two fields, as drivers write them. */
enum field {
    DEVICE_FEATURE_SELECT,
    DEVICE_FEATURE,
    DRIVER_FEATURE_SELECT,
    DRIVER_FEATURE,
    CONFIG_VECTOR,
    NUM_QUEUES,
    DEVICE_STATUS,
    CONFIG_GENERATION,
    QUEUE_SELECT,
    QUEUE_SIZE,
    QUEUE_VECTOR,
    QUEUE_ENABLE,
    QUEUE_NOTIFY_OFF,
    QUEUE_DESC_LOW,
    QUEUE_DESC_HIGH,
    QUEUE_DRIVER_LOW,
    QUEUE_DRIVER_HIGH,
    QUEUE_DEVICE_LOW,
    QUEUE_DEVICE_HIGH,
    FIELDS
};
static const struct {
    uint8_t offset, size;
} fields[FIELDS] = {{0, 4},  {4, 4},  {8, 4},  {12, 4}, {16, 2}, {18, 2}, {20, 1}, {21, 1}, {22, 2}, {24, 2},
                    {26, 2}, {28, 2}, {30, 2}, {32, 4}, {36, 4}, {40, 4}, {44, 4}, {48, 4}, {52, 4}};

/* NULL when queue_select names none: reads are 0 then, writes are lost. */
static struct virtq *selected(struct virtio *virtio)
{
    return virtio->state.queue_select < virtio->options.queues ? &virtio->queues[virtio->state.queue_select] : NULL;
}

static uint32_t read_queue_field(const struct virtq *queue, enum field field)
{
    const struct virtq_state *state = &queue->state;

    switch (field) {
    case QUEUE_SIZE:
        return state->size;
    case QUEUE_VECTOR:
        return state->vector;
    case QUEUE_ENABLE:
        return state->enabled;
    case QUEUE_NOTIFY_OFF:
        return queue->index;
    case QUEUE_DESC_LOW:
    case QUEUE_DESC_HIGH:
        return (uint32_t)(state->descriptors >> (field == QUEUE_DESC_HIGH ? 32 : 0));
    case QUEUE_DRIVER_LOW:
    case QUEUE_DRIVER_HIGH:
        return (uint32_t)(state->driver >> (field == QUEUE_DRIVER_HIGH ? 32 : 0));
    default:
        return (uint32_t)(state->device >> (field == QUEUE_DEVICE_HIGH ? 32 : 0));
    }
}

static uint32_t read_field(struct virtio *virtio, enum field field)
{
    const struct virtio_state *state = &virtio->state;
    const struct virtq *queue;

    switch (field) {
    case DEVICE_FEATURE_SELECT:
        return state->device_feature_select;
    case DEVICE_FEATURE:
        return state->device_feature_select < 2 ? (uint32_t)(virtio->features >> (32 * state->device_feature_select))
                                                : 0;
    case DRIVER_FEATURE_SELECT:
        return state->driver_feature_select;
    case DRIVER_FEATURE:
        return state->driver_feature_select < 2
                   ? (uint32_t)(state->driver_features >> (32 * state->driver_feature_select))
                   : 0;
    case CONFIG_VECTOR:
        return state->config_vector;
    case NUM_QUEUES:
        return virtio->options.queues;
    case DEVICE_STATUS:
        return state->status;
    case CONFIG_GENERATION:
        return state->generation;
    case QUEUE_SELECT:
        return state->queue_select;
    default:
        queue = selected(virtio);
        return queue ? read_queue_field(queue, field) : 0;
    }
}

uint64_t virtio_common_read(struct virtio *virtio, unsigned offset, unsigned size)
{
    uint8_t image[VIRTIO_COMMON_BYTES + 8] = {0};

    pthread_mutex_lock(&virtio->lock);
    for (unsigned n = 0; n < FIELDS; n++)
        put_le(image + fields[n].offset, fields[n].size, read_field(virtio, (enum field)n));
    pthread_mutex_unlock(&virtio->lock);
    return get_le(image + offset, size);
}

static uint64_t replace_half(uint64_t whole, bool high, uint32_t half)
{
    return high ? (whole & UINT32_MAX) | (uint64_t)half << 32 : (whole & ~(uint64_t)UINT32_MAX) | half;
}

static uint16_t checked_vector(const struct virtio *virtio, uint32_t vector)
{
    return vector < virtio->function.vectors ? (uint16_t)vector : PCI_NO_VECTOR;
}

/* true: the queue cannot be used as the driver set it up. lock is held. */
static bool write_queue_field(struct virtq *queue, enum field field, uint32_t value)
{
    struct virtq_state *state = &queue->state;

    if (state->enabled) /* frozen until reset */
        return false;
    switch (field) {
    case QUEUE_SIZE:
        if (value && value <= queue->virtio->options.queue_size && !(value & (value - 1)))
            state->size = (uint16_t)value;
        break;
    case QUEUE_VECTOR:
        state->vector = checked_vector(queue->virtio, value);
        break;
    case QUEUE_ENABLE:
        if (value != 1)
            break;
        state->enabled = virtq_freeze(queue);
        return !state->enabled;
    case QUEUE_DESC_LOW:
    case QUEUE_DESC_HIGH:
        state->descriptors = replace_half(state->descriptors, field == QUEUE_DESC_HIGH, value);
        break;
    case QUEUE_DRIVER_LOW:
    case QUEUE_DRIVER_HIGH:
        state->driver = replace_half(state->driver, field == QUEUE_DRIVER_HIGH, value);
        break;
    case QUEUE_DEVICE_LOW:
    case QUEUE_DEVICE_HIGH:
        state->device = replace_half(state->device, field == QUEUE_DEVICE_HIGH, value);
        break;
    default:
        break;
    }
    return false;
}

static bool features_acceptable(struct virtio *virtio, uint64_t features)
{
    return (features & ~virtio->features) == 0 && (features & VIRTIO_BIT(VIRTIO_F_VERSION_1)) &&
           (!virtio->options.ops->features_ok || virtio->options.ops->features_ok(virtio, features));
}

/* Status only grows, but for a reset; FEATURES_OK is granted once, and DRIVER_OK only after it (2.1, 3.1.1). */
static void write_status(struct virtio *virtio, uint8_t value)
{
    uint8_t added;

    pthread_mutex_lock(&virtio->life);
    if (value == 0) {
        virtio_stop(virtio);
        pthread_mutex_unlock(&virtio->life);
        return;
    }
    pthread_mutex_lock(&virtio->lock);
    added = value & (uint8_t)~virtio->state.status & (uint8_t)~STATUS_NEEDS_RESET;
    if ((added & STATUS_FEATURES_OK) && !features_acceptable(virtio, virtio->state.driver_features))
        added &= (uint8_t)~STATUS_FEATURES_OK;
    if ((added & STATUS_DRIVER_OK) && !((virtio->state.status | added) & STATUS_FEATURES_OK))
        added &= (uint8_t)~STATUS_DRIVER_OK;
    virtio->state.status |= added;
    pthread_mutex_unlock(&virtio->lock);
    if ((added & STATUS_DRIVER_OK) && !atomic_load(&virtio->broken))
        virtio_start(virtio);
    pthread_mutex_unlock(&virtio->life);
}

static void write_field(struct virtio *virtio, enum field field, uint32_t value)
{
    struct virtio_state *state = &virtio->state;
    struct virtq *queue;
    bool wrong = false;

    if (field == DEVICE_STATUS) {
        write_status(virtio, (uint8_t)value);
        return;
    }
    pthread_mutex_lock(&virtio->lock);
    switch (field) {
    case DEVICE_FEATURE_SELECT:
        state->device_feature_select = value;
        break;
    case DRIVER_FEATURE_SELECT:
        state->driver_feature_select = value;
        break;
    case DRIVER_FEATURE:
        if (!(state->status & STATUS_FEATURES_OK) && state->driver_feature_select < 2)
            state->driver_features = replace_half(state->driver_features, state->driver_feature_select == 1, value);
        break;
    case CONFIG_VECTOR:
        state->config_vector = checked_vector(virtio, value);
        break;
    case QUEUE_SELECT:
        state->queue_select = (uint16_t)value;
        break;
    default:
        queue = field > QUEUE_SELECT ? selected(virtio) : NULL;
        /* Queues are set up between FEATURES_OK and DRIVER_OK; afterwards nothing of them moves. */
        if (queue && !(state->status & STATUS_DRIVER_OK))
            wrong = write_queue_field(queue, field, value);
    }
    pthread_mutex_unlock(&virtio->lock);
    if (wrong)
        virtio_break(virtio, "a queue's size or areas cannot be used");
}

/* Every field that the access covers whole; a part of a field means nothing. */
void virtio_common_write(struct virtio *virtio, unsigned offset, unsigned size, uint64_t value)
{
    for (unsigned n = 0; n < FIELDS; n++)
        if (fields[n].offset >= offset && fields[n].offset + fields[n].size <= offset + size)
            write_field(virtio, (enum field)n,
                        (uint32_t)(value >> (8 * (fields[n].offset - offset)) & all_ones(fields[n].size)));
}
