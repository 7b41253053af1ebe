/* Where operators reach the program: the control socket, and page and API with who may use them. */
#ifndef CASEMENT_SERVICE_H
#define CASEMENT_SERVICE_H

#include "casement/loop.h"
#include "config.h"
#include "operations.h"

struct service {
    struct control *control;
    struct web *web;
};

struct service_options {
    const struct config *config;
    struct loop *main_loop;
    const struct machine_ops *ops;
    void *machine; /* what ops are called with */
};

/*
 * Opens both and says in the log where the page is and what it asks for. On the main loop's thread, or while it does
 * not run; what options name lives as long. 0, or -errno with a text, and then service_destroy() takes away what is
 * there.
 */
int service_create(struct service *service, const struct service_options *options, struct error *error);
/* On the main loop's thread, or while that does not run. Safe on one that is all zeroes. */
void service_destroy(struct service *service);

#endif
