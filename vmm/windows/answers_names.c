/*
 * Names that Windows has for itself: of accounts and groups, in every language whose media have them under another name
 * than the English one, and of devices, which no folder of a user's can be called.
 */
#include <string.h>
#include <strings.h>

#include "answers_private.h"
#include "casement/bytes.h"
#include "casement/utf8.h"

/* clang-format off */
static const char *const reserved[] = {
    /* The built-in administrator. */
    "Administrator", "Administrateur", "Administrador", "Administratör", "Järjestelmänvalvoja", "Rendszergazda",
    "Администратор",
    /* The guest. */
    "Guest", "Gast", "Gäst", "Gæst", "Gjest", "Vieras", "Invité", "Invitado", "Convidado", "Gość", "Vendég", "Гость",
    /* Accounts of the system's own. */
    "DefaultAccount", "WDAGUtilityAccount", "defaultuser0", "SYSTEM", "LOCAL SERVICE", "NETWORK SERVICE",
    "LocalSystem",
    /* Everybody. */
    "Everyone", "Jeder", "Iedereen", "Tout le monde", "Todos", "Все",
    /* Local groups: administrators, users, guests, and those of some tasks. */
    "Administrators", "Administratoren", "Administrateurs", "Administradores", "Administratorer", "Administratörer",
    "Administratorzy", "Järjestelmänvalvojat", "Rendszergazdák", "Администраторы",
    "Users", "Benutzer", "Utilisateurs", "Usuarios", "Usuários", "Utilizadores", "Gebruikers", "Brugere", "Brukere",
    "Användare", "Käyttäjät", "Użytkownicy", "Felhasználók", "Пользователи",
    "Guests", "Gäste", "Gasten", "Gäster", "Gæster", "Gjester", "Vieraat", "Invités", "Invitados", "Convidados",
    "Goście", "Vendégek", "Гости",
    "Power Users", "Hauptbenutzer", "Backup Operators", "Print Operators", "Server Operators", "Account Operators",
    "Replicator", "Remote Desktop Users", "Event Log Readers", "Device Owners", "OpenSSH Users", "IIS_IUSRS",
    /* Folders beside those of users, and the word for nobody. */
    "Default", "Public", "All Users", "None",
};
/* clang-format on */

/* CON, COM1, ... */
static bool is_device(const char *name)
{
    static const char *const devices[] = {"CON", "PRN", "AUX", "NUL"};

    for (size_t n = 0; n < ARRAY_SIZE(devices); n++)
        if (!strcasecmp(name, devices[n]))
            return true;
    return (!strncasecmp(name, "COM", 3) || !strncasecmp(name, "LPT", 3)) && name[3] >= '1' && name[3] <= '9' &&
           !name[4];
}

bool answers_is_reserved(const char *user)
{
    for (size_t n = 0; n < ARRAY_SIZE(reserved); n++)
        if (utf8_same_letters(user, reserved[n]))
            return true;
    return is_device(user);
}
