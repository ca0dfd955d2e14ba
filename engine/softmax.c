/* softmax.c - probabilities from logits, for reports; gradients start at the logits themselves. */
#include <math.h>

#include "engine.h"

void cr_softmax(float *p, const float *z, int n, int classes)
{
    for (; n > 0; n--, p += classes, z += classes) {
        double largest = -INFINITY, sum = 0.0;
        for (int c = 0; c < classes; c++)
            largest = (double)z[c] > largest ? (double)z[c] : largest;
        for (int c = 0; c < classes; c++)
            sum += exp((double)z[c] - largest);
        for (int c = 0; c < classes; c++)
            p[c] = (float)(exp((double)z[c] - largest) / sum);
    }
}
