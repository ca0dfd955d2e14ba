/* pictures.h - the pictures of a data set as the network's input, batch by batch. Decoded ones are kept in memory as far
 * as a limit allows; the others are decoded each time. All threads take part. */
#ifndef CAMRUN_TRAIN_PICTURES_H
#define CAMRUN_TRAIN_PICTURES_H

#include "dataset.h"
#include "view.h"

typedef struct pictures {
    const dataset *data;
    const cr_transform *transform; /* the evaluation's */
    int channels;
    cr_image *kept;                /* (n): rgb is NULL where a picture is not kept */
    int n_kept;
    size_t bytes;                  /* of those kept */
} pictures;

/* Called after every picture, by one thread at a time. */
typedef void picture_progress(void *context, int done, int n);

/* Decodes every picture once, so that one that cannot be read is found before the training and not in the middle of it:
 * the message names the first, in the data set's order, and says how many there are. Keeps them up to `limit` bytes.
 * data and transform must outlive the pictures. */
bool pictures_open(pictures *p, const dataset *data, const cr_transform *transform, int channels, size_t limit,
                   picture_progress *progress, void *context, cr_error *err);
void pictures_close(pictures *p);

/* x: (n, channels, crop_h, crop_w), labels (n): of the samples with these indices. augment is NULL for evaluation; else
 * the view is a function of seed, epoch and the sample's index. */
bool pictures_batch(float *x, int *labels, const pictures *p, const int *indices, int n, const augmentation *augment,
                    uint64_t seed, int epoch, cr_error *err);

#endif
