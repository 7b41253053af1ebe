/*
 * Makes what `casement windows` would give Setup, without a machine: an answer disc for a medium, or its files.
 *
 *     answer-disc MEDIUM OUT [NAME=VALUE...]
 *
 * OUT is the disc's image, or a folder that is there already, which gets Autounattend.xml, SetupComplete.cmd and
 * command.txt. Names: those of struct answers with a text; disk, memory, disk_size, shares (numbers), tpm, secure_boot,
 * virtio, no_autologon, manual (any value); oem and drivers (folders, brought to C:\OEM and to $WinPEDriver$);
 * answer_file (used instead of the one that is made).
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../vmm/windows/answers.h"
#include "../../vmm/windows/disc.h"

#define FOLDER_LIMIT (256ULL << 20)

struct wanted {
    struct answers answers;
    const char *oem, *drivers, *answer_file;
};

static _Noreturn void fail(const struct error *error)
{
    fprintf(stderr, "answer-disc: %s\n", error->text);
    exit(2);
}

static bool read_number(struct answers *answers, const char *name, uint64_t value)
{
    if (strcmp(name, "disk") == 0)
        answers->disk = (unsigned)value;
    else if (strcmp(name, "shares") == 0)
        answers->shares = (unsigned)value;
    else if (strcmp(name, "memory") == 0)
        answers->memory = value;
    else if (strcmp(name, "disk_size") == 0)
        answers->disk_size = value;
    else
        return false;
    return true;
}

static void read_wish(struct wanted *wanted, char *word)
{
    struct answers *answers = &wanted->answers;
    const struct {
        const char *name;
        const char **text;
        bool *flag;
    } names[] = {
        {"edition", &answers->edition, NULL},
        {"language", &answers->language, NULL},
        {"region", &answers->region, NULL},
        {"keyboard", &answers->keyboard, NULL},
        {"key", &answers->key, NULL},
        {"user", &answers->user, NULL},
        {"password", &answers->password, NULL},
        {"computer", &answers->computer, NULL},
        {"workgroup", &answers->workgroup, NULL},
        {"domain", &answers->domain, NULL},
        {"domain_user", &answers->domain_user, NULL},
        {"domain_password", &answers->domain_password, NULL},
        {"command", &answers->command, NULL},
        {"time_zone", &answers->time_zone, NULL},
        {"oem", &wanted->oem, &answers->has_oem},
        {"drivers", &wanted->drivers, NULL},
        {"answer_file", &wanted->answer_file, NULL},
        {"tpm", NULL, &answers->tpm},
        {"secure_boot", NULL, &answers->secure_boot},
        {"virtio", NULL, &answers->virtio},
        {"no_autologon", NULL, &answers->no_autologon},
        {"manual", NULL, &answers->manual},
    };
    char *value = strchr(word, '=');
    bool known = false;

    if (value)
        *value++ = 0;
    if (value && read_number(answers, word, strtoull(value, NULL, 10)))
        return;
    for (size_t n = 0; value && n < sizeof names / sizeof names[0]; n++) {
        if (strcmp(names[n].name, word) != 0)
            continue;
        known = true;
        if (names[n].text)
            *names[n].text = value;
        if (names[n].flag)
            *names[n].flag = true;
    }
    if (!known) {
        fprintf(stderr, "answer-disc: unknown word %s\n", word);
        exit(2);
    }
}

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *content = malloc(1 << 20);

    if (!file || !content) {
        perror(path);
        exit(2);
    }
    *size = fread(content, 1, 1 << 20, file);
    fclose(file);
    return content;
}

static void put(struct disc *disc, const char *folder, const char *path, const char *content, size_t size)
{
    struct error error = {0};
    const char *name = strrchr(path, '/');
    char out[4096];
    FILE *file;

    if (disc) {
        if (disc_add(disc, path, content, size, &error) < 0)
            fail(&error);
        return;
    }
    snprintf(out, sizeof out, "%s/%s", folder, name ? name + 1 : path);
    file = fopen(out, "wb");
    if (!file || fwrite(content, 1, size, file) != size || fclose(file) != 0) {
        perror(out);
        exit(2);
    }
}

static void write_image(struct disc *disc, const char *path)
{
    struct error error = {0};
    int fd = disc_finish(disc, &error), out;
    char buffer[65536];
    ssize_t got;

    if (fd < 0)
        fail(&error);
    out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    lseek(fd, 0, SEEK_SET);
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, (size_t)got) != got) {
            perror(path);
            exit(2);
        }
    close(fd);
    close(out);
}

static void add_folders(struct disc *disc, const struct wanted *wanted)
{
    struct error error = {0};

    if (wanted->oem && disc_add_folder(disc, ANSWERS_OEM, wanted->oem, "", FOLDER_LIMIT, &error) < 0)
        fail(&error);
    if (wanted->drivers && disc_add_folder(disc, ANSWERS_SETUP_DRIVERS, wanted->drivers, "", FOLDER_LIMIT, &error) < 0)
        fail(&error);
}

int main(int argc, char **argv)
{
    static struct medium medium;
    struct wanted wanted = {0};
    struct error error = {0};
    const struct medium_image *image;
    struct disc *disc = NULL;
    char *xml, *script;
    size_t xml_size, script_size;
    struct stat status;

    if (argc < 3) {
        fputs("usage: answer-disc MEDIUM OUT [NAME=VALUE...]\n", stderr);
        return 2;
    }
    for (int n = 3; n < argc; n++)
        read_wish(&wanted, argv[n]);
    if (medium_identify(argv[1], &medium, &error) < 0 || answers_check(&wanted.answers, &error) < 0 ||
        !(image = answers_choose(&wanted.answers, &medium, &error)))
        fail(&error);
    xml = wanted.answer_file ? read_file(wanted.answer_file, &xml_size)
                             : answers_xml(&wanted.answers, image, &xml_size, &error);
    script = answers_script(&wanted.answers, image, &script_size, &error);
    if (stat(argv[2], &status) < 0 || !S_ISDIR(status.st_mode))
        disc = disc_create(&error);
    if (!xml || !script || error.text[0])
        fail(&error);
    put(disc, argv[2], ANSWERS_FILE, xml, xml_size);
    put(disc, argv[2], ANSWERS_SCRIPT, script, script_size);
    if (wanted.answers.command)
        put(disc, argv[2], ANSWERS_COMMAND, wanted.answers.command, strlen(wanted.answers.command));
    if (disc) {
        add_folders(disc, &wanted);
        write_image(disc, argv[2]);
    }
    free(xml);
    free(script);
    return 0;
}
