/* winograd.c - 3x3 and 5x5 convolutions of stride 1 with fewer multiplications: F(4x4,3x3) and F(2x2,5x5), both of 36
 * points (kernels.c says what they compute).
 *
 * The output is cut into m x m tiles; tiles of all images and rows form one list. For a group of tiles at a time:
 *   1. every thread transforms part of the input patches: V (points, IC/16, tiles, 16), shared by all threads;
 *   2. every thread takes (output-channel tile, chunk of tiles) items. For 64 input channels at a time it transforms the
 *      weights, U (64, points, oc_tile), and adds to M (points, oc_tile/16, tiles, 16) one 1x1 convolution per point, by
 *      the same register tile that runs direct convolutions; then it transforms M to output pixels.
 *
 * Weights are transformed when they are needed, from the packed array that the direct convolution uses: stored, those of a
 * 3x3 kernel would be four times as many bytes, and reading those from memory takes longer than making them again. U and M belong to
 * one thread and are sized to stay in its second-level cache. Each sum runs over the same terms in the same order for any
 * number of threads and any batch. */
#include <string.h>

#include "ops.h"

enum {
    CHUNK_BLOCKS = 4,       /* input-channel blocks in U: 295 KB */
    CHUNK_TILES = 98,       /* tiles in M: 450 KB */
    GROUP_FLOATS = 1 << 20, /* V: 4 MB, of the last-level cache */
};

typedef struct winograd_shape {
    int m, taps;                     /* tile's and kernel's side */
    int tile_rows, tile_cols, tiles; /* of one image; of all */
    int group, chunk;                /* tiles in V, tiles in M */
    ptrdiff_t V_point, M_point;      /* floats from one point to the next */
    ptrdiff_t U;                     /* floats in U */
} winograd_shape;

/* Points lie an odd number of cache lines apart: at a power of two, all of them would fall into the same few sets of the
 * first-level cache and push each other out. */
static ptrdiff_t odd_lines(ptrdiff_t floats)
{
    return floats / BLOCK % 2 ? floats : floats + BLOCK;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static winograd_shape shape_of(const cr_plan *plan, const conv_part *part, const tensor *x)
{
    winograd_shape s = {.m = WINOGRAD_SIDE + 1 - part->taps[0], .taps = part->taps[0]};
    s.tile_rows = (part->count[0] + s.m - 1) / s.m;
    s.tile_cols = (part->count[1] + s.m - 1) / s.m;
    s.tiles = plan->N * s.tile_rows * s.tile_cols;
    const int chunks = (s.tiles + CHUNK_TILES - 1) / CHUNK_TILES;
    s.chunk = (s.tiles + chunks - 1) / chunks;
    int chunks_in_group = GROUP_FLOATS / (WINOGRAD_POINTS * x->blocks * BLOCK * s.chunk);
    s.group = smaller(s.tiles, (chunks_in_group < 1 ? 1 : chunks_in_group) * s.chunk);
    s.V_point = odd_lines((ptrdiff_t)x->blocks * s.group * BLOCK);
    s.U = (ptrdiff_t)WINOGRAD_POINTS * CHUNK_BLOCKS * BLOCK * plan->k->oc_tile;
    s.M_point = odd_lines((ptrdiff_t)s.chunk * plan->k->oc_tile);
    return s;
}

size_t winograd_scratch(const cr_plan *plan, const conv_part *part, const tensor *x)
{
    const winograd_shape s = shape_of(plan, part, x);
    return (size_t)(WINOGRAD_POINTS * s.V_point + plan->threads * (s.U + WINOGRAD_POINTS * s.M_point));
}

/* ---- which tile a number stands for ---- */

typedef struct place {
    int image, row, col; /* first output pixel */
} place;

static place tile_place(const winograd_shape *s, int tile)
{
    const int per_image = s->tile_rows * s->tile_cols, in_image = tile % per_image;
    return (place){tile / per_image, in_image / s->tile_cols * s->m, in_image % s->tile_cols * s->m};
}

/* ---- the two phases ---- */

/* Transforms input-channel block b of tiles first .. first + count - 1. */
static void transform_patches(const cr_plan *plan, const winograd_shape *s, const conv_part *part, const tensor *x,
                              float *arena, float *V, int b, int first, int count)
{
    const map mx = tensor_map(arena, x, 0);
    for (int t = 0; t < count; t++) {
        const place at = tile_place(s, first + t);
        /* The halo holds the zeros that taps reach; a last tile that hangs over reaches further. */
        const int above = part->offset[0][0], left = part->offset[1][0];
        const float *patch = mx.p + at.image * x->image + b * x->plane + (at.row + above) * x->row +
                             (at.col + left) * (ptrdiff_t)BLOCK;
        plan->k->winograd_input(V + ((ptrdiff_t)b * s->group + t) * BLOCK, s->V_point, patch, x->row,
                                x->H + x->halo[0] - (at.row + above), x->W + x->halo[1] - (at.col + left));
    }
}

/* Makes output channels oc_tile * tile and up of the tiles first .. first + count - 1, which lie in V from `offset` on. */
static void multiply_and_write(const cr_plan *plan, const winograd_shape *s, const conv_call *call, const float *V,
                               float *U, float *M, int tile, int first, int offset, int count)
{
    const kernels *k = plan->k;
    const tensor *x = call->x;
    const ptrdiff_t U_step = (ptrdiff_t)WINOGRAD_POINTS * k->oc_tile;
    const ptrdiff_t w_block = (ptrdiff_t)s->taps * s->taps * BLOCK * k->oc_tile;
    const float *w = call->part->w + (ptrdiff_t)tile * x->blocks * w_block;
    static const int32_t no_offset[1] = {0};

    for (int b = 0; b < x->blocks; b += CHUNK_BLOCKS) {
        const int blocks = smaller(CHUNK_BLOCKS, x->blocks - b);
        for (int i = 0; i < blocks; i++)
            k->winograd_weights(U + i * BLOCK * U_step, w + (b + i) * w_block, s->taps);
        for (int p = 0; p < WINOGRAD_POINTS; p++) {
            /* The 1x1 convolution's x is only read; a map has no const twin. */
            float *from = (float *)(uintptr_t)(V + p * s->V_point + ((ptrdiff_t)b * s->group + offset) * BLOCK);
            const map sums = {M + p * s->M_point, (ptrdiff_t)count * BLOCK, 0, BLOCK};
            const conv_task task = {
                .x = {from, (ptrdiff_t)s->group * BLOCK, 0, BLOCK},
                .ahead_step = (ptrdiff_t)s->group * BLOCK,
                .next_x = p + 1 < WINOGRAD_POINTS ? from + s->V_point : from + (CHUNK_BLOCKS * s->group * BLOCK) - p * s->V_point,
                .in_block = BLOCK,
                .n_in = blocks,
                .tap = no_offset,
                .n_taps = 1,
                .w = U + p * k->oc_tile,
                .w_step = U_step,
                .add = b ? sums : (map){0},
                .y = sums,
                .out_blocks = k->oc_tile / BLOCK,
                .OW = count,
            };
            k->conv(&task, 0, 0, 1);
        }
    }

    const map my = tensor_map(call->arena, call->y, 0);
    const map ma = call->add ? tensor_map(call->arena, call->add, 0) : (map){0};
    for (int i = 0; i < k->oc_tile / BLOCK; i++) {
        const int block = tile * (k->oc_tile / BLOCK) + i;
        if (block >= call->y->blocks)
            break;
        const winograd_output_task task = {s->M_point, my.row, ma.row, call->bias ? call->bias + block * BLOCK : NULL,
                                           call->relu};
        for (int t = 0; t < count; t++) {
            const place at = tile_place(s, first + t);
            float *y = my.p + at.image * call->y->image + block * my.block + at.row * my.row + at.col * my.col;
            const float *add = !ma.p ? NULL
                                     : ma.p + at.image * call->add->image + block * ma.block + at.row * ma.row +
                                           at.col * ma.col;
            k->winograd_output(&task, M + ((ptrdiff_t)i * count + t) * BLOCK, y, add, call->part->count[0] - at.row,
                               call->part->count[1] - at.col, s->m);
        }
    }
}

void winograd_run(const cr_plan *plan, const conv_call *call, float *scratch)
{
    const winograd_shape s = shape_of(plan, call->part, call->x);
    const int oc_tiles = (call->y->C + plan->k->oc_tile - 1) / plan->k->oc_tile;
    float *V = scratch;

#pragma omp parallel num_threads(plan->threads)
    {
        float *U = scratch + WINOGRAD_POINTS * s.V_point + thread_index() * (s.U + WINOGRAD_POINTS * s.M_point), *M = U + s.U;
        for (int group = 0; group < s.tiles; group += s.group) {
            const int tiles = smaller(s.group, s.tiles - group), chunks = (tiles + s.chunk - 1) / s.chunk;
#pragma omp for schedule(static)
            for (int i = 0; i < call->x->blocks * chunks; i++) {
                const int first = i % chunks * s.chunk, b = i / chunks;
                transform_patches(plan, &s, call->part, call->x, call->arena, V + (ptrdiff_t)first * BLOCK, b,
                                  group + first, smaller(s.chunk, tiles - first));
            }
#pragma omp for schedule(static)
            for (int i = 0; i < oc_tiles * chunks; i++) {
                const int first = i % chunks * s.chunk;
                multiply_and_write(plan, &s, call, V, U, M, i / chunks, group + first, first,
                                   smaller(s.chunk, tiles - first));
            }
        }
    }
}
