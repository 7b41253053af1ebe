/*
 * One machine's configuration: filled from defaults, environment and command line by options.c, checked once, then
 * never changed. Plain data; strings are the config's own and live until config_free().
 */
#ifndef CASEMENT_CONFIG_H
#define CASEMENT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "casement/block.h"
#include "casement/error.h"
#include "casement/log.h"
#include "casement/net.h"
#include "viewer/access.h"
#include "windows/answers.h"

#define CONFIG_DISKS 16
#define CONFIG_FORWARDS 64
#define CONFIG_HOST_PORTS 64
#define CONFIG_CPUS_MAX 64
#define CONFIG_WEB_HOSTS 16

enum config_net { CONFIG_NET_USER, CONFIG_NET_NAT, CONFIG_NET_BRIDGE, CONFIG_NET_NONE };
enum config_card { CONFIG_CARD_VIRTIO, CONFIG_CARD_E1000E };
enum config_profile { CONFIG_PROFILE_INBOX, CONFIG_PROFILE_VIRTIO, CONFIG_PROFILE_SCSI, CONFIG_PROFILE_AHCI };
enum config_action { CONFIG_RESET, CONFIG_STOP };
enum config_full { CONFIG_FULL_PAUSE, CONFIG_FULL_REPORT };

/* What a disk is to the guest (vmm/disks.c). */
enum config_bus { CONFIG_BUS_VIRTIO, CONFIG_BUS_NVME, CONFIG_BUS_AHCI, CONFIG_BUS_USB, CONFIG_BUS_SCSI, CONFIG_BUSES };
extern const char *const config_bus_names[CONFIG_BUSES];

struct config_disk {
    char *path, *serial; /* serial may be NULL */
    enum config_bus bus;
    enum block_format format, backing_format;
    char *backing; /* what a qcow2 image lies on, read-only; NULL: nothing */
    bool format_given, cdrom;
    bool read_only;
    unsigned queues;
    enum block_engine engine;
    enum block_cache cache;
    struct block_limits limits;
    bool engine_given, queues_given;
};

/* Ports of this side that do not lead into the guest; one alone is first and last. */
struct config_ports {
    uint16_t first, last;
    bool udp;
};

/* What `casement windows` is asked for. */
struct config_windows {
    char *version;          /* a name of the catalogue, a URL, or the path of an ISO */
    struct answers answers; /* its strings are the config's own */
    char *password_file, *domain_password_file, *key_file;
    char *oem, *answer_file, *drivers; /* NULL: none */
    char *start_disc;                  /* started before all else, and nothing is installed then; NULL: none */
    enum config_profile profile;
    bool profile_given;                      /* by the user */
    char *system_disk;                       /* NULL: an image in the state folder */
    uint64_t disk_size;                      /* bytes */
    bool disk_size_given, disk_format_given; /* the user has said so: what differs is grown, or told */
    enum block_format disk_format;
    enum block_cache disk_cache;
    uint64_t connections;
    bool remove_medium;
};

struct config {
    struct config_windows windows; /* of `casement windows` */
    /* Machine */
    uint64_t cpus, memory; /* bytes */
    bool memory_shared, huge_pages, hyperv, nested, local_time;
    char *name;
    uint8_t uuid[16];
    bool uuid_given, uuid_known; /* known: given, or read from the state folder */
    /* Boot */
    char *firmware, *vars, *vars_template, *kernel, *initrd, *append;
    /* Disks and network */
    struct config_disk disks[CONFIG_DISKS];
    unsigned disk_count;
    enum block_engine io_engine;
    enum config_net net;
    char *net_interface; /* the way out of this container; NULL: that of the default route */
    enum config_card card;
    struct net_forward forwards[CONFIG_FORWARDS];
    unsigned forward_count;
    struct config_ports host_ports[CONFIG_HOST_PORTS];
    unsigned host_port_count;
    uint8_t mac[6];
    bool mac_given;
    char *shares[NET_SHARES];        /* folders that the guest sees */
    char *share_sockets[NET_SHARES]; /* theirs, in the state folder */
    unsigned share_count;
    bool share_read_only;
    /* Screen and console */
    unsigned display_width, display_height; /* 0: no display */
    char *keyboard, *serial, *screenshot;
    char *vnc_address; /* NULL: no VNC port */
    uint16_t vnc_port;
    char *vnc_password_file;
    /* Web page and API */
    char web_address[46]; /* numeric */
    uint16_t web_port;    /* 0: no web server */
    bool web_tls;
    char *web_cert, *web_key;                 /* of the operator, or where the machine keeps its own */
    char *web_hosts[CONFIG_WEB_HOSTS + 1];    /* ended by NULL */
    char *web_password_file, *web_token_file; /* the latter in the state folder */
    enum access_mode access;
    bool web_self_signed;
    /* Life */
    char *state, *control;
    enum log_level log_level;
    enum log_format log_format;
    uint64_t stop_timeout; /* seconds */
    enum config_action on_triple_fault, on_reset;
    enum config_full on_full;
};

/* What an option's value means where a number or a text is not enough; called by options.c. 0, or -EINVAL with a text.
 */
int config_add_disk(struct config *config, const char *value, struct error *error);
int config_add_cdrom(struct config *config, const char *value, struct error *error);
/*
 * Puts a disk of the program's own at that place among the disks, before those behind it; its path is copied, and what
 * depends on other options is filled in. 0, -ENOSPC with a text when there are too many, or -ENOMEM.
 */
int config_insert_disk(struct config *config, unsigned at, const struct config_disk *disk, struct error *error);
/* Takes all disks and drives away. */
void config_remove_disks(struct config *config);
/* What a disk takes from other options where it says nothing itself. */
void config_complete_disk(const struct config *config, struct config_disk *disk);
/* How its image is to be opened; both structures are the caller's, and the result is options. */
const struct block_options *config_disk_image(const struct config_disk *disk, struct block_options *options,
                                              struct block_options *backing);
/* What operators call the n-th disk or drive: disk0, disk1, cdrom0, ... each kind in the order of the options. */
#define CONFIG_DISK_ID 16
void config_disk_id(const struct config *config, unsigned n, char id[CONFIG_DISK_ID]);
int config_add_forward(struct config *config, const char *value, struct error *error);
int config_add_share(struct config *config, const char *value, struct error *error);
int config_add_host_port(struct config *config, const char *value, struct error *error);
int config_set_mac(struct config *config, const char *value, struct error *error);
int config_set_uuid(struct config *config, const char *value, struct error *error);
int config_set_web(struct config *config, const char *value, struct error *error);
int config_add_web_host(struct config *config, const char *value, struct error *error);
int config_set_display(struct config *config, const char *value, struct error *error);
int config_set_vnc(struct config *config, const char *value, struct error *error);
int config_set_keyboard(struct config *config, const char *value, struct error *error);

/* Where distributions put the firmware, the first choice first; NULL at the end. */
extern const char *const config_firmware_places[];

/* The value in words, for `casement config`; empty while it is not known yet. */
void config_show_forward(const struct config *config, char *text, size_t size);
void config_show_host_port(const struct config *config, char *text, size_t size);
void config_show_mac(const struct config *config, char *text, size_t size);
void config_show_uuid(const struct config *config, char *text, size_t size);

/*
 * Fills in what depends on other options (paths below --state, the firmware and its template, UUID and address of a
 * machine that has run before) and refuses options that exclude each other. 0, or -errno with a text.
 */
int config_complete(struct config *config, struct error *error);
/*
 * vmm/config_check.c: the whole against the host: files, disks, memory, ports, the control socket. Creates and changes
 * nothing. After config_complete(). 0, or -errno with a text.
 */
int config_check(const struct config *config, struct error *error);
/* The first line of the password file, for the caller to wipe; what is too long for VNC does not count. 0, or -errno
 * with a text. */
int config_read_vnc_password(const struct config *config, char *password, size_t size, struct error *error);
/*
 * vmm/state.c: the state folder is this machine's from now on: made if need be, locked against a second machine, with
 * the UUID that is kept there (--uuid and --mac have the last word). The lock, a file descriptor, or -errno with a
 * text.
 */
int state_take(struct config *config, struct error *error);
/* Whether state_take() would succeed, without making anything. 0, or -errno with a text. */
int state_check(const struct config *config, struct error *error);
/* The UUID that is kept, and the address that follows from it, if there is one. */
void state_read(struct config *config);
void config_free(struct config *config);

#endif
