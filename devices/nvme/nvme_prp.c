/* Physical region pages (NVMe 4.3): a guest's buffers, checked once, as iovecs. */
#include "nvme_private.h"

#define ENTRY 8U

struct mapping {
    const struct memory *memory;
    struct iovec *iov;
    unsigned count;
};

/* Pages that follow one another in host memory become one buffer. */
static uint16_t add(struct mapping *mapping, uint64_t gpa, uint64_t length)
{
    uint8_t *host = memory_at(mapping->memory, gpa, length);
    struct iovec *last = mapping->count ? &mapping->iov[mapping->count - 1] : NULL;

    if (!host)
        return S_DATA_TRANSFER;
    if (last && (uint8_t *)last->iov_base + last->iov_len == host)
        last->iov_len += length;
    else
        mapping->iov[mapping->count++] = (struct iovec){host, length};
    return S_OK;
}

static uint16_t add_page(struct mapping *mapping, uint64_t gpa, uint64_t *length)
{
    uint64_t now = MIN(*length, (uint64_t)PAGE);
    uint16_t status = gpa % PAGE ? S_INVALID_PRP_OFFSET : add(mapping, gpa, now);

    *length -= now;
    return status;
}

/*
 * The last entry of a page of the list leads to the next page when the transfer needs more. Only the first page of the
 * list may begin inside a page, so each further one holds 511 pages of data or the rest: that is the bound.
 */
static uint16_t map_list(struct mapping *mapping, uint64_t at, uint64_t length)
{
    uint8_t list[PAGE];
    uint16_t status = at % ENTRY ? S_INVALID_PRP_OFFSET : S_OK;

    while (status == S_OK && length) {
        uint64_t room = (PAGE - at % PAGE) / ENTRY, pages = (length + PAGE - 1) / PAGE;
        uint64_t entries = MIN(room, pages), data = pages > room ? room - 1 : pages;

        if (memory_read(mapping->memory, at, list, entries * ENTRY) < 0)
            return S_DATA_TRANSFER;
        for (uint64_t n = 0; n < data && status == S_OK; n++)
            status = add_page(mapping, get_le64(list + n * ENTRY), &length);
        if (status == S_OK && length) {
            at = get_le64(list + (room - 1) * ENTRY);
            status = at % PAGE ? S_INVALID_PRP_OFFSET : S_OK;
        }
    }
    return status;
}

uint16_t nvme_prp_map(const struct memory *memory, const struct nvme_command *command, uint64_t length,
                      struct iovec *iov, unsigned *count)
{
    struct mapping mapping = {.memory = memory, .iov = iov};
    uint64_t first = MIN(length, PAGE - command->prp1 % PAGE);
    uint16_t status = command->prp1 % 4 ? S_INVALID_PRP_OFFSET : add(&mapping, command->prp1, first);

    length -= first;
    if (status == S_OK && length)
        status =
            length <= PAGE ? add_page(&mapping, command->prp2, &length) : map_list(&mapping, command->prp2, length);
    *count = mapping.count;
    return status;
}

uint16_t nvme_prp_write(const struct memory *memory, const struct nvme_command *command, uint64_t room,
                        const void *from, size_t length)
{
    struct iovec iov[REQUEST_IOVECS];
    const uint8_t *data = from;
    unsigned count;
    uint16_t status = nvme_prp_map(memory, command, room, iov, &count);

    for (unsigned n = 0; status == S_OK && n < count && length; n++) {
        size_t now = MIN(length, iov[n].iov_len);

        memcpy(iov[n].iov_base, data, now);
        data += now;
        length -= now;
    }
    return status;
}

uint16_t nvme_prp_read(const struct memory *memory, const struct nvme_command *command, void *to, size_t length)
{
    struct iovec iov[REQUEST_IOVECS];
    uint8_t *data = to;
    unsigned count;
    uint16_t status = nvme_prp_map(memory, command, length, iov, &count);

    for (unsigned n = 0; status == S_OK && n < count; n++) {
        memcpy(data, iov[n].iov_base, iov[n].iov_len);
        data += iov[n].iov_len;
    }
    return status;
}
