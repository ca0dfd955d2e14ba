/* winograd.c - 3x3 and 5x5 convolutions of stride 1 with fewer multiplications: F(4x4,3x3) and F(2x2,5x5), both of 36
 * points (winograd_transforms.h has the mathematics).
 *
 * The output is cut into m x m tiles, with smaller ones where m does not divide its sides: 14 x 14 pixels take 22 x 22
 * products then, not 24 x 24. Tiles of all images form one list. Threads share out tiles and output channels as a grid:
 * each has a range of both, and works on it without waiting for the others. For a chunk of its tiles:
 *   1. it transforms their input patches: V (points, IC/16, tiles, 16);
 *   2. for each tile of output channels and 16 input channels at a time, in maps of many channels up to 64 (winograd_depth), the
 *      kernel transforms the weights, U (points, input channels, oc_tile), and adds to M (points, oc_tile/16, tiles, 16) one
 *      1x1 convolution per point, by a register tile like that of direct convolutions; then M is transformed to output
 *      pixels. Long sums are made in parts (SUM_BLOCKS), from the second one on in a second M. Where there are few tiles, U
 *      stays in registers.
 *
 * So threads of one row of the grid transform the same patches, and those of one column the same weights: that costs less
 * than handing them from core to core. Weights are transformed when they are needed, from an array packed as a direct
 * convolution's is: stored, those of a 3x3 kernel would be four times as many bytes, and reading those from memory takes
 * longer than making them again. U and M stay in a core's second-level cache. Each sum runs over the same terms in the same
 * order for any number of threads and any batch. */
#include "winograd_tiles.h"

enum {
    CHUNK_TILES = 98, /* tiles in M: 450 KB; in V: 3.6 MB of 256 channels */
    /* What the work on 16 input channels costs a core, in ns, to choose the grid: */
    PRODUCT_COST = 160, /* one tile, one tile of output channels: the 1x1 convolutions and their share of the output */
    PATCH_COST = 60,    /* one tile: its patch */
    WEIGHTS_COST = 900, /* one tile of output channels: its weights */
    FEWEST_SUMS = 4,    /* of several blocks of channels each, that are left to be added up in memory: see WINOGRAD_DEPTH */
};
_Static_assert(FEWEST_SUMS * WINOGRAD_DEPTH <= SUM_BLOCKS, "a depth that does not divide SUM_BLOCKS has one part alone");

/* ---- tiles ---- */

static const bool is_last[TILE_KINDS][2] = {[LAST_ROW] = {true, false}, [LAST_COL] = {false, true}, [CORNER] = {true, true}};

tiling tiling_of(const conv_part *part, int N, bool hang_over)
{
    const int m = WINOGRAD_SIDE + 1 - part->taps[0];
    tiling s = {.m = m};
    int last[2];
    for (int axis = 0; axis < 2; axis++) {
        last[axis] = hang_over ? 0 : part->count[axis] % m;
        s.whole[axis] = hang_over ? largest_part(part->count[axis], m) : part->count[axis] / m;
        s.points[axis] = last[axis] ? last[axis] + part->taps[axis] - 1 : WINOGRAD_SIDE;
    }
    for (int k = 0; k < TILE_KINDS; k++) {
        const int rows = is_last[k][0] ? last[0] > 0 : s.whole[0], cols = is_last[k][1] ? last[1] > 0 : s.whole[1];
        s.start[k + 1] = s.start[k] + N * rows * cols;
    }
    return s;
}

/* Rows (axis 0) or columns of points that tiles of a kind have. */
static int points_of(const tiling *s, int kind, int axis)
{
    return is_last[kind][axis] ? s->points[axis] : WINOGRAD_SIDE;
}

static place tile_place(const tiling *s, int tile)
{
    int kind = 0;
    while (tile >= s->start[kind + 1])
        kind++;
    const bool last_row = is_last[kind][0], last_col = is_last[kind][1];
    const int cols = last_col ? 1 : s->whole[1], per_image = last_row ? cols : s->whole[0] * cols;
    const int of_kind = tile - s->start[kind], in_image = of_kind % per_image;
    return (place){
        .image = of_kind / per_image,
        .row = (last_row ? s->whole[0] : in_image / cols) * s->m,
        .col = (last_col ? s->whole[1] : in_image % cols) * s->m,
        .points = {points_of(s, kind, 0), points_of(s, kind, 1)},
    };
}

void find_tiles(const tiling *s, int first, int count, place *tiles)
{
    for (int t = 0; t < count; t++)
        tiles[t] = tile_place(s, first + t);
}

/* ---- the grid of threads ---- */

typedef struct winograd_shape {
    tiling of;
    int taps;                   /* kernel's side */
    int tiles;                  /* of all images */
    int tile_parts, oc_parts;   /* the grid of threads */
    int oc_tiles;               /* tiles of output channels */
    int chunk;                  /* tiles in V and M */
    ptrdiff_t V_point, M_point; /* floats from one point to the next */
    ptrdiff_t w_block;          /* from 16 input channels' packed weights to the next 16's */
    ptrdiff_t U, V, M, partial; /* floats of each, for one thread */
} winograd_shape;

/* Points lie an odd number of cache lines apart: at a power of two, all of them would fall into the same few sets of the
 * first-level cache and push each other out. */
static ptrdiff_t odd_lines(ptrdiff_t floats)
{
    return floats / BLOCK % 2 ? floats : floats + BLOCK;
}

/* The grid whose busiest thread has least to do. */
static void choose_grid(winograd_shape *s, int threads)
{
    int64_t least = INT64_MAX;
    for (int tile_parts = 1; tile_parts <= smaller(threads, s->tiles); tile_parts++) {
        const int oc_parts = smaller(threads / tile_parts, s->oc_tiles);
        const int64_t tiles = largest_part(s->tiles, tile_parts), oc_tiles = largest_part(s->oc_tiles, oc_parts);
        const int64_t chunks = (tiles + CHUNK_TILES - 1) / CHUNK_TILES;
        const int64_t cost = tiles * oc_tiles * PRODUCT_COST + tiles * PATCH_COST + oc_tiles * chunks * WEIGHTS_COST;
        if (cost < least) {
            least = cost;
            s->tile_parts = tile_parts;
            s->oc_parts = oc_parts;
        }
    }
}

/* Whether a map's last tiles are fitted. Those of two tiles and fewer hang over, but for maps of one pixel less than two, the
 * 7x7 at the end of most networks: bench/LOG.md says why. */
static bool fitted(int side, int m)
{
    return side > 2 * m || side == 2 * m - 1;
}

int winograd_depth(const cr_plan *plan, const conv_part *part, const tensor *x)
{
    const int m = WINOGRAD_SIDE + 1 - part->taps[0];
    const int tiles = largest_part(part->count[0], m) * largest_part(part->count[1], m), depth = x->blocks / FEWEST_SUMS;
    return tiles <= plan->k->few_tiles || depth < 1 ? 1 : smaller(depth, WINOGRAD_DEPTH);
}

static winograd_shape shape_of(const cr_plan *plan, const conv_part *part, const tensor *x, int OC, int N)
{
    const int oc_tile = plan->k->oc_tile;
    const int m = WINOGRAD_SIDE + 1 - part->taps[0];
    const bool hang_over = !fitted(part->count[0], m) || !fitted(part->count[1], m);
    winograd_shape s = {.of = tiling_of(part, N, hang_over), .taps = part->taps[0]};
    s.tiles = s.of.start[TILE_KINDS];
    s.oc_tiles = largest_part(OC, oc_tile);
    choose_grid(&s, smaller(plan->threads, MOST_SHARES));
    const int tiles = largest_part(s.tiles, s.tile_parts);
    s.chunk = largest_part(tiles, largest_part(tiles, CHUNK_TILES));
    s.V_point = odd_lines((ptrdiff_t)x->blocks * s.chunk * BLOCK);
    s.M_point = odd_lines((ptrdiff_t)s.chunk * oc_tile);
    s.w_block = (ptrdiff_t)s.taps * s.taps * BLOCK * oc_tile;
    s.U = WINOGRAD_POINTS * WINOGRAD_U_POINT(oc_tile);
    s.V = WINOGRAD_POINTS * s.V_point;
    s.M = WINOGRAD_POINTS * s.M_point;
    s.partial = x->blocks > SUM_BLOCKS ? s.M : 0;
    return s;
}

const char *winograd_name(const conv_part *part)
{
    return part->taps[0] == 5 ? "F(2x2,5x5)" : "F(4x4,3x3)";
}

int64_t winograd_macs(const cr_plan *plan, const conv_part *part, const tensor *x, int OC)
{
    const tiling of = shape_of(plan, part, x, OC, plan->N).of;
    int64_t points = 0;
    for (int kind = 0; kind < TILE_KINDS; kind++)
        points += (int64_t)(of.start[kind + 1] - of.start[kind]) * points_of(&of, kind, 0) * points_of(&of, kind, 1);
    return points * x->C * OC;
}

static ptrdiff_t floats_of_thread(const winograd_shape *s)
{
    return s->U + s->V + s->M + s->partial;
}

size_t winograd_scratch(const cr_plan *plan, const conv_part *part, const tensor *x, int OC, int N)
{
    const winograd_shape s = shape_of(plan, part, x, OC, N);
    return (size_t)(plan->threads * floats_of_thread(&s));
}

/* ---- the two phases ---- */

/* What a thread works on: tiles of the output's pixels and a tile of its channels. */
typedef struct piece {
    int first, count; /* tiles */
    int oc_tile;
} piece;

/* Where the patch of a tile begins: the first pixel's first tap. */
static place patch_place(const conv_part *part, place at)
{
    at.row += part->offset[0][0];
    at.col += part->offset[1][0];
    return at;
}

void winograd_patches(const cr_plan *plan, const conv_part *part, const tensor *x, float *arena, const patch_range *of,
                      float *V, ptrdiff_t V_point, ptrdiff_t V_block)
{
    const map mx = tensor_map(arena, x, 0);
    const int patches = of->blocks * of->count;
    for (int i = 0; i < patches; i++) {
        const int next = i + TILES_AHEAD;
        if (next < patches)
            fetch(pixel_at(mx, x->image, of->block + next / of->count, patch_place(part, of->tiles[next % of->count])),
                  mx.row, WINOGRAD_SIDE);
        const int b = i / of->count, t = i % of->count;
        const place at = patch_place(part, of->tiles[t]);
        /* The halo holds the zeros that taps reach; a last tile that hangs over reaches further. */
        plan->k->winograd_input(V + b * V_block + t * (ptrdiff_t)BLOCK, V_point, pixel_at(mx, x->image, of->block + b, at),
                                mx.row, at.points, x->H + x->halo[0] - at.row, x->W + x->halo[1] - at.col);
    }
}

/* Where a tile of the output goes in y. */
static place written(const conv_call *call, place tile)
{
    return call->pooled ? (place){.image = tile.image, .row = tile.row / 2, .col = tile.col / 2} : tile;
}

/* y = epilogue( A^T M A ) */
static void write_output(const cr_plan *plan, const winograd_shape *s, const conv_call *call, const float *M, const piece *at,
                         const place *tiles)
{
    const kernels *k = plan->k;
    const map my = tensor_map(call->arena, call->y, 0);
    const map ma = call->add ? tensor_map(call->arena, call->add, 0) : (map){0};
    for (int i = 0; i < k->oc_tile / BLOCK; i++) {
        const int block = at->oc_tile * (k->oc_tile / BLOCK) + i;
        if (block >= call->y->blocks)
            break;
        const winograd_output_task task = {s->M_point, my.row, ma.row, call->bias ? call->bias + block * BLOCK : NULL,
                                           call->relu, call->pooled, s->taps};
        for (int t = 0; t < at->count; t++) {
            if (t + TILES_AHEAD < at->count) {
                const place later = tiles[t + TILES_AHEAD];
                fetch(pixel_at(my, call->y->image, block, written(call, later)), my.row, call->pooled ? s->of.m / 2 : s->of.m);
                if (call->add)
                    fetch(pixel_at(ma, call->add->image, block, later), ma.row, s->of.m);
            }
            const place to = tiles[t];
            k->winograd_output(&task, M + ((ptrdiff_t)i * at->count + t) * BLOCK,
                               pixel_at(my, call->y->image, block, written(call, to)),
                               call->add ? pixel_at(ma, call->add->image, block, to) : NULL,
                               to.points, call->part->count[0] - to.row, call->part->count[1] - to.col);
        }
    }
}

/* Piece i of a share: chunk by chunk of its tiles, all its output channels. */
static piece piece_of(const winograd_shape *s, int share, int i)
{
    const int tile_part = share / s->oc_parts, oc_part = share % s->oc_parts;
    const int oc_tiles = part_size(s->oc_tiles, s->oc_parts, oc_part);
    const int first = part_start(s->tiles, s->tile_parts, tile_part) + i / oc_tiles * s->chunk;
    const int end = part_start(s->tiles, s->tile_parts, tile_part + 1);
    return (piece){first, smaller(s->chunk, end - first), part_start(s->oc_tiles, s->oc_parts, oc_part) + i % oc_tiles};
}

/* How many of a piece's tiles come before one of the list. */
static int within(int tile, const piece *at)
{
    return tile < at->first ? 0 : smaller(tile - at->first, at->count);
}

void winograd_run(const cr_plan *plan, const conv_call *call, float *scratch)
{
    const winograd_shape s = shape_of(plan, call->part, call->x, call->y->C, plan->N);
    const int *start = s.of.start;
    work_shares work = {0};
    for (int i = 0; i < s.tile_parts * s.oc_parts; i++)
        add_share(&work, largest_part(part_size(s.tiles, s.tile_parts, i / s.oc_parts), s.chunk) *
                             part_size(s.oc_tiles, s.oc_parts, i % s.oc_parts));

#pragma omp parallel num_threads(plan->threads)
    {
        float *U = scratch + thread_index() * floats_of_thread(&s), *V = U + s.U, *M = V + s.V;
        place tiles[CHUNK_TILES];
        int held = -1; /* the first tile of the chunk that lies in tiles, and its patches in V */
        for (int share = thread_index() % work.n, i; take_piece(&work, &share, &i);) {
            const piece at = piece_of(&s, share, i);
            if (at.first != held) {
                find_tiles(&s.of, at.first, at.count, tiles);
                winograd_patches(plan, call->part, call->x, call->arena, &(patch_range){tiles, at.count, 0, call->x->blocks}, V,
                                 s.V_point, (ptrdiff_t)at.count * BLOCK);
            }
            held = at.first;
            const winograd_products task = {
                .M = M,
                .partial = M + s.M,
                .M_point = s.M_point,
                .M_block = (ptrdiff_t)at.count * BLOCK,
                .U = U,
                .V = V,
                .V_point = s.V_point,
                .V_block = (ptrdiff_t)at.count * BLOCK,
                .w = call->part->w + (ptrdiff_t)at.oc_tile * call->x->blocks * s.w_block,
                .taps = s.taps,
                .n_in = call->x->blocks,
                .tiles = at.count,
                .depth = call->part->depth,
                .points = {s.of.points[0], s.of.points[1]},
                .with = {{0, within(start[LAST_COL], &at), at.count},
                         {within(start[INNER], &at), within(start[LAST_COL], &at), within(start[CORNER], &at)}},
            };
            plan->k->winograd_multiply(&task);
            write_output(plan, &s, call, M, &at, tiles);
        }
    }
}
