/* results.h - --jsonl: what is known of every picture, a line of JSON each, written as they are done; a manifest beside it
 * that says of which run; and --resume, which goes on where such a run ended.
 *
 * A line begins {"source": PATH, "bytes": N, "pictures": [PATH, ...], or is {"source": PATH, "error": WHY}. The manifest
 * begins with the settings, all that what is written depends on; it is there from the start, and written anew at the end. */
#ifndef CAMRUN_RESULTS_H
#define CAMRUN_RESULTS_H

#include "explain_report.h"
#include "options.h"
#include "picture_file.h"
#include "picture_list.h"

/* Zeroed: there are none. */
typedef struct results {
    const char *path;
    char *manifest;   /* path */
    char *settings;   /* what the manifest begins with */
    const run_facts *facts;
    int fd;           /* of the lines */
    bool *done;       /* of each picture: an earlier run did it, and its files are there */
    int n_done;
} results;

/* Where o asks for results: begins them or, with --resume, goes on. False where there are results that are not to be gone on
 * with, where they are another run's, and where they cannot be written. weights: network_fingerprint's. */
bool results_open(results *r, const options *o, const run_facts *facts, uint64_t weights, const picture_list *pictures,
                  cr_error *err);
/* A line, whole. */
bool results_add(results *r, const char *line, cr_error *err);
/* Writes the manifest; complete: no picture is left to do. */
bool results_end(results *r, const counts *c, bool complete, cr_error *err);
void results_free(results *r);

#endif
