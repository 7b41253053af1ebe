/* What the files of the preparations share (see prepare.h). */
#ifndef CASEMENT_WINDOWS_PREPARE_PRIVATE_H
#define CASEMENT_WINDOWS_PREPARE_PRIVATE_H

#include "prepare.h"
#include "waiting.h"

bool prepare_exists(const char *path);
/* The medium, found or fetched, and which of its images is meant; the journey has both. As prepare() returns. */
int prepare_medium(struct preparation *p, struct waiting *waiting, struct medium_image *image, struct error *error);
/* The answer disc for that image: p->disc. */
int prepare_disc(struct preparation *p, const struct medium_image *image, struct error *error);
/* What is wrong with the user's answer file is said, and refused where Setup could do nothing with it. */
int prepare_check_answer_file(const struct preparation *p, struct error *error);
/*
 * What else the user gives for the disc, put on one that nobody uses: before a download, so that it is not refused
 * after it. Of a medium that only a link leads to nobody knows yet which drivers it needs: any will do then.
 */
int prepare_try_disc(const struct preparation *p, struct error *error);

#endif
