/* Which processors an INF says that its driver is for: as drivers of makers have it, and odd ones. */
#include <stdlib.h>
#include <string.h>

#include "../../vmm/windows/inf.h"
#include "casement/bytes.h"
#include "cmocka_all.h"

/* In memory of just that size, so that a read behind it is seen. */
static enum inf_kind kind_of(const void *bytes, size_t length)
{
    void *copy = malloc(length ? length : 1);
    enum inf_kind kind;

    assert_non_null(copy);
    memcpy(copy, bytes, length);
    kind = inf_kind(copy, length);
    free(copy);
    return kind;
}

static const struct {
    const char *text;
    enum inf_kind kind;
} cases[] = {
    {"", INF_NO_DRIVER},
    {"[autorun]\r\nopen=setup.exe\r\n", INF_NO_DRIVER},
    {"[Version]\r\nSignature=\"$Windows NT$\"\r\n", INF_NO_DRIVER},
    {"; [Manufacturer]\r\n", INF_NO_DRIVER},
    {"x = [Manufacturer]\r\n", INF_NO_DRIVER},
    {"\"[Manufacturer]\"\r\n", INF_NO_DRIVER},
    {"[Manufacturers]\r\n%M% = M,NTx86\r\n", INF_NO_DRIVER},
    {"[Version]\r\n[Manufacturer]\r\n%M% = M,NTamd64.10.0...16299\r\n[M.NTamd64.10.0...16299]\r\n", INF_AMD64},
    {"[Manufacturer]\n%M% = M, NTx86.6.2, NTamd64.6.2", INF_AMD64},
    {"[MANUFACTURER]\n%M%=M,NTAMD64\n", INF_AMD64},
    {" [ manufacturer ] ; all\n\t%M%\t=\tM\t,\tntamd64\n", INF_AMD64},
    {"[Manufacturer]\n%M% = M\n", INF_AMD64},
    {"[Manufacturer]\n", INF_AMD64},
    {"[Manufacturer]\n%M% = M,NT\n", INF_AMD64},
    {"[Manufacturer]\n%M% = M,NT.6.1\n", INF_AMD64},
    {"[Manufacturer]\n%M% = M,NT,NTx86\n", INF_AMD64},
    {"[Manufacturer]\n%M% = M,NTx86\n", INF_OTHER},
    {"[Manufacturer]\n%M% = M,NTarm64.10.0\n", INF_OTHER},
    {"[Manufacturer]\n%M% = M,NTia64,NTx86.5.1,NTarm\n", INF_OTHER},
    {"[Manufacturer]\n%M% = M,NTx86\n%N% = N,NTamd64\n", INF_AMD64},
    {"[Manufacturer]\n%M% = M,NTx86\n[Other]\n%N% = N,NTamd64\n", INF_OTHER},
    {"[Manufacturer]\n%M% = M,NTx86\n[Other]\n[Manufacturer]\n%N% = N,NTamd64\n", INF_AMD64},
    {"[Manufacturer]\n%M% = M,NTx86 ; and NTamd64, NTamd64\n", INF_OTHER},
    {"[Manufacturer]\n\"A; B\" = M,NTx86\n", INF_OTHER},
    {"[Manufacturer]\n\"A, NTx86\" = M,NTamd64\n", INF_AMD64},
    {"[Manufacturer]\n\"A, NTamd64\" = M,NTx86\n", INF_OTHER},
    {"[Manufacturer]\n; \"\n%M% = M,NTx86\n", INF_OTHER},
    {"[Manufacturer]\n\"open\n%M% = M,NTx86\n", INF_OTHER},
    {"[Manufacturer]\n%M% = M,NTx86, \\\r\n   NTamd64\n", INF_AMD64},
    {"[Manufacturer]\n%M% = M, \\ ; more\n NTamd64, NTx86\n", INF_AMD64},
    {"[Manufacturer]\n%M% = M,NTx86 \\", INF_OTHER},
    {"\xEF\xBB\xBF[Manufacturer]\n%M% = M,NTx86\n", INF_OTHER},
    {"[Manufacturer]\nGr\xF6\xDF\x65 = M,NTx86\n", INF_OTHER},
};

static void infs_of_all_kinds(void **state)
{
    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(cases); n++) {
        size_t length = strlen(cases[n].text);
        uint8_t wide[2 + 2 * 128] = {0xFF, 0xFE};

        if (kind_of(cases[n].text, length) != cases[n].kind)
            fail_msg("%s: is not of kind %d", cases[n].text, cases[n].kind);
        if (!memcmp(cases[n].text, "\xEF\xBB\xBF", MIN(length, 3)) && length)
            continue;
        assert_true(length <= 128);
        for (size_t at = 0; at < length; at++)
            wide[2 + 2 * at] = (uint8_t)cases[n].text[at];
        if (kind_of(wide, 2 + 2 * length) != cases[n].kind)
            fail_msg("%s: is not of kind %d in UTF-16", cases[n].text, cases[n].kind);
        kind_of(wide, 3 + 2 * length); /* half a character */
    }
}

static void infs_without_sense(void **state)
{
    static const char characters[] = "\\\"\n;[],=NTa \xFF\xFE";
    static const char section[] = "[Manufacturer]\n%M% = M,NTx86\n";
    char text[4096];

    (void)state;
    /* A line that is too long hides no other. */
    memset(text, 'x', sizeof text);
    text[2000] = '\n';
    memcpy(text + 2001, section, sizeof section - 1);
    assert_int_equal(kind_of(text, sizeof text), INF_OTHER);
    for (uint32_t n = 0, random = 1; n < 2000; n++) {
        for (size_t at = 0; at < 64; at++)
            text[at] = characters[((random = random * 1664525 + 1013904223) >> 16) % (sizeof characters - 1)];
        kind_of(text, n % 64);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(infs_of_all_kinds),
        cmocka_unit_test(infs_without_sense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
