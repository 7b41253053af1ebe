/* What an image takes of the wishes, what is said where it lacks something, and whose key Setup gets. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/log.h"
#include "cmocka_all.h"
#include "fake_answers.h"

#define JOIN .domain = "example.com", .domain_user = "me", .domain_password = "needle"

static struct error error;

static struct medium_image image_of(unsigned build, const char *edition, const char *type)
{
    const struct fake_target target = {.build = build, .edition = edition, .type = type};
    struct medium_image image;

    fake_answers_image(&target, "en-US", &image);
    image.evaluation = medium_image_says_evaluation(&image);
    return image;
}

static const struct {
    struct answers answers;
    unsigned build;
    const char *edition, *type;
    const char *option, *says; /* NULL: is taken */
} rows[] = {
    {{.key = FAKE_KEY}, 26200, "Professional", "Client", NULL, NULL},
    {{.key = FAKE_KEY}, 26200, "Core", "Client", NULL, NULL},
    {{.key = FAKE_KEY}, 26100, "NobodyKnowsIt", "Client", NULL, NULL},
    {{.key = FAKE_KEY}, 26200, "EnterpriseEval", "Client", "--key:", "EnterpriseEval is an evaluation"},
    {{.key = FAKE_KEY}, 20348, "ServerStandardEval", "Server", "--key:", "leave --key out"},
    {{.key = FAKE_KEY}, 17763, "ServerHyperCore", "Server Core", "--key:", "Hyper-V Server"},
    {{0}, 26200, "EnterpriseEval", "Client", NULL, NULL},
    {{0}, 17763, "ServerHyperCore", "Server Core", NULL, NULL},
    {{JOIN}, 26200, "Professional", "Client", NULL, NULL},
    {{JOIN}, 26100, "ServerStandardCore", "Server Core", NULL, NULL},
    {{JOIN}, 26100, "ServerStandardCor", "Server", NULL, NULL},
    {{JOIN}, 26200, "Core", "Client", "--domain example.com:", "Core is Windows Home"},
    {{JOIN}, 26200, "CoreN", "Client", "--domain", "--edition pro"},
    {{JOIN}, 26200, "CoreSingleLanguage", "Client", "--domain", "joins no domain"},
    {{JOIN}, 26200, "corecountryspecific", "Client", "--domain", "joins no domain"},
    {{.workgroup = "HOME"}, 26200, "Core", "Client", NULL, NULL},
    {{.manual = true, .key = FAKE_KEY}, 26200, "EnterpriseEval", "Client", NULL, NULL},
    {{.manual = true, JOIN}, 26200, "Core", "Client", NULL, NULL},
};

static void what_an_image_does_not_take(void **state)
{
    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
        const struct medium_image image = image_of(rows[n].build, rows[n].edition, rows[n].type);
        size_t size;
        char *document, *script;

        error.text[0] = 0;
        assert_int_equal(answers_check_image(&rows[n].answers, &image, &error), rows[n].option ? -EINVAL : 0);
        if (rows[n].option &&
            (strncmp(error.text, rows[n].option, strlen(rows[n].option)) != 0 || !strstr(error.text, rows[n].says)))
            fail_msg("row %zu: \"%s\" does not say \"%s\" and \"%s\"", n, error.text, rows[n].option, rows[n].says);
        assert_null(strstr(error.text, FAKE_KEY));
        assert_null(strstr(error.text, "needle"));
        document = answers_xml(&rows[n].answers, &image, &size, &error);
        script = answers_script(&rows[n].answers, &image, &size, &error);
        assert_int_equal(document != NULL, !rows[n].option);
        assert_int_equal(script != NULL, !rows[n].option);
        free(document);
        free(script);
    }
}

/* The lines of the log that the wishes for that image lead to. */
static void warned(const struct answers *answers, const struct medium_image *image, char text[1024])
{
    int output = memfd_create("log", MFD_CLOEXEC);
    ssize_t length;

    assert_true(output >= 0);
    log_set_output(output);
    answers_warn(answers, image);
    log_set_output(STDERR_FILENO);
    length = pread(output, text, 1023, 0);
    assert_true(length >= 0);
    text[length] = 0;
    close(output);
}

static void what_will_be_missing_is_said(void **state)
{
    static const struct {
        struct answers answers;
        unsigned build;
        const char *edition, *type, *says; /* NULL: nothing */
    } images[] = {
        {{0}, 26200, "Professional", "Client", NULL},
        {{0}, 26200, "EnterpriseEval", "Client", NULL},
        {{0}, 17763, "ServerHyperCore", "Server Core", NULL},
        {{0}, 26100, "ServerStandard", "Server", NULL},
        {{0}, 26100, "NobodyKnowsIt", "Client", "--key: no key is known that tells Setup to install NobodyKnowsIt"},
        {{.key = FAKE_KEY}, 26100, "NobodyKnowsIt", "Client", NULL},
        {{0}, 17763, "IoTEnterpriseS", "Client", "IoTEnterpriseS, build 17763"},
        {{0}, 26200, "Core", "Client", "--edition: Core is Windows Home"},
        {{0}, 26200, "CoreSingleLanguage", "Client", "use the viewer"},
    };

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(images); n++) {
        const struct medium_image image = image_of(images[n].build, images[n].edition, images[n].type);
        char text[1024];

        warned(&images[n].answers, &image, text);
        if (!images[n].says) {
            assert_string_equal(text, "");
            continue;
        }
        if (!strstr(text, "warning: ") || !strstr(text, images[n].says))
            fail_msg("row %zu: \"%s\" does not say \"%s\"", n, text, images[n].says);
        assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    }
}

static void the_users_key_reaches_setup_in_capitals(void **state)
{
    const struct medium_image image = image_of(26100, "NobodyKnowsIt", "Client");
    size_t size;
    char *document = answers_xml(&(struct answers){.key = "bcdfg-hjkmp-qrtvw-xy234-6789n"}, &image, &size, &error);

    (void)state;
    assert_non_null(document);
    assert_non_null(strstr(document, "<Key>" FAKE_KEY "</Key>"));
    free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_image_does_not_take),
        cmocka_unit_test(what_will_be_missing_is_said),
        cmocka_unit_test(the_users_key_reaches_setup_in_capitals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
