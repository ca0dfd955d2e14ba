/* kernels.h - what the fast kernels are given: pointers, steps and counts. No graph, no allocation, no threads.
 *
 * kernels.c is compiled once per instruction set; each build fills one `kernels` table and cr_kernels() picks the best
 * one the machine can run.
 *
 * Feature maps are blocked: (N, C/16, H, W, 16), with a halo of zeros around each H x W plane that is as wide as the
 * kernels that read it need, so no kernel tests for borders. Channels are padded to a multiple of 16; the padding
 * channels hold zeros everywhere. The network's input is plain, (N, C, H, W) with a halo: a block of 1 channel. Vectors
 * (flattened maps, linear layers) are plain (N, F).
 *
 * A `map` is one image of such a tensor: p is its pixel (0,0) of channel block 0; a step is counted in floats. */
#ifndef CAMRUN_KERNELS_H
#define CAMRUN_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reference.h"
#include "training_kernels.h"

enum { BLOCK = 16, MOST_OC_TILE = 32, WINOGRAD_SIDE = 6, WINOGRAD_POINTS = WINOGRAD_SIDE * WINOGRAD_SIDE };

typedef struct map {
    float *p;
    ptrdiff_t block, row, col; /* steps to the next channel block, row and column */
} map;

/* A sum over taps and input channels:
 *
 *   y[oc][oh][ow] = epilogue( bias[oc] + sum_{ic, t} x[ic][pixel (oh,ow) + tap t] * w[oc][ic][t] )
 *   epilogue(v)   = relu?( v + add[oc][oh][ow] )
 *
 * A convolution's taps are its KH*KW positions. The same form is the convolution's backward: its input is dy and its taps
 * are the positions of the kernel seen from dx (see conv.c). */
typedef struct conv_task {
    map x;              /* row and col step from one output pixel's first tap to the next output pixel's */
    int in_block;       /* channels in a block of x: 16, or 1 where x is plain */
    int n_in;           /* channel blocks of x */
    const int32_t *tap; /* n_taps offsets from x's pixel, in floats; may be negative */
    int n_taps;
    const float *w;     /* packed: (OC/oc_tile, n_in, n_taps, in_block, oc_tile), zeros beyond the last channel */
    ptrdiff_t w_tile;   /* from one tile's weights to the next's: n_in may be some of the channels */
    const float *bias;  /* OC rounded up to oc_tile, or NULL */
    map add;            /* added before the ReLU; add.p NULL where there is none; may be y itself */
    map y;
    int out_blocks;     /* channel blocks of y, of 16 */
    int OW;
    bool relu;
} conv_task;

/* What every tile of a Winograd convolution's output shares. */
typedef struct winograd_output_task {
    ptrdiff_t point;          /* step to the next of the 36 points */
    ptrdiff_t y_row, add_row; /* steps between rows; columns are BLOCK apart */
    const float *bias;        /* of these 16 channels, or NULL */
    bool relu;
    bool pooled;              /* of every 2x2 pixels the maximum alone is written; nothing is added */
    int taps;                 /* kernel's side */
} winograd_output_task;

/* One long chain of additions loses more to rounding than the sum of short ones, and the output's transform magnifies it. So
 * Winograd's sums are made of those of one block of input channels each, or of up to WINOGRAD_DEPTH blocks, which is faster;
 * and of SUM_BLOCKS apart. */
enum { WINOGRAD_DEPTH = 4, SUM_BLOCKS = 16 };
_Static_assert(SUM_BLOCKS % WINOGRAD_DEPTH == 0, "parts begin where sums in registers do");

/* Winograd's kernels take tap (i,j) of a kernel multiplied by p^(i+j), the powers of the point p: winograd_transforms.h. */
enum { MOST_TAPS = 5 };
static const float WINOGRAD_POWERS[MOST_TAPS] = {1.0f, 3.0f / 4.0f, 9.0f / 16.0f, 27.0f / 64.0f, 81.0f / 256.0f};

/* The tiles that have a row of points: those before `whole` all of its points, the others the first few. */
typedef struct tile_range {
    int begin, whole, end;
} tile_range;

/* Floats from one point of U to the next: an odd number of cache lines, and such that a block of each point of a row fills a
 * first-level cache evenly. */
#define WINOGRAD_U_POINT(oc_tile) (WINOGRAD_DEPTH * BLOCK * (oc_tile) + 33 * BLOCK)

/* oc_tile output channels of all points. */
typedef struct winograd_products {
    float *M;                   /* (points, oc_tile/16, tiles, 16) */
    float *partial;             /* as M: sums from the second one on, while they are made */
    ptrdiff_t M_point, M_block; /* steps between points and channel blocks */
    float *U;                   /* room for (points, WINOGRAD_DEPTH, 16, oc_tile): transformed weights, WINOGRAD_U_POINT apart */
    const float *V;             /* (points, n_in, tiles, 16) */
    ptrdiff_t V_point, V_block;
    const float *w;             /* packed: (n_in, taps * taps, 16, oc_tile), multiplied by WINOGRAD_POWERS */
    int taps, n_in, tiles;
    int depth;                  /* blocks of input channels that are added up in registers, 1 to WINOGRAD_DEPTH */
    int points[2];              /* rows and columns of points that all tiles have */
    tile_range with[2];         /* the tiles that have one of those rows, and those that have one of the others */
} winograd_products;

typedef struct kernels {
    const char *name;
    int oc_tile;   /* output channels a conv call computes: the unit of the packed weights */
    int few_tiles; /* of a 3x3 kernel: as many tiles leave registers for Winograd's weights, one block of input channels at a time */

    /* Rows row0 <= oh < row1 of output channels oc_tile * tile and up. */
    void (*conv)(const conv_task *task, int tile, int row0, int row1);

    /* Winograd F(m x m, r x r), (m,r) = (4,3) or (2,5), in terms of 16 channels of one tile. A point's element lies `point`
     * floats behind the one before, a row of points 6 of them behind the row before. points: the rows and columns of points
     * that the tile has, 6 or at a map's edge fewer. rows, cols: how much of the patch or tile lies inside the picture; the
     * rest of a patch counts as zeros and the rest of a tile is not written. */
    /* V[p] = (B^T d B)[p] of the patch at x, of as many rows and columns as points */
    void (*winograd_input)(float *V, ptrdiff_t point, const float *x, ptrdiff_t row, const int points[2], int rows, int cols);
    /* M[p][t][oc] = sum_ic V[p][t][ic] (G g G^T)[p] of the kernel g of oc and ic, for all points p */
    void (*winograd_multiply)(const winograd_products *task);
    /* y = epilogue( A^T M A + bias ); add: the tile's place in what is added, or NULL */
    void (*winograd_output)(const winograd_output_task *task, const float *M, float *y, const float *add,
                            const int points[2], int rows, int cols);

    /* y[n][o] = relu?( bias[o] + sum_i x[n][i] * w[o][i] ) for n < N, o0 <= o < o1; w (O,I) row-major, any alignment; images
     * of y and x lie y_image and x_image apart */
    void (*linear)(float *y, ptrdiff_t y_image, const float *x, ptrdiff_t x_image, int N, const float *w, const float *bias,
                   bool relu, int I, int o0, int o1);
    /* dx[i] += sum_o dy[o] * w[o][i] for i0 <= i < i1; rows whose dy is 0 are not read */
    void (*linear_backward)(float *dx, const float *dy, const float *w, int I, int O, int i0, int i1);

    /* Contiguous values. Outputs may be their inputs. */
    void (*relu)(float *y, const float *x, int count);                             /* y = max(x, 0), NaN stays */
    void (*add)(float *y, const float *a, const float *b, int count);              /* y = a + b */
    void (*relu_mask)(float *dx, const float *dy, const float *y, int count); /* dx = dy where y > 0, else 0 */

    /* Rows row0 <= oh < row1 of one channel block: y (OH,OW) from x (H,W); argmax (OH,OW,16) or NULL. */
    void (*maxpool)(map y, uint8_t *argmax, map x, int H, int W, int OW, int row0, int row1, const window *win);

    const training_kernels *training;
} kernels;

/* The table of the best instruction set this machine has, or of the one that CAMRUN_ISA names. */
const kernels *cr_kernels(void);

extern const kernels kernels_portable, kernels_avx2, kernels_avx512, kernels_neon;
extern const training_kernels training_kernels_portable, training_kernels_avx2, training_kernels_avx512, training_kernels_neon;

#endif
