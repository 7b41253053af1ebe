/*
 * The header of a Windows image file (WIM, and ESD, which differs in its compression), as far as it leads to the
 * description: "Windows Imaging File Format (WIM)", WIMHEADER_V1_PACKED and RESHDR_DISK_SHORT.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "casement/bytes.h"
#include "medium_parts.h"

#define HEADER 208U
#define DESCRIPTION_MAX (4 * MiB) /* those of Windows have some ten KiB for each image */

enum { AT_SIZE = 0x08, AT_VERSION = 0x0C, AT_PART = 0x28, AT_PARTS = 0x2A, AT_XML = 0x48 };
enum { XML_STORED = 0, XML_FLAGS = 7, XML_OFFSET = 8, XML_ORIGINAL = 16 };
enum { VERSION_ESD = 0xE00, VERSION_WIM = 0x10D00 };
enum { COMPRESSED = 0x04, SPANNED = 0x08, SOLID = 0x10 };

static int check_header(const struct medium_source *source, const uint8_t *header, struct error *error)
{
    uint32_t size = get_le32(header + AT_SIZE), version = get_le32(header + AT_VERSION);

    if (memcmp(header, "MSWIM\0\0", 8) != 0)
        return error_set(error, EILSEQ, "%s: is no WIM, it does not begin with MSWIM; " MEDIUM_OTHER, source->name);
    if (size != HEADER)
        return error_set(error, EILSEQ, "%s: a header of %u bytes instead of %u: damaged; " MEDIUM_AGAIN, source->name,
                         size, HEADER);
    if (version != VERSION_WIM && version != VERSION_ESD)
        return error_set(error, EILSEQ,
                         "%s: version 0x%X of the WIM format, which is unknown (0x10D00 and 0xE00 are "
                         "known); " MEDIUM_OTHER,
                         source->name, version);
    if (get_le16(header + AT_PARTS) > 1)
        return error_set(error, EILSEQ, "%s: is part %u of %u, and split images are not supported; " MEDIUM_OTHER,
                         source->name, get_le16(header + AT_PART), get_le16(header + AT_PARTS));
    return 0;
}

static int check_description(const struct medium_source *source, const uint8_t *xml, struct error *error)
{
    uint64_t stored = get_le64(xml + XML_STORED) & UINT64_C(0x00FFFFFFFFFFFFFF);
    uint64_t offset = get_le64(xml + XML_OFFSET), original = get_le64(xml + XML_ORIGINAL);

    if (xml[XML_FLAGS] & (COMPRESSED | SPANNED | SOLID))
        return error_set(error, EILSEQ,
                         "%s: its description is compressed (flags 0x%02X), which none should be; " MEDIUM_OTHER,
                         source->name, xml[XML_FLAGS]);
    if (stored != original || stored < 2 || stored % 2)
        return error_set(error, EILSEQ, "%s: a description of %" PRIu64 " bytes in %" PRIu64 ": damaged; " MEDIUM_AGAIN,
                         source->name, original, stored);
    if (offset > source->size || stored > source->size - offset)
        return error_set(error, EILSEQ,
                         "%s: has %" PRIu64 " bytes, but its description is at %" PRIu64 ": cut off or "
                         "damaged; " MEDIUM_AGAIN,
                         source->name, source->size, offset);
    if (stored > DESCRIPTION_MAX)
        return error_set(error, EFBIG,
                         "%s: a description of %" PRIu64 " bytes, of which at most %llu are read; " MEDIUM_OTHER,
                         source->name, stored, DESCRIPTION_MAX);
    return 0;
}

int medium_read_wim(const struct medium_source *source, struct medium *medium, struct error *error)
{
    uint8_t header[HEADER];
    const uint8_t *xml = header + AT_XML;
    int failed;

    medium->image_count = 0;
    failed = medium_source_read(source, header, sizeof header, 0, error);
    if (failed == 0)
        failed = check_header(source, header, error);
    if (failed == 0)
        failed = check_description(source, xml, error);
    if (failed < 0)
        return failed;
    return wim_xml_read(source, get_le64(xml + XML_OFFSET), get_le64(xml + XML_ORIGINAL),
                        get_le32(header + AT_VERSION) == VERSION_ESD, medium, error);
}
