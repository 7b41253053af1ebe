/*
 * The time zones of Windows by the names that an answer file takes, which are those of `tzutil /l`, and how they are
 * found. A system from before a zone was introduced does not have it; what no system has makes Setup fail when the new
 * system is first started.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../spelling.h"
#include "answers_private.h"
#include "casement/bytes.h"

/* clang-format off */
static const struct zone {
    const char *name, *places; /* what people look for it by */
} zones[] = {
    {"Dateline Standard Time", "International Date Line West"},
    {"UTC-11", ""},
    {"Aleutian Standard Time", "Aleutian Islands, Adak"},
    {"Hawaiian Standard Time", "Hawaii, Honolulu"},
    {"Marquesas Standard Time", "Marquesas Islands"},
    {"Alaskan Standard Time", "Alaska, Anchorage"},
    {"UTC-09", ""},
    {"Pacific Standard Time (Mexico)", "Baja California, Tijuana"},
    {"UTC-08", ""},
    {"Pacific Standard Time", "Los Angeles, San Francisco, Seattle, Vancouver, Las Vegas"},
    {"US Mountain Standard Time", "Arizona, Phoenix"},
    {"Mountain Standard Time (Mexico)", "La Paz, Mazatlan"},
    {"Mountain Standard Time", "Denver, Salt Lake City, Calgary, Edmonton, Boise"},
    {"Yukon Standard Time", "Whitehorse"},
    {"Central America Standard Time", "Guatemala, Costa Rica, El Salvador, Managua, Tegucigalpa"},
    {"Central Standard Time", "Chicago, Dallas, Houston, Winnipeg"},
    {"Easter Island Standard Time", "Easter"},
    {"Central Standard Time (Mexico)", "Mexico City, Guadalajara, Monterrey, Chihuahua"},
    {"Canada Central Standard Time", "Saskatchewan, Regina"},
    {"SA Pacific Standard Time", "Bogota, Lima, Quito, Guayaquil, Panama, Jamaica, Rio Branco"},
    {"Eastern Standard Time (Mexico)", "Chetumal, Cancun"},
    {"Eastern Standard Time", "New York, Washington, Boston, Atlanta, Miami, Detroit, Toronto, Montreal"},
    {"Haiti Standard Time", "Port-au-Prince"},
    {"Cuba Standard Time", "Havana"},
    {"US Eastern Standard Time", "Indiana (East), Indianapolis"},
    {"Turks And Caicos Standard Time", "Grand Turk"},
    {"Paraguay Standard Time", "Asuncion"},
    {"Atlantic Standard Time", "Halifax, Bermuda"},
    {"Venezuela Standard Time", "Caracas"},
    {"Central Brazilian Standard Time", "Cuiaba, Campo Grande"},
    {"SA Western Standard Time", "Georgetown, La Paz, Manaus, San Juan, Puerto Rico, Santo Domingo"},
    {"Pacific SA Standard Time", "Santiago"},
    {"Newfoundland Standard Time", "St Johns"},
    {"Tocantins Standard Time", "Araguaina"},
    {"E. South America Standard Time", "Brasilia, Sao Paulo, Rio de Janeiro"},
    {"SA Eastern Standard Time", "Cayenne, Fortaleza, Recife"},
    {"Argentina Standard Time", "Buenos Aires"},
    {"Greenland Standard Time", "Nuuk"},
    {"Montevideo Standard Time", "Uruguay"},
    {"Magallanes Standard Time", "Punta Arenas"},
    {"Saint Pierre Standard Time", "Saint Pierre and Miquelon"},
    {"Bahia Standard Time", "Salvador"},
    {"UTC-02", ""},
    {"Mid-Atlantic Standard Time", ""},
    {"Azores Standard Time", ""},
    {"Cape Verde Standard Time", "Cabo Verde"},
    {"UTC", "Universal, Zulu"},
    {"GMT Standard Time", "London, Dublin, Edinburgh, Lisbon"},
    {"Greenwich Standard Time", "Monrovia, Reykjavik, Abidjan, Accra, Dakar"},
    {"Sao Tome Standard Time", ""},
    {"Morocco Standard Time", "Casablanca"},
    {"W. Europe Standard Time", "Berlin, Amsterdam, Bern, Zurich, Rome, Stockholm, Vienna, Oslo, Luxembourg"},
    {"Central Europe Standard Time", "Belgrade, Bratislava, Budapest, Ljubljana, Prague, Tirane"},
    {"Romance Standard Time", "Paris, Brussels, Copenhagen, Madrid"},
    {"Central European Standard Time", "Warsaw, Sarajevo, Skopje, Zagreb"},
    {"W. Central Africa Standard Time", "Lagos, Algiers, Kinshasa, Tunis"},
    {"GTB Standard Time", "Athens, Bucharest"},
    {"Middle East Standard Time", "Beirut"},
    {"Egypt Standard Time", "Cairo"},
    {"E. Europe Standard Time", "Chisinau"},
    {"Syria Standard Time", "Damascus"},
    {"West Bank Standard Time", "Gaza, Hebron"},
    {"South Africa Standard Time", "Johannesburg, Pretoria, Harare, Maputo"},
    {"FLE Standard Time", "Helsinki, Kyiv, Kiev, Riga, Sofia, Tallinn, Vilnius"},
    {"Israel Standard Time", "Jerusalem, Tel Aviv"},
    {"South Sudan Standard Time", "Juba"},
    {"Kaliningrad Standard Time", ""},
    {"Sudan Standard Time", "Khartoum"},
    {"Libya Standard Time", "Tripoli"},
    {"Namibia Standard Time", "Windhoek"},
    {"Jordan Standard Time", "Amman"},
    {"Arabic Standard Time", "Baghdad"},
    {"Turkey Standard Time", "Istanbul, Ankara"},
    {"Arab Standard Time", "Riyadh, Kuwait, Bahrain, Qatar"},
    {"Belarus Standard Time", "Minsk"},
    {"Russian Standard Time", "Moscow, St. Petersburg"},
    {"E. Africa Standard Time", "Nairobi, Addis Ababa"},
    {"Volgograd Standard Time", ""},
    {"Iran Standard Time", "Tehran"},
    {"Arabian Standard Time", "Abu Dhabi, Dubai, Muscat"},
    {"Astrakhan Standard Time", "Ulyanovsk"},
    {"Azerbaijan Standard Time", "Baku"},
    {"Russia Time Zone 3", "Samara, Izhevsk"},
    {"Mauritius Standard Time", "Port Louis"},
    {"Saratov Standard Time", ""},
    {"Georgian Standard Time", "Tbilisi"},
    {"Caucasus Standard Time", "Yerevan"},
    {"Afghanistan Standard Time", "Kabul"},
    {"West Asia Standard Time", "Tashkent, Ashgabat, Samarkand"},
    {"Ekaterinburg Standard Time", "Yekaterinburg"},
    {"Pakistan Standard Time", "Karachi, Islamabad"},
    {"Qyzylorda Standard Time", ""},
    {"India Standard Time", "New Delhi, Mumbai, Kolkata, Calcutta, Chennai"},
    {"Sri Lanka Standard Time", "Colombo"},
    {"Nepal Standard Time", "Kathmandu"},
    {"Central Asia Standard Time", "Bishkek, Urumqi"},
    {"Bangladesh Standard Time", "Dhaka"},
    {"Omsk Standard Time", ""},
    {"Myanmar Standard Time", "Yangon, Rangoon"},
    {"SE Asia Standard Time", "Bangkok, Hanoi, Ho Chi Minh, Jakarta"},
    {"Altai Standard Time", "Barnaul, Gorno-Altaysk"},
    {"W. Mongolia Standard Time", "Hovd"},
    {"North Asia Standard Time", "Krasnoyarsk"},
    {"N. Central Asia Standard Time", "Novosibirsk"},
    {"Tomsk Standard Time", ""},
    {"China Standard Time", "Beijing, Shanghai, Chongqing, Hong Kong, Macau"},
    {"North Asia East Standard Time", "Irkutsk"},
    {"Singapore Standard Time", "Kuala Lumpur, Manila"},
    {"W. Australia Standard Time", "Perth"},
    {"Taipei Standard Time", "Taiwan"},
    {"Ulaanbaatar Standard Time", ""},
    {"Aus Central W. Standard Time", "Eucla"},
    {"Transbaikal Standard Time", "Chita"},
    {"Tokyo Standard Time", "Japan, Osaka, Sapporo"},
    {"North Korea Standard Time", "Pyongyang"},
    {"Korea Standard Time", "Seoul"},
    {"Yakutsk Standard Time", ""},
    {"Cen. Australia Standard Time", "Adelaide"},
    {"AUS Central Standard Time", "Darwin"},
    {"E. Australia Standard Time", "Brisbane"},
    {"AUS Eastern Standard Time", "Sydney, Melbourne, Canberra"},
    {"West Pacific Standard Time", "Guam, Port Moresby"},
    {"Tasmania Standard Time", "Hobart"},
    {"Vladivostok Standard Time", ""},
    {"Lord Howe Standard Time", ""},
    {"Bougainville Standard Time", ""},
    {"Russia Time Zone 10", "Chokurdakh, Srednekolymsk"},
    {"Magadan Standard Time", ""},
    {"Norfolk Standard Time", ""},
    {"Sakhalin Standard Time", ""},
    {"Central Pacific Standard Time", "Solomon Islands, Guadalcanal, New Caledonia, Noumea"},
    {"Russia Time Zone 11", "Anadyr, Kamchatka"},
    {"New Zealand Standard Time", "Auckland, Wellington"},
    {"UTC+12", ""},
    {"Kamchatka Standard Time", ""},
    {"Fiji Standard Time", ""},
    {"Chatham Islands Standard Time", ""},
    {"UTC+13", ""},
    {"Tonga Standard Time", "Tongatapu"},
    {"Samoa Standard Time", "Apia"},
    {"Line Islands Standard Time", "Kiritimati"},
};
/* clang-format on */

#define STANDARD " Standard Time"
/* Behind a name: without the changes of summer. */
#define CLOCK_STAYS "_dstoff"
#define NEAR 3 /* how many to name, and how far at most */

static const struct zone *find(const char *text, size_t length)
{
    for (size_t n = 0; n < ARRAY_SIZE(zones); n++)
        if (strlen(zones[n].name) == length && !strncasecmp(zones[n].name, text, length))
            return &zones[n];
    return NULL;
}

bool answers_time_zone(const char *text, char name[ANSWERS_TIME_ZONE_TEXT])
{
    size_t length = strlen(text), tail = strlen(CLOCK_STAYS);
    bool stays = length > tail && !strcasecmp(text + length - tail, CLOCK_STAYS);
    const struct zone *zone = find(text, stays ? length - tail : length);

    if (zone)
        snprintf(name, ANSWERS_TIME_ZONE_TEXT, "%s%s", zone->name, stays ? CLOCK_STAYS : "");
    return zone != NULL;
}

static unsigned distance(const struct zone *zone, const char *wanted)
{
    size_t length = strlen(wanted);
    char folded[64];
    unsigned away;
    char *cut;

    snprintf(folded, sizeof folded, "%s", zone->name);
    cut = strstr(folded, STANDARD);
    for (char *at = folded; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    away = spelling_distance(wanted, length, folded);
    if (!cut)
        return away;
    /* "Pacific (Mexico)" of "Pacific Standard Time (Mexico)" */
    memmove(cut, cut + strlen(STANDARD), strlen(cut + strlen(STANDARD)) + 1);
    return MIN(away, spelling_distance(wanted, length, folded));
}

static void add(char near[128], unsigned *named, const struct zone *zone)
{
    size_t length = strlen(near);

    if (*named < NEAR)
        snprintf(near + length, 128 - length, "%s%s", *named ? ", " : "", zone->name);
    ++*named;
}

/* What is nearest: mistyped, or a place: "Berlin" alone or as others name zones, Europe/Berlin. */
static unsigned find_near(const char *text, char near[128])
{
    char wanted[80], *slash, *place;
    unsigned named = 0;

    snprintf(wanted, sizeof wanted, "%s", text);
    for (char *at = wanted; *at; at++)
        *at = *at == '_' ? ' ' : (char)tolower((unsigned char)*at);
    for (unsigned away = 0; away <= NEAR && away * 3 <= strlen(wanted) && !named; away++)
        for (size_t n = 0; n < ARRAY_SIZE(zones); n++)
            if (distance(&zones[n], wanted) == away)
                add(near, &named, &zones[n]);
    if (named)
        return named;
    slash = strrchr(wanted, '/');
    place = slash ? slash + 1 : wanted;
    for (size_t n = 0; n < ARRAY_SIZE(zones) && strlen(place) > 2 && named < NEAR; n++)
        if (strcasestr(zones[n].places, place) || strcasestr(zones[n].name, place))
            add(near, &named, &zones[n]);
    return named;
}

int answers_check_time_zone(const char *text, struct error *error)
{
    char name[ANSWERS_TIME_ZONE_TEXT], near[128] = "";

    if (!text || answers_time_zone(text, name))
        return 0;
    if (find_near(text, near))
        return error_set(error, EINVAL, "--time-zone %s: no name of a time zone of Windows; did you mean %s?", text,
                         near);
    return error_set(
        error, EINVAL,
        "--time-zone %s: no name of a time zone of Windows; give one that Windows' tzutil /l lists, such as "
        "W. Europe Standard Time",
        text);
}
