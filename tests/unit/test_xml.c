/* The XML writer: what an independent parser makes of what it wrote, and what it refuses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/utf8.h"
#include "cmocka_all.h"
#include "fake_xml.h"

#include "../../vmm/xml.h"

static struct error error;

/* A document with the text as an element's and as an attribute's; NULL when the writer refuses it. */
static struct fake_xml *through_a_parser(const char *text)
{
    struct xml *xml = xml_create();
    struct fake_xml *tree;
    size_t size = 0;
    char *document;

    assert_non_null(xml);
    xml_open(xml, "root");
    xml_open(xml, "outer");
    xml_attribute(xml, "value", text);
    xml_element(xml, "inner", text);
    xml_close(xml);
    xml_close(xml);
    document = xml_finish(xml, &size, &error);
    if (!document)
        return NULL;
    assert_int_equal(strlen(document), size);
    tree = fake_xml_parse(document, size);
    if (!tree)
        fail_msg("no XML: %s", document);
    free(document);
    return tree;
}

static void texts_come_out_as_they_went_in(void **state)
{
    static const char *const texts[] = {"",
                                        "plain",
                                        " spaces at both ends ",
                                        "<a b=\"c\">&amp;'</a>",
                                        "]]>",
                                        "<!-- -->",
                                        "&#0;&lt;",
                                        "tab\tand\nnew line\rand both\r\n",
                                        "äöü \xE2\x82\xAC \xF0\x9F\x98\x80 \xEF\xBF\xBD",
                                        "<?xml version=\"1.0\"?>"};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
        struct fake_xml *tree = through_a_parser(texts[n]);

        assert_non_null(tree);
        assert_string_equal(fake_xml_text(tree, "outer/inner"), texts[n]);
        assert_string_equal(fake_xml_attribute(fake_xml_find(tree, "outer"), "value"), texts[n]);
        fake_xml_destroy(tree);
    }
}

static void what_xml_cannot_hold_is_refused(void **state)
{
    static const char *const texts[] = {"\x01",
                                        "a\x1F",
                                        "\x0B",
                                        "\xFF",
                                        "\xC3",
                                        "\xC3(",
                                        "\xC0\x80",
                                        "\xED\xA0\x80",
                                        "\xF4\x90\x80\x80",
                                        "\xEF\xBF\xBE",
                                        "\xE2\x82",
                                        "\xF0\x9F\x98",
                                        "\x80",
                                        "\xF8\x88\x80\x80\x80"};

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
        error.text[0] = 0;
        assert_null(through_a_parser(texts[n]));
        assert_non_null(strstr(error.text, "outer"));
    }
}

static void every_character_of_unicode(void **state)
{
    char text[8];

    (void)state;
    for (uint32_t code = 1; code <= 0x10FFFF; code += code < 0x300 ? 1 : 251) {
        const char *at = text;
        size_t length = 0;

        if (code >= 0xD800 && code <= 0xDFFF)
            continue;
        if (code < 0x80) {
            text[length++] = (char)code;
        } else {
            unsigned more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;

            text[length++] = (char)(0xFF00 >> (more + 1) | code >> (6 * more));
            while (more--)
                text[length++] = (char)(0x80 | (code >> (6 * more) & 0x3F));
        }
        text[length] = 0;
        assert_int_equal(utf8_next(&at), code);
        assert_ptr_equal(at, text + length);
        assert_int_equal(utf8_next(&at), 0);
        assert_ptr_equal(at, text + length);
    }
}

static void after_a_bad_byte_the_next_is_looked_at(void **state)
{
    const char *at = "\xE2\x82"
                     "A\xFF"
                     "B";

    (void)state;
    assert_int_equal(utf8_next(&at), UTF8_BAD);
    assert_int_equal(utf8_next(&at), UTF8_BAD);
    assert_int_equal(utf8_next(&at), 'A');
    assert_int_equal(utf8_next(&at), UTF8_BAD);
    assert_int_equal(utf8_next(&at), 'B');
    assert_int_equal(utf8_next(&at), 0);
}

static void large_documents_grow(void **state)
{
    struct xml *xml = xml_create();
    struct fake_xml *tree;
    char *long_text = calloc(1, 100001), *document;
    size_t size;

    (void)state;
    memset(long_text, '<', 100000);
    xml_open(xml, "root");
    for (unsigned n = 0; n < 50; n++)
        xml_number(xml, "n", n);
    xml_element(xml, "long", long_text);
    xml_close(xml);
    document = xml_finish(xml, &size, &error);
    assert_non_null(document);
    tree = fake_xml_parse(document, size);
    assert_non_null(tree);
    assert_string_equal(fake_xml_text(tree, "n[50]"), "49");
    assert_string_equal(fake_xml_text(tree, "long"), long_text);
    fake_xml_destroy(tree);
    free(document);
    free(long_text);
}

static void mistakes_of_the_caller_are_told(void **state)
{
    struct xml *xml = xml_create();

    (void)state;
    xml_open(xml, "root");
    assert_null(xml_finish(xml, NULL, &error));
    xml = xml_create();
    xml_open(xml, "root");
    xml_close(xml);
    xml_close(xml);
    assert_null(xml_finish(xml, NULL, &error));
    xml = xml_create();
    xml_open(xml, "root");
    xml_text(xml, "text");
    xml_attribute(xml, "late", "value");
    xml_close(xml);
    assert_null(xml_finish(xml, NULL, &error));
    xml = xml_create();
    for (unsigned n = 0; n < 100; n++)
        xml_open(xml, "deep");
    for (unsigned n = 0; n < 100; n++)
        xml_close(xml);
    assert_null(xml_finish(xml, NULL, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_out_as_they_went_in), cmocka_unit_test(what_xml_cannot_hold_is_refused),
        cmocka_unit_test(every_character_of_unicode),     cmocka_unit_test(after_a_bad_byte_the_next_is_looked_at),
        cmocka_unit_test(large_documents_grow),           cmocka_unit_test(mistakes_of_the_caller_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
