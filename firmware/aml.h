/*
 * A writer of ACPI Machine Language (ACPI 6.5, chapter 20): terms are appended to a buffer in the order in which they
 * are called; what holds others is opened and closed. Errors latch: check aml_ok() at the end.
 */
#ifndef CASEMENT_AML_H
#define CASEMENT_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AML_DEPTH 16

struct aml {
    uint8_t *data; /* the caller's, room bytes */
    size_t room, size;
    size_t open[AML_DEPTH]; /* where the package lengths of what is open belong */
    unsigned depth;
    bool failed;
};

/* No term was cut, and everything that was opened is closed. */
bool aml_ok(const struct aml *aml);

/* Terms that hold others: up to aml_close(). Names are paths such as "\\_SB.PCI0", "^X", "FOO"; segments have 1 to 4
 * characters. */
void aml_scope(struct aml *aml, const char *name);
void aml_device(struct aml *aml, const char *name);
void aml_method(struct aml *aml, const char *name, unsigned arguments, bool serialized);
void aml_if(struct aml *aml);   /* then the condition, then the terms */
void aml_else(struct aml *aml); /* directly behind the aml_close() of an if */
void aml_package(struct aml *aml, unsigned elements);
void aml_field(struct aml *aml, const char *region); /* byte access, no lock, preserve */
void aml_close(struct aml *aml);

/* Name (name, ...): the object follows. */
void aml_name(struct aml *aml, const char *name);
/* A reference to a name, an argument or a local. */
void aml_ref(struct aml *aml, const char *name);
void aml_arg(struct aml *aml, unsigned number);
void aml_local(struct aml *aml, unsigned number);
/* Objects. */
void aml_integer(struct aml *aml, uint64_t value);
void aml_string(struct aml *aml, const char *text);
void aml_eisa_id(struct aml *aml, const char *id); /* "PNP0A08" */
void aml_buffer(struct aml *aml, const void *bytes, size_t size);
/* Operators: operands follow in the order of the specification; a target that is not wanted is aml_nothing(). */
enum aml_operator {
    AML_STORE = 0x70,
    AML_AND = 0x7B,
    AML_OR = 0x7D,
    AML_CREATE_DWORD_FIELD = 0x8A,
    AML_NOT = 0x92,
    AML_EQUAL = 0x93,
    AML_RETURN = 0xA4,
};
void aml_operator(struct aml *aml, enum aml_operator operator);
void aml_nothing(struct aml *aml);
/* OperationRegion in PCI configuration space; and a field's members: bits of a name, or bits left out with name NULL.
 */
void aml_config_region(struct aml *aml, const char *name, unsigned offset, unsigned length);
void aml_member(struct aml *aml, const char *name, unsigned bits);

/* Resource templates (6.4): descriptors collected here, written as a buffer with aml_resources(). */
struct aml_resources {
    uint8_t bytes[512];
    size_t size;
};
void aml_io(struct aml_resources *to, uint16_t base, uint8_t length);
void aml_irq(struct aml_resources *to, uint16_t mask);                               /* edge, high, exclusive */
void aml_interrupts(struct aml_resources *to, const uint32_t *list, unsigned count); /* level, high, shared */
void aml_memory_fixed(struct aml_resources *to, uint32_t base, uint32_t length);
void aml_bus_range(struct aml_resources *to, uint16_t first, uint16_t last);
void aml_io_window(struct aml_resources *to, uint16_t first, uint16_t last);
void aml_memory_window(struct aml_resources *to, uint64_t first, uint64_t last, bool wide);
void aml_resources(struct aml *aml, const struct aml_resources *from);

#endif
