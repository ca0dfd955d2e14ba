/* weight_gradient.c - gradients of the weights and biases of convolutions and linear layers.
 *
 * A convolution's weight (oc,ic,kh,kw) was multiplied, at every output pixel of every image, with the x that lies at a fixed
 * offset from that pixel; so its gradient is the sum over pixels and images of that x times dy[oc]. The register tile
 * (training_kernels.c) takes one tile of output channels and a few x that lie side by side: the channels of a block, or,
 * where x is plain, the columns of a kernel's row.
 *
 * Work is cut into (tile of output channels, group of offsets). Each sum belongs to one piece and runs over pixels in one
 * order, so that neither threads nor the cut change a bit. */
#include <string.h>

#include "ops.h"

enum {
    MOST_WEIGHTS = 160, /* of one output channel in a piece: with OC_TILE 32, 20 KB of sums in the first-level cache */
    CHUNK_PIXELS = 128, /* at least so many, in whole rows, are added up in registers before they go to the sums */
};

/* The weights of one output channel in the order in which x holds their partners: pieces of `length` floats side by side. */
typedef struct order {
    int runs, length;
    int per_block; /* runs of one block of input channels */
} order;

static order order_of(const conv_part *part, const cr_node *node, const tensor *x)
{
    const int taps = part->taps[0] * part->taps[1];
    if (x->block > 1)
        return (order){x->blocks * taps, x->block, taps};
    if (node->dilation[1] > 1 || part->taps[1] > MOST_WEIGHTS)
        return (order){x->C * taps, 1, taps};
    return (order){x->C * part->taps[0], part->taps[1], part->taps[0]};
}

typedef struct run {
    ptrdiff_t x;                   /* of the first, relative to the output pixel */
    ptrdiff_t weight, weight_step; /* where the first one's gradient lies in an output channel's (IC,KH,KW); and the next */
    int count;
} run;

static run run_at(const order *o, int i, const conv_part *part, const tensor *x)
{
    const int taps = part->taps[0] * part->taps[1], block = i / o->per_block, c = block * x->block;
    const int tap = i % o->per_block * (taps / o->per_block); /* the first of its row, where a run is a row of taps */
    return (run){
        .x = block * x->plane + part->tap[tap],
        .weight = (ptrdiff_t)c * taps + tap,
        .weight_step = x->block > 1 ? taps : 1,
        .count = x->block > 1 && x->C - c < x->block ? x->C - c : o->length,
    };
}

/* sums of the runs first .. end - 1 of a tile of output channels, (runs, length, oc_tile), to dw (OC,IC,KH,KW). */
void scatter_weights(const cr_plan *plan, const step *s, float *dw, const float *sums, int tile, int first, int end)
{
    const cr_node *node = &plan->net->nodes[s->node];
    const tensor *x = &plan->value[s->x];
    const order o = order_of(&s->forward, node, x);
    const int oc_tile = plan->k->oc_tile, oc0 = tile * oc_tile, OC = smaller(oc_tile, node->channels - oc0);
    const ptrdiff_t weights = (ptrdiff_t)x->C * node->kernel[0] * node->kernel[1];
    for (int i = first; i < end; i++, sums += o.length * oc_tile) {
        const run r = run_at(&o, i, &s->forward, x);
        for (int oc = 0; oc < OC; oc++)
            for (int v = 0; v < r.count; v++)
                dw[(oc0 + oc) * weights + r.weight + v * r.weight_step] = sums[v * oc_tile + oc];
    }
}

/* Runs first .. end - 1 of one tile of output channels. */
static void gradient_piece(const cr_plan *plan, const step *s, const tensor *dy, float *arena, float *dw, const order *o,
                           int tile, int first, int end)
{
    const kernels *k = plan->k;
    const cr_node *node = &plan->net->nodes[s->node];
    const tensor *x = &plan->value[s->x];
    const int oc0 = tile * k->oc_tile;
    const gradient_task task = {
        .x_row = node->stride[0] * x->row,
        .x_col = node->stride[1] * (ptrdiff_t)x->block,
        .dy_row = dy->row,
        .dy_block = dy->C - oc0 > BLOCK ? dy->plane : 0, /* a tile may reach beyond the last block: its sums are not used */
        .OW = dy->W,
    };
    const int chunk = (CHUNK_PIXELS + dy->W - 1) / dy->W;
    const ptrdiff_t run_size = (ptrdiff_t)o->length * k->oc_tile;
    float sums[MOST_WEIGHTS * MOST_OC_TILE] __attribute__((aligned(64)));
    memset(sums, 0, sizeof *sums * (size_t)((end - first) * run_size));
    for (int n = 0; n < plan->N; n++) {
        const map mx = tensor_map(arena, x, n), mdy = tensor_map(arena, dy, n);
        for (int row = 0; row < dy->H; row += chunk)
            for (int i = first; i < end; i++) {
                const run r = run_at(o, i, &s->forward, x);
                k->training->weight_gradient(sums + (i - first) * run_size, &task, mx.p + r.x + row * task.x_row,
                                             mdy.p + oc0 / BLOCK * mdy.block + row * task.dy_row, r.count,
                                             row + chunk < dy->H ? chunk : dy->H - row);
            }
    }
    scatter_weights(plan, s, dw, sums, tile, first, end);
}

/* dbias[oc] = sum of dy over images and pixels. */
static void bias_gradient(const cr_plan *plan, const tensor *dy, float *arena, float *dbias)
{
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int b = 0; b < dy->blocks; b++) {
        double sum[BLOCK] = {0}, squares[BLOCK] = {0};
        for (int n = 0; n < plan->N; n++)
            for (int h = 0; h < dy->H; h++)
                plan->k->training->moments(sum, squares, tensor_map(arena, dy, n).p + b * dy->plane + h * dy->row, dy->W);
        for (int c = 0; c < BLOCK && b * BLOCK + c < dy->C; c++)
            dbias[b * BLOCK + c] = (float)sum[c];
    }
}

void weight_gradient_plan_kernels(cr_plan *plan, step *s)
{
    s->winograd_gradient = s->need_params && winograd_gradient_pays(plan, s);
    const size_t size = s->winograd_gradient ? winograd_gradient_scratch(plan, s) : 0;
    if (size > s->backward_scratch.size)
        s->backward_scratch.size = size;
}

void conv_weight_gradient(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    const cr_node *node = &plan->net->nodes[s->node];
    const tensor *dw = &plan->param_grad[node->param];
    if (node->n_params > 1 && tensor_exists(dw + 1))
        bias_gradient(plan, dy, arena, arena + dw[1].offset);
    if (!tensor_exists(dw))
        return;
    if (s->winograd_gradient) {
        winograd_gradient(plan, s, dy, arena, arena + dw->offset);
        return;
    }

    const order o = order_of(&s->forward, node, &plan->value[s->x]);
    const int tiles = (dy->C + plan->k->oc_tile - 1) / plan->k->oc_tile;
    /* Groups of runs as large as fit, if possible of whole blocks; smaller where threads would get unequal shares. */
    int size = MOST_WEIGHTS / o.length, groups;
    if (size > o.per_block)
        size = size / o.per_block * o.per_block;
    for (;; size = (size + 1) / 2) {
        groups = (o.runs + size - 1) / size;
        if (size == 1 || tiles * groups >= 4 * plan->threads || tiles * groups % plan->threads == 0)
            break;
    }
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < tiles * groups; i++) {
        const int first = i % groups * size;
        gradient_piece(plan, s, dy, arena, arena + dw->offset, &o, i / groups, first,
                       first + size < o.runs ? first + size : o.runs);
    }
}

enum { LINEAR_ROWS = 16 }; /* rows of dw that a thread takes at once */

void linear_weight_gradient(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    const tensor *x = &plan->value[s->x], *dw = &plan->param_grad[plan->net->nodes[s->node].param], *dbias = dw + 1;
    const int I = x->C, O = dy->C;
    if (tensor_exists(dbias))
        for (int o = 0; o < O; o++) {
            double sum = 0.0;
            for (int n = 0; n < plan->N; n++)
                sum += (double)arena[dy->offset + (size_t)(n * dy->image + o)];
            arena[dbias->offset + (size_t)o] = (float)sum;
        }
    if (tensor_exists(dw))
#pragma omp parallel for schedule(static) num_threads(plan->threads)
        for (int o = 0; o < O; o += LINEAR_ROWS)
            plan->k->training->linear_weight_gradient(arena + dw->offset, arena + dy->offset, dy->image, arena + x->offset,
                                                      x->image, plan->N, I, o, o + LINEAR_ROWS < O ? o + LINEAR_ROWS : O);
}
