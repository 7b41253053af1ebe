/*
 * The parts of a PC that sit on fixed ports (platform contract 2.3, 6.1, 6.5, 10). Each adds itself to the board.
 */
#ifndef CASEMENT_CHIPSET_H
#define CASEMENT_CHIPSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/board.h"
#include "casement/error.h"
#include "casement/input.h"

/* Q35 host bridge (00:00.0, 8086:29C0) with PCIEXBAR, and LPC bridge (00:1f.0, 8086:2918) with PMBASE and PIRQ routing.
 */
int q35_host_create(struct board *board, struct error *error);
struct acpi_pm;
int lpc_create(struct board *board, struct acpi_pm *pm, struct error *error);

/* ACPI fixed hardware at PMBASE: PM1, PM timer, GPE0; S5 and power button (ACPI 6.5, 4.8). Base 0x600 until moved. */
int acpi_pm_create(struct board *board, struct acpi_pm **pm, struct error *error);
/* PMBASE or ACPI_CNTL changed: decode at base, or nowhere when not enabled. 0x604 answers always. Any thread. */
void acpi_pm_decode(struct acpi_pm *pm, uint16_t base, bool enabled);
/* Presses the power button. Any thread. */
void acpi_pm_power_button(struct acpi_pm *pm);
/* The PM timer alone, for the vCPU's fast path: 24 bits of 3.579545 MHz. Any thread, no lock. */
uint32_t acpi_pm_timer(const struct acpi_pm *pm);

/* Reset control register 0xCF9 and port 0x92 (A20, fast reset). */
int reset_control_create(struct board *board, struct error *error);

/* MC146818 clock with 128 bytes of CMOS at 0x70; alarm, periodic and update interrupts on IRQ 8. */
struct rtc_options {
    bool local_time;                  /* Windows reads the clock as local time */
    uint64_t low_memory, high_memory; /* bytes, for CMOS 0x34/0x35 and 0x5B-0x5D */
};
int rtc_create(struct board *board, const struct rtc_options *options, struct error *error);

/* 16550A at base with irq. Output goes to the sink on a vCPU's thread; input is queued by serial_input(), any thread.
 */
struct serial;
struct serial_options {
    uint16_t base;
    unsigned irq;
    void (*output)(void *opaque, const uint8_t *bytes, size_t length);
    void *opaque;
};
int serial_create(struct board *board, const struct serial_options *options, struct serial **serial,
                  struct error *error);
size_t serial_input(struct serial *serial, const uint8_t *bytes, size_t length); /* how many were taken */

/* i8042 with a keyboard and an IntelliMouse on ports 0x60 and 0x64; joins the input as a sink. */
int i8042_create(struct board *board, struct input *input, struct error *error);

#endif
