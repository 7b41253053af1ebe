/* What kind of system an image is, by its description (see medium.h). */
#include <string.h>
#include <strings.h>

#include "medium.h"

bool medium_image_is_server(const struct medium_image *image)
{
    return !strncasecmp(image->installation_type[0] ? image->installation_type : image->edition, "Server", 6);
}

bool medium_image_is_core(const struct medium_image *image)
{
    return !strcasecmp(image->installation_type, "Server Core") ||
           (medium_image_is_server(image) && strcasestr(image->edition, "Cor"));
}

bool medium_image_says_evaluation(const struct medium_image *image)
{
    size_t length = strlen(image->edition);

    return (length >= 4 && !strcasecmp(image->edition + length - 4, "Eval")) || strcasestr(image->name, "evaluation") ||
           strcasestr(image->display_name, "evaluation");
}
