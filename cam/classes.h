/* classes.h - the names of a network's classes, and saying which class a map is to explain: by index, by name, or by
 * its place among the logits. */
#ifndef CAMRUN_CLASSES_H
#define CAMRUN_CLASSES_H

#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed: classes without names. */
typedef struct cr_labels {
    int n;
    char **names;
} cr_labels;

/* Copies n names. */
bool cr_labels_create(cr_labels *labels, char *const *names, int n, cr_error *err);
/* A text file of `classes` names, one a line. */
bool cr_labels_read(cr_labels *labels, const char *path, int classes, cr_error *err);
void cr_labels_free(cr_labels *labels);
/* NULL where the classes have no names. */
const char *cr_label(const cr_labels *labels, int class_index);

/* How a class is called where people read it: "3 circle", or "class 3" where it has no name. Cut to fit. */
void cr_class_title(char *title, size_t size, const cr_labels *labels, int class_index);

/* The class to explain. */
typedef struct cr_target {
    int index; /* fixed, or -1: whichever of an image's logits is */
    int rank;  /* the rank-th best, from 1 */
} cr_target;

/* text: an index, "top1", "top2"..., or a name, whatever its case and with "_" or " " alike: the whole of it or, if
 * only one class's name has it, a part. A name that two classes share is an error that lists them. */
bool cr_target_parse(cr_target *target, const char *text, const cr_labels *labels, int classes, cr_error *err);
/* The same for a list with commas; a class's whole name may have commas in it. Appends to targets, where there must be
 * room for one more than text has commas, and adds to *n. */
bool cr_targets_parse(cr_target *targets, int *n, const char *text, const cr_labels *labels, int classes,
                      cr_error *err);
/* The class a target means for one image's logits. */
int cr_target_class(const cr_target *target, const float *logits, int classes);

/* The k classes of the largest logits, best first, equal ones by index; k <= classes. Logits must be finite. */
void cr_top_classes(int *top, int k, const float *logits, int classes);

#ifdef __cplusplus
}
#endif
#endif
