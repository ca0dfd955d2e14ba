/* optimizer.h - what moves parameters down their gradients: SGD and Adam as torch.optim has them, and schedules of the
 * learning rate.
 *
 * One call updates one parameter. Its state (zeros at first) belongs to the caller, who can save it with the weights and
 * go on from there with the same bits. Rates are double, as Python's are, and arrays float. */
#ifndef CAMRUN_OPTIMIZER_H
#define CAMRUN_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* torch.optim.SGD with dampening 0 (Sutskever et al., ICML 2013, for momentum and Nesterov's):
 *     g = grad + weight_decay * w;  buffer = momentum * buffer + g;  w -= lr * (nesterov ? g + momentum * buffer : buffer) */
typedef struct cr_sgd {
    double lr, momentum, weight_decay;
    bool nesterov;
} cr_sgd;

/* w, grad and buffer: count floats each; buffer may be NULL where momentum is 0. */
void cr_sgd_step(const cr_sgd *sgd, float *w, const float *grad, float *buffer, size_t count);

/* torch.optim.Adam (Kingma & Ba, arXiv:1412.6980, algorithm 1), weight decay as an L2 term of the gradient; step counts from 1:
 *     g = grad + weight_decay * w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *     w -= lr / (1 - beta1^step) * m / (sqrt(v / (1 - beta2^step)) + eps) */
typedef struct cr_adam {
    double lr, beta1, beta2, eps, weight_decay; /* PyTorch's: 1e-3, 0.9, 0.999, 1e-8, 0 */
} cr_adam;

/* w, grad, m and v: count floats each. */
void cr_adam_step(const cr_adam *adam, int64_t step, float *w, const float *grad, float *m, float *v, size_t count);

/* The learning rate over time, in whatever unit t counts: steps or epochs, from 0. */
typedef struct cr_schedule {
    enum { CR_CONSTANT, CR_STEP, CR_COSINE } kind;
    double lr;       /* at t = 0 */
    int64_t period;  /* CR_STEP: times gamma after every so many t. CR_COSINE: t at which lowest is reached, and kept */
    double gamma;    /* CR_STEP */
    double lowest;   /* CR_COSINE */
} cr_schedule;

/* CR_STEP: lr * gamma^floor(t / period), torch.optim.lr_scheduler.StepLR.
 * CR_COSINE: lowest + (lr - lowest) (1 + cos(pi t / period)) / 2, CosineAnnealingLR (Loshchilov & Hutter, arXiv:1608.03983). */
double cr_schedule_lr(const cr_schedule *schedule, int64_t t);

#ifdef __cplusplus
}
#endif
#endif
