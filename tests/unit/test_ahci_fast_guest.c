/* Guests that are faster than the adapter: one that issues as fast as commands end, one that changes what is being read
 * (lessons 4.5: rows 12 and 20). */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_ahci.h"

#define PAGE 4096U
#define PASS 32U     /* commands that a port takes before others have their turn on its thread */
#define ENOUGH 1000U /* of them; a port that never paused would carry out all of these first */
#define ROUNDS 1000U
#define FATAL 0x7D000000U
#define PATIENCE_NS INT64_C(60000000000)

static struct ahci_driver *start(void)
{
    struct ahci_driver *driver = ahci_driver_create(8 * MiB, 2 * MiB);

    ahci_driver_start(driver);
    return driver;
}

/* Two slots take turns. Each has a page for its data that cannot be written until the fault of the drive's thread has
 * issued the other slot: so there is always one more command. All of this happens on that thread. */
static struct {
    struct ahci_driver *driver;
    struct sigaction before;
    unsigned commands;
} eager;

static void issue_the_other(int signal, siginfo_t *info, void *context)
{
    uint8_t *pages = ram(eager.driver, M_DATA, 2 * PAGE), *at = info->si_addr;
    unsigned slot, other;

    (void)context;
    if (at < pages || at >= pages + 2 * PAGE) {
        sigaction(signal, &eager.before, NULL); /* it faults again, and that is reported */
        return;
    }
    slot = (unsigned)(at - pages) / PAGE;
    other = 1 - slot;
    mprotect(pages + slot * PAGE, PAGE, PROT_READ | PROT_WRITE);
    if (++eager.commands == ENOUGH)
        return;
    mprotect(pages + other * PAGE, PAGE, PROT_READ);
    port_put(eager.driver, DISK, P_CI, 1U << other);
}

static void a_port_pauses_for_others(void **state)
{
    const struct sigaction action = {.sa_sigaction = issue_the_other, .sa_flags = SA_SIGINFO};
    struct ahci_driver *driver = start();
    uint8_t *pages = ram(driver, M_DATA, 2 * PAGE);

    (void)state;
    eager.driver = driver;
    for (unsigned slot = 0; slot < 2; slot++)
        slot_fill(driver, DISK, slot, &(struct ata){.command = 0xEC}, M_DATA + slot * PAGE, 512);
    assert_int_equal(sigaction(SIGSEGV, &action, &eager.before), 0);
    assert_int_equal(mprotect(pages, 2 * PAGE, PROT_READ), 0);
    ahci_hold(driver, DISK, 1); /* the other work of the thread has its turn */
    assert_in_range(eager.commands, 1, PASS);
    ahci_release(driver);
    port_wait(driver, DISK, P_CI, UINT32_MAX, 0);
    assert_int_equal(eager.commands, ENOUGH);
    assert_int_equal(mprotect(pages, 2 * PAGE, PROT_READ | PROT_WRITE), 0);
    assert_int_equal(sigaction(SIGSEGV, &eager.before, NULL), 0);
    ahci_driver_destroy(driver);
}

#define LAST_SECTOR (AHCI_RAM - 512)
#define TRAP_FLAG 0x100

/* Another processor that is always in between: behind each instruction that has read of the command's table something
 * else stands there. The drive's thread faults at such an instruction, and traps behind it. */
static struct {
    uint8_t *table;
    struct sigaction before;
    uint32_t random;
    unsigned reads;
} swift;

static void put_word(uint8_t *at, uint32_t value)
{
    *(volatile uint32_t *)(volatile void *)at = htole32(value);
}

/* The buffer ends within the last sector of memory or far behind it; the count is small or large. */
static void change_table(void)
{
    swift.random = swift.random * 1103515245 + 12345;
    put_word(swift.table + 0x80 + 12, swift.random >> 16 & 1 ? 0x3FFFFF : 255);
    put_word(swift.table + 12, swift.random >> 17 & 3 ? 1 : 0xFFFF);
}

static void let_it_read(int signal, siginfo_t *info, void *context)
{
    ucontext_t *machine = context;
    uint8_t *at = info->si_addr;

    if (at < swift.table || at >= swift.table + PAGE) {
        sigaction(signal, &swift.before, NULL);
        return;
    }
    mprotect(swift.table, PAGE, PROT_READ | PROT_WRITE);
    machine->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void it_has_read(int signal, siginfo_t *info, void *context)
{
    ucontext_t *machine = context;

    (void)signal, (void)info;
    machine->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    change_table();
    swift.reads++;
    mprotect(swift.table, PAGE, PROT_NONE);
}

/* Whether the command succeeds. */
static bool runs_on_changing_table(struct ahci_driver *driver, unsigned port, const struct ata *ata, uint32_t seed)
{
    int64_t limit = clock_ns() + PATIENCE_NS;
    bool failed;

    slot_fill(driver, port, 0, ata, LAST_SECTOR, 512);
    swift.table = ram(driver, M_TABLE(port, 0), PAGE);
    swift.random = seed;
    swift.reads = 0;
    change_table();
    assert_int_equal(mprotect(swift.table, PAGE, PROT_NONE), 0);
    port_put(driver, port, P_IS, UINT32_MAX);
    port_put(driver, port, P_CI, 1);
    while (port_get(driver, port, P_CI) && !(port_get(driver, port, P_IS) & FATAL)) {
        assert_true(clock_ns() < limit);
        sched_yield();
    }
    assert_int_equal(mprotect(swift.table, PAGE, PROT_READ | PROT_WRITE), 0);
    assert_true(swift.reads >= 2); /* the FIS, the packet */
    failed = port_get(driver, port, P_IS) & FATAL;
    if (failed) {
        port_driver_stop(driver, port);
        port_driver_start(driver, port);
    }
    assert_int_equal(port_get(driver, port, P_CI), 0);
    return !failed;
}

static void tables_that_change_while_they_are_read(void **state)
{
    static const uint8_t inquiry[12] = {0x12, 0, 0, 0, 96}, select[12] = {0x55, 0x10, [7] = 2},
                         read[12] = {0x28, [8] = 1};
    static const struct ata commands[] = {{.command = 0xEC},
                                          {.command = 0x06, .feature = 1, .count = 1},
                                          {.packet = inquiry, .feature = 1},
                                          {.command = 0x25, .count = 1},
                                          {.packet = select, .feature = 1},
                                          {.command = 0x2F, .lba = 0x10, .count = 1},
                                          {.command = 0x35, .count = 1, .write = true},
                                          {.packet = read, .feature = 1}};
    const struct sigaction fault = {.sa_sigaction = let_it_read, .sa_flags = SA_SIGINFO};
    const struct sigaction trap = {.sa_sigaction = it_has_read, .sa_flags = SA_SIGINFO};
    struct ahci_driver *driver = start();
    struct sigaction trap_before;
    unsigned endings[2] = {0};

    (void)state;
    memset(ram(driver, LAST_SECTOR, 512), 0, 512);
    assert_int_equal(sigaction(SIGSEGV, &fault, &swift.before), 0);
    assert_int_equal(sigaction(SIGTRAP, &trap, &trap_before), 0);
    for (unsigned n = 0; n < ROUNDS; n++) {
        const struct ata *ata = &commands[n % ARRAY_SIZE(commands)];

        endings[runs_on_changing_table(driver, ata->packet ? CDROM : DISK, ata, n)]++;
    }
    assert_true(endings[0] > ROUNDS / 10 && endings[1] > ROUNDS / 10); /* both kinds of table were met */
    assert_int_equal(sigaction(SIGTRAP, &trap_before, NULL), 0);
    assert_int_equal(sigaction(SIGSEGV, &swift.before, NULL), 0);
    assert_int_equal(ata_run(driver, DISK, &(struct ata){.command = 0x25, .lba = 77, .count = 1}, 512), 0x50);
    assert_int_equal(ram_peek(driver, M_DATA, 8), 77);
    assert_int_equal(packet_run(driver, read, 2048), 0x50);
    assert_int_equal(ram_peek(driver, M_DATA + 512, 8), 1);
    ahci_driver_destroy(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_pauses_for_others),
        cmocka_unit_test(tables_that_change_while_they_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
