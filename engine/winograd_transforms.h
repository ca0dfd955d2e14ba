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
 * that are smaller than the others. B depends on n alone.
 *
 * The denominators of G's rows, the products of differences, are left to A^T, where they cost nothing: U and M are that much
 * larger, and G's rows depend on nothing but their points, so that tiles of all sizes share U. g[k] comes multiplied by p^k
 * (WINOGRAD_POWERS), which leaves G the rows (1, +-1, 1, ..) and (1, +-2, 4, ..); infinity's is then p^(r-1) too small, for
 * which A^T makes up. So most of what U takes are additions, and many processors make those beside the products that wait for
 * it. apply_A makes a_scale() A^T, and output_scale() makes good for both sides. All constants but that one are exact in float:
 * an inexact one would err to the same side in every pixel, and means over pixels, as Grad-CAM takes, would keep that. Each
 * apply_ is one matrix times one column. */
#ifndef CAMRUN_WINOGRAD_TRANSFORMS_H
#define CAMRUN_WINOGRAD_TRANSFORMS_H

#include "kernels.h"
#include "vec.h"

enum { SIDE = WINOGRAD_SIDE };

#define P1 WINOGRAD_POWERS[1] /* p, p^2, p^3, p^4 */
#define P2 WINOGRAD_POWERS[2]
#define P3 WINOGRAD_POWERS[3]
#define P4 WINOGRAD_POWERS[4]

/* What makes all elements of A^T exact, of n points and m outputs. */
INLINE float a_scale(int n, int m)
{
    return n == 3 ? P2 : n == 4 ? 2.0f * P2 : n == 5 ? (m == 1 ? 6.0f * P4 : 6.0f * P3) : 12.0f * P4;
}

INLINE float output_scale(int row_points, int col_points, int height, int width)
{
    return (float)(1.0 / ((double)a_scale(row_points, height) * a_scale(col_points, width)));
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

/* r = G g, where g[k] is multiplied by p^k; doubled by addition */
INLINE void apply_G(vec r[SIDE], const vec *g, int taps)
{
    /* Of the polynomial in 1, and in 2, the even and the odd powers. */
    vec even = g[0], odd = g[1], even_2 = g[0], odd_2 = g[1];
    if (taps > 2) {
        even += g[2];
        even_2 += 4.0f * g[2];
    }
    if (taps > 3) {
        odd += g[3];
        odd_2 += 4.0f * g[3];
    }
    if (taps > 4) {
        even += g[4];
        even_2 += 16.0f * g[4];
    }
    odd_2 += odd_2;
    r[0] = g[0];
    r[1] = g[taps - 1];
    r[2] = even + odd;
    r[3] = even - odd;
    r[4] = even_2 + odd_2;
    r[5] = even_2 - odd_2;
}

INLINE void apply_A(vec *y, const vec *r, int n, int m) /* y = a_scale(n, m) A^T r, n points; n - m is 1 to 4 */
{
    if (n == 3)
        y[0] = P1 * (r[2] - r[0]) + r[1];
    else if (n == 4) {
        y[0] = r[2] + r[3] - 2.0f * r[0];
        y[1] = P1 * (r[2] - r[3]) + 2.0f * r[1];
    } else if (n == 5) {
        y[0] = 3.0f * (r[0] - r[2]) + (r[4] - r[3]);
        if (m > 1) {
            y[1] = P1 * (2.0f * r[4] + r[3] - 3.0f * r[2]);
            y[2] = P2 * (4.0f * r[4] - r[3] - 3.0f * r[2]) + 6.0f * P1 * r[1];
        } else
            y[0] = P1 * y[0] + 6.0f * r[1];
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
        y[m - 1] += 12.0f * WINOGRAD_POWERS[m - 2] * r[1];
    }
}

#endif
