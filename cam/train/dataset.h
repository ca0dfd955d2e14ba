/* dataset.h - a folder of pictures with one sub-folder for each class, the layout of torchvision's ImageFolder. */
#ifndef CAMRUN_TRAIN_DATASET_H
#define CAMRUN_TRAIN_DATASET_H

#include "engine.h"

typedef struct sample {
    char *path;
    int label; /* its class: an index in classes */
    int64_t bytes; /* of the file */
} sample;

typedef struct dataset {
    char *folder;
    int n_classes;
    char **classes; /* the sub-folders' names, sorted as Python sorts them: by code points */
    int n;
    sample *samples; /* class by class, in each as ImageFolder orders them: by folder, then by name */
    int passed_over; /* files that no picture's name ends like */
    char *first_passed_over;
} dataset;

/* Lists the pictures in all folders below each class's, as picture_list.h finds them; none is opened yet. classes_of,
 * where it is not NULL, is the data set whose classes these are too: some may have no pictures here, but none may be new.
 * False where there are fewer than two classes, or one has no pictures. Either way, dataset_free frees. */
bool dataset_scan(dataset *d, const char *folder, const dataset *classes_of, cr_error *err);
void dataset_free(dataset *d);

/* Moves a share of each class's pictures, rounded, to a new data set; which ones, is a function of the seed. At least one
 * of each class stays. False where none would be moved. */
bool dataset_split(dataset *d, dataset *held_out, double share, uint64_t seed, cr_error *err);

/* A number that is another one, most probably, where classes, names or sizes of the files differ. Where the folder is
 * does not matter. */
uint64_t dataset_fingerprint(const dataset *d);

/* order (n): the indices of all samples as an epoch goes through them, a function of seed and epoch. */
void dataset_order(int *order, int n, uint64_t seed, int epoch);

#endif
