/* winograd_tiles.h - the m x m tiles into which Winograd's convolutions cut their output, and weight gradients dy.
 *
 * Tiles of all images and rows form one list. Each goes with a 6x6 patch of x, which begins where its first pixel's first
 * tap reads. Transforms read and write squares of pixels whose rows lie far apart, more streams than the hardware
 * follows: before each, the square some tiles later is fetched into the cache. */
#ifndef CAMRUN_WINOGRAD_TILES_H
#define CAMRUN_WINOGRAD_TILES_H

#include "ops.h"

enum { TILES_AHEAD = 4 };

typedef struct tiling {
    int m;          /* side of a tile */
    int rows, cols; /* tiles of one image */
} tiling;

typedef struct place {
    int image, row, col; /* of a first pixel */
} place;

static inline tiling tiling_of(const conv_part *part)
{
    const int m = WINOGRAD_SIDE + 1 - part->taps[0];
    return (tiling){m, largest_part(part->count[0], m), largest_part(part->count[1], m)};
}

static inline place tile_place(const tiling *s, int tile)
{
    const int per_image = s->rows * s->cols, in_image = tile % per_image;
    return (place){tile / per_image, in_image / s->cols * s->m, in_image % s->cols * s->m};
}

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
    int first, count;  /* tiles */
    int block, blocks; /* channel blocks of x */
} patch_range;

/* Transforms their patches: V[b][point][tile][16], blocks and points V_block and V_point floats apart. In winograd.c. */
void winograd_patches(const cr_plan *plan, const conv_part *part, const tensor *x, float *arena, const patch_range *of,
                      float *V, ptrdiff_t V_point, ptrdiff_t V_block);

#endif
