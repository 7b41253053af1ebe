/* `casement windows` without a tool's name: from a wish to a running Windows, which it installs itself. */
#ifndef CASEMENT_WINDOWS_INSTALL_H
#define CASEMENT_WINDOWS_INSTALL_H

/* arguments[0 .. count) are options (options.h). Returns the exit status; what went wrong has been said. */
int install_main(int count, char **arguments);
/* What it would use, for `casement windows config`. */
int install_config(int count, char **arguments);

#endif
