/* The commands of the program: casement run, check, ctl, health, image, windows, container, config, and --help and
 * --version. */
#ifndef CASEMENT_COMMANDS_H
#define CASEMENT_COMMANDS_H

#include <stdio.h>

/* What main() is: finds the command and runs it. Returns the exit status (exit_codes.h). */
int casement_main(int argc, char **argv);

/*
 * `casement check` (vmm/check.c): one line for each thing that the host offers ("ok") or lacks ("miss", with what to
 * do). EXIT_CODE_POWERED_OFF when a machine could run, else EXIT_CODE_NO_KVM.
 */
int check_main(FILE *out);

/*
 * `casement ctl` (vmm/ctl.c): arguments[0 .. count) are its options and then the command for the running machine. The
 * answer goes to out, what failed to standard error in one line. Returns the exit status.
 */
int ctl_main(int count, char **arguments, FILE *out);
void ctl_help(FILE *out);

/*
 * `casement health` (vmm/health.c): arguments[0 .. count) are options of ctl. One line about the machine to out, or why
 * it does not answer to standard error. Returns EXIT_CODE_POWERED_OFF, or else EXIT_CODE_FAILED: engines of containers
 * know two.
 */
int health_main(int count, char **arguments, FILE *out);

/*
 * `casement image` (vmm/image.c): arguments[0 .. count) are its command and what belongs to it. Returns the exit
 * status.
 */
int image_main(int count, char **arguments, FILE *out);

/*
 * `casement windows` (vmm/windows/command.c): as image_main().
 */
int windows_main(int count, char **arguments, FILE *out);

#endif
