/* trainer.h - one step of training, and testing: a model with a plan that computes gradients, the optimiser's memory, and
 * a second plan, in evaluation mode, that shares the parameters. */
#ifndef CAMRUN_TRAIN_TRAINER_H
#define CAMRUN_TRAIN_TRAINER_H

#include "model.h"
#include "optimizer.h"
#include "pictures.h"
#include "settings.h"

enum { OPTIMIZER_STATES = 2 };

typedef struct trainer {
    model *model;
    const settings *settings;
    int batch;
    int steps;                         /* of an epoch: whole batches only, so the order decides who is left out */
    cr_schedule schedule;              /* in steps, from the end of the warm-up on */
    cr_plan *plan, *test_plan;
    cr_tape *tape, *test_tape;
    float *x;                          /* (batch, C, H, W) */
    int *labels;                       /* (batch) */
    float *logits, *dlogits;           /* (batch, classes) */
    int n_states;                      /* that the optimiser keeps for each value */
    float **state[OPTIMIZER_STATES];   /* (n_params): NULL for what is not trained */
    float *state_memory;
} trainer;

/* n: pictures to train on; a batch is no larger. size: of the network's input. model and settings must outlive the
 * trainer, which trainer_free frees, also on failure. */
bool trainer_create(trainer *t, model *m, const settings *s, int n, int size, cr_error *err);
void trainer_free(trainer *t);

/* "exp_avg": what torch.optim's state dicts call the k-th state. */
const char *trainer_state_name(const trainer *t, int k);

/* The learning rate of a step; epoch and step count from 0. */
double trainer_lr(const trainer *t, int epoch, int step);

/* A sum over pictures. */
typedef struct score {
    int n, correct; /* pictures; those whose largest logit is their class's */
    double loss;    /* summed */
} score;

/* One step on the batch of these samples, whose augmented views are a function of the settings' seed, the epoch and the
 * index; adds to *sum what the network said before the step. False, too, where the loss is no finite number: then
 * nothing is changed. */
bool trainer_step(trainer *t, const pictures *p, const int *indices, int epoch, int step, score *sum, cr_error *err);

/* What the network says, in evaluation mode, to all pictures. stop is asked before each batch: where it says so, *stopped
 * is set and *sum is of no use. */
bool trainer_test(trainer *t, const pictures *p, bool (*stop)(void), bool *stopped, score *sum, cr_error *err);

/* Bytes in memory, by what they are for. */
typedef struct memory_use {
    size_t activations, packed, weights, gradients, optimizer;
} memory_use;

memory_use trainer_memory(const trainer *t);

#endif
