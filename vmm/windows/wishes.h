/*
 * What the user wishes (struct config_windows), made whole: secrets read from their files, what follows from one option
 * for the machine, and everything checked that can be checked without a medium.
 */
#ifndef CASEMENT_WINDOWS_WISHES_H
#define CASEMENT_WINDOWS_WISHES_H

#include "../config.h"
#include "source.h"

/*
 * Between options_parse() and config_complete(). Sets the card, the typing layout and a forward to RDP where the user
 * has not; finds what --version means. What Setup alone is told (secrets, names, files) is read and checked where the
 * state folder has no Windows yet. Creates and changes nothing. 0, or -errno with a text that names the option.
 */
int wishes_complete(struct config *config, struct source *source, struct error *error);

#endif
