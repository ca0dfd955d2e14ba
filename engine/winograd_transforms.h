/* winograd_transforms.h - Winograd's minimal filtering (Lavin & Gray, arXiv:1509.09308), for the kernels that use it.
 *
 * F(m x m, r x r) makes m x m outputs of an r x r kernel from an (m+r-1) x (m+r-1) patch d of the input with (m+r-1)^2
 * multiplications per channel pair instead of m^2 r^2:
 *
 *     Y = A^T [ (G g G^T) . (B^T d B) ] A          . is elementwise, summed over input channels
 *
 * The matrices come from polynomial interpolation (Toom-Cook) at m+r-2 points p_i and infinity: row j of A^T holds the
 * p_i^j, j < m; row i of G is (1, p_i, .., p_i^(r-1)) / prod_{l != i} (p_i - p_l); row i of B^T holds the coefficients of
 * prod_{l != i} (x - p_l). The points are, in this order, 0, infinity, p, -p, 2p, -2p with p = 3/4, whose products stay near
 * 1, which keeps the rounding error small. An F takes the first n = m + r - 1 of them: 6, and fewer for tiles at a map's edge
 * that are smaller than the others. B depends on n alone. The denominators of G's rows, the products of differences, are left
 * to A^T, where they cost nothing: U and M are that much larger, and G's rows depend on nothing but their points, so that
 * tiles of all sizes share U. apply_A makes A_SCALE[n] A^T, and output_scale() makes good for both of them. So all constants
 * but that one are exact in float: an inexact one would err to the same side in every pixel, and means over pixels, as
 * Grad-CAM takes, would keep that. Each apply_ is one matrix times one column. */
#ifndef CAMRUN_WINOGRAD_TRANSFORMS_H
#define CAMRUN_WINOGRAD_TRANSFORMS_H

#include "kernels.h"
#include "vec.h"

enum { SIDE = WINOGRAD_SIDE, MOST_TAPS = 5 };

static const float P1 = 3.0f / 4.0f, P2 = 9.0f / 16.0f, P3 = 27.0f / 64.0f, P4 = 81.0f / 256.0f; /* p, p^2, p^3, p^4 */
static const float A_SCALE[SIDE + 1] = {[3] = P1, [4] = 2.0f * P2, [5] = 6.0f * P3, [6] = 12.0f * P4};

INLINE float output_scale(int row_points, int col_points)
{
    return (float)(1.0 / ((double)A_SCALE[row_points] * A_SCALE[col_points]));
}

INLINE void apply_B(vec *r, const vec *d, int n) /* r = B^T d, n points */
{
    if (n == 3) {
        r[0] = d[1] - P1 * d[0];
        r[1] = d[2] - P1 * d[1];
        r[2] = d[1];
    } else if (n == 4) {
        r[0] = d[2] - P2 * d[0];
        r[1] = d[3] - P2 * d[1];
        r[2] = d[2] + P1 * d[1];
        r[3] = d[2] - P1 * d[1];
    } else if (n == 5) {
        const vec odd = d[3] - P2 * d[1];
        r[0] = odd - 2.0f * P1 * (d[2] - P2 * d[0]);
        r[1] = d[4] - P2 * d[2] - 2.0f * P1 * odd;
        r[2] = d[3] - P1 * d[2] - 2.0f * P2 * d[1];
        r[3] = d[3] - 3.0f * P1 * d[2] + 2.0f * P2 * d[1];
        r[4] = odd;
    } else {
        const vec even = d[4] - 4.0f * P2 * d[2], odd = P1 * (d[3] - 4.0f * P2 * d[1]);
        const vec even_2p = d[4] - P2 * d[2], odd_2p = 2.0f * P1 * (d[3] - P2 * d[1]);
        r[0] = d[4] - 5.0f * P2 * d[2] + 4.0f * P4 * d[0];
        r[1] = d[5] - 5.0f * P2 * d[3] + 4.0f * P4 * d[1];
        r[2] = even + odd;
        r[3] = even - odd;
        r[4] = even_2p + odd_2p;
        r[5] = even_2p - odd_2p;
    }
}

INLINE void apply_G(vec r[SIDE], const vec *g, int taps) /* r = G g */
{
    /* Even and odd powers of p, and of 2p. */
    vec even = g[0], odd = g[1], even_2p = g[0], odd_2p = g[1];
    if (taps > 2) {
        even += P2 * g[2];
        even_2p += 4.0f * P2 * g[2];
    }
    if (taps > 3) {
        odd += P2 * g[3];
        odd_2p += 4.0f * P2 * g[3];
    }
    if (taps > 4) {
        even += P4 * g[4];
        even_2p += 16.0f * P4 * g[4];
    }
    r[0] = g[0];
    r[1] = g[taps - 1];
    r[2] = even + P1 * odd;
    r[3] = even - P1 * odd;
    r[4] = even_2p + 2.0f * P1 * odd_2p;
    r[5] = even_2p - 2.0f * P1 * odd_2p;
}

INLINE void apply_A(vec *y, const vec *r, int n, int m) /* y = A_SCALE[n] A^T r, n points; n - m is 2 or 4 */
{
    if (n == 3)
        y[0] = r[2] - r[0];
    else if (n == 4) {
        y[0] = r[2] + r[3] - 2.0f * r[0];
        y[1] = P1 * (r[2] - r[3]);
    } else if (n == 5) {
        y[0] = 3.0f * (r[0] - r[2]) + (r[4] - r[3]);
        if (m > 1) {
            y[1] = P1 * (2.0f * r[4] + r[3] - 3.0f * r[2]);
            y[2] = P2 * (4.0f * r[4] - r[3] - 3.0f * r[2]);
        }
    } else {
        const vec even = r[2] + r[3], odd = r[2] - r[3], even_2p = r[4] + r[5], odd_2p = r[4] - r[5];
        y[0] = 3.0f * r[0] - 2.0f * even + 0.5f * even_2p;
        y[1] = P1 * (odd_2p - 2.0f * odd);
        if (m > 2)
            y[2] = 2.0f * P2 * (even_2p - even);
        if (m > 3)
            y[3] = 2.0f * P1 * P2 * (2.0f * odd_2p - odd);
        if (m > 4)
            y[4] = P4 * (8.0f * even_2p - 2.0f * even);
    }
    y[m - 1] += A_SCALE[n] * r[1];
}

#endif
