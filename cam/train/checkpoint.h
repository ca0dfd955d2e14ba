/* checkpoint.h - what camtrain writes: the trained weights, and checkpoints from which a run goes on as if it had never
 * stopped. Both are weights files that camrun reads.
 *
 * A checkpoint holds, besides what every weights file of camrun's does (weights/FORMATS.md):
 *   tensors optimizer.STATE.PARAMETER   the optimiser's state, named as torch.optim does: momentum_buffer, exp_avg...
 *   metadata "camtrain"                 the settings, as settings_save writes them
 *            "position"                 how far the run is
 *            "data"                     the pictures' fingerprint */
#ifndef CAMRUN_TRAIN_CHECKPOINT_H
#define CAMRUN_TRAIN_CHECKPOINT_H

#include "trainer.h"

/* What a file says about its use. */
typedef struct description {
    char *const *classes;
    const cr_transform *transform; /* the evaluation's: resize, crop, mean, std */
} description;

/* How far a run is: whole epochs, and steps of the next with the sum over them. step may be all of an epoch's: then its
 * test has not been done. */
typedef struct position {
    int epoch, step;
    score sum;
} position;

/* dtype: of matrices and kernels; vectors stay float32, as they weigh little and a variance may be too small for a half. */
bool weights_write(const char *path, const model *m, const description *d, cr_dtype dtype, cr_error *err);

/* saved: the settings, by settings_save. */
bool checkpoint_write(const char *path, const trainer *t, const description *d, const char *saved,
                      uint64_t fingerprint, const position *at, cr_error *err);

/* The settings in a checkpoint; NULL with a message where the file is none. */
const char *checkpoint_settings(const cr_weights *w, const char *path, cr_error *err);
/* Reads parameters, states and position into a trainer made with these settings. False where something is missing, or the
 * pictures are not those the run began with. */
bool checkpoint_read(cr_weights *w, const char *path, trainer *t, uint64_t fingerprint, position *at, cr_error *err);

#endif
