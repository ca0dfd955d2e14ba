/* journal.h - what camtrain tells while it runs: lines for people on standard output, progress on a terminal, and a log of
 * JSON, one document a line. The words are nowhere else. */
#ifndef CAMRUN_TRAIN_JOURNAL_H
#define CAMRUN_TRAIN_JOURNAL_H

#include <stdio.h>

#include "progress.h"
#include "trainer.h"

typedef struct journal {
    const char *path; /* of the log */
    FILE *log;        /* NULL where there is none, or not yet */
    progress line;
} journal;

/* About the run, before it starts. */
typedef struct start_facts {
    const settings *settings;
    const model *model;
    const trainer *trainer;
    const dataset *data, *held_out; /* held_out->n may be 0 */
    const pictures *pictures, *held_out_pictures;
} start_facts;

/* About an epoch. */
typedef struct epoch_facts {
    int epoch, epochs;      /* epoch counts from 1 */
    double lr;              /* of its last step */
    score trained, tested;  /* tested.n is 0 where nothing is held out */
    double train_ms, all_ms; /* of what ran in this process: training, and with the test */
    int trained_here;       /* pictures trained on in this process: fewer than trained.n where it was resumed */
    double left_ms;         /* to the end of the last epoch */
} epoch_facts;

void journal_open(journal *j);
void journal_close(journal *j);

void journal_reading(journal *j, int done, int n); /* progress: pictures */
void journal_step(journal *j, const epoch_facts *facts, int step, int steps); /* progress: facts so far */
void journal_clear(journal *j);

/* Begins the log that the settings ask for, or goes on with it where a run is resumed. False where it cannot be written. */
bool journal_start(journal *j, const start_facts *facts, cr_error *err);
/* The same. */
bool journal_epoch(journal *j, const epoch_facts *facts, cr_error *err);

/* A line on standard output. */
void journal_say(journal *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
