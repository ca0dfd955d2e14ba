/* winograd_kernels.h - the fast kernels of Winograd's minimal filtering, which kernels.c compiles once per instruction set;
 * winograd_transforms.h has the mathematics.
 *
 * The products of a point are a 1x1 convolution of tiles, by a register tile like that of direct convolutions: OC_VECS vectors
 * of output channels times TILE_PIXELS tiles, or fewer tiles and several points. */
#ifndef CAMRUN_WINOGRAD_KERNELS_H
#define CAMRUN_WINOGRAD_KERNELS_H

#include "pool_kernels.h"
#include "winograd_transforms.h"

enum {
    U_BLOCK = BLOCK * OC_TILE,
    U_POINT = WINOGRAD_U_POINT(OC_TILE),
    AHEAD = OC_TILE / 4, /* lines fetched for each of the 36 points: together a block of a 3x3 kernel's weights */
};

INLINE void transform_input(float *V, ptrdiff_t point, const float *x, ptrdiff_t row, int row_points, int col_points,
                            int rows, int cols)
{
    for (int v = 0; v < BLOCK; v += VL) {
        vec half[SIDE][SIDE]; /* [column][row of B^T d] */
        for (int j = 0; j < col_points; j++) {
            vec d[SIDE] = {0};
            for (int i = 0; i < row_points; i++)
                if (i < rows && j < cols)
                    d[i] = load(x + i * row + j * BLOCK + v);
            apply_B(half[j], d, row_points);
        }
        for (int i = 0; i < row_points; i++) {
            vec d[SIDE], r[SIDE];
            for (int j = 0; j < col_points; j++)
                d[j] = half[j][i];
            apply_B(r, d, col_points);
            for (int j = 0; j < col_points; j++)
                store(V + (i * SIDE + j) * point + v, r[j]);
        }
    }
}

static void winograd_input(float *V, ptrdiff_t point, const float *x, ptrdiff_t row, const int points[2], int rows, int cols)
{
    if (points[0] < SIDE || points[1] < SIDE)
        transform_input(V, point, x, row, points[0], points[1], points[0], points[1]);
    else if (rows >= SIDE && cols >= SIDE)
        transform_input(V, point, x, row, SIDE, SIDE, SIDE, SIDE);
    else
        transform_input(V, point, x, row, SIDE, SIDE, rows, cols);
}

/* U = G g G^T of a block of input channels and OC_TILE output channels; taps is a constant in every call. */
INLINE void weights_block(float *U, const float *w, int taps)
{
    for (int at = 0; at < U_BLOCK; at += VL) {
        vec half[MOST_TAPS][SIDE]; /* [column][row of G g] */
        for (int kw = 0; kw < taps; kw++) {
            vec g[MOST_TAPS];
            for (int kh = 0; kh < taps; kh++)
                g[kh] = load(w + (kh * taps + kw) * U_BLOCK + at);
            apply_G(half[kw], g, taps);
        }
        for (int i = 0; i < SIDE; i++) {
            vec g[MOST_TAPS], u[SIDE];
            for (int kw = 0; kw < taps; kw++)
                g[kw] = half[kw][i];
            apply_G(u, g, taps);
            for (int j = 0; j < SIDE; j++)
                store(U + (i * SIDE + j) * U_POINT + at, u[j]);
        }
    }
}

/* Row i of U alone, of 3x3 taps, one input channel and VL output channels; i is a constant in every call. */
INLINE void weights_row(vec u[SIDE], const float *w, int i)
{
    enum { TAPS = 3 };
    vec row[TAPS];
    for (int kw = 0; kw < TAPS; kw++) {
        vec g[TAPS], column[SIDE]; /* of G g, of which one element is used and computed */
        for (int kh = 0; kh < TAPS; kh++)
            g[kh] = load(w + (kh * TAPS + kw) * U_BLOCK);
        apply_G(column, g, TAPS);
        row[kw] = column[i];
    }
    apply_G(u, row, TAPS);
}

/* A row of points of some blocks of input channels. */
typedef struct row_of_points {
    const float *U;
    const float *ahead; /* what to fetch meanwhile, AHEAD lines for each point and block */
    int blocks;
    bool more; /* M holds sums of other blocks already */
} row_of_points;

/* Points j to j + Q - 1 of P tiles and OC_TILE channels; deep (more than one block), Q and P are constants in every call. Of one
 * point, what the next call wants is fetched meanwhile: its V is `next` floats further. */
INLINE void products_tile(const winograd_products *task, const row_of_points *row, float *M, const float *V,
                          ptrdiff_t next, bool deep, int j, int Q, int P)
{
    const int blocks = deep ? row->blocks : 1;
    const ptrdiff_t M_point = task->M_point, M_block = task->M_block, V_point = task->V_point;
    const float *U = row->U + j * U_POINT, *ahead = row->ahead + j * blocks * AHEAD * BLOCK;
    M += j * M_point;
    V += j * V_point;
    vec acc[MOST_PIXELS][OC_VECS];
    for (int q = 0; q < Q; q++)
        for (int p = 0; p < P; p++) {
            if (Q > 1)
                __builtin_prefetch(V + (Q + q) * V_point + p * BLOCK);
            if (deep)
                for (int v = 0; v < OC_TILE; v += BLOCK)
                    __builtin_prefetch(M + v / BLOCK * M_block + p * BLOCK, 1);
            for (int v = 0; v < OC_VECS; v++)
                acc[q * P + p][v] = (vec){0};
        }
    /* A line of weights is fetched every STEP channels, and where there is one point (else V was above), `lines` of V for the next
     * call and of M, which many tiles push out of the first-level cache. */
    enum { STEP = BLOCK / AHEAD };
    const int lines = Q > 1 ? 0 : (P + AHEAD - 1) / AHEAD;
    for (int b = 0; b < blocks; b++) {
        ptrdiff_t line = 0;
        for (int ic0 = 0; ic0 < BLOCK; ic0 += STEP) {
            for (int q = 0; q < Q; q++, ahead += BLOCK)
                __builtin_prefetch(ahead);
            for (int l = 0; l < lines; l++, line += BLOCK) {
                __builtin_prefetch(V + next + line);
                if (!deep)
                    for (int v = 0; v < OC_TILE; v += BLOCK)
                        __builtin_prefetch(M + v / BLOCK * M_block + line, 1);
            }
            for (int ic = ic0; ic < ic0 + STEP; ic++)
                for (int q = 0; q < Q; q++) {
                    vec weight[OC_VECS];
                    for (int v = 0; v < OC_VECS; v++)
                        weight[v] = load(U + q * U_POINT + ic * OC_TILE + v * VL);
                    for (int p = 0; p < P; p++)
                        for (int v = 0; v < OC_VECS; v++)
                            acc[q * P + p][v] += weight[v] * V[q * V_point + p * BLOCK + ic];
                }
        }
        U += U_BLOCK;
        V += task->V_block;
    }
    for (int q = 0; q < Q; q++)
        for (int v = 0; v < OC_VECS; v++) {
            float *to = M + q * M_point + v * VL / BLOCK * M_block + v * VL % BLOCK;
            if (row->more)
                for (int p = 0; p < P; p++)
                    acc[q * P + p][v] += load(to + p * BLOCK);
            for (int p = 0; p < P; p++)
                store(to + p * BLOCK, acc[q * P + p][v]);
        }
}

/* Points j0 <= j < j1 of one block, of P tiles: where they are few, as many points at once as there are registers for. */
INLINE void products_row(const winograd_products *task, const row_of_points *row, float *M, const float *V, int j0,
                         int j1, int P)
{
    const int Q = 6 * P <= TILE_PIXELS ? 6 : 3 * P <= TILE_PIXELS ? 3 : 2 * P <= TILE_PIXELS ? 2 : 1;
    int j = j0;
    for (; j + Q <= j1; j += Q)
        products_tile(task, row, M, V, task->V_point, false, j, Q, P);
    for (; Q > 1 && j < j1; j++)
        products_tile(task, row, M, V, task->V_point, false, j, 1, P);
}

/* Groups of nearly equal width, of at most TILE_PIXELS tiles each. */
typedef struct groups {
    int count, narrow, wide; /* so many are one tile wider */
} groups;

INLINE groups groups_of(int tiles)
{
    const int count = (tiles + TILE_PIXELS - 1) / TILE_PIXELS;
    return (groups){count, tiles / count, tiles % count};
}

#define EACH_WIDTH(CASE) \
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)

#define ROW_CASE(P)                                   \
    case P:                                           \
        if (P <= TILE_PIXELS)                         \
            products_row(task, row, M, V, j0, j1, P); \
        break;

/* Points j0 <= j < j1 of one block, of some tiles. A function of its own: else constants of the weights' transform take registers
 * from the sums. */
__attribute__((noinline)) static void products(const winograd_products *task, const row_of_points *row, float *M,
                                               const float *V, int j0, int j1, int begin, int end)
{
    if (begin == end || j0 == j1)
        return;
    const groups of = groups_of(end - begin);
    M += begin * BLOCK;
    V += begin * BLOCK;
    for (int i = 0; i < of.count; i++) {
        const int width = of.narrow + (i < of.wide);
        switch (width) {
            EACH_WIDTH(ROW_CASE)
        }
        V += width * BLOCK;
        M += width * BLOCK;
    }
}

#define DEEP_CASE(P)                                                       \
    case P:                                                                \
        if (P <= TILE_PIXELS)                                              \
            products_tile(task, row, M + at, V + at, next, true, j, 1, P); \
        break;

/* The same of several blocks: of their U, only one point's stays in the first-level cache. So points outside, groups inside. */
__attribute__((noinline)) static void deep_products(const winograd_products *task, const row_of_points *row, float *M,
                                                    const float *V, int j0, int j1, int begin, int end)
{
    if (begin == end)
        return;
    const groups of = groups_of(end - begin);
    for (int j = j0; j < j1; j++) {
        ptrdiff_t at = begin * BLOCK;
        for (int i = 0; i < of.count; i++) {
            const int width = of.narrow + (i < of.wide);
            const ptrdiff_t next = i + 1 < of.count ? width * BLOCK : task->V_point + begin * BLOCK - at;
            switch (width) {
                EACH_WIDTH(DEEP_CASE)
            }
            at += width * BLOCK;
        }
    }
}

/* So few tiles that the sums of a row of points, for VL output channels, leave registers for the weights. */
enum { FEW_TILES = OC_VECS * TILE_PIXELS / SIDE };
_Static_assert(FEW_TILES <= 4, "few_tiles() has cases for up to 4");

/* Row i of points, of tiles begin <= t < end, of which those before `whole` have all points and the others all but the last;
 * all four are constants in every call. Each weight serves few products, too few to pay for writing U and reading it again: it
 * is used as it is made. */
INLINE void few_tiles_row(const winograd_products *task, float *M, const float *V, const float *w, const float *ahead,
                          bool more, int begin, int whole, int end, int i)
{
    const ptrdiff_t M_point = task->M_point, M_block = task->M_block, V_point = task->V_point;
    /* So many lines of weights are fetched for every STEP channels, into the second-level cache: 18 KB that are in use and as
     * many that come next are more than most first ones hold. */
    enum { STEP = 2, STEPS = OC_VECS * BLOCK / STEP, LINES = (SIDE * AHEAD + STEPS - 1) / STEPS, SECOND_LEVEL = 2 };
    for (int v = 0; v < OC_VECS; v++) {
        vec acc[SIDE][MOST_PIXELS];
        for (int j = 0; j < SIDE; j++)
            for (int t = begin; t < end; t++)
                acc[j][t] = (vec){0};
        for (int ic0 = 0; ic0 < BLOCK; ic0 += STEP) {
            for (int l = 0; l < LINES; l++, ahead += BLOCK)
                __builtin_prefetch(ahead, 0, SECOND_LEVEL);
            for (int ic = ic0; ic < ic0 + STEP; ic++) {
                vec u[SIDE];
                weights_row(u, w + ic * OC_TILE + v * VL, i);
                for (int j = 0; j < SIDE; j++)
                    for (int t = begin; t < end; t++)
                        if (j < SIDE - 1 || t < whole)
                            acc[j][t] += u[j] * V[j * V_point + t * BLOCK + ic];
            }
        }
        for (int j = 0; j < SIDE; j++)
            for (int t = begin; t < end; t++) {
                if (j == SIDE - 1 && t >= whole)
                    continue;
                float *to = M + j * M_point + v * VL / BLOCK * M_block + v * VL % BLOCK + t * BLOCK;
                if (more)
                    acc[j][t] += load(to);
                store(to, acc[j][t]);
            }
    }
}

/* The four tiles of a map of 7x7 pixels, where the last row's and the last column's have a point less than the others. */
INLINE bool is_seven(const winograd_products *task)
{
    const tile_range *with = task->with;
    return task->tiles == 4 && task->points[0] == SIDE - 1 && task->points[1] == SIDE - 1 && with[0].whole == 2 &&
           with[1].begin == 1 && with[1].end == 3;
}

#define FEW_CASE(P, i)                                             \
    case (P) * SIDE + (i):                                         \
        if (P <= FEW_TILES)                                        \
            few_tiles_row(task, M, V, w, ahead, more, 0, P, P, i); \
        break;
#define FEW_CASES(P) FEW_CASE(P, 0) FEW_CASE(P, 1) FEW_CASE(P, 2) FEW_CASE(P, 3) FEW_CASE(P, 4) FEW_CASE(P, 5)
#define SEVEN_CASE(i, begin, end)                                        \
    case i:                                                              \
        if (FEW_TILES >= 4)                                              \
            few_tiles_row(task, M, V, w, ahead, more, begin, 2, end, i); \
        break;

/* Row i of points of all tiles, for kernels of 3x3 taps. */
__attribute__((noinline)) static void few_tiles(const winograd_products *task, float *M, const float *V, const float *w,
                                                const float *ahead, bool more, int i)
{
    switch ((is_seven(task) ? 0 : task->tiles * SIDE) + i) {
        SEVEN_CASE(0, 0, 4) SEVEN_CASE(1, 0, 4) SEVEN_CASE(2, 0, 4) SEVEN_CASE(3, 0, 4) SEVEN_CASE(4, 0, 4) SEVEN_CASE(5, 1, 3)
        FEW_CASES(1) FEW_CASES(2) FEW_CASES(3) FEW_CASES(4)
    }
}

/* M += partial, row i of points. */
static void add_partial(const winograd_products *task, float *M, const float *partial, int i)
{
    for (int j = 0; j < SIDE; j++) {
        const tile_range *with = &task->with[i >= task->points[0]];
        const int tiles = (j < task->points[1] ? with->end : with->whole) - with->begin;
        for (int v = 0; v < OC_TILE / BLOCK; v++) {
            const ptrdiff_t at = j * task->M_point + v * task->M_block + with->begin * BLOCK;
            add_rows(M + at, M + at, partial + at, tiles * BLOCK);
        }
    }
}

/* U of some blocks of input channels. */
static void transform_weights(const winograd_products *task, int b, int blocks)
{
    const ptrdiff_t w_block = task->taps * task->taps * U_BLOCK;
    for (int k = 0; k < blocks; k++) {
        float *U = task->U + k * U_BLOCK;
        const float *w = task->w + (b + k) * w_block;
        if (task->taps == 3)
            weights_block(U, w, 3);
        else
            weights_block(U, w, 5);
    }
}

/* `depth` blocks of input channels at a time, of which a row of points at a time. */
static void winograd_multiply(const winograd_products *task)
{
    const ptrdiff_t w_block = task->taps * task->taps * U_BLOCK;
    const int *points = task->points, depth = task->depth;
    const bool equal = points[0] == SIDE && points[1] == SIDE; /* tiles */
    const bool few = task->taps == 3 && depth == 1 && task->tiles <= FEW_TILES && (equal || is_seven(task));
    void (*const multiply)(const winograd_products *, const row_of_points *, float *, const float *, int, int, int, int) =
        depth == 1 ? products : deep_products;
    for (int b = 0; b < task->n_in; b += depth) {
        const int blocks = smaller(depth, task->n_in - b);
        const bool more = b % SUM_BLOCKS > 0, apart = b >= SUM_BLOCKS;
        const bool last = (b + blocks) % SUM_BLOCKS == 0 || b + blocks == task->n_in;
        if (!few)
            transform_weights(task, b, blocks);
        for (int i = 0; i < SIDE; i++) {
            const ptrdiff_t row = i * SIDE * task->M_point;
            float *M = (apart ? task->partial : task->M) + row;
            const float *V = task->V + i * SIDE * task->V_point + b * task->V_block, *w = task->w + b * w_block;
            /* The weights behind the next blocks' come from memory while these blocks' products keep the core busy. */
            const float *ahead = w + (blocks + 1) * w_block + i * SIDE * blocks * AHEAD * BLOCK;
            if (few)
                few_tiles(task, M, V, w, ahead, more, i);
            else {
                const row_of_points of = {task->U + i * SIDE * U_POINT, ahead, blocks, more};
                const tile_range *with = &task->with[i >= points[0]];
                multiply(task, &of, M, V, 0, points[1], with->begin, with->end);
                multiply(task, &of, M, V, points[1], SIDE, with->begin, with->whole);
            }
            if (apart && last)
                add_partial(task, task->M + row, task->partial + row, i);
        }
    }
}

INLINE void transform_output(const winograd_output_task *task, const float *M, float *y, const float *add, int row_points,
                             int col_points, int taps, int rows, int cols)
{
    const int height = row_points + 1 - taps, width = col_points + 1 - taps; /* of the tile */
    const vec scale = (vec){0} + output_scale(row_points, col_points, height, width);
    for (int v = 0; v < BLOCK; v += VL) {
        vec half[SIDE][MOST_TAPS]; /* [column][row of A^T M] */
        for (int j = 0; j < col_points; j++) {
            vec r[SIDE];
            for (int i = 0; i < row_points; i++)
                r[i] = load(M + (i * SIDE + j) * task->point + v);
            apply_A(half[j], r, row_points, height);
        }
        const vec bias = task->bias ? load(task->bias + v) : (vec){0};
        for (int i = 0; i < height; i++) {
            vec r[SIDE], out[MOST_TAPS];
            for (int j = 0; j < col_points; j++)
                r[j] = half[j][i];
            apply_A(out, r, col_points, width);
            for (int j = 0; j < width; j++)
                if (i < rows && j < cols) {
                    vec sum = scale * out[j] + bias;
                    if (add)
                        sum += load(add + i * task->add_row + j * BLOCK + v);
                    store(y + i * task->y_row + j * BLOCK + v, task->relu ? relu_vec(sum) : sum);
                }
        }
    }
}

static void winograd_tile(const winograd_output_task *task, const float *M, float *y, const float *add, const int points[2],
                          int rows, int cols)
{
    if (points[0] < SIDE || points[1] < SIDE)
        transform_output(task, M, y, add, points[0], points[1], task->taps, rows, cols);
    else if (task->taps == 5)
        transform_output(task, M, y, add, SIDE, SIDE, 5, rows, cols);
    else if (rows >= 4 && cols >= 4)
        transform_output(task, M, y, add, SIDE, SIDE, 3, 4, 4);
    else
        transform_output(task, M, y, add, SIDE, SIDE, 3, rows, cols);
}

static void winograd_output(const winograd_output_task *task, const float *M, float *y, const float *add, const int points[2],
                            int rows, int cols)
{
    if (!task->pooled) {
        winograd_tile(task, M, y, add, points, rows, cols);
        return;
    }
    const int m = SIDE + 1 - task->taps;
    enum { ROW = 4 * BLOCK };
    float tile[4 * ROW] __attribute__((aligned(64)));
    winograd_output_task apart = *task;
    apart.y_row = ROW;
    winograd_tile(&apart, M, tile, NULL, points, rows, cols);
    for (int i = 0; i < smaller(m, rows) / 2; i++)
        for (int j = 0; j < smaller(m, cols) / 2; j++)
            maxpool_window(y + i * task->y_row + j * BLOCK, NULL, tile + 2 * i * ROW + 2 * j * BLOCK, ROW, BLOCK, 0, 2, 0, 2, 2);
}

#endif
