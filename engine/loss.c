/* loss.c - softmax, for reports and for the loss that a training follows down. */
#include <assert.h>
#include <math.h>
#include <stddef.h>

#include "engine.h"

/* log sum_c exp(z[c]), shifted by the largest so that no exp overflows. A NaN or an infinite largest logit gives NaN. */
static double log_sum_exp(const float *z, int classes)
{
    double largest = -INFINITY, sum = 0.0;
    for (int c = 0; c < classes; c++)
        largest = (double)z[c] > largest ? (double)z[c] : largest;
    for (int c = 0; c < classes; c++)
        sum += exp((double)z[c] - largest);
    return largest + log(sum);
}

void cr_softmax(float *p, const float *z, int n, int classes)
{
    for (; n > 0; n--, z += classes) {
        const double lse = log_sum_exp(z, classes);
        for (int c = 0; c < classes; c++)
            *p++ = (float)exp((double)z[c] - lse);
    }
}

/* loss = mean over images of lse - z[label], lse = log sum exp z; so dloss/dz[c] = (exp(z[c] - lse) - [c is label]) / n */
double cr_cross_entropy(float *dz, const float *z, const int *labels, int n, int classes)
{
    double loss = 0.0;
    for (int i = 0; i < n; i++, z += classes) {
        assert(labels[i] >= 0 && labels[i] < classes);
        const double lse = log_sum_exp(z, classes);
        loss += lse - (double)z[labels[i]];
        for (int c = 0; dz && c < classes; c++)
            *dz++ = (float)((exp((double)z[c] - lse) - (c == labels[i] ? 1.0 : 0.0)) / n);
    }
    return loss / n;
}
