/* MSI-X: table, pending bits, masks, delivery (PCI Local Bus 3.0, 6.8.2). All of it under the function's irq_lock. */
#include <errno.h>
#include <stdlib.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "pci_private.h"

#define ENTRY_BYTES 16
#define VECTOR_MASKED 1U

static uint16_t control(const struct pci_function *function)
{
    return (uint16_t)pci_config_get(function, function->msix_capability + 2, 2);
}

bool pci_msix_is_on(const struct pci_function *function)
{
    return function->vectors && (control(function) & MSIX_ENABLE);
}

static bool is_masked(const struct pci_function *function, const struct pci_msix_vector *vector)
{
    return (control(function) & (MSIX_ENABLE | MSIX_MASK_ALL)) != MSIX_ENABLE ||
           (get_le32(vector->entry + 12) & VECTOR_MASKED);
}

/* Arms or disarms the vector to match table and masks, and delivers what was pending. */
static void update(struct pci_function *function, struct pci_msix_vector *vector)
{
    static struct log_limit limit;
    int failed;

    if (is_masked(function, vector)) {
        if (vector->msi.irq)
            msi_mask(&vector->msi);
        return;
    }
    failed = vector->msi.irq ? 0 : msi_init(function->bus->board->irq, &vector->msi);
    if (failed < 0)
        vector->msi = (struct msi){.fd = -1}; /* it is tried again at the next change */
    else
        failed = msi_route(&vector->msi, get_le64(vector->entry), get_le32(vector->entry + 8));
    if (failed < 0) {
        log_guest(&limit, "%s: MSI-X vector %td has no route (error %d)", function->name, vector - function->msix,
                  -failed);
        return;
    }
    if (vector->pending) {
        vector->pending = false;
        msi_fire(&vector->msi);
    }
}

int pci_msix_add(struct pci_function *function, unsigned bar, uint32_t table, uint32_t pba, unsigned vectors)
{
    unsigned at;

    if (vectors == 0 || vectors > 2048 || bar >= PCI_BARS || function->bars[bar].type == PCI_BAR_NONE ||
        function->bars[bar].memory || (table & 7) || (pba & 7) ||
        table + (uint64_t)vectors * ENTRY_BYTES > function->bars[bar].size ||
        pba + align_up(vectors, 64) / 8 > function->bars[bar].size)
        return -EINVAL;
    if (table < pba + align_up(vectors, 64) / 8 && pba < table + (uint64_t)vectors * ENTRY_BYTES)
        return -EINVAL;
    at = pci_capability_add(function, 0x11, 12);
    if (!at)
        return -ENOSPC;
    function->msix = calloc(vectors, sizeof *function->msix);
    if (!function->msix)
        return -ENOMEM;
    function->msix_capability = (uint8_t)at;
    function->msix_bar = (uint8_t)bar;
    function->msix_table = table;
    function->msix_pba = pba;
    function->vectors = vectors;
    pci_config_set(function, at + 2, 2, vectors - 1);
    pci_config_writable(function, at + 2, 2, MSIX_ENABLE | MSIX_MASK_ALL);
    pci_config_set(function, at + 4, 4, table | bar);
    pci_config_set(function, at + 8, 4, pba | bar);
    for (unsigned n = 0; n < vectors; n++)
        put_le32(function->msix[n].entry + 12, VECTOR_MASKED);
    return 0;
}

static uint8_t read_byte(const struct pci_function *function, uint64_t offset, bool *claimed)
{
    uint64_t table_end = function->msix_table + (uint64_t)function->vectors * ENTRY_BYTES;
    uint64_t pba_end = function->msix_pba + align_up(function->vectors, 64) / 8;
    uint8_t bits = 0;

    *claimed = true;
    if (offset >= function->msix_table && offset < table_end) {
        offset -= function->msix_table;
        return function->msix[offset / ENTRY_BYTES].entry[offset % ENTRY_BYTES];
    }
    if (offset >= function->msix_pba && offset < pba_end) {
        for (unsigned bit = 0; bit < 8; bit++) {
            uint64_t vector = (offset - function->msix_pba) * 8 + bit;

            if (vector < function->vectors && function->msix[vector].pending)
                bits |= (uint8_t)(1U << bit);
        }
        return bits;
    }
    *claimed = false;
    return 0xFF;
}

uint64_t pci_msix_read(struct pci_function *function, uint64_t offset, unsigned size, bool *claimed)
{
    uint64_t value = 0;
    bool any = false;

    for (unsigned n = 0; n < size; n++) {
        bool hit;

        value |= (uint64_t)read_byte(function, offset + n, &hit) << (8 * n);
        any |= hit;
    }
    *claimed = any;
    return value;
}

bool pci_msix_write(struct pci_function *function, uint64_t offset, unsigned size, uint64_t value)
{
    uint64_t table_end = function->msix_table + (uint64_t)function->vectors * ENTRY_BYTES;
    uint64_t pba_end = function->msix_pba + align_up(function->vectors, 64) / 8;

    if (offset < table_end && offset + size > function->msix_table) {
        uint64_t first = UINT64_MAX, last = 0;

        for (unsigned n = 0; n < size; n++) {
            uint64_t at = offset + n - function->msix_table;

            if (offset + n < function->msix_table || offset + n >= table_end)
                continue;
            last = at / ENTRY_BYTES;
            first = MIN(first, last);
            /* Only the mask bit of the control word exists. */
            if (at % ENTRY_BYTES < 12)
                function->msix[at / ENTRY_BYTES].entry[at % ENTRY_BYTES] = (uint8_t)(value >> (8 * n));
            else if (at % ENTRY_BYTES == 12)
                function->msix[at / ENTRY_BYTES].entry[12] = value >> (8 * n) & VECTOR_MASKED;
        }
        update(function, &function->msix[first]);
        if (last != first) /* an unaligned access */
            update(function, &function->msix[last]);
        return true;
    }
    return offset < pba_end && offset + size > function->msix_pba;
}

void pci_msix_control_written(struct pci_function *function)
{
    for (unsigned n = 0; n < function->vectors; n++)
        update(function, &function->msix[n]);
}

void pci_msix_reset(struct pci_function *function)
{
    for (unsigned n = 0; n < function->vectors; n++) {
        struct pci_msix_vector *vector = &function->msix[n];

        memset(vector->entry, 0, sizeof vector->entry);
        put_le32(vector->entry + 12, VECTOR_MASKED);
        vector->pending = false;
        if (vector->msi.irq)
            msi_mask(&vector->msi);
    }
}

void pci_msix_destroy(struct pci_function *function)
{
    for (unsigned n = 0; n < function->vectors; n++)
        msi_destroy(&function->msix[n].msi);
    free(function->msix);
    function->msix = NULL;
    function->vectors = 0;
}

void pci_msix_fire(struct pci_function *function, unsigned number)
{
    struct pci_msix_vector *vector;

    if (number >= function->vectors)
        return;
    pthread_mutex_lock(&function->irq_lock);
    vector = &function->msix[number];
    if (pci_msix_is_on(function)) {
        if (is_masked(function, vector) || !vector->msi.bound)
            vector->pending = true;
        else
            msi_fire(&vector->msi);
    }
    pthread_mutex_unlock(&function->irq_lock);
}

bool pci_msix_enabled(struct pci_function *function)
{
    bool enabled;

    if (!function->vectors)
        return false;
    pthread_mutex_lock(&function->irq_lock);
    enabled = pci_msix_is_on(function);
    pthread_mutex_unlock(&function->irq_lock);
    return enabled;
}

int pci_msix_fd(struct pci_function *function, unsigned number)
{
    int fd = -1;

    if (number >= function->vectors)
        return -1;
    pthread_mutex_lock(&function->irq_lock);
    if (pci_msix_is_on(function) && function->msix[number].msi.irq)
        fd = function->msix[number].msi.fd;
    pthread_mutex_unlock(&function->irq_lock);
    return fd;
}
