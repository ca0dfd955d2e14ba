/* optimizer.c - see optimizer.h. Every element is on its own, so threads cannot change a bit. */
#include "optimizer.h"

#include <math.h>

/* Floats that a thread takes at once: long enough to stream, short enough to share evenly. */
enum { PIECE = 1 << 16 };

static void sgd_piece(const cr_sgd *sgd, float *restrict w, const float *restrict grad, float *restrict buffer, size_t count)
{
    const float lr = (float)sgd->lr, momentum = (float)sgd->momentum, decay = (float)sgd->weight_decay;
    if (momentum == 0.0f)
        for (size_t i = 0; i < count; i++)
            w[i] -= lr * (grad[i] + decay * w[i]);
    else if (!sgd->nesterov)
        for (size_t i = 0; i < count; i++) {
            buffer[i] = momentum * buffer[i] + (grad[i] + decay * w[i]);
            w[i] -= lr * buffer[i];
        }
    else
        for (size_t i = 0; i < count; i++) {
            const float g = grad[i] + decay * w[i];
            buffer[i] = momentum * buffer[i] + g;
            w[i] -= lr * (g + momentum * buffer[i]);
        }
}

void cr_sgd_step(const cr_sgd *sgd, float *w, const float *grad, float *buffer, size_t count)
{
#pragma omp parallel for schedule(static) if (count > PIECE)
    for (size_t i = 0; i < count; i += PIECE)
        sgd_piece(sgd, w + i, grad + i, buffer ? buffer + i : NULL, count - i < PIECE ? count - i : PIECE);
}

static void adam_piece(const cr_adam *adam, float rate, float v_scale, float *restrict w, const float *restrict grad,
                       float *restrict m, float *restrict v, size_t count)
{
    const float beta1 = (float)adam->beta1, rest1 = (float)(1.0 - adam->beta1), eps = (float)adam->eps;
    const float beta2 = (float)adam->beta2, rest2 = (float)(1.0 - adam->beta2), decay = (float)adam->weight_decay;
    for (size_t i = 0; i < count; i++) {
        const float g = grad[i] + decay * w[i];
        m[i] = beta1 * m[i] + rest1 * g;
        v[i] = beta2 * v[i] + rest2 * g * g;
        w[i] -= rate * m[i] / (sqrtf(v[i]) * v_scale + eps);
    }
}

void cr_adam_step(const cr_adam *adam, int64_t step, float *w, const float *grad, float *m, float *v, size_t count)
{
    const double t = (double)step;
    const float rate = (float)(adam->lr / (1.0 - pow(adam->beta1, t)));
    const float v_scale = (float)(1.0 / sqrt(1.0 - pow(adam->beta2, t)));
#pragma omp parallel for schedule(static) if (count > PIECE)
    for (size_t i = 0; i < count; i += PIECE)
        adam_piece(adam, rate, v_scale, w + i, grad + i, m + i, v + i, count - i < PIECE ? count - i : PIECE);
}

double cr_schedule_lr(const cr_schedule *s, int64_t t)
{
    static const double pi = 3.14159265358979323846;
    switch (s->kind) {
    case CR_STEP:
        return s->lr * pow(s->gamma, (double)(t / s->period));
    case CR_COSINE:
        return t >= s->period ? s->lowest
                              : s->lowest + (s->lr - s->lowest) * (1.0 + cos(pi * (double)t / (double)s->period)) / 2.0;
    default:
        return s->lr;
    }
}
