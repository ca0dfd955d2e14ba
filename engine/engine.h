/* engine.h - the tensor engine: net -> plan -> tape.
 *
 *   net    the network as an array of nodes. A node reads at most two earlier nodes and writes one fresh tensor,
 *          so array order is a topological order. Nothing here depends on the input's size.
 *   plan   one net, one input size, one batch and one request (which values and gradients will be read): decides
 *          what is folded and fused, which kernel runs each step and where every buffer lies in one arena.
 *   tape   the arena, and the values and gradients of one run.
 *
 * Tensors at this interface are plain float32, NCHW. Names of nodes and parameters are torchvision's.
 * A function that can fail returns false or NULL and leaves one line in *err; the library never exits or prints. */
#ifndef CAMRUN_ENGINE_H
#define CAMRUN_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors ---- */

typedef struct cr_error {
    char text[512];
} cr_error;

/* Writes the message and returns false, so that `return cr_fail(err, ...)` reads well. err may be NULL. */
bool cr_fail(cr_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- net ---- */

typedef enum cr_op {
    CR_INPUT,
    CR_CONV2D,
    CR_BATCHNORM,
    CR_RELU,
    CR_MAXPOOL,
    CR_AVGPOOL,          /* zero padding counts in the mean, as torch.nn.AvgPool2d does by default */
    CR_ADAPTIVE_AVGPOOL,
    CR_LINEAR,
    CR_ADD,
    CR_FLATTEN,
    CR_DROPOUT,          /* evaluation mode: the identity; training: torch.nn.Dropout */
    CR_OP_COUNT
} cr_op;

enum { CR_NAME_SIZE = 64, CR_PARAM_DIMS = 4 };

/* One learned tensor or running statistic. Key in a state dict = name, e.g. "layer1.0.bn1.running_var". */
typedef struct cr_param {
    char name[CR_NAME_SIZE];
    int ndim;
    int dim[CR_PARAM_DIMS];
    const float *data; /* product of dim floats, borrowed; NULL until bound */
} cr_param;

/* Pairs are {height, width}. */
typedef struct cr_node {
    cr_op op;
    char name[CR_NAME_SIZE];
    int in[2];       /* nodes read, -1 where there is none */
    int channels;    /* of the output: C of (N,C,H,W), F of (N,F) */
    int kernel[2], stride[2], pad[2], dilation[2];
    int out[2];      /* CR_ADAPTIVE_AVGPOOL: OH, OW */
    float eps;       /* CR_BATCHNORM */
    float p;         /* CR_DROPOUT: how likely an element is dropped in training, 0 <= p < 1 */
    int param;       /* first of its parameters in net->params: weight, bias, running_mean, running_var */
    int n_params;
} cr_node;

typedef struct cr_net {
    char arch[32];
    int in_channels, classes;
    int n_nodes, n_params;
    cr_node *nodes;
    cr_param *params;
    /* Optional: a plan calls it for each parameter that it has copied and will not read again, so that whoever owns the
     * data can give its memory back until another plan asks for it. */
    void (*packed)(void *owner, const cr_param *param);
    void *owner;
} cr_net;

/* What a network's name stands for, and where in a state dict its free sizes can be read. */
typedef struct cr_arch {
    const char *name;          /* "resnet34" */
    const char *first_conv;    /* "conv1": weight (width, in_channels, KH, KW) */
    const char *last_linear;   /* "fc": weight (classes, features) */
    int width;                 /* output channels of the first convolution as torchvision defines it */
} cr_arch;

/* All networks, in the order --help lists them. Returns NULL past the end. */
const cr_arch *cr_arch_at(int i);
/* NULL with a message listing the known names where the name is unknown. */
const cr_arch *cr_arch_find(const char *name, cr_error *err);

/* Topology only: parameters have names and shapes but no data. width scales a ResNet's channels (torchvision: 64;
 * the small model that ships: 16); AlexNet and VGG have one width each. */
cr_net *cr_net_create(const cr_arch *arch, int in_channels, int classes, int width, cr_error *err);
void cr_net_free(cr_net *net);

/* Node by exact name ("layer4.1.conv2", "features.10"), else the last node inside the module of that name
 * ("layer4", "layer4.1", "features"). -1 with a message that names near candidates. */
int cr_net_find(const cr_net *net, const char *name, cr_error *err);
/* Parameter by its key in a state dict, "layer1.0.conv1.weight". -1 with a message. */
int cr_net_find_param(const cr_net *net, const char *name, cr_error *err);
/* The last feature map: the node the classifier's pooling reads. */
int cr_net_last_feature_map(const cr_net *net);
/* The linear layer of a head that is global average pool + flatten + one linear (class activation mapping needs it),
 * or -1. */
int cr_net_cam_head(const cr_net *net);
/* The nodes before `start` that nodes behind it read, as the shortcut around a residual block's inside: to run from start on,
 * their values are needed too (cr_tape_give). nodes: room for `start` of them. Returns how many there are. */
int cr_net_crossing(const cr_net *net, int start, int *nodes);
const char *cr_op_name(cr_op op);

/* Shape (C,H,W) of every node for an h x w input; (F,1,1) behind a flatten. dims: [n_nodes][3]. False with the first
 * layer the input is too small for. */
bool cr_net_shapes(const cr_net *net, int h, int w, int (*dims)[3], cr_error *err);
/* Learned parameters of a node (running statistics not counted, as PyTorch counts), and multiply-adds per image of the
 * given shapes. */
int64_t cr_node_params(const cr_net *net, int node);
int64_t cr_node_macs(const cr_net *net, int node, int (*dims)[3]);

/* What a convolution, linear layer or batchnorm adds to each channel of its output, whatever its input: bias (C), of a
 * batchnorm in evaluation mode beta - mean * gamma / sqrt(var + eps). False where a node adds nothing. */
bool cr_node_bias(const cr_net *net, int node, float *bias);

/* False, naming the first parameter that holds a NaN or infinity and where. Reads every weight: call it to explain
 * non-finite logits, not before every run. */
bool cr_net_check_finite(const cr_net *net, cr_error *err);

/* ---- plan ---- */

/* What a ReLU y = max(x, 0) makes of the gradient dy behind it. */
typedef enum cr_relu_rule {
    CR_RELU_PLAIN,  /* dx = dy [y > 0]: the derivative */
    CR_RELU_GUIDED, /* dx = dy [y > 0] [dy > 0]: guided backpropagation (Springenberg et al., arXiv:1412.6806) */
    CR_RELU_DECONV, /* dx = dy [dy > 0]: the deconvolutional network (Zeiler & Fergus, arXiv:1311.2901) */
} cr_relu_rule;

typedef struct cr_request {
    int n, h, w;                /* batch and size of the network's input */
    int start;                  /* the node whose value is given to a forward, which runs what comes behind it; 0: the input */
    int end;                    /* the node where a forward ends and a backward begins; 0: the last. What it does not depend
                                   on is neither planned nor run */
    const int *keep;            /* nodes whose values will be read; the end always can be */
    int n_keep;
    const int *grad;            /* nodes whose gradients will be read */
    int n_grad;
    cr_relu_rule relu;          /* of all ReLUs, in the backward */
    bool direct;                /* no Winograd: every convolution sums in the order of its formula */
    int threads;                /* that run the plan; 0: as many as cr_threads() */
    bool train;                 /* batchnorm normalises by the batch's own statistics, and dropout drops */
    const bool *param_grad;     /* [net->n_params]: parameters whose gradients will be read; NULL: none. Running
                                   statistics have none. A batchnorm none of whose parameters gets one is frozen: it
                                   runs in evaluation mode also where train is set */
} cr_request;

typedef struct cr_plan cr_plan;

/* The net, with all parameters bound, must outlive the plan; the request need not. */
cr_plan *cr_plan_create(const cr_net *net, const cr_request *request, cr_error *err);
void cr_plan_free(cr_plan *plan);
/* To be called where the values of bound parameters have changed since the plan was made or last updated (an optimiser's
 * step), before the next forward: lays them out for the kernels again. */
void cr_plan_update(cr_plan *plan);
/* (C,H,W) of a node under this plan; (F,1,1) behind a flatten; (0,0,0) behind the end. */
void cr_plan_shape(const cr_plan *plan, int node, int dim[3]);
size_t cr_plan_arena_bytes(const cr_plan *plan);
size_t cr_plan_packed_bytes(const cr_plan *plan); /* weights re-laid for the kernels */

/* ---- tape ---- */

typedef struct cr_tape cr_tape;

cr_tape *cr_tape_create(const cr_plan *plan, cr_error *err);
void cr_tape_free(cr_tape *tape);
/* The seed of dropout's masks, of all forwards from the next one on; 0 at first. A mask is a function of the seed, the node
 * and the element's place in (N,C,H,W) alone: give each step of a training a seed of its own. */
void cr_tape_seed(cr_tape *tape, uint64_t seed);
/* For a plan with a start: the value of a node of cr_net_crossing, (N,C,H,W), which all forwards read from then on. False,
 * with a message, where the plan needs no such value. */
bool cr_tape_give(cr_tape *tape, int node, const float *value, cr_error *err);
/* x: (N,C,H,W), the value of the request's start. */
void cr_tape_forward(cr_tape *tape, const float *x);
/* After a forward; any number of times. seed: the gradient of the scalar that is explained with respect to the request's
 * end, in that node's shape. At the last node that is (N,classes), with one 1 per image for "this image's logit c"; at a
 * feature map (N,C,H,W), with 1/(H*W) all over channel k for "the mean activation of channel k". */
bool cr_tape_backward(cr_tape *tape, const float *seed, cr_error *err);
/* Copy a node's value or gradient, (N,C,H,W), to out. Reading what the plan was not asked to keep is an error. */
bool cr_tape_value(const cr_tape *tape, int node, float *out, cr_error *err);
bool cr_tape_grad(const cr_tape *tape, int node, float *out, cr_error *err);
/* After a backward: the gradient of net->params[param], summed over the batch, in the parameter's own shape. The tape's own
 * memory; the next backward overwrites it. NULL with a message where the plan was not asked for it. */
const float *cr_tape_param_grad(const cr_tape *tape, int param, cr_error *err);
/* After a forward in training mode: moves the running statistics of a batchnorm node towards this batch's, as
 * torch.nn.BatchNorm2d does:
 *     mean = (1 - momentum) mean + momentum * the batch's mean
 *     var  = (1 - momentum) var  + momentum * the batch's variance, unbiased (over count - 1)
 * PyTorch's momentum is 0.1. mean and var: (C), read and written. An error where the node has no such statistics. */
bool cr_tape_update_running(const cr_tape *tape, int node, float momentum, float *mean, float *var, cr_error *err);

/* ---- from logits to probabilities and loss (optimizer.h goes on from there) ---- */

/* p: (n, classes) softmax of z over classes; in double, shifted by the row's maximum. */
void cr_softmax(float *p, const float *z, int n, int classes);
/* Returns the mean over n of -log softmax(z)[label], torch.nn.CrossEntropyLoss's default. dz: its gradient, (n, classes), or
 * NULL. In double. 0 <= label < classes. */
double cr_cross_entropy(float *dz, const float *z, const int *labels, int n, int classes);

/* ---- machine ---- */

/* Number of threads of plans made from now on (default: all cores). Results have the same bits for any number. */
void cr_set_threads(int n);
int cr_threads(void);
/* Binds the calling thread and those that will help it to one processor each, where there are as many threads as
 * processors (else, and where OMP_PROC_BIND was set, it does nothing). For programs that do nothing else: left alone, a
 * system may start a thread on the processor of the one that made it, and leave it there for tens of milliseconds while
 * that one spins and waits for it. Threads that the calling thread makes later inherit its processor. */
void cr_bind_threads(void);
/* The kernels in use: "avx512", "avx2", "neon" or "portable". CAMRUN_ISA in the environment forces a lower one. */
const char *cr_isa(void);

#ifdef __cplusplus
}
#endif
#endif
