/* Autounattend.xml: its frame, what its parts share, and the wishes with their defaults (see answers.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "answers_private.h"

static const char *tag_of(const char *text, const char *fallback)
{
    const struct locale *locale = text ? locale_find(text) : NULL;

    return locale ? locale->tag : fallback;
}

void answers_plan(struct answer_plan *plan, const struct answers *answers, const struct medium_image *image)
{
    const struct locale *region, *keyboard;

    *plan = (struct answer_plan){.answers = answers, .image = image, .server = medium_image_is_server(image)};
    plan->windows11 = !plan->server && image->build >= BUILD_WINDOWS_11;
    plan->hyperv = answers_is_hyperv_server(image);
    plan->user = answers->user ? answers->user : "Docker";
    plan->password = answers->password ? answers->password : "admin";
    /* A medium in a language that the table does not have: Windows knows it. */
    plan->language = tag_of(answers->language, image->language[0] ? image->language : "en-US");
    plan->region = tag_of(answers->region, plan->language);
    region = locale_find(plan->region);
    plan->system_locale = region && region->flags & LOCALE_UNICODE ? plan->language : plan->region;
    if (answers->time_zone)
        answers_time_zone(answers->time_zone, plan->time_zone);
    keyboard = answers->keyboard ? locale_find(answers->keyboard) : region;
    if (keyboard)
        locale_keyboard(keyboard, plan->keyboard);
    else
        snprintf(plan->keyboard, sizeof plan->keyboard, "%s", answers->keyboard ? answers->keyboard : plan->region);
}

void answers_component_of(struct xml *xml, const char *name, const char *architecture)
{
    xml_open(xml, "component");
    xml_attribute(xml, "name", name);
    xml_attribute(xml, "processorArchitecture", architecture);
    xml_attribute(xml, "publicKeyToken", "31bf3856ad364e35");
    xml_attribute(xml, "language", "neutral");
    xml_attribute(xml, "versionScope", "nonSxS");
}

void answers_component(struct xml *xml, const char *name)
{
    answers_component_of(xml, name, "amd64");
}

void answers_setting(struct xml *xml, const char *component, const char *name, const char *value)
{
    answers_component(xml, component);
    xml_element(xml, name, value);
    xml_close(xml);
}

void answers_item(struct xml *xml, const char *name)
{
    xml_open(xml, name);
    xml_attribute(xml, "wcm:action", "add");
}

void answers_run(struct xml *xml, unsigned *order, const char *command)
{
    answers_item(xml, "RunSynchronousCommand");
    xml_number(xml, "Order", ++*order);
    xml_element(xml, "Path", command);
    xml_close(xml);
}

void answers_run_registry(struct xml *xml, unsigned *order, const char *key, const char *name, unsigned value)
{
    char command[260]; /* Windows' limit of a Path */

    snprintf(command, sizeof command, "reg.exe add \"%s\" /v %s /t REG_DWORD /d %u /f", key, name, value);
    answers_run(xml, order, command);
}

void answers_locales(struct xml *xml, const struct answer_plan *plan)
{
    xml_element(xml, "InputLocale", plan->keyboard);
    xml_element(xml, "SystemLocale", plan->system_locale);
    xml_element(xml, "UILanguage", plan->language);
    /* The language that the medium surely has, for what its own translation leaves out. */
    if (plan->server)
        xml_element(xml, "UILanguageFallback", plan->language);
    xml_element(xml, "UserLocale", plan->region);
}

void answers_international(struct xml *xml, const struct answer_plan *plan)
{
    answers_component(xml, "Microsoft-Windows-International-Core");
    answers_locales(xml, plan);
    xml_close(xml);
}

static void write_all(struct xml *xml, const struct answer_plan *plan)
{
    xml_open(xml, "unattend");
    xml_attribute(xml, "xmlns", "urn:schemas-microsoft-com:unattend");
    xml_attribute(xml, "xmlns:wcm", "http://schemas.microsoft.com/WMIConfig/2002/State");
    answers_windows_pe(xml, plan);
    if (!plan->answers->manual) {
        answers_offline(xml);
        answers_specialize(xml, plan);
        answers_oobe(xml, plan);
    }
    xml_close(xml);
}

char *answers_xml(const struct answers *answers, const struct medium_image *image, size_t *size, struct error *error)
{
    struct answer_plan plan;
    struct xml *xml;

    if (answers_check(answers, error) < 0 || answers_check_image(answers, image, error) < 0)
        return NULL;
    xml = xml_create();
    if (!xml) {
        error_set(error, ENOMEM, "answer file: out of memory");
        return NULL;
    }
    answers_plan(&plan, answers, image);
    write_all(xml, &plan);
    return xml_finish(xml, size, error);
}
