/* winograd_tiles.h - the m x m tiles into which Winograd's convolutions cut their output, and weight gradients dy.
 *
 * Tiles of all images form one list. Each goes with a 6x6 patch of x, which begins where its first pixel's first tap reads.
 * Where m does not divide a map's side, the tiles of its last row or column hang over the edge, or are smaller: then their
 * patches are too, and have fewer points. Transforms read and write squares of pixels whose rows lie far apart, more streams
 * than the hardware follows: before each, the square some tiles later is fetched into the cache. */
#ifndef CAMRUN_WINOGRAD_TILES_H
#define CAMRUN_WINOGRAD_TILES_H

#include "ops.h"

enum { TILES_AHEAD = 4 };

/* The kinds of tiles, in the order of the list: the tiles that have a point lie together, for every point. */
enum { LAST_ROW, INNER, LAST_COL, CORNER, TILE_KINDS };

typedef struct tiling {
    int m;                     /* side of a tile */
    int whole[2];              /* rows and columns of tiles of that side */
    int points[2];             /* of the smaller ones' patches, rows and columns; WINOGRAD_SIDE where there are none */
    int start[TILE_KINDS + 1]; /* each kind's first tile; at the end the number of all tiles */
} tiling;

typedef struct place {
    int image, row, col; /* of a first pixel */
    int points[2];       /* rows and columns of points of the patch */
} place;

/* The tiles of N images; hang_over: all of one size. */
tiling tiling_of(const conv_part *part, int N, bool hang_over);

/* Where tiles first <= tile < first + count lie. */
void find_tiles(const tiling *s, int first, int count, place *tiles);

/* The pixel of a channel block; m is image 0 and the others lie `image` floats apart. */
static inline float *pixel_at(map m, ptrdiff_t image, int block, place at)
{
    return m.p + at.image * image + block * m.block + at.row * m.row + at.col * m.col;
}

/* Fetches side x side pixels of one channel block into the cache. A tile may hang over the map: fetching never faults. */
static inline void fetch(const float *p, ptrdiff_t row, int side)
{
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++)
            __builtin_prefetch(p + i * row + j * BLOCK);
}

typedef struct patch_range {
    const place *tiles;
    int count;
    int block, blocks; /* channel blocks of x */
} patch_range;

/* Transforms their patches: V[b][point][tile][16], blocks and points V_block and V_point floats apart. In winograd.c. */
void winograd_patches(const cr_plan *plan, const conv_part *part, const tensor *x, float *arena, const patch_range *of,
                      float *V, ptrdiff_t V_point, ptrdiff_t V_block);

#endif
