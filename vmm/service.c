/* Where operators reach the program: the control socket, and page and API with who may use them (see service.h). */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "casement/log.h"
#include "control.h"
#include "service.h"
#include "viewer/secret.h"
#include "viewer/tls.h"
#include "viewer/web.h"

/* The address as a browser takes it. */
static void page_address(const struct config *config, char *text, size_t size)
{
    bool six = strchr(config->web_address, ':');
    bool any = !strcmp(config->web_address, "0.0.0.0") || !strcmp(config->web_address, "::");

    snprintf(text, size, "%s://%s%s%s:%u/", config->web_tls ? "https" : "http", six && !any ? "[" : "",
             any ? "localhost" : config->web_address, six && !any ? "]" : "", config->web_port);
}

static bool is_loopback(const struct config *config)
{
    return !strncmp(config->web_address, "127.", 4) || !strcmp(config->web_address, "::1");
}

/* The secret, to be cleansed and freed; NULL when nobody is asked for one. A token is said once, when it is made. */
static int take_secret(const struct config *config, const char *address, char **secret, struct error *error)
{
    char token[ACCESS_TEXT];
    bool flag = false;
    int failed = 0;

    *secret = NULL;
    if (config->access == ACCESS_PASSWORD) {
        failed = secret_password(config->web_password_file, secret, &flag, error);
        if (failed == 0 && flag)
            log_warning("--web-password-file %s: other users can read it; chmod 600", config->web_password_file);
        if (failed == 0)
            log_info("web: %s asks for the password", address);
    } else if (config->access == ACCESS_TOKEN) {
        failed = secret_token(config->web_token_file, token, &flag, error);
        if (failed == 0) {
            *secret = strdup(token);
            failed = *secret ? 0 : error_set(error, ENOMEM, "the web server: out of memory");
        }
        if (failed == 0 && flag)
            log_info("web: %s?token=%s (said this once, and kept in %s)", address, token, config->web_token_file);
        else if (failed == 0)
            log_info("web: %s asks for the token in %s; `casement ctl --control %s token` prints it", address,
                     config->web_token_file, config->control);
        OPENSSL_cleanse(token, sizeof token);
    } else if (is_loopback(config)) {
        log_info("web: %s is open to every user of this host", address);
    } else {
        log_warning("web: %s is open to everyone who can reach it", address);
    }
    if (failed == 0 && !config->web_tls && !is_loopback(config))
        log_info("web: what goes over the network is not encrypted; see --web-tls");
    return failed;
}

static int create_web(struct service *service, const struct service_options *wanted, struct error *error)
{
    const struct config *config = wanted->config;
    const char *names[CONFIG_WEB_HOSTS + 2] = {config->name};
    char uuid[40] = "", cookie[32], address[96], *secret = NULL;
    struct web_options options = {.main_loop = wanted->main_loop,
                                  .ops = wanted->ops,
                                  .machine = wanted->machine,
                                  .asset = asset_find,
                                  .listener = -1,
                                  .control = control_socket(service->control),
                                  .cookie = cookie};
    int failed = 0;

    config_show_uuid(config, uuid, sizeof uuid);
    snprintf(cookie, sizeof cookie, "casement-%.8s", uuid);
    for (unsigned n = 0; config->web_hosts[n]; n++)
        names[n + 1] = config->web_hosts[n];
    page_address(config, address, sizeof address);
    if (config->web_port && config->web_self_signed)
        failed = tls_self_sign(config->web_cert, config->web_key, names, error);
    if (config->web_port && failed == 0)
        failed = options.listener = web_listen("--web", config->web_address, config->web_port, error);
    if (config->web_port && failed >= 0)
        failed = take_secret(config, address, &secret, error);
    if (failed < 0) {
        if (options.listener >= 0)
            close(options.listener);
        return failed;
    }
    options.certificate = config->web_tls ? config->web_cert : NULL;
    options.key = config->web_key;
    options.access = (struct access_options){.mode = config->access,
                                             .secret = secret,
                                             .name = config->name,
                                             .hosts = (const char *const *)config->web_hosts};
    failed = web_create(&options, &service->web, error);
    if (secret)
        OPENSSL_cleanse(secret, strlen(secret));
    free(secret);
    return failed;
}

int service_create(struct service *service, const struct service_options *options, struct error *error)
{
    int failed = control_create(options->config->control, &service->control, error);

    return failed < 0 ? failed : create_web(service, options, error);
}

void service_destroy(struct service *service)
{
    web_destroy(service->web);
    control_destroy(service->control);
    *service = (struct service){0};
}
