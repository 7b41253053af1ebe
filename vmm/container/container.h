/* `casement container`: the program as the entry point of a container that takes the place of dockurr/windows. */
#ifndef CASEMENT_CONTAINER_CONTAINER_H
#define CASEMENT_CONTAINER_CONTAINER_H

/*
 * The environment (environment.h), then the arguments, which are options of `casement windows`: what they say comes
 * first. The log goes to standard output. Returns the exit status; what went wrong has been said.
 */
int container_main(int count, char **arguments);

#endif
