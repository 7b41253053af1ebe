/* The systems that can be asked for: names, editions, media (see catalogue.h). */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "casement/bytes.h"
#include "catalogue.h"

static const struct catalogue_entry entries[] = {
    {.id = "win11x64",
     .short_name = "11",
     .name = "Windows 11",
     .edition = "Professional",
     .build = BUILD_WINDOWS_11,
     .url = "https://software-static.download.prss.microsoft.com/dbazure/888969d5-f34g-4e03-ac9d-1f9786c66749/"
            "26200.6584.250915-1905.25h2_ge_release_svc_refresh_CLIENT_CONSUMER_x64FRE_en-us.iso",
     .sha256 = "d141f6030fed50f75e2b03e1eb2e53646c4b21e5386047cb860af5223f102a32",
     .size = 7736125440,
     .page = "https://www.microsoft.com/software-download/windows11"},
    {.id = "win11x64-enterprise-eval",
     .short_name = "11e",
     .name = "Windows 11 Enterprise (evaluation)",
     .edition = "Enterprise",
     .build = BUILD_WINDOWS_11,
     .url = "https://software-static.download.prss.microsoft.com/dbazure/888969d5-f34g-4e03-ac9d-1f9786c66749/"
            "26200.6584.250915-1905.25h2_ge_release_svc_refresh_CLIENTENTERPRISEEVAL_OEMRET_x64FRE_en-us.iso",
     .sha256 = "a61adeab895ef5a4db436e0a7011c92a2ff17bb0357f58b13bbc4062e535e7b9",
     .size = 7092807680,
     .slug = "windows-11-enterprise",
     .page = "https://www.microsoft.com/en-us/evalcenter/download-windows-11-enterprise"},
    {.id = "win11x64-enterprise-ltsc-eval",
     .short_name = "11l",
     .name = "Windows 11 Enterprise LTSC (evaluation)",
     .edition = "EnterpriseS",
     .build = BUILD_WINDOWS_11,
     .url = "https://software-static.download.prss.microsoft.com/dbazure/888969d5-f34g-4e03-ac9d-1f9786c66749/"
            "26100.1742.240906-0331.ge_release_svc_refresh_CLIENT_LTSC_EVAL_x64FRE_en-us.iso",
     .sha256 = "67cec5865eaa037a72ddc633a717a10a2bed50778862267223ddb9c60ef5da68",
     .size = 5112850432,
     .slug = "windows-11-enterprise",
     .link = 1,
     .page = "https://www.microsoft.com/en-us/evalcenter/download-windows-11-enterprise"},
    {.id = "win11x64-enterprise-iot-eval",
     .short_name = "11i",
     .name = "Windows 11 IoT Enterprise LTSC (evaluation)",
     .edition = "IoTEnterpriseS",
     .build = BUILD_WINDOWS_11,
     .url = "https://software-static.download.prss.microsoft.com/dbazure/998969d5-f34g-4e03-ac9d-1f9786c66749/"
            "26100.1742.240906-0331.ge_release_svc_refresh_CLIENT_IOT_LTSC_EVAL_x64FRE_en-us.iso",
     .sha256 = "2cee70bd183df42b92a2e0da08cc2bb7a2a9ce3a3841955a012c0f77aeb3cb29",
     .size = 5060020224,
     .slug = "windows-11-iot-enterprise-ltsc-eval",
     .page = "https://www.microsoft.com/en-us/evalcenter/download-windows-11-iot-enterprise-ltsc-eval"},
    {.id = "win10x64",
     .short_name = "10",
     .name = "Windows 10",
     .edition = "Professional",
     .build = BUILD_WINDOWS_10,
     .page = "https://www.microsoft.com/software-download/windows10ISO"},
    {.id = "win10x64-enterprise-eval",
     .short_name = "10e",
     .name = "Windows 10 Enterprise (evaluation)",
     .edition = "Enterprise",
     .build = BUILD_WINDOWS_10,
     .url = "https://software-static.download.prss.microsoft.com/dbazure/988969d5-f34g-4e03-ac9d-1f9786c66750/"
            "19045.2006.220908-0225.22h2_release_svc_refresh_CLIENTENTERPRISEEVAL_OEMRET_x64FRE_en-us.iso",
     .sha256 = "ef7312733a9f5d7d51cfa04ac497671995674ca5e1058d5164d6028f0938d668",
     .size = 5550497792,
     .page = "https://www.microsoft.com/en-us/evalcenter/"},
    {.id = "win10x64-enterprise-ltsc-eval",
     .short_name = "10l",
     .name = "Windows 10 Enterprise LTSC (evaluation)",
     .edition = "EnterpriseS",
     .build = BUILD_WINDOWS_10,
     .url = "https://software-download.microsoft.com/download/pr/"
            "19044.1288.211006-0501.21h2_release_svc_refresh_CLIENT_LTSC_EVAL_x64FRE_en-us.iso",
     .sha256 = "e4ab2e3535be5748252a8d5d57539a6e59be8d6726345ee10e7afd2cb89fefb5",
     .size = 4898582528,
     .page = "https://www.microsoft.com/en-us/evalcenter/"},
    {.id = "win2025-eval",
     .short_name = "2025",
     .name = "Windows Server 2025 (evaluation)",
     .edition = "ServerStandard",
     .build = BUILD_SERVER_2025,
     .url = "https://software-static.download.prss.microsoft.com/dbazure/998969d5-f34g-4e03-ac9d-1f9786c66749/"
            "26100.32230.260111-0550.lt_release_svc_refresh_SERVER_EVAL_x64FRE_en-us.iso",
     .sha256 = "7b052573ba7894c9924e3e87ba732ccd354d18cb75a883efa9b900ea125bfd51",
     .size = 8152356864,
     .slug = "windows-server-2025",
     .page = "https://www.microsoft.com/en-us/evalcenter/download-windows-server-2025"},
    {.id = "win2022-eval",
     .short_name = "2022",
     .name = "Windows Server 2022 (evaluation)",
     .edition = "ServerStandard",
     .build = BUILD_SERVER_2022,
     .url = "https://software-static.download.prss.microsoft.com/sg/download/888969d5-f34g-4e03-ac9d-1f9786c66749/"
            "SERVER_EVAL_x64FRE_en-us.iso",
     .sha256 = "3e4fa6d8507b554856fc9ca6079cc402df11a8b79344871669f0251535255325",
     .size = 5044094976,
     .slug = "windows-server-2022",
     .page = "https://www.microsoft.com/en-us/evalcenter/download-windows-server-2022"},
    {.id = "win2019-eval",
     .short_name = "2019",
     .name = "Windows Server 2019 (evaluation)",
     .edition = "ServerStandard",
     .build = BUILD_SERVER_2019,
     .url = "https://software-download.microsoft.com/download/pr/"
            "17763.737.190906-2324.rs5_release_svc_refresh_SERVER_EVAL_x64FRE_en-us_1.iso",
     .sha256 = "549bca46c055157291be6c22a3aaaed8330e78ef4382c99ee82c896426a1cee1",
     .size = 5296713728,
     .slug = "windows-server-2019",
     .page = "https://www.microsoft.com/en-us/evalcenter/download-windows-server-2019"},
    {.id = "win2016-eval",
     .short_name = "2016",
     .name = "Windows Server 2016 (evaluation)",
     .edition = "ServerStandard",
     .build = BUILD_SERVER_2016,
     .url = "https://software-download.microsoft.com/download/pr/"
            "Windows_Server_2016_Datacenter_EVAL_en-us_14393_refresh.ISO",
     .sha256 = "1ce702a578a3cb1ac3d14873980838590f06d5b7101c5daaccbac9d73f1fb50f",
     .size = 6972221440,
     .slug = "windows-server-2016",
     .page = "https://www.microsoft.com/en-us/evalcenter/download-windows-server-2016"},
    {.id = "win2019-hv",
     .short_name = "hv",
     .name = "Hyper-V Server 2019",
     .edition = "ServerHyperCore",
     .build = BUILD_SERVER_2019,
     .url = "https://software-download.microsoft.com/download/pr/"
            "17763.557.190612-0019.rs5_release_svc_refresh_SERVERHYPERCORE_OEM_x64FRE_en-us.ISO",
     .sha256 = "cb28984af65ba1085cd6ade5fdd3d9c75efe7618846513f9ad44f1397a409f85",
     .size = 3022784512,
     .slug = "hyper-v-server-2019",
     .page = "https://www.microsoft.com/en-us/evalcenter/download-hyper-v-server-2019"},
};

/* Systems that users may know from elsewhere, spelled as compact() does. */
static const char *const older[] = {
    "95",         "98",    "me", "2000", "2k",   "xp",     "xp64",   "2003",       "2k3",
    "2003r2",     "vista", "vu", "2008", "2k8",  "2008r2", "7",      "7e",         "7u",
    "8",          "8e",    "81", "81e",  "2012", "2k12",   "2012r2", "2008r2eval", "81enterpriseeval",
    "2012r2eval",
};

/* Names. */

static void cut_out(char *at, size_t length)
{
    memmove(at, at + length, strlen(at + length) + 1);
}

/* What remains of a name without case, separators and the words that every name may have. */
static void compact(const char *name, char *out, size_t size)
{
    size_t length = 0;
    char *found;

    for (; *name && length + 1 < size; name++)
        if (!strchr(" -_.", *name))
            out[length++] = (char)tolower((unsigned char)*name);
    out[length] = 0;
    if (!strncmp(out, "win", 3))
        cut_out(out, strncmp(out, "windows", 7) ? 3 : 7);
    if (!strncmp(out, "server20", 8))
        cut_out(out, 6);
    found = strstr(out, "x64");
    if (found)
        cut_out(found, 3);
}

static const struct catalogue_entry *unknown(const char *name, struct error *error)
{
    char list[256] = "";
    size_t used = 0;

    for (size_t n = 0; n < ARRAY_SIZE(entries) && used < sizeof list; n++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", n ? ", " : "", entries[n].short_name);
    error_set(error, EINVAL, "%.80s: no system that is known; give one of %s, or an ISO file of your own", name, list);
    return NULL;
}

const struct catalogue_entry *catalogue_find(const char *name, struct error *error)
{
    char wanted[64], have[64];

    compact(name, wanted, sizeof wanted);
    for (size_t n = 0; n < ARRAY_SIZE(entries); n++) {
        compact(entries[n].id, have, sizeof have);
        if (!strcmp(wanted, have) || !strcmp(wanted, entries[n].short_name))
            return &entries[n];
    }
    for (size_t n = 0; n < ARRAY_SIZE(older); n++)
        if (!strcmp(wanted, older[n])) {
            error_set(
                error, EINVAL,
                "%.80s: systems older than Windows 10 and Windows Server 2016 are not supported yet; give a newer "
                "one, such as 11",
                name);
            return NULL;
        }
    return unknown(name, error);
}

const struct catalogue_entry *catalogue_at(unsigned index)
{
    return index < ARRAY_SIZE(entries) ? &entries[index] : NULL;
}

/* Media that are there. */

static bool begins_with(const char *text, const char *start)
{
    return !strncasecmp(text, start, strlen(start));
}

static const char *server_id(const struct medium_image *image)
{
    static const struct {
        unsigned build;
        const char *id;
    } servers[] = {{BUILD_SERVER_2016, "win2016-eval"},
                   {BUILD_SERVER_2019, "win2019-eval"},
                   {BUILD_SERVER_2022, "win2022-eval"},
                   {BUILD_SERVER_2025, "win2025-eval"}};

    if (!strcasecmp(image->edition, "ServerHyperCore"))
        return image->build == BUILD_SERVER_2019 ? "win2019-hv" : NULL;
    for (size_t n = 0; n < ARRAY_SIZE(servers) && image->evaluation; n++)
        if (servers[n].build == image->build)
            return servers[n].id;
    return NULL;
}

/* What is no evaluation is one of the editions of the one medium that everybody gets. */
static const char *client_id(const struct medium_image *image)
{
    bool eleven = image->build >= BUILD_WINDOWS_11;

    if (image->build < BUILD_WINDOWS_10)
        return NULL;
    if (!image->evaluation)
        return eleven ? "win11x64" : "win10x64";
    if (begins_with(image->edition, "IoTEnterprise"))
        return eleven ? "win11x64-enterprise-iot-eval" : NULL;
    if (begins_with(image->edition, "EnterpriseS"))
        return eleven ? "win11x64-enterprise-ltsc-eval" : "win10x64-enterprise-ltsc-eval";
    if (begins_with(image->edition, "Enterprise"))
        return eleven ? "win11x64-enterprise-eval" : "win10x64-enterprise-eval";
    return NULL;
}

const struct catalogue_entry *catalogue_of(const struct medium_image *image)
{
    const char *id = medium_image_is_server(image) ? server_id(image) : client_id(image);

    for (size_t n = 0; n < ARRAY_SIZE(entries) && id && image->architecture == MEDIUM_AMD64; n++)
        if (!strcmp(entries[n].id, id))
            return &entries[n];
    return NULL;
}

struct medium_image catalogue_presume(const struct catalogue_entry *entry)
{
    struct medium_image image = {.architecture = MEDIUM_AMD64, .build = entry->build};

    snprintf(image.edition, sizeof image.edition, "%s", entry->edition);
    return image;
}

const char *catalogue_driver_folder(const struct medium_image *image)
{
    static const struct {
        bool server;
        unsigned build;
        const char *folder;
    } folders[] = {{true, BUILD_SERVER_2025, "2k25"}, {true, BUILD_SERVER_2022, "2k22"},
                   {true, BUILD_SERVER_2019, "2k19"}, {true, BUILD_SERVER_2016, "2k16"},
                   {false, BUILD_WINDOWS_11, "w11"},  {false, BUILD_WINDOWS_10, "w10"}};

    for (size_t n = 0; n < ARRAY_SIZE(folders); n++)
        if (folders[n].server == medium_image_is_server(image) && image->build >= folders[n].build)
            return folders[n].folder;
    return NULL;
}
