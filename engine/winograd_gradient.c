/* winograd_gradient.c - gradients of 3x3 and 5x5 convolutions' weights with fewer multiplications.
 *
 * The gradient of a weight sums x times dy over pixels: cut dy into m x m tiles, and a tile's share of the r x r weights is
 * itself a convolution, of the 6x6 patch of x with that tile as its kernel. So it is F(r x r, m x m), m + r - 1 = 6, and
 * because A is linear it is applied once, to the sum over all tiles t of all images:
 *
 *     dw[oc][ic] = A^T dU A,   dU[p][oc][ic] = sum_t Y[p][oc][t] V[p][ic][t],   Y = G dy G^T,   V = B^T x B
 *
 * (winograd_transforms.h). V is what the forward makes of x; the sums over t are the register tile of direct weight gradients,
 * with tiles in the place of pixels.
 *
 * Threads share out tiles of output channels and blocks of input channels as a grid, and do not wait for each other: each
 * transforms what it needs of dy and x, a group of tiles at a time. Groups depend on neither threads nor grid, so that each
 * sum runs over the same terms in the same order. */
#include <string.h>

#include "winograd_tiles.h"

enum {
    GROUP_FLOATS = 1 << 20, /* V and Y of all channels: 4 MB, if that makes LEAST_TILES */
    LEAST_TILES = 196,      /* in a group: sums are read and written once for each group */
    MOST_TILES = GROUP_FLOATS / (WINOGRAD_POINTS * 2 * BLOCK), /* in a group, of the fewest channels */
    FEWEST_TILES = 48,      /* in a batch: with fewer, writing and reading four times as many sums as weights takes longer */
    /* What costs a core how much, in ns, to choose the grid (winograd.c): */
    PRODUCT_COST = 160, /* one tile, a tile of output channels, 16 input channels */
    PATCH_COST = 60,    /* one tile, 16 channels: a transform */
};

typedef struct gradient_shape {
    tiling of;
    int taps, tiles;                 /* kernel's side; tiles of all images */
    int oc_tiles, in_blocks;
    int oc_parts, in_parts;          /* the grid of threads */
    int group;                       /* tiles transformed at once */
    ptrdiff_t point;                 /* floats from a channel block's point to its next: (points, group, 16) */
    ptrdiff_t block;                 /* and to the next channel block's */
    ptrdiff_t dU;                    /* floats in the sums of one (tile of output channels, block of input channels) */
    ptrdiff_t V, Y, sums, dw;        /* floats of each, for one thread; Y of one tile of output channels */
} gradient_shape;

static void choose_grid(gradient_shape *s, int threads)
{
    int64_t least = INT64_MAX;
    for (int oc_parts = 1; oc_parts <= smaller(threads, s->oc_tiles); oc_parts++) {
        const int in_parts = smaller(threads / oc_parts, s->in_blocks);
        const int64_t oc_tiles = largest_part(s->oc_tiles, oc_parts), in_blocks = largest_part(s->in_blocks, in_parts);
        const int64_t cost = oc_tiles * in_blocks * PRODUCT_COST + (2 * oc_tiles + in_blocks) * PATCH_COST;
        if (cost < least) {
            least = cost;
            s->oc_parts = oc_parts;
            s->in_parts = in_parts;
        }
    }
}

static gradient_shape shape_of(const cr_plan *plan, const step *st)
{
    const conv_part *part = &st->forward;
    const tensor *x = &plan->value[st->x];
    const int oc_tile = plan->k->oc_tile;
    gradient_shape s = {.of = tiling_of(part, plan->N, true), .taps = part->taps[0]};
    s.tiles = s.of.start[TILE_KINDS];
    s.oc_tiles = largest_part(plan->shape[st->last][0], oc_tile);
    s.in_blocks = x->blocks;
    choose_grid(&s, plan->threads);
    const int channels = s.oc_tiles * oc_tile + s.in_blocks * BLOCK, fit = GROUP_FLOATS / (WINOGRAD_POINTS * channels);
    const int most = fit > LEAST_TILES ? fit : LEAST_TILES;
    s.group = largest_part(s.tiles, largest_part(s.tiles, most));
    s.point = (ptrdiff_t)(s.group | 1) * BLOCK; /* an odd number of cache lines: see winograd.c */
    s.block = WINOGRAD_POINTS * s.point;
    s.dU = (ptrdiff_t)WINOGRAD_POINTS * BLOCK * oc_tile;
    const ptrdiff_t oc_tiles = largest_part(s.oc_tiles, s.oc_parts), in_blocks = largest_part(s.in_blocks, s.in_parts);
    s.V = in_blocks * s.block;
    s.Y = oc_tile / BLOCK * s.block;
    s.sums = oc_tiles * in_blocks * s.dU;
    s.dw = (ptrdiff_t)s.taps * s.taps * BLOCK * oc_tile;
    return s;
}

bool winograd_gradient_pays(const cr_plan *plan, const step *s)
{
    return s->forward.winograd && shape_of(plan, s).tiles >= FEWEST_TILES;
}

size_t winograd_gradient_scratch(const cr_plan *plan, const step *s)
{
    const gradient_shape shape = shape_of(plan, s);
    return (size_t)(shape.oc_parts * shape.in_parts * (shape.V + shape.Y + shape.sums + shape.dw));
}

/* Y of block b of dy's channels; there is none behind the last one in its tile: zeros. */
static void transform_dy(const cr_plan *plan, const gradient_shape *s, const tensor *dy, float *arena, float *Y, int b,
                         const place *tiles, int count)
{
    if (b >= dy->blocks) {
        memset(Y, 0, sizeof *Y * (size_t)s->block);
        return;
    }
    const map m = tensor_map(arena, dy, 0);
    for (int t = 0; t < count; t++) {
        if (t + TILES_AHEAD < count)
            fetch(pixel_at(m, dy->image, b, tiles[t + TILES_AHEAD]), m.row, s->of.m);
        const place at = tiles[t];
        plan->k->training->winograd_gradient_input(Y + t * BLOCK, s->point, pixel_at(m, dy->image, b, at), m.row,
                                                   dy->H - at.row, dy->W - at.col, s->of.m);
    }
}

/* What one thread works on. */
typedef struct range {
    int first_tile, last_tile, first_block, last_block; /* of output channels' tiles and input channels' blocks */
} range;

/* Adds the products of a group of tiles to the sums. */
static void add_group(const cr_plan *plan, const gradient_shape *s, const step *st, const tensor *dy, float *arena,
                      const range *r, float *V, float *Y, float *sums, int first, int count)
{
    const int blocks_in_tile = plan->k->oc_tile / BLOCK, in_blocks = r->last_block - r->first_block;
    place tiles[MOST_TILES];
    find_tiles(&s->of, first, count, tiles);
    const gradient_task task = {.x_col = BLOCK, .dy_block = s->block, .OW = count};
    winograd_patches(plan, &st->forward, &plan->value[st->x], arena, &(patch_range){tiles, count, r->first_block, in_blocks}, V,
                     s->point, s->block);
    for (int tile = r->first_tile; tile < r->last_tile; tile++, sums += in_blocks * s->dU) {
        for (int b = 0; b < blocks_in_tile; b++)
            transform_dy(plan, s, dy, arena, Y + b * s->block, tile * blocks_in_tile + b, tiles, count);
        for (int b = 0; b < in_blocks; b++)
            for (int p = 0; p < WINOGRAD_POINTS; p++)
                plan->k->training->weight_gradient(sums + b * s->dU + p * BLOCK * plan->k->oc_tile, &task,
                                                   V + b * s->block + p * s->point, Y + p * s->point, BLOCK, 1);
    }
}

void winograd_gradient(const cr_plan *plan, const step *st, const tensor *dy, float *arena, float *dw)
{
    const gradient_shape s = shape_of(plan, st);
    float *scratch = arena + st->backward_scratch.offset;
    const int taps = s.taps * s.taps;
#pragma omp parallel for schedule(static) num_threads(plan->threads)
    for (int i = 0; i < s.oc_parts * s.in_parts; i++) {
        const range r = {
            .first_tile = part_start(s.oc_tiles, s.oc_parts, i / s.in_parts),
            .last_tile = part_start(s.oc_tiles, s.oc_parts, i / s.in_parts + 1),
            .first_block = part_start(s.in_blocks, s.in_parts, i % s.in_parts),
            .last_block = part_start(s.in_blocks, s.in_parts, i % s.in_parts + 1),
        };
        float *V = scratch + i * (s.V + s.Y + s.sums + s.dw), *Y = V + s.V, *sums = Y + s.Y, *weights = sums + s.sums;
        memset(sums, 0, sizeof *sums * (size_t)s.sums);
        for (int first = 0; first < s.tiles; first += s.group)
            add_group(plan, &s, st, dy, arena, &r, V, Y, sums, first, smaller(s.group, s.tiles - first));
        for (int tile = r.first_tile; tile < r.last_tile; tile++)
            for (int b = r.first_block; b < r.last_block; b++, sums += s.dU) {
                plan->k->training->winograd_gradient_output(weights, sums, s.taps);
                scatter_weights(plan, st, dw, weights, tile, b * taps, (b + 1) * taps);
            }
    }
}
