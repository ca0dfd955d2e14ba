/* ops.c - the ops that are neither convolution nor pooling, forward and backward side by side, and the zeros around and
 * inside tensors. */
#include <string.h>

#include "ops.h"

/* ---- zeros ---- */

/* By rows, as the convolution that writes the tensor. */
void zero_halo(const cr_plan *plan, const tensor *t, float *arena)
{
    const int top = t->halo[0], rows = t->H + 2 * top;
    const size_t row = sizeof(float) * (size_t)t->row, side = sizeof(float) * (size_t)t->halo[1] * (size_t)t->block;
    if (top == 0 && side == 0)
        return;
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < plan->N * rows; i++) {
        const int h = i % rows;
        float *at = arena + t->offset + i / rows * t->image + h * t->row;
        for (int b = 0; b < t->blocks; b++, at += t->plane)
            if (h < top || h >= rows - top) {
                memset(at, 0, row);
            } else {
                memset(at, 0, side);
                memset((char *)(at + t->row) - side, 0, side);
            }
    }
}

void zero_all(const cr_plan *plan, const tensor *t, float *arena)
{
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < plan->N * t->blocks; i++)
        memset(arena + t->offset + i / t->blocks * t->image + i % t->blocks * t->plane, 0,
               sizeof(float) * (size_t)t->plane);
}

/* ---- rows: how elementwise ops walk a tensor ---- */

/* Row i of all images, in every channel block: threads share out rows, as convolutions do. A vector is one row. */
typedef struct rows {
    int rows, blocks, count; /* count: floats in a row of one block */
} rows;

static bool is_plain_vector(const tensor *t)
{
    return t->block == 1 && t->H == 1 && t->W == 1;
}

static rows rows_of(const cr_plan *plan, const tensor *t)
{
    if (is_plain_vector(t))
        return (rows){plan->N, 1, t->C};
    return (rows){plan->N * t->H, t->blocks, t->W * t->block};
}

static float *row_at(float *arena, const tensor *t, int row, int block)
{
    if (is_plain_vector(t))
        return arena + t->offset + row * t->image;
    return tensor_map(arena, t, row / t->H).p + block * t->plane + row % t->H * t->row;
}

/* ---- relu ---- */

void relu_forward(const cr_plan *plan, const step *s, float *arena)
{
    const tensor *x = &plan->value[s->x], *y = &plan->value[s->last];
    const rows r = rows_of(plan, y);
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < r.rows; i++)
        for (int j = 0; j < r.blocks; j++)
            plan->k->relu(row_at(arena, y, i, j), row_at(arena, x, i, j), r.count);
}

/* One row that adds: dx += what the rule lets through. */
static void add_through_relu(float *dx, const float *dy, const float *y, int count, cr_relu_rule rule)
{
    for (int i = 0; i < count; i++) {
        const bool open = rule == CR_RELU_DECONV || y[i] > 0.0f;
        const bool stops = rule != CR_RELU_PLAIN && dy[i] < 0.0f;
        dx[i] += open && !stops ? dy[i] : 0.0f;
    }
}

void relu_gradient(const cr_plan *plan, const tensor *dx, const tensor *dy, const tensor *y, bool first, float *arena)
{
    const cr_relu_rule rule = plan->relu;
    const rows r = rows_of(plan, dx);
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < r.rows; i++)
        for (int j = 0; j < r.blocks; j++) {
            float *to = row_at(arena, dx, i, j);
            const float *from = row_at(arena, dy, i, j);
            const float *sign = rule == CR_RELU_DECONV ? NULL : row_at(arena, y, i, j);
            if (!first) {
                add_through_relu(to, from, sign, r.count, rule);
                continue;
            }
            if (sign)
                plan->k->relu_mask(to, from, sign, r.count);
            if (rule != CR_RELU_PLAIN)
                plan->k->relu(to, sign ? to : from, r.count);
        }
}

void relu_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    relu_gradient(plan, &plan->grad[s->x], dy, &plan->value[s->last], s->first_x, arena);
}

/* ---- add ---- */

void add_forward(const cr_plan *plan, const step *s, float *arena)
{
    const tensor *a = &plan->value[s->x], *b = &plan->value[s->add], *y = &plan->value[s->last];
    const rows r = rows_of(plan, y);
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < r.rows; i++)
        for (int j = 0; j < r.blocks; j++)
            plan->k->add(row_at(arena, y, i, j), row_at(arena, a, i, j), row_at(arena, b, i, j), r.count);
}

void pass_gradient(const cr_plan *plan, const tensor *dx, const tensor *dy, bool first, float *arena)
{
    const rows r = rows_of(plan, dx);
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < r.rows; i++)
        for (int j = 0; j < r.blocks; j++) {
            float *to = row_at(arena, dx, i, j);
            const float *from = row_at(arena, dy, i, j);
            if (first)
                memcpy(to, from, sizeof(float) * (size_t)r.count);
            else
                plan->k->add(to, to, from, r.count);
        }
}

/* forward: y = a + b; the other side of the addition gets the same gradient (see tape.c) */
void add_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    pass_gradient(plan, &plan->grad[s->x], dy, s->first_x, arena);
}

/* ---- linear ---- */

enum { LINEAR_ROWS = 64 }; /* rows of w that a thread takes at once */

void linear_forward(const cr_plan *plan, const step *s, float *arena)
{
    const cr_net *net = plan->net;
    const cr_node *n = &net->nodes[s->node];
    const tensor *x = &plan->value[s->x], *y = &plan->value[s->last];
    const float *w = net->params[n->param].data, *bias = net->params[n->param + 1].data;
    const int I = x->C, O = y->C;
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int o = 0; o < O; o += LINEAR_ROWS)
        plan->k->linear(arena + y->offset, y->image, arena + x->offset, x->image, plan->N, w, bias, s->relu, I, o,
                        o + LINEAR_ROWS < O ? o + LINEAR_ROWS : O);
}

void linear_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    const float *w = plan->net->params[plan->net->nodes[s->node].param].data;
    const tensor *dx = &plan->grad[s->x];
    const int I = dx->C, O = dy->C;
    /* Each thread owns one range of columns, so that it reads long pieces of every row. */
    const int chunk = ((I + plan->threads - 1) / plan->threads + BLOCK - 1) / BLOCK * BLOCK;
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < I; i += chunk)
        for (int image = 0; image < plan->N; image++) {
            float *to = arena + dx->offset + image * dx->image;
            const int end = i + chunk < I ? i + chunk : I;
            if (s->first_x)
                memset(to + i, 0, sizeof(float) * (size_t)(end - i));
            plan->k->linear_backward(to, arena + dy->offset + image * dy->image, w, I, O, i, end);
        }
}

/* ---- flatten: blocked maps to plain vectors in (C,H,W) order ---- */

void flatten_forward(const cr_plan *plan, const step *s, float *arena)
{
    const tensor *x = &plan->value[s->x], *y = &plan->value[s->last];
    for (int n = 0; n < plan->N; n++)
        unblock(arena + y->offset + n * y->image, tensor_map(arena, x, n), x, plan->threads);
}

void flatten_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    const tensor *dx = &plan->grad[s->x];
    for (int n = 0; n < plan->N; n++)
        block(tensor_map(arena, dx, n), dx, arena + dy->offset + n * dy->image, !s->first_x, plan->threads);
}

void unblock(float *plain, map m, const tensor *t, int threads)
{
    (void)threads; /* without OpenMP */
    const ptrdiff_t pixels = (ptrdiff_t)t->H * t->W;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int c = 0; c < t->C; c++) {
        const float *from = m.p + c / t->block * m.block + c % t->block;
        float *to = plain + c * pixels;
        for (int h = 0; h < t->H; h++)
            for (int w = 0; w < t->W; w++)
                *to++ = from[h * m.row + w * m.col];
    }
}

void block(map m, const tensor *t, const float *plain, bool add, int threads)
{
    (void)threads;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int h = 0; h < t->H; h++)
        for (int c = 0; c < t->blocks * t->block; c++) {
            float *to = m.p + c / t->block * m.block + h * m.row + c % t->block;
            const float *from = plain + ((ptrdiff_t)c * t->H + h) * t->W;
            for (int w = 0; w < t->W; w++, to += m.col) {
                const float value = c < t->C ? from[w] : 0.0f; /* padding channels hold zeros */
                *to = add ? *to + value : value;
            }
        }
}
