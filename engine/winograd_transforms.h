/* winograd_transforms.h - Winograd's minimal filtering (Lavin & Gray, arXiv:1509.09308), for the kernels that use it.
 *
 * F(m x m, r x r) makes m x m outputs of an r x r kernel from an (m+r-1) x (m+r-1) patch d of the input with (m+r-1)^2
 * multiplications per channel pair instead of m^2 r^2:
 *
 *     Y = A^T [ (G g G^T) . (B^T d B) ] A          . is elementwise, summed over input channels
 *
 * The matrices come from polynomial interpolation (Toom-Cook) at m+r-2 points p_i and infinity: row j of A^T holds the
 * p_i^j, j < m; row i of G is (1, p_i, .., p_i^(r-1)) / prod_{l != i} (p_i - p_l); row i of B^T holds the coefficients of
 * prod_{l != i} (x - p_l). Here m + r - 1 = 6: the points are 0, +-sqrt(1/2), +-sqrt(2), whose products stay near 1, which
 * keeps the rounding error small, and all F of 6 points share B. The denominators of G's rows are left to A^T, where
 * they cost nothing: U and M are that much larger. Each apply_ is one matrix times one column. */
#ifndef CAMRUN_WINOGRAD_TRANSFORMS_H
#define CAMRUN_WINOGRAD_TRANSFORMS_H

#include "kernels.h"
#include "vec.h"

enum { SIDE = WINOGRAD_SIDE, MOST_TAPS = 5 };

static const float ROOT_HALF = 0.70710678118654752f, ROOT_TWO = 1.41421356237309505f;

INLINE void apply_B(vec r[SIDE], const vec d[SIDE]) /* r = B^T d */
{
    const vec even_half = d[4] - 2.0f * d[2], odd_half = ROOT_HALF * (d[3] - 2.0f * d[1]);
    const vec even_two = d[4] - 0.5f * d[2], odd_two = ROOT_TWO * (d[3] - 0.5f * d[1]);
    r[0] = d[0] - 2.5f * d[2] + d[4];
    r[1] = even_half + odd_half;
    r[2] = even_half - odd_half;
    r[3] = even_two + odd_two;
    r[4] = even_two - odd_two;
    r[5] = d[5] - 2.5f * d[3] + d[1];
}

INLINE void apply_G(vec r[SIDE], const vec *g, int taps) /* r = G g */
{
    /* Even and odd powers of p, at p^2 = 1/2 and p^2 = 2. */
    vec even_half = g[0], odd_half = g[1], even_two = g[0], odd_two = g[1];
    if (taps > 2) {
        even_half += 0.5f * g[2];
        even_two += 2.0f * g[2];
    }
    if (taps > 3) {
        odd_half += 0.5f * g[3];
        odd_two += 2.0f * g[3];
    }
    if (taps > 4) {
        even_half += 0.25f * g[4];
        even_two += 4.0f * g[4];
    }
    r[0] = g[0];
    r[1] = even_half + ROOT_HALF * odd_half;
    r[2] = even_half - ROOT_HALF * odd_half;
    r[3] = even_two + ROOT_TWO * odd_two;
    r[4] = even_two - ROOT_TWO * odd_two;
    r[5] = g[taps - 1];
}

INLINE void apply_A(vec *y, const vec r[SIDE], int m) /* y = A^T r */
{
    const float half = -1.0f / 1.5f, two = 1.0f / 6.0f; /* G's denominators at p^2 = 1/2 and p^2 = 2 */
    const vec even_half = r[1] + r[2], odd_half = r[1] - r[2], even_two = r[3] + r[4], odd_two = r[3] - r[4];
    y[0] = r[0] + half * even_half + two * even_two;
    y[1] = half * ROOT_HALF * odd_half + two * ROOT_TWO * odd_two;
    if (m > 2)
        y[2] = half * 0.5f * even_half + two * 2.0f * even_two;
    if (m > 3)
        y[3] = half * 0.5f * ROOT_HALF * odd_half + two * 2.0f * ROOT_TWO * odd_two;
    if (m > 4)
        y[4] = half * 0.25f * even_half + two * 4.0f * even_two;
    y[m - 1] += r[5];
}

#endif
