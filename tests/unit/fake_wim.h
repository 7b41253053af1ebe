/* Windows image files for tests: a header and a description of any shape, without any data. */
#ifndef CASEMENT_TESTS_FAKE_WIM_H
#define CASEMENT_TESTS_FAKE_WIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../vmm/windows/medium.h"

#define FAKE_WIM_HEADER 208U

struct fake_wim {
    uint8_t *bytes;
    size_t length;
};

/* From UTF-8, or from bytes as they are. Freed by fake_wim_free(). */
void fake_wim_make(struct fake_wim *wim, const char *xml, bool esd, bool mark);
void fake_wim_make_raw(struct fake_wim *wim, const void *xml, size_t length, bool esd);
void fake_wim_free(struct fake_wim *wim);
/* A source of its bytes, which live as long as the wim. */
struct medium_source fake_wim_source(struct fake_wim *wim);

/* The description of an image as Windows' own media have it; all are texts. */
#define FAKE_WIM_IMAGE(index, architecture, edition, type, name, build, revision, language)             \
    "<IMAGE INDEX=\"" index "\"><DIRCOUNT>26157</DIRCOUNT><FILECOUNT>112846</FILECOUNT>"                \
    "<TOTALBYTES>18018461218</TOTALBYTES><HARDLINKBYTES>7929312431</HARDLINKBYTES>"                     \
    "<CREATIONTIME><HIGHPART>0x01DB0FB1</HIGHPART><LOWPART>0x2BD12E4C</LOWPART></CREATIONTIME>"         \
    "<WIMBOOT>0</WIMBOOT><WINDOWS><ARCH>" architecture "</ARCH>"                                        \
    "<PRODUCTNAME>Microsoft\xC2\xAE Windows\xC2\xAE Operating System</PRODUCTNAME>"                     \
    "<EDITIONID>" edition "</EDITIONID><INSTALLATIONTYPE>" type "</INSTALLATIONTYPE>"                   \
    "<SERVICINGDATA><GDRDUREVISION>0</GDRDUREVISION><IMAGESTATE>IMAGE_STATE_COMPLETE</IMAGESTATE>"      \
    "</SERVICINGDATA><PRODUCTTYPE>WinNT</PRODUCTTYPE><PRODUCTSUITE>Terminal Server</PRODUCTSUITE>"      \
    "<LANGUAGES><LANGUAGE>" language "</LANGUAGE><DEFAULT>" language "</DEFAULT></LANGUAGES>"           \
    "<VERSION><MAJOR>10</MAJOR><MINOR>0</MINOR><BUILD>" build "</BUILD><SPBUILD>" revision "</SPBUILD>" \
    "<SPLEVEL>0</SPLEVEL><BRANCH>ge_release</BRANCH></VERSION><SYSTEMROOT>WINDOWS</SYSTEMROOT>"         \
    "</WINDOWS><NAME>" name "</NAME><DESCRIPTION>" name "</DESCRIPTION><FLAGS>" edition "</FLAGS>"      \
    "<DISPLAYNAME>" name "</DISPLAYNAME><DISPLAYDESCRIPTION>" name "</DISPLAYDESCRIPTION></IMAGE>"
#define FAKE_WIM_XML(images) "<WIM><TOTALBYTES>5242880000</TOTALBYTES>" images "</WIM>"
#define FAKE_WIM_PRO(index) \
    FAKE_WIM_IMAGE(index, "9", "Professional", "Client", "Windows 11 Pro", "26100", "1742", "en-US")

#endif
