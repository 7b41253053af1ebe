/*
 * What is on an installation medium, by its own metadata: the file system (UDF, else ISO 9660) leads to
 * sources/install.wim or install.esd, whose header leads to an XML description of the images in it. Nothing is
 * extracted or mounted, and everything read is distrusted.
 */
#ifndef CASEMENT_WINDOWS_MEDIUM_H
#define CASEMENT_WINDOWS_MEDIUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "casement/error.h"

#define MEDIUM_IMAGES 64

/* WINDOWS/ARCH of the description (PROCESSOR_ARCHITECTURE_*). */
enum medium_architecture { MEDIUM_X86 = 0, MEDIUM_AMD64 = 9, MEDIUM_ARM64 = 12, MEDIUM_UNKNOWN = -1 };

/* One of the systems that Setup can install. Texts are UTF-8; empty where the description says nothing. */
struct medium_image {
    unsigned index; /* as /IMAGE/INDEX of an answer file counts: from 1 */
    char name[128], display_name[128], description[256], flags[64];
    char product[128];          /* WINDOWS/PRODUCTNAME */
    char edition[64];           /* WINDOWS/EDITIONID: Professional, EnterpriseEval, ServerStandard, ... */
    char installation_type[32]; /* Client, Server, Server Core */
    enum medium_architecture architecture;
    unsigned major, minor, build, revision;
    char language[32]; /* LANGUAGES/DEFAULT, such as en-US */
    bool evaluation;   /* medium_image_says_evaluation() */
};

struct medium {
    bool udf;         /* else ISO 9660 */
    char volume[128]; /* the file system's name, UTF-8 */
    char install[32]; /* sources/install.wim or sources/install.esd, as found */
    uint64_t install_bytes;
    bool boots_efi; /* has efi/boot/bootx64.efi */
    unsigned image_count;
    struct medium_image images[MEDIUM_IMAGES];
};

/*
 * Looks at the medium at path, a file or a block device. 0 and the medium filled, or with a text that names the path:
 * -ENOENT and what opening and reading it say; -EILSEQ no medium that is known, or damaged (says what and where);
 * -ENODATA a file system without an installer; -EFBIG more than this reads. Blocking; any thread.
 */
int medium_identify(const char *path, struct medium *medium, struct error *error);

/*
 * The part behind the file system: the header of a WIM or ESD and its description, read by `read`, which returns 0 or
 * -errno and never less than asked for. For other sources of bytes, and fuzzers. Texts as above, naming `name`.
 */
struct medium_source {
    int (*read)(void *opaque, void *to, size_t length, uint64_t offset);
    void *opaque;
    uint64_t size;
    const char *name;
};
int medium_read_wim(const struct medium_source *source, struct medium *medium, struct error *error);

/* The first builds of the systems that they name. */
enum {
    BUILD_WINDOWS_10 = 10240,
    BUILD_SERVER_2016 = 14393,
    BUILD_SERVER_2019 = 17763,
    BUILD_SERVER_2022 = 20348,
    BUILD_WINDOWS_11 = 22000,
    BUILD_SERVER_2025 = 26100,
};
/* With a desktop or without one. */
bool medium_image_is_server(const struct medium_image *image);
/* Without one. */
bool medium_image_is_core(const struct medium_image *image);
/* Does its edition or a name of it say that it is an evaluation? */
bool medium_image_says_evaluation(const struct medium_image *image);

#endif
