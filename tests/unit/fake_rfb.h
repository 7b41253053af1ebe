/* Viewers of a display on a board without KVM, and what the guest got of what they did. */
#ifndef CASEMENT_TESTS_FAKE_RFB_H
#define CASEMENT_TESTS_FAKE_RFB_H

#include <pthread.h>

#include "../../vmm/viewer/rfb.h"
#include "casement/input.h"
#include "fake_display.h"
#include "fake_viewer.h"

#define FAKE_RFB_VIEWERS 4
#define FAKE_RFB_PATIENCE_MS 700

extern struct fake *fake;
extern struct display *display;
extern struct input *input;
extern struct rfb *rfb;

/* Keys and pointer events in the order in which the guest got them. */
struct fake_event {
    unsigned code; /* 0: the pointer */
    bool down;
    struct input_pointer pointer;
};
#define FAKE_EVENTS 256
extern struct fake_event fake_events[FAKE_EVENTS];

/* Set-ups and tear-down for cmocka; the impatient one gives peers FAKE_RFB_PATIENCE_MS. */
int fake_rfb_setup(void **state);
int fake_rfb_setup_impatient(void **state);
int fake_rfb_teardown(void **state);

/* Waits until the guest has got so many events in all, and not more. */
void fake_rfb_wait_events(unsigned count);
void fake_rfb_assert_key(unsigned event, unsigned code, bool down);
/* Attaches one end of a socket pair; what rfb_attach() says. */
int fake_rfb_attach(struct fake_viewer *viewer);
/* Attached, shaken hands with, told the size. */
void fake_rfb_join(struct fake_viewer *viewer);
unsigned fake_rfb_viewers(void);
void fake_rfb_wait_viewers(unsigned count);

#endif
