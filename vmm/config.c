/* Values of options that are more than a number, and what follows from several options together. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/bytes.h"
#include "casement/input.h"
#include "config.h"

static bool parse_port(const char *text, const char *end, uint16_t *port)
{
    unsigned long number = 0;

    if (text == end)
        return false;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9' || number > 65535)
            return false;
        number = number * 10 + (unsigned long)(*text - '0');
    }
    *port = (uint16_t)number;
    return number >= 1 && number <= 65535;
}

static bool parse_address(const struct net_forward *forward, in_addr_t *address)
{
    return inet_pton(AF_INET, forward->host_address[0] ? forward->host_address : "127.0.0.1", address) == 1;
}

/* Is it UDP's? *end, behind the ports, moves in front of a protocol. */
static bool parse_protocol(const char *value, const char **end)
{
    if (*end - value <= 4 || (strcmp(*end - 4, "/udp") != 0 && strcmp(*end - 4, "/tcp") != 0))
        return false;
    *end -= 4;
    return (*end)[1] == 'u';
}

int config_add_forward(struct config *config, const char *value, struct error *error)
{
    struct net_forward *forward = &config->forwards[config->forward_count];
    const char *end = value + strlen(value), *guest, *host;
    in_addr_t address, other;

    if (config->forward_count == CONFIG_FORWARDS)
        return error_set(error, EINVAL, "--forward %s: at most %d forwards; leave some out", value, CONFIG_FORWARDS);
    *forward = (struct net_forward){0};
    forward->udp = parse_protocol(value, &end);
    guest = memrchr(value, ':', (size_t)(end - value));
    host = guest ? memrchr(value, ':', (size_t)(guest - value)) : NULL;
    if (!guest || !parse_port(guest + 1, end, &forward->guest_port) ||
        !parse_port(host ? host + 1 : value, guest, &forward->host_port) ||
        (host && (size_t)(host - value) >= sizeof forward->host_address))
        return error_set(error, EINVAL,
                         "--forward %s: not of the form [ADDRESS:]HOSTPORT:GUESTPORT[/udp]; for example 2222:22",
                         value);
    if (host)
        memcpy(forward->host_address, value, (size_t)(host - value));
    if (!parse_address(forward, &address))
        return error_set(error, EINVAL,
                         "--forward %s: %s is not an IPv4 address; give one of this host, 0.0.0.0 for all, or leave it "
                         "out for 127.0.0.1",
                         value, forward->host_address);
    for (unsigned n = 0; n < config->forward_count; n++) {
        parse_address(&config->forwards[n], &other);
        if (config->forwards[n].host_port == forward->host_port && config->forwards[n].udp == forward->udp &&
            (address == other || address == INADDR_ANY || other == INADDR_ANY))
            return error_set(error, EINVAL, "--forward %s: host port %u is forwarded already; choose another", value,
                             forward->host_port);
    }
    config->forward_count++;
    return 0;
}

int config_add_host_port(struct config *config, const char *value, struct error *error)
{
    struct config_ports *ports = &config->host_ports[config->host_port_count];
    const char *end = value + strlen(value), *dash;

    if (config->host_port_count == CONFIG_HOST_PORTS)
        return error_set(error, EINVAL, "--host-port %s: at most %d; give ranges such as 5000-5010", value,
                         CONFIG_HOST_PORTS);
    *ports = (struct config_ports){.udp = parse_protocol(value, &end)};
    dash = memchr(value, '-', (size_t)(end - value));
    if (!parse_port(value, dash ? dash : end, &ports->first) || (dash && !parse_port(dash + 1, end, &ports->last)))
        return error_set(error, EINVAL, "--host-port %s: not of the form PORT[-LAST][/udp]; for example 5000-5010",
                         value);
    if (!dash)
        ports->last = ports->first;
    if (ports->last < ports->first)
        return error_set(error, EINVAL, "--host-port %s: ends before it begins; give the smaller port first", value);
    config->host_port_count++;
    return 0;
}

int config_add_share(struct config *config, const char *value, struct error *error)
{
    if (config->share_count == NET_SHARES)
        return error_set(error, EINVAL, "--share %s: at most %d folders; bind others below one of them", value,
                         NET_SHARES);
    config->shares[config->share_count] = strdup(value);
    if (!config->shares[config->share_count])
        return error_set(error, ENOMEM, "configuration: out of memory");
    config->share_count++;
    return 0;
}

int config_set_mac(struct config *config, const char *value, struct error *error)
{
    int used = 0;
    unsigned byte[6];

    if (sscanf(value, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5], &used) !=
            6 ||
        value[used] || (byte[0] & 1) || !(byte[0] | byte[1] | byte[2] | byte[3] | byte[4] | byte[5]))
        return error_set(error, EINVAL,
                         "--mac %s: not an address of one card; give six bytes such as 02:00:00:12:34:56", value);
    for (unsigned n = 0; n < 6; n++)
        config->mac[n] = (uint8_t)byte[n];
    config->mac_given = true;
    return 0;
}

int config_set_uuid(struct config *config, const char *value, struct error *error)
{
    unsigned nibbles = 0;

    for (const char *at = value; *at; at++) {
        const char *digits = "0123456789abcdef", *digit;

        if (*at == '-')
            continue;
        digit = strchr(digits, *at | 0x20);
        if (!digit || nibbles == 32) {
            nibbles = 0;
            break;
        }
        config->uuid[nibbles / 2] = (uint8_t)(config->uuid[nibbles / 2] << 4 | (digit - digits));
        nibbles++;
    }
    if (nibbles != 32)
        return error_set(error, EINVAL, "--uuid %s: not a UUID; give 32 hexadecimal digits as `uuidgen` prints them",
                         value);
    config->uuid_given = config->uuid_known = true;
    return 0;
}

int config_set_display(struct config *config, const char *value, struct error *error)
{
    unsigned width, height;
    int used = 0;

    if (!strcmp(value, "none")) {
        config->display_width = config->display_height = 0;
        return 0;
    }
    if (sscanf(value, "%ux%u%n", &width, &height, &used) != 2 || value[used] || width < 640 || height < 480 ||
        width > 3840 || height > 2160 || width % 8)
        return error_set(error, EINVAL,
                         "--display %s: not a size that the screen has; give WIDTHxHEIGHT from 640x480 to 3840x2160 "
                         "with a width that 8 divides, or none",
                         value);
    config->display_width = width;
    config->display_height = height;
    return 0;
}

int config_set_vnc(struct config *config, const char *value, struct error *error)
{
    const char *colon = strrchr(value, ':'), *digits = colon ? colon + 1 : value;
    bool brackets = *value == '[' && colon && colon > value && colon[-1] == ']';
    const char *host = brackets ? value + 1 : value, *end = brackets ? colon - 1 : colon;
    uint8_t binary[16];

    free(config->vnc_address);
    config->vnc_address = NULL;
    if (!strcmp(value, "none"))
        return 0;
    if (!parse_port(digits, digits + strlen(digits), &config->vnc_port) || !config->vnc_port)
        return error_set(error, EINVAL, "--vnc %s: no port; give [ADDRESS:]PORT with a port from 1 to 65535, or none",
                         value);
    config->vnc_address = colon ? strndup(host, (size_t)(end - host)) : strdup("127.0.0.1");
    if (!config->vnc_address)
        return error_set(error, ENOMEM, "configuration: out of memory");
    if (inet_pton(brackets ? AF_INET6 : AF_INET, config->vnc_address, binary) != 1)
        return error_set(error, EINVAL,
                         "--vnc %s: %s is not an address; give one of this host in digits (IPv6 in brackets), 0.0.0.0 "
                         "for all, or leave it out for 127.0.0.1",
                         value, config->vnc_address);
    return 0;
}

int config_set_keyboard(struct config *config, const char *value, struct error *error)
{
    char *copy;

    if (input_layout_check(value, "--keyboard", error) < 0)
        return -EINVAL;
    copy = strdup(value);
    if (!copy)
        return error_set(error, ENOMEM, "configuration: out of memory");
    free(config->keyboard);
    config->keyboard = copy;
    return 0;
}

int config_set_web(struct config *config, const char *value, struct error *error)
{
    const char *port = strrchr(value, ':');
    size_t length = port ? (size_t)(port - value) : 0;
    uint8_t bytes[16];
    char address[sizeof config->web_address] = "127.0.0.1";
    bool good;

    config->web_port = 0;
    if (!strcmp(value, "none"))
        return 0;
    if (port && value[0] == '[' && port[-1] == ']' && length - 2 < sizeof address) {
        snprintf(address, sizeof address, "%.*s", (int)length - 2, value + 1);
        good = inet_pton(AF_INET6, address, bytes) == 1;
    } else if (port) {
        snprintf(address, sizeof address, "%.*s", (int)length, value);
        good = length < sizeof address && inet_pton(AF_INET, address, bytes) == 1;
    } else {
        good = true;
    }
    port = port ? port + 1 : value;
    if (!good || !parse_port(port, port + strlen(port), &config->web_port))
        return error_set(
            error, EINVAL,
            "--web %s: not of the form [ADDRESS:]PORT; for example 8006, 0.0.0.0:8006, [::1]:8006, or none", value);
    memcpy(config->web_address, address, sizeof address);
    return 0;
}

/* A host name (RFC 1123, 2.1): letters, digits, hyphens and dots. */
int config_add_web_host(struct config *config, const char *value, struct error *error)
{
    unsigned count = 0;

    while (config->web_hosts[count])
        count++;
    if (count == CONFIG_WEB_HOSTS)
        return error_set(error, EINVAL, "--web-host %s: at most %d names; leave some out", value, CONFIG_WEB_HOSTS);
    if (!*value || strlen(value) > 253 ||
        value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.")])
        return error_set(error, EINVAL,
                         "--web-host %s: no host name; give it as the browser shows it, without https:// and port",
                         value);
    config->web_hosts[count] = strdup(value);
    return config->web_hosts[count] ? 0 : error_set(error, ENOMEM, "configuration: out of memory");
}

void config_show_mac(const struct config *config, char *text, size_t size)
{
    const uint8_t *mac = config->mac;

    if (config->mac_given || config->uuid_known)
        snprintf(text, size, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

void config_show_forward(const struct config *config, char *text, size_t size)
{
    size_t used = 0;

    for (unsigned n = 0; n < config->forward_count && used < size; n++) {
        const struct net_forward *forward = &config->forwards[n];

        used += (size_t)snprintf(text + used, size - used, "%s%s:%u:%u%s", n ? ";" : "",
                                 forward->host_address[0] ? forward->host_address : "127.0.0.1", forward->host_port,
                                 forward->guest_port, forward->udp ? "/udp" : "");
    }
}

void config_show_host_port(const struct config *config, char *text, size_t size)
{
    size_t used = 0;

    for (unsigned n = 0; n < config->host_port_count && used < size; n++) {
        const struct config_ports *ports = &config->host_ports[n];

        used += (size_t)snprintf(text + used, size - used, "%s%u", n ? ";" : "", ports->first);
        if (ports->last > ports->first && used < size)
            used += (size_t)snprintf(text + used, size - used, "-%u", ports->last);
        if (ports->udp && used < size)
            used += (size_t)snprintf(text + used, size - used, "/udp");
    }
}

void config_show_uuid(const struct config *config, char *text, size_t size)
{
    size_t used = 0;

    if (config->uuid_known)
        for (unsigned n = 0; n < 16; n++)
            used += (size_t)snprintf(text + used, size - used, n == 4 || n == 6 || n == 8 || n == 10 ? "-%02x" : "%02x",
                                     config->uuid[n]);
}

static int below_state(const struct config *config, char **path, const char *name)
{
    return *path || asprintf(path, "%s/%s", config->state, name) >= 0 ? 0 : -ENOMEM;
}

const char *const config_firmware_places[] = {
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE_4M.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "/usr/share/casement/OVMF_CODE_4M.fd",
    NULL,
};

/* Nothing is wrong yet when there is none: `casement config` shows what it can. */
static void find_firmware(struct config *config)
{
    char *name;

    for (size_t n = 0; config_firmware_places[n] && !config->firmware; n++)
        if (access(config_firmware_places[n], R_OK) == 0)
            config->firmware = strdup(config_firmware_places[n]);
    if (!config->firmware || config->vars_template)
        return;
    /* The template stands beside the code: CODE in the name becomes VARS. */
    config->vars_template = strdup(config->firmware);
    name = config->vars_template ? strstr(strrchr(config->vars_template, '/') ?: config->vars_template, "CODE") : NULL;
    if (name) {
        for (unsigned n = 0; n < 4; n++)
            name[n] = "VARS"[n];
    } else {
        free(config->vars_template);
        config->vars_template = NULL;
    }
}

static int check_contradictions(const struct config *config, struct error *error)
{
    static const char with_kernel[] = "a kernel is started with no firmware in between; leave one out";
    static const char for_kernel[] = "it is for a kernel that is started directly; add --kernel FILE or leave it out";
    const bool kernel = config->kernel != NULL, no_net = config->net == CONFIG_NET_NONE;
    const struct {
        const char *option, *against, *why;
        bool given, excluded;
    } rules[] = {
        {"--firmware", "--kernel", with_kernel, config->firmware != NULL, kernel},
        {"--vars", "--kernel", with_kernel, config->vars != NULL, kernel},
        {"--vars-template", "--kernel", with_kernel, config->vars_template != NULL, kernel},
        {"--initrd", "firmware", for_kernel, config->initrd != NULL, !kernel},
        {"--append", "firmware", for_kernel, config->append != NULL, !kernel},
        {"--forward", "--net none", "there is no network to lead into; leave one out", config->forward_count > 0,
         no_net},
        {"--share", "--net none", "the guest reaches the folder over its network; leave one out",
         config->share_count > 0, no_net},
        {"--share-readonly", "no --share", "there is no folder to protect; add --share FOLDER or leave it out",
         config->share_read_only, !config->share_count},
        {"--mac", "--net none", "there is no card that has it; leave one out", config->mac_given, no_net},
        {"--forward", "--net bridge", "the guest has an address of its own, where all ports are its own; leave one out",
         config->forward_count > 0, config->net == CONFIG_NET_BRIDGE},
        {"--share", "--net bridge",
         "the guest is on a network of others, and the folder is for it alone; leave one out", config->share_count > 0,
         config->net == CONFIG_NET_BRIDGE},
        {"--net-interface", "--net", "only --net nat and --net bridge have a way out with a name; leave one out",
         config->net_interface != NULL, config->net != CONFIG_NET_NAT && config->net != CONFIG_NET_BRIDGE},
        {"--vnc", "--display none", "there is no screen to look at; leave one out", config->vnc_address != NULL,
         !config->display_width},
        {"--vnc-password-file", "--vnc none", "there is no port that it is for; add --vnc PORT or leave it out",
         config->vnc_password_file != NULL, !config->vnc_address},
        {"--screenshot", "--display none", "there is no screen to take a picture of; leave one out",
         config->screenshot != NULL, !config->display_width},
        {"--web-password-file", "--access", "only --access password asks for one; give that, or leave the file out",
         config->web_password_file != NULL, config->access != ACCESS_PASSWORD},
        {"--web-key", "no --web-cert", "a key alone is of no use; give both", config->web_key != NULL,
         !config->web_cert},
    };

    for (size_t n = 0; n < ARRAY_SIZE(rules); n++)
        if (rules[n].given && rules[n].excluded)
            return error_set(error, EINVAL, "%s: excluded by %s: %s", rules[n].option, rules[n].against, rules[n].why);
    return 0;
}

static int complete_web(struct config *config, struct error *error)
{
    int failed = 0;

    if (config->access == ACCESS_PASSWORD && !config->web_password_file)
        return error_set(error, EINVAL, "--access password: no password; give --web-password-file FILE");
    config->web_self_signed = config->web_tls && !config->web_cert;
    config->web_tls = config->web_tls || config->web_cert;
    if (config->web_self_signed && (below_state(config, &config->web_cert, "web-cert.pem") < 0 ||
                                    below_state(config, &config->web_key, "web-key.pem") < 0))
        failed = -ENOMEM;
    if (config->web_cert && !config->web_key && !(config->web_key = strdup(config->web_cert)))
        failed = -ENOMEM;
    if (failed == 0)
        failed = below_state(config, &config->web_token_file, "web-token");
    return failed < 0 ? error_set(error, ENOMEM, "configuration: out of memory") : 0;
}

/* It becomes the DHCP host name, so it is one label of such a name (RFC 1123, 2.1). */
static int check_name(const char *name, struct error *error)
{
    size_t good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-");

    if (name[good] || !good || good > 63)
        return error_set(error, EINVAL, "--name %s: no host name; give 1 to 63 letters, digits and hyphens", name);
    return 0;
}

void config_complete_disk(const struct config *config, struct config_disk *disk)
{
    if (!disk->engine_given)
        disk->engine = config->io_engine;
    if (!disk->queues_given)
        disk->queues = (unsigned)MIN(config->cpus, UINT64_C(4));
}

static int name_share_sockets(struct config *config)
{
    static const char *const names[NET_SHARES] = {"share.sock", "share2.sock", "share3.sock"};

    for (unsigned n = 0; n < NET_SHARES; n++)
        if (config->shares[n] && below_state(config, &config->share_sockets[n], names[n]) < 0)
            return -ENOMEM;
    return 0;
}

int config_complete(struct config *config, struct error *error)
{
    int failed = check_contradictions(config, error);

    if (failed == 0 && config->vnc_address && !config->vnc_password_file)
        failed =
            error_set(error, EINVAL, "--vnc: no password; name a file that holds one with --vnc-password-file FILE");
    if (failed == 0)
        failed = check_name(config->name, error);
    if (failed == 0)
        failed = complete_web(config, error);
    if (failed < 0)
        return failed;
    for (unsigned n = 0; n < config->disk_count; n++)
        config_complete_disk(config, &config->disks[n]);
    if (!config->kernel)
        find_firmware(config);
    if ((!config->kernel && below_state(config, &config->vars, "vars.fd") < 0) ||
        below_state(config, &config->control, "control.sock") < 0 || name_share_sockets(config) < 0)
        return error_set(error, ENOMEM, "configuration: out of memory");
    state_read(config);
    return 0;
}

/* Wiped, as some are secrets. */
static void free_windows(struct config_windows *windows)
{
    char *strings[] = {windows->version,
                       windows->password_file,
                       windows->domain_password_file,
                       windows->key_file,
                       windows->oem,
                       windows->system_disk,
                       windows->start_disc,
                       windows->answer_file,
                       windows->drivers,
                       (char *)windows->answers.edition,
                       (char *)windows->answers.language,
                       (char *)windows->answers.region,
                       (char *)windows->answers.keyboard,
                       (char *)windows->answers.key,
                       (char *)windows->answers.user,
                       (char *)windows->answers.password,
                       (char *)windows->answers.computer,
                       (char *)windows->answers.workgroup,
                       (char *)windows->answers.domain,
                       (char *)windows->answers.domain_ou,
                       (char *)windows->answers.domain_user,
                       (char *)windows->answers.domain_password,
                       (char *)windows->answers.command,
                       (char *)windows->answers.time_zone};

    for (size_t n = 0; n < ARRAY_SIZE(strings); n++) {
        if (strings[n])
            explicit_bzero(strings[n], strlen(strings[n]));
        free(strings[n]);
    }
}

void config_free(struct config *config)
{
    free_windows(&config->windows);
    config_remove_disks(config);
    free(config->name);
    free(config->firmware);
    free(config->vars);
    free(config->vars_template);
    free(config->kernel);
    free(config->initrd);
    free(config->append);
    for (unsigned n = 0; n < NET_SHARES; n++) {
        free(config->shares[n]);
        free(config->share_sockets[n]);
    }
    free(config->keyboard);
    free(config->serial);
    free(config->screenshot);
    free(config->net_interface);
    free(config->vnc_address);
    free(config->vnc_password_file);
    free(config->state);
    free(config->control);
    for (unsigned n = 0; config->web_hosts[n]; n++)
        free(config->web_hosts[n]);
    free(config->web_cert);
    free(config->web_key);
    free(config->web_password_file);
    free(config->web_token_file);
    *config = (struct config){0};
}
