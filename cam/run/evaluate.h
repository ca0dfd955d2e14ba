/* evaluate.h - camrun evaluate: what is asked for, what is evaluated, and what is found.
 *
 * A subject is one class in one picture; a candidate is one way to make maps, a method at a layer or a baseline. Every subject is
 * evaluated under every candidate. */
#ifndef CAMRUN_EVALUATE_H
#define CAMRUN_EVALUATE_H

#include <stdio.h>

#include "boxes.h"
#include "methods.h"
#include "network.h"
#include "picture_list.h"

/* ---- asked for: evaluate_command.c ---- */

enum {
    METRIC_POINTING = 1,
    METRIC_ENERGY = 2,
    METRIC_DROP = 4,
    METRIC_INSERTION = 8,
    METRIC_DELETION = 16,
    METRIC_ROAD = 32,
    METRIC_RANDOMIZATION = 64,
    METRIC_BOXES = METRIC_POINTING | METRIC_ENERGY,
    METRIC_SCORES = METRIC_DROP | METRIC_INSERTION | METRIC_DELETION | METRIC_ROAD,
};

/* Ways to make maps that look at no network: what methods are to be compared with. */
typedef enum baseline { NO_BASELINE, RANDOM_MAP, CENTRE_MAP } baseline;

/* A method or a baseline. */
typedef struct maker {
    const cr_method *method; /* NULL: a baseline */
    baseline baseline;
} maker;

const char *maker_name(const maker *m);

enum { MOST_MAKERS = 40 };

typedef struct evaluate_options {
    network_options network;
    int n_makers;
    maker makers[MOST_MAKERS];
    unsigned metrics;          /* METRIC_... */
    text_list layers, classes; /* each item may itself be a list with commas */
    const char *boxes, *csv;
    double tolerance;          /* of pointing, in the photograph's pixels */
    int steps;                 /* of insertion and deletion */
    double road_noise;
    int seed;
    bool json;
} evaluate_options;

/* ---- subjects: evaluate_subjects.c ---- */

typedef struct subject {
    const char *path;
    cr_target target;
    const cr_rect *rects; /* of this class in this picture */
    const int *lines;     /* of the CSV file, where they are */
    int n_boxes;
} subject;

typedef struct subjects {
    int n;
    picture_list pictures;
    subject *all; /* those of one picture stand together */
    cr_boxes boxes;
    cr_rect *rects; /* of all boxes */
    int *lines;
    cr_target *targets;
} subjects;

/* pictures: files, folders, patterns (picture_list.h). Without boxes every picture under every target. With them every class
 * that has boxes in a picture: of all pictures that the boxes are for, or of those named, each of which must have some. */
bool subjects_find(subjects *s, const evaluate_options *o, const text_list *pictures, const network *n, cr_error *err);
void subjects_free(subjects *s);

/* ---- found: evaluate_run.c ---- */

typedef struct candidate {
    maker maker;
    int layer; /* node, or -1 where it is not about one layer */
} candidate;

/* What is found of every map. */
enum { POINTING, ENERGY, DROP, INCREASE, INSERTION, DELETION, ROAD_MOST, ROAD_LEAST, ROAD, VALUES };
enum { RANK_CORRELATION, SIMILARITY };

/* Of one subject, apart from maps. */
typedef struct subject_facts {
    int class_index, predicted;
    double probability;   /* of the class */
    bool seen;            /* a box reaches into what the network sees */
} subject_facts;

typedef struct evaluation {
    const evaluate_options *o;
    network network;
    subjects subjects;
    int *layers, n_layers;      /* nodes */
    int n_candidates;
    candidate *candidates;
    int n_stages;               /* of parameter randomisation; 0: none was asked for */
    char (*stages)[CR_NAME_SIZE];
    subject_facts *facts;       /* (subjects) */
    double (*values)[VALUES];   /* (subjects, candidates); NaN: there is none */
    double (*alike)[2];         /* (stages, subjects, candidates): RANK_CORRELATION and SIMILARITY; NaN: there is none */
} evaluation;

/* Fills *e, which evaluation_free empties again whether this succeeds or not. */
bool evaluate(evaluation *e, const evaluate_options *o, const text_list *pictures, cr_error *err);
void evaluation_free(evaluation *e);

/* ---- told: evaluate_report.c ---- */

/* Tables of means, in Markdown, or all of it as JSON. */
bool evaluation_report(FILE *out, const evaluation *e, cr_error *err);
/* A row for every subject and candidate. */
bool evaluation_write_csv(const evaluation *e, const char *path, cr_error *err);

#endif
