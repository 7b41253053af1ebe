/* Finds a file of the page (see assets.h). */
#include <string.h>

#include "assets.h"

const struct asset *asset_find(const char *path)
{
    size_t low = 0, high = asset_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(path, assets[middle].path);

        if (order == 0)
            return &assets[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
