/*
 * What Setup asks and this program answers: Autounattend.xml and the scripts that go with it.
 *
 * The wishes are the user's, checked once; the medium says which edition and language can be had. The XML is made by a
 * writer that knows only elements, attributes and text, so it is well-formed whatever a user's string has in it.
 */
#ifndef CASEMENT_WINDOWS_ANSWERS_H
#define CASEMENT_WINDOWS_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

#include "casement/error.h"
#include "medium.h"

/* Strings are the caller's and live as long as the structure; NULL: the default that is named. */
struct answers {
    const char
        *edition; /* Professional, Enterprise, ...: what EDITIONID says; NULL: the medium's best (answers_choose) */
    const char *language; /* the display language, en-US; NULL: the medium's. Setup stops when the medium lacks it. */
    const char *region;   /* the formats' locale, de-DE; NULL: the language */
    const char *keyboard; /* a locale (de-DE), or LLLL:KKKKKKKK; NULL: that of the region */
    const char *key;      /* product key of the user; NULL: the generic key that only chooses an edition, or none */
    const char *user, *password; /* NULL: Docker and admin, as such containers have had them */
    bool no_autologon;
    const char *computer;                       /* NULL: Windows makes one up */
    const char *workgroup, *domain, *domain_ou; /* NULL: none */
    const char *domain_user, *domain_password;  /* both with domain */
    unsigned width, height;                     /* 0: 1280 x 720 */
    const char *command;                        /* run at the first logon; NULL: none */
    const char *time_zone;                      /* Windows' name, "W. Europe Standard Time"; NULL: not set */
    bool has_oem;                               /* a folder of the user's is on the disc: copied to C:\OEM, its
                                                   install.bat run at the first logon */
    bool tpm;                                   /* the machine has a TPM 2.0: nothing is waived */
    bool virtio;                                /* drivers for virtio are on the disc */
    unsigned disk;                              /* the system disk's number at Setup's time */
};

/*
 * Which image of the medium the wishes mean: by edition if one is asked for (as EDITIONID, in any case, or a usual
 * name: pro, home, enterprise, education, iot, ltsc, standard, datacenter, core), else by preference. NULL with a text
 * that lists what the medium has.
 */
const struct medium_image *answers_choose(const struct answers *answers, const struct medium *medium,
                                          struct error *error);

/*
 * Are the wishes such as Windows takes? -EINVAL with a text that names the option and what to give instead: characters
 * that a user's, computer's or workgroup's name may not have and their lengths, a password that is too long, an unknown
 * language or keyboard (with near matches), a key of another form, a domain without credentials.
 */
int answers_check(const struct answers *answers, struct error *error);

/*
 * The answer file for that image: UTF-8 with a declaration, NUL-terminated, the caller's to free after wiping it (it
 * has the passwords). After answers_check(). NULL with a text: no memory.
 */
char *answers_xml(const struct answers *answers, const struct medium_image *image, size_t *size, struct error *error);

/*
 * SetupComplete.cmd: what is done to the installed system, first as the system, then as the user, and the report to the
 * serial port that ends the installation ("CASEMENT-INSTALLED build=... edition=... time=..."). CRLF lines, the
 * caller's to free. NULL with a text.
 */
char *answers_script(const struct answers *answers, const struct medium_image *image, size_t *size,
                     struct error *error);

#endif
