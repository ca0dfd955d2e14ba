/* batch.c - see batch.h. */
#include "batch.h"

#include <stdlib.h>

enum { BATCH_FLOATS = 1 << 27 };

int batch_that_fits(const cr_net *net, int h, int w, int wanted)
{
    int (*dims)[3] = calloc((size_t)net->n_nodes, sizeof *dims);
    int64_t floats = 1;
    /* An input that is too small for the last layers is small. */
    if (dims && cr_net_shapes(net, h, w, dims, NULL))
        for (int i = 0; i < net->n_nodes; i++)
            floats += (int64_t)dims[i][0] * dims[i][1] * dims[i][2];
    free(dims);
    int64_t fit = BATCH_FLOATS / floats;
    fit = fit < 1 ? 1 : fit > MOST_BATCH ? MOST_BATCH : fit;
    return wanted < fit ? wanted : (int)fit;
}
