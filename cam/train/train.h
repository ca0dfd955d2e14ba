/* train.h - a training run as the command line asks for it. */
#ifndef CAMRUN_TRAIN_TRAIN_H
#define CAMRUN_TRAIN_TRAIN_H

#include "settings.h"

/* Trains, tests and writes. A signal that arrives meanwhile is held (interrupt.h): the step is finished and a checkpoint
 * written, and *interrupted is set. argv is read again where a run is resumed. */
bool train(settings *s, int argc, char **argv, bool *interrupted, cr_error *err);

#endif
