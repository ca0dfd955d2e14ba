/* model.h - a network with parameters of its own that training changes: made new, or from a weights file. */
#ifndef CAMRUN_TRAIN_MODEL_H
#define CAMRUN_TRAIN_MODEL_H

#include "stream.h"
#include "weights.h"

typedef struct model {
    cr_net *net;    /* its parameters' data are the arrays below */
    float *memory;
    float **param;  /* (n_params): values */
    size_t *count;  /* (n_params): how many */
    bool *trained;  /* (n_params): gradients change it; running statistics and what is frozen are not */
    size_t values, trained_values;
} model;

/* The network with all parameters zero, and all but running statistics to be trained. model_free frees, also on
 * failure. */
bool model_create(model *m, const cr_arch *arch, int channels, int classes, int width, cr_error *err);
void model_free(model *m);

/* Random weights as torchvision starts with, each parameter from a stream of its own:
 *   ResNets   convolutions normal, variance 2 / fan-out (He et al., arXiv:1502.01852)
 *   VGG       the same, biases 0; linear layers normal with deviation 0.01, biases 0
 *   AlexNet, linear layers of ResNets   PyTorch's default: weight and bias uniform up to 1 / sqrt(fan-in)
 * Batch normalisations are the identity: weight 1, bias 0, running mean 0 and variance 1. */
void model_init(model *m, uint64_t seed);

/* What became of another network's parameters. */
typedef struct transfer {
    bool new_head;     /* the last layer was left as it was: it has other classes */
    int from_channels; /* of the first convolution's input, where that was converted; else 0 */
    bool folded;       /* batch normalisations became part of the convolutions before them */
} transfer;

/* Takes the parameters of another net of the same arch and width. keep_head says whether the classes are the same; where
 * their number differs they are not. Of 3 input channels a network of one gets the sum, which sees in a grey picture what
 * the three saw in it; of 1 channel a network of three gets a third each, which sees the mean. A VGG without batch
 * normalisation takes one with: as its running statistics are, each is folded into the convolution before it, and both
 * networks compute the same. */
bool model_take(model *m, const cr_net *from, bool keep_head, transfer *done, cr_error *err);

/* Freezes the parameters of the modules in a list with commas: "conv1,layer1" keeps conv1.weight, layer1.0.bn1.bias...
 * An error where one names no parameters, or nothing is left to train. */
bool model_freeze(model *m, const char *modules, cr_error *err);

/* Whether this parameter is a batch normalisation's running mean or variance. */
bool is_running_statistic(const cr_net *net, int param);

#endif
