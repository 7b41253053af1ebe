/* What a WIM or ESD says is in it: headers and descriptions of all shapes, good and bad. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../vmm/windows/medium_parts.h"
#include "casement/bytes.h"
#include "cmocka_all.h"
#include "fake_wim.h"

#define PLAIN(index, inner) "<IMAGE INDEX=\"" index "\">" inner "</IMAGE>"
#define NAMED(name) FAKE_WIM_XML(PLAIN("1", "<NAME>" name "</NAME>"))
#define SERVER(index, edition, type, name) FAKE_WIM_IMAGE(index, "9", edition, type, name, "26100", "32230", "de-DE")
#define CLIENT(index, edition, name) FAKE_WIM_IMAGE(index, "9", edition, "Client", name, "26200", "6584", "en-US")
#define TEN(text) text text text text text text text text text text

static struct medium medium;
static struct error error;

/* All that was read of an image, as one line. */
static void show(const struct medium_image *image, char *to, size_t size)
{
    snprintf(to, size, "%u|%s|%s|%s|%s|%s|%s|%s|%d|%u.%u.%u.%u|%s|%d", image->index, image->name, image->display_name,
             image->description, image->flags, image->product, image->edition, image->installation_type,
             image->architecture, image->major, image->minor, image->build, image->revision, image->language,
             image->evaluation);
}
#define SHOWN(index, name, edition, type, architecture, version, language, evaluation)                          \
    index "|" name "|" name "|" name "|" edition "|Microsoft\xC2\xAE Windows\xC2\xAE Operating System|" edition \
          "|" type "|" architecture "|" version "|" language "|" evaluation
#define SHOWN_CLIENT(index, name, edition) SHOWN(index, name, edition, "Client", "9", "10.0.26200.6584", "en-US", "0")
#define SHOWN_PRO(index) SHOWN(index, "Windows 11 Pro", "Professional", "Client", "9", "10.0.26100.1742", "en-US", "0")
#define SHOWN_NAMED(name) \
    "1|" name "||||||"    \
    "|-1|0.0.0.0||0"

static int identify(struct fake_wim *wim)
{
    const struct medium_source source = fake_wim_source(wim);

    error.text[0] = 0;
    memset(&medium, 0xA5, sizeof medium);
    return medium_read_wim(&source, &medium, &error);
}

struct good {
    const char *what, *xml;
    bool esd;
    unsigned count, which;
    const char *shown; /* of the image `which` */
};

static const struct good goods[] = {
    {"one image", FAKE_WIM_XML(FAKE_WIM_PRO("1")), false, 1, 0, SHOWN_PRO("1")},
    {"an ESD with images for installing only", FAKE_WIM_XML(FAKE_WIM_PRO("1")), true, 1, 0, SHOWN_PRO("1")},
    {"a whole ESD",
     FAKE_WIM_XML(PLAIN("1", "<NAME>Windows Setup Media</NAME>") FAKE_WIM_IMAGE(
         "2", "9", "WindowsPE", "WindowsPE", "Microsoft Windows PE (x64)", "1", "1",
         "en-US") FAKE_WIM_IMAGE("3", "9", "WindowsPE", "WindowsPE", "Microsoft Windows Setup (x64)", "1", "1", "en-US")
                      CLIENT("4", "Core", "Windows 11 Home") CLIENT("5", "Professional", "Windows 11 Pro")),
     true, 2, 1, SHOWN_CLIENT("5", "Windows 11 Pro", "Professional")},
    {"four of a server, two of them core",
     FAKE_WIM_XML(SERVER("1", "ServerStandard", "Server Core", "Windows Server 2025 Standard")
                      SERVER("2", "ServerStandard", "Server", "Windows Server 2025 Standard (Desktop Experience)")
                          SERVER("3", "ServerDatacenter", "Server Core", "Windows Server 2025 Datacenter")
                              SERVER("4", "ServerDatacenter", "Server", "Windows Server 2025 Datacenter (Desktop)")),
     false, 4, 2,
     SHOWN("3", "Windows Server 2025 Datacenter", "ServerDatacenter", "Server Core", "9", "10.0.26100.32230", "de-DE",
           "0")},
    {"eleven of a client",
     FAKE_WIM_XML(
         CLIENT("1", "Core", "Home") CLIENT("2", "CoreN", "Home N") CLIENT("3", "CoreSingleLanguage", "SL")
             CLIENT("4", "Education", "Edu") CLIENT("5", "EducationN", "Edu N") CLIENT("6", "Professional", "Pro")
                 CLIENT("7", "ProfessionalN", "Pro N") CLIENT("8", "ProfessionalEducation", "Pro Edu") CLIENT(
                     "9", "ProfessionalEducationN", "Pro Edu N") CLIENT("10", "ProfessionalWorkstation", "Pro WS")
                     CLIENT("11", "ProfessionalWorkstationN", "Pro WS N")),
     false, 11, 10, SHOWN_CLIENT("11", "Pro WS N", "ProfessionalWorkstationN")},
    {"an evaluation by its edition",
     FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "9", "EnterpriseEval", "Client", "Windows 11", "1", "2", "fr-FR")), false, 1, 0,
     SHOWN("1", "Windows 11", "EnterpriseEval", "Client", "9", "10.0.1.2", "fr-FR", "1")},
    {"an evaluation by its name",
     FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "9", "ServerStandard", "Server", "Standard EVALUATION", "1", "2", "fr-FR")),
     false, 1, 0, SHOWN("1", "Standard EVALUATION", "ServerStandard", "Server", "9", "10.0.1.2", "fr-FR", "1")},
    {"an evaluation by its shown name",
     FAKE_WIM_XML(PLAIN("1", "<NAME>n</NAME><DISPLAYNAME>n (Evaluation)</DISPLAYNAME>")), false, 1, 0,
     "1|n|n (Evaluation)||||||-1|0.0.0.0||1"},
    {"no evaluation by the middle of its edition",
     FAKE_WIM_XML(PLAIN("1", "<WINDOWS><EDITIONID>EvalCore</EDITIONID></WINDOWS>")), false, 1, 0,
     "1||||||EvalCore||-1|0.0.0.0||0"},
    {"x86", FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "0", "Core", "Client", "x", "1", "2", "en-GB")), false, 1, 0,
     SHOWN("1", "x", "Core", "Client", "0", "10.0.1.2", "en-GB", "0")},
    {"arm64", FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "12", "Core", "Client", "x", "1", "2", "en-GB")), false, 1, 0,
     SHOWN("1", "x", "Core", "Client", "12", "10.0.1.2", "en-GB", "0")},
    {"Itanium", FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "6", "Core", "Client", "x", "1", "2", "en-GB")), false, 1, 0,
     SHOWN("1", "x", "Core", "Client", "-1", "10.0.1.2", "en-GB", "0")},
    {"an architecture that is no number",
     FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "9x", "Core", "Client", "x", "1", "2", "en-GB")), false, 1, 0,
     SHOWN("1", "x", "Core", "Client", "-1", "10.0.1.2", "en-GB", "0")},
    {"version numbers that are none",
     FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "9", "Core", "Client", "x", "-1", "99999999999", "en-GB")), false, 1, 0,
     SHOWN("1", "x", "Core", "Client", "9", "10.0.0.0", "en-GB", "0")},
    {"nothing but an INDEX", FAKE_WIM_XML("<IMAGE INDEX=\"7\"/>"), false, 1, 0, "7||||||||-1|0.0.0.0||0"},
    {"images in another order", FAKE_WIM_XML(FAKE_WIM_PRO("3") FAKE_WIM_PRO("1")), false, 2, 1, SHOWN_PRO("1")},
    {"elements in another order",
     FAKE_WIM_XML(PLAIN("1", "<FLAGS>f</FLAGS><WINDOWS><VERSION><SPBUILD>4</SPBUILD><BUILD>3</BUILD><MINOR>2</MINOR>"
                             "<MAJOR>1</MAJOR></VERSION><LANGUAGES><DEFAULT>b</DEFAULT><LANGUAGE>a</LANGUAGE>"
                             "</LANGUAGES><ARCH>9</ARCH></WINDOWS><NAME>n</NAME>")),
     false, 1, 0, "1|n|||f||||9|1.2.3.4|b|0"},
    {"the names of other elements", FAKE_WIM_XML(PLAIN("1", "<A><NAME>a</NAME></A><NAME>n</NAME><B>c</B>")) "\n", false,
     1, 0, SHOWN_NAMED("n")},
    {"elements around WIM's own images",
     "<WIM><X>" PLAIN("9", "<NAME>no</NAME>") "</X>" PLAIN("1", "<NAME>n</NAME>") "</WIM>", false, 1, 0,
     SHOWN_NAMED("n")},
    {"long element names",
     FAKE_WIM_XML(PLAIN("1", "<" TEN("LONGLONGLONG") "><NAME>a</NAME></" TEN("LONGLONGLONG") ">"
                                                                                             "<NAME>n</NAME>")),
     false, 1, 0, SHOWN_NAMED("n")},
    {"white space", NAMED("\n\t Windows\t11\r\n Pro \n"), false, 1, 0, SHOWN_NAMED("Windows 11  Pro")},
    {"entities", NAMED("A &amp; B &lt;&#x43;&#68;&gt;"), false, 1, 0, SHOWN_NAMED("A & B <CD>")},
    {"a CDATA section", NAMED("a<![CDATA[<b>&amp;]]>c"), false, 1, 0, SHOWN_NAMED("a<b>&amp;c")},
    {"comments and instructions",
     "<?xml version=\"1.0\" encoding=\"UTF-16\"?><!-- x -->" NAMED("a<!-- NAME -->b<?c d?>"), false, 1, 0,
     SHOWN_NAMED("ab")},
    {"a declaration of another encoding", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>" NAMED("\xC3\xA9"), false, 1,
     0, SHOWN_NAMED("\xC3\xA9")},
    {"surrogates, and characters of three bytes", NAMED("\xF0\x9F\xAA\x9F \xE7\xAA\x93"), false, 1, 0,
     SHOWN_NAMED("\xF0\x9F\xAA\x9F \xE7\xAA\x93")},
    {"characters that move cursors",
     NAMED("a\xC2\x9B"
           "2Jb\x7F"),
     false, 1, 0, SHOWN_NAMED("a 2Jb")},
    {"a name that is cut between characters of two bytes", NAMED("x" TEN(TEN("\xC3\xA9"))), false, 1, 0,
     SHOWN_NAMED("x" TEN("\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9") "\xC3\xA9\xC3\xA9\xC3\xA9")},
    {"a name that is cut between characters of four bytes", NAMED(TEN(TEN("\xF0\x9F\xAA\x9F"))), false, 1, 0,
     SHOWN_NAMED(TEN("\xF0\x9F\xAA\x9F\xF0\x9F\xAA\x9F\xF0\x9F\xAA\x9F") "\xF0\x9F\xAA\x9F")},
    {"a name that is longer than anything that is kept", NAMED(TEN(TEN(TEN(TEN("x"))))), false, 1, 0,
     SHOWN_NAMED(TEN("xxxxxxxxxxxx") "xxxxxxx")},
};

static void good_ones(void **state)
{
    char shown[1024];

    (void)state;
    for (size_t n = 0; n < 2 * ARRAY_SIZE(goods); n++) {
        const struct good *good = &goods[n / 2];
        struct fake_wim wim;
        int result;

        fake_wim_make(&wim, good->xml, good->esd, n % 2);
        result = identify(&wim);
        fake_wim_free(&wim);
        if (result < 0)
            fail_msg("%s: %s", good->what, error.text);
        if (medium.image_count != good->count)
            fail_msg("%s: %u images instead of %u", good->what, medium.image_count, good->count);
        show(&medium.images[good->which], shown, sizeof shown);
        if (strcmp(shown, good->shown) != 0)
            fail_msg("%s:\n%s instead of\n%s", good->what, shown, good->shown);
    }
}

struct bad {
    const char *what, *xml; /* NULL: one image */
    struct {
        unsigned offset, size;
        uint64_t value;
    } patches[3];
    size_t length; /* of the file; 0: all of it */
    int result;
    const char *says;
};
#define HUGE_SIZE UINT64_C(0x00FFFFFFFFFFFFFE)

static const struct bad bads[] = {
    {.what = "no bytes but one", .length = 1, .result = -EILSEQ, .says = "cut off"},
    {.what = "a header that is cut off", .length = 207, .result = -EILSEQ, .says = "ends with byte 207"},
    {.what = "a header without a description", .length = 208, .result = -EILSEQ, .says = "cut off"},
    {.what = "a description that is cut off", .length = 900, .result = -EILSEQ, .says = "has 900 bytes"},
    {.what = "another magic", .patches = {{0, 1, 'X'}}, .result = -EILSEQ, .says = "MSWIM"},
    {.what = "a magic that goes on", .patches = {{7, 1, 'X'}}, .result = -EILSEQ, .says = "MSWIM"},
    {.what = "another header", .patches = {{8, 4, 212}}, .result = -EILSEQ, .says = "212 bytes instead of 208"},
    {.what = "another version", .patches = {{12, 4, 0x10E00}}, .result = -EILSEQ, .says = "version 0x10E00"},
    {.what = "a part", .patches = {{0x28, 2, 2}, {0x2A, 2, 3}}, .result = -EILSEQ, .says = "part 2 of 3"},
    {.what = "compressed", .patches = {{0x4F, 1, 4}}, .result = -EILSEQ, .says = "compressed"},
    {.what = "solid", .patches = {{0x4F, 1, 0x10}}, .result = -EILSEQ, .says = "compressed"},
    {.what = "spanned", .patches = {{0x4F, 1, 8}}, .result = -EILSEQ, .says = "compressed"},
    {.what = "sizes that disagree", .patches = {{0x58, 8, 20}}, .result = -EILSEQ, .says = "a description of 20 bytes"},
    {.what = "an original size beyond 56 bits", .patches = {{0x5F, 1, 1}}, .result = -EILSEQ, .says = "damaged"},
    {.what = "an offset at the end", .patches = {{0x50, 8, 1 << 20}}, .result = -EILSEQ, .says = "at 1048576"},
    {.what = "an offset that overflows", .patches = {{0x50, 8, UINT64_MAX - 1}}, .result = -EILSEQ, .says = "cut off"},
    {.what = "sizes of 2^56",
     .patches = {{0x48, 4, 0xFFFFFFFE}, {0x4C, 3, 0xFFFFFF}, {0x58, 8, HUGE_SIZE}},
     .result = -EILSEQ,
     .says = "cut off"},
    {.what = "no description", .patches = {{0x48, 4, 0}, {0x58, 8, 0}}, .result = -EILSEQ, .says = "damaged"},
    {.what = "an odd number of bytes",
     .patches = {{0x48, 2, 101}, {0x58, 2, 101}},
     .result = -EILSEQ,
     .says = "damaged"},
    {.what = "half of a description",
     .patches = {{0x48, 2, 100}, {0x58, 2, 100}},
     .result = -EILSEQ,
     .says = "description is damaged"},
    {.what = "big-endian", .patches = {{208, 2, 0xFFFE}}, .result = -EILSEQ, .says = "damaged"},
    {.what = "a lone lead surrogate", .patches = {{0x150, 2, 0xD800}}, .result = -EILSEQ, .says = "not UTF-16"},
    {.what = "a lone trail surrogate", .patches = {{0x150, 2, 0xDC00}}, .result = -EILSEQ, .says = "not UTF-16"},
    {.what = "two lead surrogates", .patches = {{0x150, 4, 0xD800D800}}, .result = -EILSEQ, .says = "not UTF-16"},
    {.what = "a NUL", .patches = {{0x150, 2, 0}}, .result = -EILSEQ, .says = "description is damaged"},
    {.what = "not well-formed", .xml = "<WIM><IMAGE INDEX=\"1\"></WIM>", .result = -EILSEQ, .says = "mismatched tag"},
    {.what = "two roots", .xml = NAMED("n") NAMED("n"), .result = -EILSEQ, .says = "description is damaged"},
    {.what = "something behind the root", .xml = NAMED("n") "x", .result = -EILSEQ, .says = "description is damaged"},
    {.what = "another root",
     .xml = "<ESD><IMAGE INDEX=\"1\"/></ESD>",
     .result = -EILSEQ,
     .says = "begins with ESD instead"},
    {.what = "blanks", .xml = "    ", .result = -EILSEQ, .says = "no element found"},
    {.what = "no images", .xml = FAKE_WIM_XML(""), .result = -EILSEQ, .says = "describes no image"},
    {.what = "nothing but Windows PE",
     .xml = FAKE_WIM_XML(FAKE_WIM_IMAGE("1", "9", "WindowsPE", "WindowsPE", "x", "1", "1", "en-US")),
     .result = -EILSEQ,
     .says = "describes no image"},
    {.what = "no INDEX", .xml = FAKE_WIM_XML("<IMAGE/>"), .result = -EILSEQ, .says = "the INDEX \"\""},
    {.what = "INDEX 0", .xml = FAKE_WIM_XML("<IMAGE INDEX=\"0\"/>"), .result = -EILSEQ, .says = "the INDEX \"0\""},
    {.what = "a negative INDEX",
     .xml = FAKE_WIM_XML("<IMAGE INDEX=\"-1\"/>"),
     .result = -EILSEQ,
     .says = "INDEX \"-1\""},
    {.what = "an INDEX with more",
     .xml = FAKE_WIM_XML("<IMAGE INDEX=\"1x\"/>"),
     .result = -EILSEQ,
     .says = "INDEX \"1x\""},
    {.what = "a huge INDEX",
     .xml = FAKE_WIM_XML("<IMAGE INDEX=\"4294967297\"/>"),
     .result = -EILSEQ,
     .says = "INDEX \"4294967297\""},
    {.what = "the same INDEX twice",
     .xml = FAKE_WIM_XML(FAKE_WIM_PRO("2") FAKE_WIM_PRO("2")),
     .result = -EILSEQ,
     .says = "two images with the INDEX 2"},
    {.what = "an entity that is not declared", .xml = NAMED("&x;"), .result = -EILSEQ, .says = "undefined entity"},
    {.what = "a document type", .xml = "<!DOCTYPE WIM>" NAMED("n"), .result = -EILSEQ, .says = "document type"},
    {.what = "an external entity",
     .xml = "<!DOCTYPE WIM [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>" NAMED("&x;"),
     .result = -EILSEQ,
     .says = "document type"},
    {.what = "an external document type",
     .xml = "<!DOCTYPE WIM SYSTEM \"file:///etc/passwd\">" NAMED("n"),
     .result = -EILSEQ,
     .says = "document type"},
    {.what = "an entity bomb",
     .xml = "<!DOCTYPE WIM [<!ENTITY a \"" TEN("x") "\"><!ENTITY b \"" TEN("&a;") "\"><!ENTITY c \"" TEN(
         "&b;") "\"><!ENTITY d \"" TEN("&c;") "\"><!ENTITY e \"" TEN("&d;") "\">]>" NAMED("&e;"),
     .result = -EILSEQ,
     .says = "document type"},
    {.what = "too many levels",
     .xml = FAKE_WIM_XML(TEN("<A>") TEN("<A>") TEN("<A>") TEN("<A>")),
     .result = -EILSEQ,
     .says = "more than 32 levels"},
};

static void assert_refused(const char *what, int result, int expected, const char *says)
{
    if (result != expected)
        fail_msg("%s: %d instead of %d: %s", what, result, expected, error.text);
    if (!strstr(error.text, says) || strncmp(error.text, "test.iso: sources/install.wim: ", 31) != 0)
        fail_msg("%s: \"%s\" does not begin with the file or does not say \"%s\"", what, error.text, says);
    /* Each ends with a remedy. */
    if (!strstr(error.text, "; " MEDIUM_AGAIN) && !strstr(error.text, "; " MEDIUM_OTHER))
        fail_msg("%s: \"%s\" does not say what to do", what, error.text);
}

static void bad_ones(void **state)
{
    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(bads); n++) {
        const struct bad *bad = &bads[n];
        struct fake_wim wim;
        int result;

        fake_wim_make(&wim, bad->xml ? bad->xml : FAKE_WIM_XML(FAKE_WIM_PRO("1")), false, false);
        for (unsigned at = 0; at < ARRAY_SIZE(bad->patches); at++)
            for (unsigned byte = 0; byte < bad->patches[at].size; byte++)
                wim.bytes[bad->patches[at].offset + byte] = (uint8_t)(bad->patches[at].value >> (8 * byte));
        if (bad->length) {
            wim.length = bad->length;
            wim.bytes = realloc(wim.bytes, wim.length); /* so that the sanitizer sees what lies behind */
        }
        result = identify(&wim);
        fake_wim_free(&wim);
        assert_refused(bad->what, result, bad->result, bad->says);
    }
}

/* So many images, INDEX from 1; the description is to be freed. */
static char *many_images(unsigned count)
{
    char *xml = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&xml, &size);

    assert_non_null(out);
    fputs("<WIM>", out);
    for (unsigned n = 1; n <= count; n++)
        fprintf(out, "<IMAGE INDEX=\"%u\"><NAME>%u</NAME></IMAGE>", n, n);
    fputs("</WIM>", out);
    fclose(out);
    return xml;
}

static void as_many_images_as_there_is_room_for(void **state)
{
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        char *xml = many_images(MEDIUM_IMAGES + more);
        struct fake_wim wim;
        int result;

        fake_wim_make(&wim, xml, false, false);
        result = identify(&wim);
        if (more)
            assert_refused("too many", result, -EFBIG, "more than 64 images");
        else
            assert_int_equal(result, 0);
        assert_int_equal(medium.image_count, MEDIUM_IMAGES);
        assert_string_equal(medium.images[MEDIUM_IMAGES - 1].name, "64");
        fake_wim_free(&wim);
        free(xml);
    }
}

/* Pieces are read of 64 KiB: a pair of surrogates lies across their border, and names in all places. */
static void long_descriptions(void **state)
{
    enum { WINDOWS = 40000 };
    char *xml = malloc(WINDOWS * 4 + 200), *at;
    struct fake_wim wim;

    (void)state;
    assert_non_null(xml);
    for (unsigned shift = 0; shift < 2; shift++) {
        at = xml + sprintf(xml, "<WIM><IMAGE INDEX=\"1\"><NAME>n</NAME><X>%s", shift ? "x" : "");
        for (unsigned n = 0; n < WINDOWS; n++)
            at = stpcpy(at, "\xF0\x9F\xAA\x9F");
        stpcpy(at, "</X><DESCRIPTION>behind</DESCRIPTION></IMAGE></WIM>");
        fake_wim_make(&wim, xml, false, false);
        if (identify(&wim) < 0)
            fail_msg("%s", error.text);
        assert_string_equal(medium.images[0].description, "behind");
        /* The lead alone at the border, then a trail alone. */
        put_le16(wim.bytes + FAKE_WIM_HEADER + 65536, 'x');
        assert_refused("broken pair", identify(&wim), -EILSEQ, "not UTF-16");
        fake_wim_free(&wim);
    }
    free(xml);
}

static void half_a_pair_at_the_end(void **state)
{
    static const uint8_t xml[] = {'<', 0, 'W', 0, 'I', 0, 'M', 0, '/', 0, '>', 0, 0x3E, 0xD8};
    struct fake_wim wim;

    (void)state;
    fake_wim_make_raw(&wim, xml, sizeof xml, false);
    assert_refused("half a pair", identify(&wim), -EILSEQ, "not UTF-16");
    fake_wim_free(&wim);
    fake_wim_make_raw(&wim, xml, sizeof xml - 2, false);
    assert_refused("the same without it", identify(&wim), -EILSEQ, "describes no image");
    fake_wim_free(&wim);
}

/* A source without end: of a description that is too long nothing is read, of one that is as long as may be all. */
static int read_endless(void *opaque, void *to, size_t length, uint64_t offset)
{
    const struct fake_wim *wim = opaque;

    memset(to, 0, length);
    for (size_t n = 0; n + 1 < length; n += 2)
        ((uint8_t *)to)[n] = ' ';
    if (offset == 0)
        memcpy(to, wim->bytes, MIN(length, wim->length));
    return 0;
}

static void the_length_of_a_description_has_a_limit(void **state)
{
    struct fake_wim wim;
    struct medium_source source;

    (void)state;
    fake_wim_make(&wim, "  ", false, false);
    source = (struct medium_source){read_endless, &wim, UINT64_C(6) << 40, "test.iso: sources/install.wim"};
    put_le64(wim.bytes + 0x48, 4 * MiB + 2);
    put_le64(wim.bytes + 0x58, 4 * MiB + 2);
    assert_refused("too long", medium_read_wim(&source, &medium, &error), -EFBIG, "4194306 bytes");
    put_le64(wim.bytes + 0x48, 4 * MiB);
    put_le64(wim.bytes + 0x58, 4 * MiB);
    put_le64(wim.bytes + 0x50, UINT64_C(5) << 40);
    assert_refused("just not", medium_read_wim(&source, &medium, &error), -EILSEQ, "no element found");
    fake_wim_free(&wim);
}

static int read_failing(void *opaque, void *to, size_t length, uint64_t offset)
{
    (void)to;
    (void)length;
    (void)offset;
    return *(int *)opaque;
}

static void what_reading_says_is_passed_on(void **state)
{
    int result = -EIO;
    const struct medium_source source = {read_failing, &result, 4096, "test.iso"};

    (void)state;
    assert_int_equal(medium_read_wim(&source, &medium, &error), -EIO);
    assert_string_equal(error.text, "test.iso: cannot be read at byte 0: Input/output error; copy it to another disk");
    result = -EILSEQ;
    assert_int_equal(medium_read_wim(&source, &medium, &error), -EILSEQ);
    assert_non_null(strstr(error.text, "file system is damaged"));
    assert_int_equal(medium_read_wim(&source, &medium, NULL), -EILSEQ);
}

static bool is_utf8(const char *text, size_t size)
{
    json_t *string = memchr(text, 0, size) ? json_string(text) : NULL;

    json_decref(string);
    return string;
}

static void damaged_at_random(void **state)
{
    struct fake_wim good, wim;
    unsigned accepted = 0, refused = 0;

    (void)state;
    fake_wim_make(&good, goods[3].xml, false, true);
    srandom(20250901);
    for (unsigned n = 0; n < 5000; n++) {
        unsigned flips = 1 + (unsigned)random() % 3;

        wim = (struct fake_wim){malloc(good.length), good.length};
        memcpy(wim.bytes, good.bytes, good.length);
        for (unsigned flip = 0; flip < flips; flip++)
            wim.bytes[(size_t)random() % (random() % 2 ? FAKE_WIM_HEADER : wim.length)] ^=
                (uint8_t)(1U << random() % 8);
        if (identify(&wim) == 0) {
            accepted++;
            assert_in_range(medium.image_count, 1, 4);
            for (unsigned image = 0; image < medium.image_count; image++)
                assert_true(is_utf8(medium.images[image].name, sizeof medium.images[image].name) &&
                            is_utf8(medium.images[image].edition, sizeof medium.images[image].edition));
        } else {
            refused++;
            assert_refused("damaged", error.text[0] ? -EILSEQ : 0, -EILSEQ, "");
        }
        fake_wim_free(&wim);
    }
    assert_true(accepted > 500 && refused > 500);
    fake_wim_free(&good);
}

static void texts_that_are_no_utf8(void **state)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"", ""},
        {"  a  b ", "a  b"},
        {"\xC0\x80", "??"}, /* longer than it need be */
        {"\xE0\x80\x80", "???"},
        {"\xF0\x80\x80\x80", "????"},
        {"\xED\xA0\x80", "???"},      /* a surrogate */
        {"\xF4\x90\x80\x80", "????"}, /* behind U+10FFFF */
        {"\xF8\x88\x80\x80\x80", "?????"},
        {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
        {"a\x80"
         "b\xC3",
         "a?b?"}, /* a continuation alone, a lead alone */
        {"\xC3\xA9\xE7\xAA\x93", "\xC3\xA9\xE7\xAA\x93"},
        {"\x1B[2J\r\nx\xC2\x85", "[2J  x"},
    };
    char text[64];

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        utf8_copy_line(text, sizeof text, cases[n].from, strlen(cases[n].from));
        assert_string_equal(text, cases[n].to);
    }
    utf8_copy_line(text, 4, "ab\xC3\xA9", 4);
    assert_string_equal(text, "ab");
    utf8_copy_line(text, 5, "ab\xC3\xA9", 4);
    assert_string_equal(text, "ab\xC3\xA9");
    utf8_copy_line(text, 1, "ab", 2);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),
        cmocka_unit_test(bad_ones),
        cmocka_unit_test(as_many_images_as_there_is_room_for),
        cmocka_unit_test(long_descriptions),
        cmocka_unit_test(half_a_pair_at_the_end),
        cmocka_unit_test(the_length_of_a_description_has_a_limit),
        cmocka_unit_test(what_reading_says_is_passed_on),
        cmocka_unit_test(damaged_at_random),
        cmocka_unit_test(texts_that_are_no_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
