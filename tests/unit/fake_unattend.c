/* See fake_unattend.h. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "casement/bytes.h"
#include "casement/utf8.h"
#include "cmocka_all.h"
#include "fake_unattend.h"

static struct error error;

void fake_unattend_open(struct fake_unattend *use, const struct fake_target *target, const char *language,
                        const struct answers *answers)
{
    *use = (struct fake_unattend){.answers = *answers};
    fake_answers_image(target, language, &use->image);
    use->document = answers_xml(&use->answers, &use->image, &use->size, &error);
    use->tree = use->document ? fake_xml_parse(use->document, use->size) : NULL;
    if (!use->tree)
        fail_msg("%s", use->document ? use->document : error.text);
    else
        assert_int_equal(use->size, strlen(use->document));
}

void fake_unattend_close(struct fake_unattend *use)
{
    fake_xml_destroy(use->tree);
    free(use->document);
}

const struct fake_xml *fake_unattend_pass(const struct fake_unattend *use, const char *name)
{
    for (unsigned n = 0; n < use->tree->child_count; n++)
        if (!strcmp(fake_xml_attribute(use->tree->children[n], "pass"), name))
            return use->tree->children[n];
    fail_msg("no pass %s", name);
    return NULL;
}

const struct fake_xml *fake_unattend_component(const struct fake_unattend *use, const char *pass, const char *name)
{
    const struct fake_xml *settings = fake_unattend_pass(use, pass);

    for (unsigned n = 0; n < settings->child_count; n++)
        if (!strcmp(fake_xml_attribute(settings->children[n], "name"), name))
            return settings->children[n];
    return NULL;
}

void fake_unattend_text(const struct fake_xml *element, const char *path, const char *expected)
{
    const struct fake_xml *found = element ? fake_xml_find(element, path) : NULL;

    if (!found || strcmp(found->text, expected) != 0)
        fail_msg("%s is \"%s\" and not \"%s\"", path, found ? found->text : "(absent)", expected);
}

void fake_unattend_setting(const struct fake_unattend *use, const char *pass, const char *name, const char *path,
                           const char *expected)
{
    const struct fake_xml *found = fake_unattend_component(use, pass, name);

    if (!found)
        fail_msg("%s: no %s", pass, name);
    fake_unattend_text(found, path, expected);
}

/* Lists are counted from 1 and say that they add; nothing else is there twice. */
static void check_siblings(const struct fake_xml *element)
{
    unsigned order = 0;

    for (unsigned n = 0; n < element->child_count; n++) {
        const struct fake_xml *child = element->children[n];
        const char *action = fake_xml_attribute(child, "wcm:action");

        if (action) {
            char expected[16];

            assert_string_equal(action, "add");
            snprintf(expected, sizeof expected, "%u", ++order);
            if (fake_xml_find(child, "Order"))
                fake_unattend_text(child, "Order", expected);
        } else if (strcmp(child->name, "component") != 0 && strcmp(child->name, "settings") != 0) {
            assert_int_equal(fake_xml_count(element, child->name), 1);
        }
        check_siblings(child);
    }
}

void fake_unattend_frame(const struct fake_unattend *use)
{
    static const char *const passes[] = {"windowsPE", "offlineServicing", "generalize", "specialize", "oobeSystem"};

    assert_true(!strncmp(use->document, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<unattend ", 48));
    assert_string_equal(use->tree->name, "unattend");
    assert_string_equal(fake_xml_attribute(use->tree, "xmlns"), "urn:schemas-microsoft-com:unattend");
    assert_string_equal(fake_xml_attribute(use->tree, "xmlns:wcm"),
                        "http://schemas.microsoft.com/WMIConfig/2002/State");
    assert_int_equal(use->tree->child_count, ARRAY_SIZE(passes));
    for (unsigned n = 0; n < ARRAY_SIZE(passes); n++) {
        const struct fake_xml *settings = use->tree->children[n];

        assert_string_equal(settings->name, "settings");
        assert_string_equal(fake_xml_attribute(settings, "pass"), passes[n]);
        for (unsigned c = 0; c < settings->child_count; c++) {
            const struct fake_xml *part = settings->children[c];
            const char *name = fake_xml_attribute(part, "name");
            const char *architecture = fake_xml_attribute(part, "processorArchitecture");

            assert_string_equal(part->name, "component");
            assert_string_equal(fake_xml_attribute(part, "publicKeyToken"), "31bf3856ad364e35");
            assert_string_equal(fake_xml_attribute(part, "language"), "neutral");
            assert_string_equal(fake_xml_attribute(part, "versionScope"), "nonSxS");
            if (strcmp(name, "Microsoft-Windows-IE-InternetExplorer") != 0)
                assert_string_equal(architecture, "amd64");
            for (unsigned other = 0; other < c; other++)
                assert_false(
                    !strcmp(fake_xml_attribute(settings->children[other], "name"), name) &&
                    !strcmp(fake_xml_attribute(settings->children[other], "processorArchitecture"), architecture));
        }
    }
    check_siblings(use->tree);
}

void fake_unattend_password(const struct fake_xml *element, const char *path, const char *expected)
{
    const struct fake_xml *found = fake_xml_find(element, path);
    const char *value, *name;
    uint8_t bytes[1024];
    char text[1024] = "";
    int length, padding;
    size_t at = 0;

    assert_non_null(found);
    fake_unattend_text(found, "PlainText", "false");
    value = fake_xml_text(found, "Value");
    name = found->name;
    padding = (int)strlen(value) - (int)strcspn(value, "=");
    length = EVP_DecodeBlock(bytes, (const uint8_t *)value, (int)strlen(value)) - padding;
    assert_true(length > 0 && length % 2 == 0);
    for (int n = 0; n < length; n += 2) {
        uint32_t unit = get_le16(bytes + n);

        if (unit >= 0xD800 && unit < 0xDC00 && n + 2 < length) {
            n += 2;
            unit = 0x10000 + ((unit - 0xD800) << 10) + (get_le16(bytes + n) - 0xDC00U);
        }
        at += utf8_put(text + at, unit);
    }
    assert_true(at >= strlen(name));
    assert_string_equal(text + at - strlen(name), name);
    text[at - strlen(name)] = 0;
    assert_string_equal(text, expected);
}
