/* methods.c - the methods of methods.h as their formulas, and the table that names them. Sums are over pixels p where
 * nothing else is said. Where a paper and pytorch-grad-cam differ, the code follows the latter, and says so. */
#include "methods.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "principal.h"
#include "random.h"

static size_t pixels_of(const cr_evidence *e)
{
    return (size_t)e->h * (size_t)e->w;
}

/* Channel k of an array (C,H,W). */
static const float *channel(const float *x, const cr_evidence *e, int k)
{
    return x + (size_t)k * pixels_of(e);
}

static double sum(const float *x, size_t pixels)
{
    double total = 0;
    for (size_t p = 0; p < pixels; p++)
        total += (double)x[p];
    return total;
}

/* max(x, 0), but NaN where x is. */
static double positive(double x)
{
    return x <= 0 ? 0 : x;
}

/* ---- weights ---- */

/* Grad-CAM: w_k = mean(g_k).
 * Selvaraju et al., ICCV 2017 (arXiv:1610.02391), equations 1 and 2 without the ReLU. */
static void gradcam(double *w, const cr_evidence *e)
{
    for (int k = 0; k < e->c; k++)
        w[k] = sum(channel(e->g, e, k), pixels_of(e)) / (double)pixels_of(e);
}

/* Grad-CAM++: w_k = sum(alpha max(g_k, 0)),  alpha = g_k^2 / (2 g_k^2 + sum(A_k) g_k^3 + 1e-6).
 * Chattopadhyay et al., WACV 2018 (arXiv:1710.11063), equations 7 and 19, for the logit in place of its exponential. */
static void gradcam_plus_plus(double *w, const cr_evidence *e)
{
    for (int k = 0; k < e->c; k++) {
        const float *g = channel(e->g, e, k);
        double total = sum(channel(e->a, e, k), pixels_of(e));
        w[k] = 0;
        for (size_t p = 0; p < pixels_of(e); p++) {
            double x = positive((double)g[p]), x2 = x * x;
            w[k] += x * x2 / (2 * x2 + total * x2 * x + 1e-6);
        }
    }
}

/* XGrad-CAM: w_k = sum(g_k A_k) / (sum(A_k) + 1e-7).
 * Fu et al., BMVC 2020 (arXiv:2008.02312), section 3: of all weights the ones nearest to both axioms there. */
static void xgradcam(double *w, const cr_evidence *e)
{
    for (int k = 0; k < e->c; k++) {
        const float *a = channel(e->a, e, k), *g = channel(e->g, e, k);
        double product = 0;
        for (size_t p = 0; p < pixels_of(e); p++)
            product += (double)g[p] * (double)a[p];
        w[k] = product / (sum(a, pixels_of(e)) + 1e-7);
    }
}

/* CAM: w (C) is the class's row of the last linear layer, which reads the mean of each A_k. The map's mean plus the class's
 * bias is the logit.
 * Zhou et al., CVPR 2016 (arXiv:1512.04150), equation 2. */
static void cam(double *w, const cr_evidence *e)
{
    for (int k = 0; k < e->c; k++)
        w[k] = (double)e->fc_weight[k];
}

/* FEM: w_k = the part of A_k's pixels that exceed its mean by two standard deviations. The same for every class.
 * Fuad et al., IPTA 2020 (hal-02963298), the k-sigma rule with k = 2. */
static void fem(double *w, const cr_evidence *e)
{
    const double n = (double)pixels_of(e);
    for (int k = 0; k < e->c; k++) {
        const float *a = channel(e->a, e, k);
        double mean = sum(a, pixels_of(e)) / n, square = 0, above = 0;
        for (size_t p = 0; p < pixels_of(e); p++)
            square += ((double)a[p] - mean) * ((double)a[p] - mean);
        double threshold = mean + 2 * sqrt(square / n);
        for (size_t p = 0; p < pixels_of(e); p++)
            above += (double)a[p] > threshold;
        w[k] = above / n;
    }
}

/* Random CAM: w_k uniform in [-1, 1), the same for every picture and class: what any other method must be better than. */
static void randomcam(double *w, const cr_evidence *e)
{
    for (int k = 0; k < e->c; k++)
        w[k] = 2 * random_at(e->seed, (uint64_t)k) - 1;
}

/* ---- terms ---- */

/* Eigen-CAM: term_k = A_k, of which the first principal component is the map. The same for every class.
 * Muhammad and Yeasin, IJCNN 2020 (arXiv:2008.00299), section III; as in pytorch-grad-cam, A is centred first. */
static void eigencam(double *term, const cr_evidence *e, int k)
{
    const float *a = channel(e->a, e, k);
    for (size_t p = 0; p < pixels_of(e); p++)
        term[p] = (double)a[p];
}

/* HiResCAM: term_k = g_k A_k. EigenGradCAM is the first principal component of the same terms (pytorch-grad-cam).
 * Draelos and Carin 2020 (arXiv:2011.08891). */
static void hirescam(double *term, const cr_evidence *e, int k)
{
    const float *a = channel(e->a, e, k), *g = channel(e->g, e, k);
    for (size_t p = 0; p < pixels_of(e); p++)
        term[p] = (double)g[p] * (double)a[p];
}

/* Element-wise Grad-CAM: term_k = max(g_k A_k, 0): HiResCAM without what speaks against the class.
 * pytorch-grad-cam's GradCAMElementWise. */
static void gradcam_elementwise(double *term, const cr_evidence *e, int k)
{
    hirescam(term, e, k);
    for (size_t p = 0; p < pixels_of(e); p++)
        term[p] = positive(term[p]);
}

/* LayerCAM: term_k = max(g_k, 0) A_k.
 * Jiang et al., IEEE Transactions on Image Processing 2021 (doi:10.1109/TIP.2021.3089943), without the last ReLU. */
static void layercam(double *term, const cr_evidence *e, int k)
{
    const float *a = channel(e->a, e, k), *g = channel(e->g, e, k);
    for (size_t p = 0; p < pixels_of(e); p++)
        term[p] = positive((double)g[p]) * (double)a[p];
}

/* ---- the table ---- */

static const cr_method methods[] = {
    {"gradcam", "Grad-CAM", "channels weighted by their mean gradient (Selvaraju 2017)",
     CR_NEEDS_GRADIENT, gradcam, NULL, false},
    {"gradcam++", "Grad-CAM++", "channels weighted by their positive gradients, for several objects (Chattopadhyay 2018)",
     CR_NEEDS_GRADIENT, gradcam_plus_plus, NULL, false},
    {"xgradcam", "XGrad-CAM", "channels weighted by their gradients' mean where they are active (Fu 2020)",
     CR_NEEDS_GRADIENT, xgradcam, NULL, false},
    {"hirescam", "HiResCAM", "each pixel weighted by its own gradient (Draelos 2020)",
     CR_NEEDS_GRADIENT, NULL, hirescam, false},
    {"gradcam-elementwise", "Element-wise Grad-CAM", "HiResCAM's positive terms alone (pytorch-grad-cam)",
     CR_NEEDS_GRADIENT, NULL, gradcam_elementwise, false},
    {"layercam", "LayerCAM", "each pixel weighted by its positive gradient: sharp at shallow layers (Jiang 2021)",
     CR_NEEDS_GRADIENT, NULL, layercam, false},
    {"eigencam", "Eigen-CAM", "the channels' first principal component; no class, no gradient (Muhammad 2020)",
     0, NULL, eigencam, true},
    {"eigengradcam", "EigenGradCAM", "the first principal component of HiResCAM's terms (pytorch-grad-cam)",
     CR_NEEDS_GRADIENT, NULL, hirescam, true},
    {"cam", "CAM", "channels weighted by the class's row of the last linear layer; ResNets only (Zhou 2016)",
     CR_NEEDS_FC_WEIGHT, cam, NULL, false},
    {"fem", "FEM", "channels weighted by how many of their pixels stand out; no class, no gradient (Fuad 2020)",
     0, fem, NULL, false},
    {"randomcam", "Random CAM", "channels weighted at random: what every other method must be better than",
     CR_NEEDS_SEED, randomcam, NULL, false},
};

enum { METHODS = sizeof methods / sizeof methods[0] };

const cr_method *cr_method_at(int i)
{
    return i >= 0 && i < METHODS ? &methods[i] : NULL;
}

const cr_method *cr_method_find(const char *name, cr_error *err)
{
    char known[320] = "";
    for (int i = 0; i < METHODS; i++) {
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", methods[i].name);
    }
    cr_fail(err, "unknown method '%.60s': expected one of %s", name, known);
    return NULL;
}

/* ---- from terms to a map ---- */

/* map = sum_k term_k; w: all weights, or NULL; term (H,W): scratch. */
static void add_terms(double *map, const cr_method *method, const cr_evidence *e, const double *w, double *term)
{
    const size_t pixels = pixels_of(e);
    memset(map, 0, pixels * sizeof *map);
    for (int k = 0; k < e->c; k++) {
        const float *a = channel(e->a, e, k);
        if (!w)
            method->term(term, e, k);
        for (size_t p = 0; p < pixels; p++)
            map[p] += w ? w[k] * (double)a[p] : term[p];
    }
}

/* all (C,H,W): every term. */
static void list_terms(float *all, const cr_method *method, const cr_evidence *e, const double *w, double *term)
{
    const size_t pixels = pixels_of(e);
    for (int k = 0; k < e->c; k++) {
        const float *a = channel(e->a, e, k);
        if (!w)
            method->term(term, e, k);
        for (size_t p = 0; p < pixels; p++)
            all[(size_t)k * pixels + p] = (float)(w ? w[k] * (double)a[p] : term[p]);
    }
}

bool cr_method_map(double *map, const cr_method *method, const cr_evidence *e, bool eigen_smooth, cr_error *err)
{
    const bool principal = eigen_smooth || method->principal;
    const size_t pixels = pixels_of(e), channels = (size_t)e->c;
    double *w = method->weights ? malloc(channels * sizeof *w) : NULL;
    double *term = method->weights ? NULL : malloc(pixels * sizeof *term);
    float *all = principal ? malloc(channels * pixels * sizeof *all) : NULL;
    bool ok = (w || term) && (all || !principal);
    if (!ok)
        cr_fail(err, "out of memory for a map of %d x %d", e->w, e->h);
    if (ok && w)
        method->weights(w, e);
    if (ok && principal) {
        list_terms(all, method, e, w, term);
        ok = principal_component(map, all, e->c, pixels, err);
    } else if (ok) {
        add_terms(map, method, e, w, term);
    }
    free(w);
    free(term);
    free(all);
    return ok;
}
