/*
 * Drivers that the operator provides, onto the answer disc: to where Setup looks for them, for itself and the new
 * system (platform contract 7.3), and those that would disturb it to where the script installs them, last of all.
 */
#ifndef CASEMENT_WINDOWS_DRIVERS_H
#define CASEMENT_WINDOWS_DRIVERS_H

#include <stdbool.h>

#include "casement/error.h"
#include "disc.h"
#include "medium.h"

/* By the names of the INFs. */
struct drivers_found {
    bool viostor, vioscsi, netkvm; /* for virtio's disks, its SCSI adapters, its network cards */
    bool display;                  /* for a display adapter of virtio or QXL */
    bool last;                     /* some are in ANSWERS_DRIVERS: what answers.virtio says */
    char names[256];               /* of all, for a line of a log: "netkvm, vioscsi, viostor" */
};

/*
 * source is a folder or an image of a disc. Of virtio-win's layout, NAME/VERSION/amd64, only the version that is for
 * the image is taken (catalogue_driver_folder()): disks, network and what else serves Setup or the system into
 * ANSWERS_SETUP_DRIVERS/NAME, and a display adapter's into ANSWERS_DRIVERS/NAME, as is the balloon's once more, because
 * the script starts its service from there. Any other tree is taken as it is into ANSWERS_SETUP_DRIVERS. Links in a
 * folder are not followed; a driver, or such a tree, has 1 GiB at most.
 *
 * 0 and *found, or with a text, and the disc is good for disc_destroy() only: -ENOENT no such source, nothing in it for
 * this version (the text lists for which), or no driver; -EINVAL a driver that is for other processors only; -EEXIST
 * two INFs of one name, as of two versions; else as disc_add_folder() and disc_add_from_image() say. Blocking; any
 * thread.
 */
int drivers_add(struct disc *disc, const char *source, const struct medium_image *image, struct drivers_found *found,
                struct error *error);

#endif
