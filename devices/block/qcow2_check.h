/* A walk through all tables of a qcow2 image, and what comes of it. */
#ifndef CASEMENT_QCOW2_CHECK_H
#define CASEMENT_QCOW2_CHECK_H

#include "qcow2.h"

struct walk {
    struct qcow2 *q;
    bool repair;
    struct qcow2_findings *findings;
    uint64_t clusters; /* of the file */
    uint16_t *counts;  /* for each: references, at most UINT16_MAX */
    bool *tables;      /* for each: it is the header's or a table's */
};

int qcow2_walk_create(struct walk *walk, struct qcow2 *q, bool repair, struct qcow2_findings *findings,
                      struct error *error);
/* Counts; with repair it leaves the refcounts' own clusters out and writes L1 and L2 tables that it mended. */
int qcow2_walk(struct walk *walk);
void qcow2_walk_free(struct walk *walk);
/* New refcounts out of the counts, behind the end of the file; the header takes them in one write. */
int qcow2_build(struct walk *walk);

#endif
