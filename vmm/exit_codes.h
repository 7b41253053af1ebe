/* What `casement` returns. A restart policy can act on it; `casement config --reference` documents it from this table.
 */
#ifndef CASEMENT_EXIT_CODES_H
#define CASEMENT_EXIT_CODES_H

#define EXIT_CODES(X)                                                                                                  \
    X(POWERED_OFF, 0, "the guest powered itself off, or the operator stopped it with `casement ctl stop`")             \
    X(FAILED, 1, "the machine could not go on: KVM or the host failed")                                                \
    X(CONFIGURATION, 2, "an option, a file or a port is not usable; nothing was started")                              \
    X(NO_KVM, 3, "/dev/kvm is missing, refused, or runs no guests")                                                    \
    X(CRASHED, 4, "the guest crashed (triple fault) and --on-triple-fault stop was given")                             \
    X(STOPPED, 5, "the guest did not power off in time after a signal, or a second signal came, and was stopped hard") \
    X(IMAGE_DAMAGED, 6, "`casement image check` found errors in the image")                                            \
    X(IMAGE_LEAKS, 7, "`casement image check` found nothing but clusters that are lost and only cost space")

enum exit_code {
#define X(name, value, meaning) EXIT_CODE_##name = value,
    EXIT_CODES(X)
#undef X
};

#endif
