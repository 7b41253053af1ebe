/* The answer file's pass that would greet the user: oobeSystem. Accounts, the first logon, the screen. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "answers_private.h"
#include "casement/bytes.h"
#include "casement/utf8.h"

/* What answers_check() allows, and the longest element's name behind it. */
#define PASSWORD_UNITS (127 + sizeof "AdministratorPassword")
#define PASSWORD_BASE64 ((PASSWORD_UNITS * 2 + 2) / 3 * 4 + 1)

static size_t put_utf16(uint8_t *units, size_t count, const char *text)
{
    for (uint32_t code = utf8_next(&text); code && count + 2 <= PASSWORD_UNITS; code = utf8_next(&text)) {
        if (code > 0xFFFF) {
            put_le16(units + 2 * count++, (uint16_t)(0xD800 + ((code - 0x10000) >> 10)));
            code = 0xDC00 + (code & 0x3FF);
        }
        put_le16(units + 2 * count++, (uint16_t)code);
    }
    return count;
}

/* Windows' way to keep passwords from being read over a shoulder: base64 of UTF-16 of the password and its element. */
static void password(struct xml *xml, const char *element, const char *secret)
{
    uint8_t units[2 * PASSWORD_UNITS];
    char text[PASSWORD_BASE64];
    size_t count = put_utf16(units, 0, secret);

    count = put_utf16(units, count, element);
    EVP_EncodeBlock((unsigned char *)text, units, (int)(2 * count));
    xml_open(xml, element);
    xml_element(xml, "Value", text);
    xml_element(xml, "PlainText", "false");
    xml_close(xml);
    OPENSSL_cleanse(units, sizeof units);
    OPENSSL_cleanse(text, sizeof text);
}

static void accounts(struct xml *xml, const struct answer_plan *plan)
{
    xml_open(xml, "UserAccounts");
    password(xml, "AdministratorPassword", plan->password);
    xml_open(xml, "LocalAccounts");
    answers_item(xml, "LocalAccount");
    xml_element(xml, "Name", plan->user);
    xml_element(xml, "Group", "Administrators");
    password(xml, "Password", plan->password);
    xml_close(xml);
    xml_close(xml);
    xml_close(xml);
    if (plan->answers->no_autologon)
        return;
    xml_open(xml, "AutoLogon");
    xml_element(xml, "Enabled", "true");
    xml_element(xml, "LogonCount", "65432");
    xml_element(xml, "Username", plan->user);
    /* This machine's own accounts; without it a member looks for the user in its domain. */
    if (plan->answers->domain)
        xml_element(xml, "Domain", ".");
    password(xml, "Password", plan->password);
    xml_close(xml);
}

static void display(struct xml *xml, const struct answers *answers)
{
    xml_open(xml, "Display");
    xml_element(xml, "ColorDepth", "32");
    xml_number(xml, "HorizontalResolution", answers->width ? answers->width : 1280);
    xml_number(xml, "VerticalResolution", answers->height ? answers->height : 720);
    xml_close(xml);
}

static void pages(struct xml *xml)
{
    static const char *const hidden[] = {"HideEULAPage", "HideLocalAccountScreen", "HideOEMRegistrationScreen",
                                         "HideOnlineAccountScreens", "HideWirelessSetupInOOBE"};

    xml_open(xml, "OOBE");
    for (unsigned n = 0; n < ARRAY_SIZE(hidden); n++)
        xml_element(xml, hidden[n], "true");
    xml_element(xml, "NetworkLocation", "Home");
    xml_element(xml, "ProtectYourPC", "3");
    xml_element(xml, "SkipMachineOOBE", "true");
    xml_element(xml, "SkipUserOOBE", "true");
    xml_close(xml);
}

static void first_logon(struct xml *xml)
{
    xml_open(xml, "FirstLogonCommands");
    answers_item(xml, "SynchronousCommand");
    xml_element(xml, "Order", "1");
    xml_element(xml, "CommandLine", "cmd.exe /d /c C:\\Windows\\Setup\\Scripts\\SetupComplete.cmd logon");
    xml_element(xml, "Description", "Settings of the user");
    xml_close(xml);
    xml_close(xml);
}

void answers_oobe(struct xml *xml, const struct answer_plan *plan)
{
    xml_open(xml, "settings");
    xml_attribute(xml, "pass", "oobeSystem");
    answers_international(xml, plan);
    /* A disk that encrypts itself is lost with the TPM's state. */
    answers_setting(xml, "Microsoft-Windows-SecureStartup-FilterDriver", "PreventDeviceEncryption", "true");
    answers_setting(xml, "Microsoft-Windows-EnhancedStorage-Adm", "TCGSecurityActivationDisabled", "1");
    answers_component(xml, "Microsoft-Windows-Shell-Setup");
    accounts(xml, plan);
    display(xml, plan->answers);
    pages(xml);
    first_logon(xml);
    xml_close(xml);
    xml_close(xml);
}
