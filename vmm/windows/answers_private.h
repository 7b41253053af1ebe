/* What the files of the answers share: the wishes with every default filled in, and the parts of the answer file. */
#ifndef CASEMENT_WINDOWS_ANSWERS_PRIVATE_H
#define CASEMENT_WINDOWS_ANSWERS_PRIVATE_H

#include "../xml.h"
#include "answers.h"
#include "locales.h"

#define ANSWERS_TIME_ZONE_TEXT 48

struct answer_plan {
    const struct answers *answers;
    const struct medium_image *image;
    bool server;    /* with a desktop or without one */
    bool hyperv;    /* Hyper-V Server, whose one role is Hyper-V */
    bool windows11; /* a client of build 22000 or later */
    const char *user, *password;
    const char *language, *region, *system_locale; /* tags */
    char keyboard[LOCALE_KEYBOARD_TEXT];           /* an InputLocale */
    char time_zone[ANSWERS_TIME_ZONE_TEXT];        /* as Windows writes it; empty: not set */
};
void answers_plan(struct answer_plan *plan, const struct answers *answers, const struct medium_image *image);

/* LLLL:KKKKKKKK? */
bool answers_is_keyboard_id(const char *text);

/* Windows' own spelling of the name; false: it has no such time zone. */
bool answers_time_zone(const char *text, char name[ANSWERS_TIME_ZONE_TEXT]);
/* -EINVAL with a text that names what may have been meant; NULL is none, and right. */
int answers_check_time_zone(const char *text, struct error *error);

/* Do accounts, groups and devices that every Windows has leave no room for a user of that name? */
bool answers_is_reserved(const char *user);

/*
 * The key that only tells Setup the edition and activates nothing (the vendor's published default and KMS client keys);
 * NULL: none is known, or the image is an evaluation, which brings its own.
 */
const char *answers_generic_key(const struct medium_image *image);
/* The key that Setup gets: the generic one, else the user's, as it was written; NULL: none. */
const char *answers_setup_key(const struct answers *answers, const struct medium_image *image);
/* Is it that edition, in any case and whether it is an evaluation or has no desktop? */
bool answers_is_edition(const struct medium_image *image, const char *edition);

/* The free server that has nothing but Hyper-V. */
bool answers_is_hyperv_server(const struct medium_image *image);

/* The passes, in the order in which they are run. */
void answers_windows_pe(struct xml *xml, const struct answer_plan *plan);
void answers_offline(struct xml *xml);
void answers_specialize(struct xml *xml, const struct answer_plan *plan);
void answers_oobe(struct xml *xml, const struct answer_plan *plan);

/* A component with the attributes that all have; xml_close() ends it. */
void answers_component(struct xml *xml, const char *name);
void answers_component_of(struct xml *xml, const char *name, const char *architecture);
/* A component with one element. */
void answers_setting(struct xml *xml, const char *component, const char *name, const char *value);
/* An element of a list: Setup adds it to what it has. */
void answers_item(struct xml *xml, const char *name);
/* One of RunSynchronous; *order counts them from 1. */
void answers_run(struct xml *xml, unsigned *order, const char *command);
/* The same for a 32-bit value of the registry. */
void answers_run_registry(struct xml *xml, unsigned *order, const char *key, const char *name, unsigned value);
/* The four locales that all International-Core components have. */
void answers_locales(struct xml *xml, const struct answer_plan *plan);
/* The component of the installed system, which two passes ask for. */
void answers_international(struct xml *xml, const struct answer_plan *plan);

#endif
