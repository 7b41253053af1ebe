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
#include <stdint.h>

#include "casement/error.h"
#include "medium.h"

/*
 * Where the answer disc keeps what Setup looks for (7.3 of the platform contract). With UseConfigurationSet, Setup
 * copies $OEM$/$$ to C:\Windows and $OEM$/$1 to C:\, and takes drivers from $WinPEDriver$ for itself and the new
 * system.
 */
#define ANSWERS_FILE "Autounattend.xml"
#define ANSWERS_SCRIPT "$OEM$/$$/Setup/Scripts/SetupComplete.cmd"
/*
 * What answers.command says, byte for byte, is a file of its own beside the script. The script hands its line to a new
 * cmd.exe without looking into it, so that all of it means what it would mean at a prompt: &, |, >, ^, quotes, and a
 * single % as well, which a line of a script would have to double.
 */
#define ANSWERS_COMMAND "$OEM$/$$/Setup/Scripts/command.txt"
#define ANSWERS_OEM "$OEM$/$1/OEM"
/* Drivers that would disturb Setup, the display's above all: the script installs them, last of all. */
#define ANSWERS_DRIVERS "$OEM$/$$/Drivers"
#define ANSWERS_SETUP_DRIVERS "$WinPEDriver$"

/* Strings are UTF-8, the caller's, and live as long as the structure; NULL: the default that is named. */
struct answers {
    const char *edition;  /* what EDITIONID says, or a usual name (answers_choose); NULL: the medium's best */
    const char *language; /* the display language (locale_find); NULL: the medium's */
    const char *region;   /* the formats' locale; NULL: the language */
    const char *keyboard; /* a locale, or LLLL:KKKKKKKK; NULL: that of the region */
    const char *key; /* the user's, for the installed system; Setup gets the generic one, or this where none is known */
    const char *user, *password;                /* NULL: Docker and admin, as such containers have had them */
    bool manual;                                /* Setup asks for all of this but what Windows 11 asks of a machine */
    bool no_autologon;                          /* the last phase and the report then wait for the first who logs in */
    const char *computer;                       /* NULL: Windows makes one up */
    const char *workgroup, *domain, *domain_ou; /* NULL: none; a workgroup or a domain */
    const char *domain_user, *domain_password;  /* both with domain */
    unsigned width, height;                     /* pixels; both 0: 1280 x 720 */
    const char *command;                        /* run at the first logon; NULL: none */
    const char *time_zone;                      /* Windows' name, "W. Europe Standard Time"; NULL: not set */
    unsigned shares; /* folders are shared (--share): they are drives Z:, Y:, X: from the first logon on */
    bool has_oem;    /* a folder of the user's is on the disc: its install.bat is run at the first logon */
    /* What the machine has of what Windows 11 asks for: each check that it would fail is waived. */
    bool tpm, secure_boot;      /* a TPM 2.0; firmware that can check signatures */
    uint64_t memory, disk_size; /* bytes; 0: not known */
    bool nested;                /* the machine can run others in it, for Hyper-V */
    bool virtio;                /* drivers for virtio are on the disc */
    unsigned disk;              /* the system disk's number at Setup's time */
};

/*
 * Which image of the medium the wishes mean: of the language if one is asked for (Setup stops when the medium lacks
 * it), by edition if one is asked for (as EDITIONID, in any case and without "Eval", or a usual name: pro, home,
 * enterprise, education, iot, ltsc, standard, datacenter, core, standard-core, datacenter-core), else by preference.
 * NULL with a text that lists what the medium has. After answers_check().
 */
const struct medium_image *answers_choose(const struct answers *answers, const struct medium *medium,
                                          struct error *error);

/*
 * Are the wishes such as Windows takes? -EINVAL with a text that names the option and what to give instead: characters
 * that a user's, computer's or workgroup's name may not have and their lengths, a password that is too long, an unknown
 * language or keyboard (with near matches), a key of another form, a domain without credentials. No text has a password
 * or key in it.
 */
int answers_check(const struct answers *answers, struct error *error);

/*
 * Are the wishes such as that image takes? -EINVAL with a text: a key for an evaluation or for Hyper-V Server, a domain
 * for Home. The makers of the answer file and of the script ask again.
 */
int answers_check_image(const struct answers *answers, const struct medium_image *image, struct error *error);
/* Says in warnings what the user will miss in that image: a key that Setup will ask for, Remote Desktop on Home. */
void answers_warn(const struct answers *answers, const struct medium_image *image);

/*
 * The answer file for that image: UTF-8 with a declaration, NUL-terminated, the caller's to free after wiping it (it
 * has the passwords). NULL with a text: no memory, or what the checks say. Passwords are encoded as Windows wants
 * them, which hides them from no one who looks; the domain's cannot even be that (UnattendedJoin has no such form).
 */
char *answers_xml(const struct answers *answers, const struct medium_image *image, size_t *size, struct error *error);

/*
 * SetupComplete.cmd: what is done to the installed system, first as the system, then as the user, and the report to the
 * serial port that ends the installation ("CASEMENT-INSTALLED build=... edition=... time=..."), once more at the next
 * occasion, which also makes up for what a first logon that was cut off has left out. The user's programs
 * (install.bat, then the command) are started before the report and not waited for: they may restart the machine, or
 * never end. CRLF lines, ASCII, the caller's to free. NULL with a text: as above.
 */
char *answers_script(const struct answers *answers, const struct medium_image *image, size_t *size,
                     struct error *error);

#endif
