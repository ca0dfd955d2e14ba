/* conv.c - convolution as sums over taps: which taps, which kernel, and how the work is cut for threads.
 *
 * Forward. Output pixel oh reads input rows oh * stride - pad + kh * dilation, so every (kh,kw) is one tap at a fixed
 * offset from that pixel.
 *
 * Backward to the input. Input row ih was read by output row oh through tap kh where
 *     oh * stride = ih + pad - kh * dilation.
 * For the input rows ih = a + stride * i with one residue a, the taps that can satisfy this are those with
 * (a + pad - kh * dilation) divisible by stride, and then oh = i + (a + pad - kh * dilation) / stride: again a fixed offset
 * from i. So the backward is one convolution of dy per residue (a, b), with input and output channels swapped, and writes
 * every stride-th pixel of dx. With stride 1 that is the kernel rotated by 180 degrees; a residue that no tap reaches gets
 * zeros. */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

/* ---- parts: taps along each axis ---- */

static void add_tap(conv_part *part, int axis, int k, int offset)
{
    part->k[axis][part->taps[axis]] = k;
    part->offset[axis][part->taps[axis]++] = offset;
}

static bool allocate_taps(conv_part *part, const cr_node *n)
{
    const size_t KH = (size_t)n->kernel[0], KW = (size_t)n->kernel[1];
    int *room = calloc(2 * (KH + KW), sizeof *room);
    part->tap = calloc(KH * KW, sizeof *part->tap);
    part->k[0] = room;
    part->offset[0] = room ? room + KH : NULL;
    part->k[1] = room ? room + 2 * KH : NULL;
    part->offset[1] = room ? room + 2 * KH + KW : NULL;
    return room && part->tap;
}

static bool make_forward(const cr_plan *plan, step *s)
{
    const cr_node *n = &plan->net->nodes[s->node];
    conv_part *part = &s->forward;
    if (!allocate_taps(part, n))
        return false;
    for (int axis = 0; axis < 2; axis++) {
        part->count[axis] = plan->shape[s->node][1 + axis];
        for (int k = 0; k < n->kernel[axis]; k++)
            add_tap(part, axis, k, k * n->dilation[axis] - n->pad[axis]);
    }
    return true;
}

/* Taps in the order of growing offsets, as the forward's are. */
static void make_backward_axis(conv_part *part, const cr_node *n, int axis, int residue, int size)
{
    const int rest = size - residue;
    part->first[axis] = residue;
    part->count[axis] = rest > 0 ? (rest + n->stride[axis] - 1) / n->stride[axis] : 0;
    for (int k = n->kernel[axis] - 1; k >= 0; k--) {
        int distance = residue + n->pad[axis] - k * n->dilation[axis];
        if (distance % n->stride[axis] == 0)
            add_tap(part, axis, k, distance / n->stride[axis]);
    }
}

static bool make_backward(const cr_plan *plan, step *s)
{
    const cr_node *n = &plan->net->nodes[s->node];
    s->backward = calloc((size_t)n->stride[0] * (size_t)n->stride[1], sizeof *s->backward);
    if (!s->backward)
        return false;
    s->n_backward = n->stride[0] * n->stride[1];
    for (int i = 0; i < s->n_backward; i++) {
        conv_part *part = &s->backward[i];
        if (!allocate_taps(part, n))
            return false;
        make_backward_axis(part, n, 0, i / n->stride[1], plan->shape[s->x][1]);
        make_backward_axis(part, n, 1, i % n->stride[1], plan->shape[s->x][2]);
    }
    return true;
}

/* A part reads rows offset .. offset + count - 1 of a tensor of `size` rows for each tap: what lies outside is halo. */
static void widen_halo(const conv_part *part, const int shape[3], int halo[2])
{
    for (int axis = 0; axis < 2; axis++)
        for (int t = 0; t < part->taps[axis]; t++) {
            const int before = -part->offset[axis][t];
            const int behind = part->offset[axis][t] + part->count[axis] - shape[1 + axis];
            halo[axis] = before > halo[axis] ? before : halo[axis];
            halo[axis] = behind > halo[axis] ? behind : halo[axis];
        }
}

/* Square kernels of 3 or 5 taps and stride 1, on maps where the saved multiplications outweigh the transforms. The choice
 * never depends on the batch or the threads, so bits do not either. Measured: bench/LOG.md. */
static bool choose_winograd(const cr_plan *plan, const cr_node *n, int rows, int cols)
{
    const int taps = n->kernel[0], smallest = taps == 3 ? 4 : 9;
    if (plan->direct || n->kernel[1] != taps || (taps != 3 && taps != 5) || rows < smallest || cols < smallest)
        return false;
    for (int axis = 0; axis < 2; axis++)
        if (n->stride[axis] != 1 || n->dilation[axis] != 1)
            return false;
    return true;
}

/* Windows that lie inside a tile each: Winograd's output is pooled before it is written. */
static bool pools_tiles(const cr_node *pool)
{
    for (int axis = 0; axis < 2; axis++)
        if (pool->kernel[axis] != 2 || pool->stride[axis] != 2 || pool->pad[axis] != 0 || pool->dilation[axis] != 1)
            return false;
    return true;
}

bool conv_can_pool(const cr_plan *plan, const step *s, int pool)
{
    const int *shape = plan->shape[s->node];
    return is_plain(plan, s->x) || (choose_winograd(plan, &plan->net->nodes[s->node], shape[1], shape[2]) &&
                                    pools_tiles(&plan->net->nodes[pool]));
}

enum { POOLED_ROWS = 4 }; /* that are made at once from a strip of the convolution's */

/* From an input row to the one behind the last that `count` rows of windows read. */
static int rows_of_windows(const window *win, int count)
{
    return (count - 1) * win->stride[0] + (win->kernel[0] - 1) * win->dilation[0] + 1;
}

/* Floats of that strip. */
static size_t strip_size(const cr_plan *plan, const step *s)
{
    const window win = node_window(&plan->net->nodes[s->pool]);
    const int *shape = plan->shape[s->node];
    return (size_t)largest_part(shape[0], BLOCK) * (size_t)smaller(rows_of_windows(&win, POOLED_ROWS), shape[1]) *
           (size_t)shape[2] * BLOCK;
}

bool conv_plan_halos(cr_plan *plan, step *s)
{
    const cr_node *n = &plan->net->nodes[s->node];
    if (!make_forward(plan, s) || (s->need_x && !make_backward(plan, s)))
        return false;
    int forward_shape[3] = {0, plan->shape[s->x][1], plan->shape[s->x][2]};
    /* Stride is a step between output pixels: the last one reads that much further. */
    for (int axis = 0; axis < 2; axis++)
        forward_shape[1 + axis] -= (s->forward.count[axis] - 1) * (n->stride[axis] - 1);
    widen_halo(&s->forward, forward_shape, plan->value[s->x].halo);
    for (int i = 0; i < s->n_backward; i++)
        if (s->backward[i].count[0] > 0 && s->backward[i].count[1] > 0)
            widen_halo(&s->backward[i], plan->shape[s->last], plan->grad[s->last].halo);
    return true;
}

void conv_plan_kernels(cr_plan *plan, step *s, int forward_N)
{
    const cr_node *n = &plan->net->nodes[s->node];
    const tensor *x = &plan->value[s->x], *dy = &plan->grad[s->last];
    s->forward.winograd = x->block == BLOCK && choose_winograd(plan, n, s->forward.count[0], s->forward.count[1]) &&
                          (s->pool < 0 || pools_tiles(&plan->net->nodes[s->pool]));
    if (s->forward.winograd) {
        s->forward.depth = winograd_depth(plan, &s->forward, x);
        s->scratch.size = winograd_scratch(plan, &s->forward, x, plan->shape[s->last][0], forward_N);
    } else if (s->pool >= 0)
        s->scratch.size = (size_t)plan->threads * strip_size(plan, s);
    for (int i = 0; i < s->n_backward; i++) {
        conv_part *part = &s->backward[i];
        part->depth = 1; /* a map's error is that of its gradient, most of all: bench/LOG.md */
        part->winograd = dy->block == BLOCK && choose_winograd(plan, n, part->count[0], part->count[1]);
        if (part->winograd)
            s->backward_scratch.size = winograd_scratch(plan, part, dy, plan->shape[s->x][0], plan->N);
    }
}

static void release_part(conv_part *part)
{
    free(part->k[0]);
    free(part->tap);
}

void conv_release(step *s)
{
    release_part(&s->forward);
    for (int i = 0; i < s->n_backward; i++)
        release_part(&s->backward[i]);
    free(s->backward);
}

/* ---- running ---- */

/* How threads share out the rows of all images and the tiles of output channels: a grid of parts. Where they can, they take
 * rows: then a thread reads what it wrote itself in the layer before, and what one core has to fetch from another's cache
 * takes longer than reading all the weights. In units of one input channel's and tap's work on one pixel. */
static void choose_grid(int *row_parts, int *tile_parts, int rows, int tiles, const conv_task *task, int threads)
{
    enum { WEIGHTS_COST = 8, FOREIGN_PIXEL_COST = 2 };
    int64_t least = INT64_MAX;
    for (int parts = threads < rows ? threads : rows; parts > 0; parts--) {
        const int others = threads / parts < tiles ? threads / parts : tiles;
        const int64_t my_rows = largest_part(rows, parts), my_tiles = largest_part(tiles, others);
        const int64_t foreign = others > 1 ? my_rows * task->OW * FOREIGN_PIXEL_COST : 0;
        const int64_t cost = (my_rows * task->OW + WEIGHTS_COST) * my_tiles * task->n_taps + foreign;
        if (cost < least) {
            least = cost;
            *row_parts = parts;
            *tile_parts = others;
        }
    }
}

/* One long chain of additions loses more to rounding than the sum of short ones: so many products at a time, added up
 * in y. */
enum { CHAIN = 512 };

static void run_rows(const kernels *k, const conv_task *task, int tile, int row0, int row1)
{
    const int blocks = CHAIN / (task->in_block * (task->n_taps > 0 ? task->n_taps : 1)), n_in = task->n_in;
    conv_task part = *task;
    for (int b = 0; b == 0 || b < n_in; b += part.n_in) {
        part.n_in = smaller(blocks > 0 ? blocks : 1, n_in - b);
        part.relu = task->relu && b + part.n_in >= n_in;
        k->conv(&part, tile, row0, row1);
        part.x.p += part.n_in * task->x.block;
        part.w += (ptrdiff_t)part.n_in * task->n_taps * task->in_block * k->oc_tile;
        part.bias = NULL;
        part.add = part.y;
    }
}

/* A direct convolution of image 0; where its output goes is left to the caller. */
static conv_task direct_task(const cr_plan *plan, const conv_call *call, const int x_stride[2])
{
    const conv_part *part = call->part;
    conv_task task = {
        .x = tensor_map(call->arena, call->x, 0),
        .in_block = call->x->block,
        .n_in = call->x->blocks,
        .tap = part->tap,
        .n_taps = part->taps[0] * part->taps[1],
        .w = part->w,
        .w_tile = (ptrdiff_t)plan->k->oc_tile * call->x->blocks * call->x->block * part->taps[0] * part->taps[1],
        .bias = call->bias,
        .out_blocks = call->y->blocks,
        .OW = part->count[1],
        .relu = call->relu,
    };
    task.x.row *= x_stride[0];
    task.x.col *= x_stride[1];
    return task;
}

/* Either the weights or the rows of x should stay in a core's second-level cache while the other streams by: the larger
 * of the two is walked through once. */
static void direct_run(const cr_plan *plan, const conv_call *call, const int x_stride[2], const int y_stride[2])
{
    const kernels *k = plan->k;
    const conv_part *part = call->part;
    conv_task task = direct_task(plan, call, x_stride);
    task.y = tensor_map(call->arena, call->y, 0);
    if (call->add)
        task.add = tensor_map(call->arena, call->add, 0);
    task.y.p += part->first[0] * task.y.row + part->first[1] * task.y.col;
    task.y.row *= y_stride[0];
    task.y.col *= y_stride[1];
    if (call->add == call->y)
        task.add = task.y;

    const int tiles = largest_part(call->y->C, k->oc_tile), OH = part->count[0], rows = plan->N * OH;
    int row_parts = 1, tile_parts = 1;
    choose_grid(&row_parts, &tile_parts, rows, tiles, &task, smaller(plan->threads, MOST_SHARES));
    const size_t weights = (size_t)largest_part(tiles, tile_parts) * (size_t)k->oc_tile * (size_t)call->x->C * (size_t)task.n_taps;
    const size_t rows_of_x = (size_t)call->x->image * (size_t)plan->N / (size_t)row_parts;
    const int row_chunk = weights > rows_of_x ? OH : 4;

    work_shares work = {0};
    for (int i = 0; i < row_parts * tile_parts; i++)
        add_share(&work, largest_part(part_size(rows, row_parts, i / tile_parts), row_chunk) *
                             part_size(tiles, tile_parts, i % tile_parts));
#pragma omp parallel num_threads(plan->threads)
    for (int i = thread_index() % work.n, piece; take_piece(&work, &i, &piece);) {
        const int row_part = i / tile_parts, tile_part = i % tile_parts, my_tiles = part_size(tiles, tile_parts, tile_part);
        const int tile = part_start(tiles, tile_parts, tile_part) + piece % my_tiles;
        const int first = part_start(rows, row_parts, row_part) + piece / my_tiles * row_chunk;
        const int end = smaller(first + row_chunk, part_start(rows, row_parts, row_part + 1));
        for (int row = first, next; row < end; row = next) {
            const int n = row / OH, row0 = row % OH;
            next = smaller((n + 1) * OH, end);
            conv_task image = task;
            image.x.p += n * call->x->image;
            image.y.p += n * call->y->image;
            if (call->add)
                image.add.p += n * call->add->image;
            run_rows(k, &image, tile, row0, row0 + next - row);
        }
    }
}

/* ---- a convolution and its max-pool ---- */

/* The few rows of the convolution's output that a thread has at hand; they never leave its second-level cache. */
typedef struct strip {
    map rows;             /* of all channel blocks; rows.p is row `first` of an image */
    int image, first, end;
} strip;

/* Rows row0 .. row1 - 1 of image n of y. Of the convolution's rows below, those of the strip are taken as they are. */
static void pool_rows(const cr_plan *plan, const conv_call *call, const conv_task *whole, const window *win, strip *have, int n,
                      int row0, int row1)
{
    const tensor *y = call->y;
    const map rows = have->rows;
    const int top = row0 * win->stride[0] - win->pad[0], first = top > 0 ? top : 0;
    const int end = smaller(top + rows_of_windows(win, row1 - row0), call->part->count[0]);
    int done = 0;
    if (have->image == n && first >= have->first && first < have->end) {
        done = smaller(have->end, end) - first;
        for (int b = 0; b < y->blocks; b++)
            memmove(rows.p + b * rows.block, rows.p + b * rows.block + (first - have->first) * rows.row,
                    sizeof(float) * (size_t)done * (size_t)rows.row);
    }
    conv_task task = *whole;
    task.x.p += n * call->x->image + (first + done) * task.x.row;
    task.y = rows;
    task.y.p += done * rows.row;
    for (int tile = 0; tile < largest_part(y->C, plan->k->oc_tile); tile++)
        run_rows(plan->k, &task, tile, 0, end - first - done);
    *have = (strip){rows, n, first, end};

    window inside = *win;
    inside.pad[0] = first - top;
    for (int b = 0; b < y->blocks; b++) {
        map from = rows, to = tensor_map(call->arena, y, n);
        from.p += b * rows.block;
        to.p += b * to.block + row0 * to.row;
        plan->k->maxpool(to, NULL, from, end - first, call->part->count[1], y->W, 0, row1 - row0, &inside);
    }
}

/* The convolution's whole output would be several times as large as what is left of it: it is pooled as it is made. */
static void pooled_run(const cr_plan *plan, const step *s, const conv_call *call, float *scratch)
{
    const window win = node_window(&plan->net->nodes[s->pool]);
    const conv_task task = direct_task(plan, call, plan->net->nodes[s->node].stride);
    const size_t size = strip_size(plan, s);
    const int H = call->y->H, rows = plan->N * H, parts = smaller(smaller(plan->threads, MOST_SHARES), rows);
    work_shares work = {0};
    for (int i = 0; i < parts; i++)
        add_share(&work, largest_part(part_size(rows, parts, i), POOLED_ROWS));
#pragma omp parallel num_threads(plan->threads)
    {
        const ptrdiff_t row = (ptrdiff_t)call->part->count[1] * BLOCK, block = (ptrdiff_t)size / call->y->blocks;
        strip have = {.rows = {scratch + (size_t)thread_index() * size, block, row, BLOCK}, .image = -1};
        for (int i = thread_index() % work.n, piece; take_piece(&work, &i, &piece);) {
            const int first = part_start(rows, parts, i) + piece * POOLED_ROWS;
            const int end = smaller(first + POOLED_ROWS, part_start(rows, parts, i + 1));
            for (int at = first, next; at < end; at = next) {
                next = smaller((at / H + 1) * H, end);
                pool_rows(plan, call, &task, &win, &have, at / H, at % H, at % H + next - at);
            }
        }
    }
}

/* ---- the op ---- */

void conv_forward(const cr_plan *plan, const step *s, float *arena)
{
    static const int dense[2] = {1, 1};
    const conv_call call = {
        .part = &s->forward,
        .x = &plan->value[s->x],
        .add = s->add >= 0 ? &plan->value[s->add] : NULL,
        .y = &plan->value[s->last],
        .bias = s->bias,
        .relu = s->relu,
        .pooled = s->pool >= 0,
        .arena = arena,
    };
    if (s->forward.winograd)
        winograd_run(plan, &call, arena + s->scratch.offset);
    else if (s->pool >= 0)
        pooled_run(plan, s, &call, arena + s->scratch.offset);
    else
        direct_run(plan, &call, plan->net->nodes[s->node].stride, dense);
}

void conv_backward(const cr_plan *plan, const step *s, const tensor *dy, float *arena)
{
    static const int dense[2] = {1, 1};
    const tensor *dx = &plan->grad[s->x];
    for (int i = 0; i < s->n_backward; i++) {
        const conv_part *part = &s->backward[i];
        if (part->count[0] == 0 || part->count[1] == 0 || (part->taps[0] * part->taps[1] == 0 && !s->first_x))
            continue; /* no such pixels, or nothing to add to them */
        const conv_call call = {.part = part, .x = dy, .add = s->first_x ? NULL : dx, .y = dx, .arena = arena};
        if (part->winograd)
            winograd_run(plan, &call, arena + s->backward_scratch.offset);
        else
            direct_run(plan, &call, dense, plan->net->nodes[s->node].stride);
    }
}
