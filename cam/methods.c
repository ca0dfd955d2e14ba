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

/* Not fmax() and fmin(): gcc 12 for AArch64 fails at loops of them. */
static double larger(double a, double b)
{
    return b > a ? b : a;
}

static double smaller(double a, double b)
{
    return b < a ? b : a;
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

/* Shapley-CAM: w_k = mean(g_k - H A / 2), the second-order expansion of Shapley's values; H is the score's second
 * derivative with respect to A. Convolutions, ReLUs, pooling and linear layers are linear in pieces, and so is a logit in A:
 * H is 0 wherever it exists, and this is Grad-CAM.
 * Cai 2025 (arXiv:2501.06261), for the logit, as in pytorch-grad-cam. */
static void shapleycam(double *w, const cr_evidence *e)
{
    gradcam(w, e);
}

/* Smooth Grad-CAM++: Grad-CAM++ with g, g^2 and g^3 replaced by their means over noisy copies of the input:
 *     w_k = sum(alpha max(mean g_k, 0)),  alpha = mean g_k^2 / (2 mean g_k^2 + sum(A_k) max(mean g_k^3, 0) + 1e-8).
 * Omeiza et al., IntelliSys 2019 (arXiv:1908.01224), with the numerator of alpha that its derivation has, as in torchcam
 * (which takes for the first mean the gradient of the last copy). Of the cube only a positive mean counts, as is the case
 * by itself in Grad-CAM++: a negative one brings the denominator near zero at some pixels, and the map would be theirs. */
static void smoothgradcam_plus_plus(double *w, const cr_evidence *e)
{
    for (int k = 0; k < e->c; k++) {
        const float *g = channel(e->noisy[0], e, k), *g2 = channel(e->noisy[1], e, k), *g3 = channel(e->noisy[2], e, k);
        double total = sum(channel(e->a, e, k), pixels_of(e));
        w[k] = 0;
        for (size_t p = 0; p < pixels_of(e); p++)
            w[k] += positive((double)g[p]) * (double)g2[p] /
                    (2 * (double)g2[p] + total * positive((double)g3[p]) + 1e-8);
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

/* Score-CAM: w = softmax(s), s_k the logit for the input times A_k, resized and scaled to [0,1].
 * Wang et al., CVPR Workshops 2020 (arXiv:1910.01279), definitions 2 and 3: the logit of the baseline, which they take off
 * every s_k, is the same for all and does not change the softmax. */
static void scorecam(double *w, const cr_evidence *e)
{
    double most = -INFINITY, all = 0;
    for (int k = 0; k < e->c; k++)
        most = larger(most, (double)e->masked[k]);
    for (int k = 0; k < e->c; k++) {
        w[k] = exp((double)e->masked[k] - most);
        all += w[k];
    }
    for (int k = 0; k < e->c; k++)
        w[k] /= all;
}

/* Ablation-CAM: w_k = (s - s_k) / s, the part of the logit s that is lost where A_k is 0. Of a negative logit the map is
 * turned over, as in the paper and in pytorch-grad-cam. (That sets A_k far below A's minimum where A has values below 0.)
 * Desai and Ramaswamy, WACV 2020, section 3. */
static void ablationcam(double *w, const cr_evidence *e)
{
    const double score = (double)e->score;
    for (int k = 0; k < e->c; k++)
        w[k] = (score - (double)e->ablated[k]) / (score != 0 ? score : 1);
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

/* FullGrad: the gradient times the input, and the gradient of every bias times that bias, which together make up the
 * logit; without signs, and each channel scaled to [0,1]:
 *     term_k = u_k / (1e-7 + max(u_k)),  u_k = v_k - min(v_k),  v_k = |x_k g_k| at the input, |b_k g_k| behind a bias.
 * Srinivas and Fleuret, NeurIPS 2019 (arXiv:1905.00780), section 5, with psi the absolute value,
 * scaled; of the biases those of convolutions and batchnorms, as in pytorch-grad-cam. */
static void fullgrad(double *term, const cr_evidence *e, int k)
{
    const float *a = e->bias ? NULL : channel(e->a, e, k), *g = channel(e->g, e, k);
    double least = INFINITY, most = -INFINITY;
    for (size_t p = 0; p < pixels_of(e); p++) {
        term[p] = fabs((double)g[p] * (double)(a ? a[p] : e->bias[k]));
        least = smaller(least, term[p]);
        most = larger(most, term[p]);
    }
    for (size_t p = 0; p < pixels_of(e); p++)
        term[p] = (term[p] - least) / (1e-7 + (most - least));
}

/* ---- scores other than the logit ---- */

enum { RIVALS = 3 };

/* The classes but c whose logits are nearest to c's, nearest first. Returns how many there are. */
static int find_rivals(int rivals[RIVALS], const float *z, int classes, int c)
{
    int n = 0;
    for (int i = 0; i < classes; i++) {
        int at = n;
        while (at > 0 && fabsf(z[rivals[at - 1]] - z[c]) > fabsf(z[i] - z[c]))
            at--;
        if (i == c || at == RIVALS)
            continue;
        n += n < RIVALS;
        memmove(&rivals[at + 1], &rivals[at], (size_t)(n - 1 - at) * sizeof *rivals);
        rivals[at] = i;
    }
    return n;
}

/* Finer-CAM: Grad-CAM of what tells the class from its nearest rivals i, the three classes with logits most like its own:
 *     score = sum_i p_i (z_c - z_i) / (sum_i p_i + 1e-9),  p = softmax(z).
 * With dp_i/dz_j = p_i ([i = j] - p_j), and N and S for numerator and denominator, dscore/dz_j = (dN_j - score dS_j) / S.
 * Zhang et al., CVPR 2025 (arXiv:2501.11309), with the weights of pytorch-grad-cam. */
static void finer_score(float *dz, const float *z, int classes, int c)
{
    int rivals[RIVALS], n = find_rivals(rivals, z, classes, c);
    double most = (double)z[0], all = 0, N = 0, P = 0;
    for (int j = 1; j < classes; j++)
        most = larger(most, (double)z[j]);
    for (int j = 0; j < classes; j++)
        all += exp((double)z[j] - most);
    for (int i = 0; i < n; i++) {
        const double p = exp((double)z[rivals[i]] - most) / all;
        N += p * ((double)z[c] - (double)z[rivals[i]]);
        P += p;
    }
    const double S = P + 1e-9, score = N / S;
    for (int j = 0; j < classes; j++) {
        const double p = exp((double)z[j] - most) / all;
        double dN = -p * N, dS = -p * P; /* by all p_i, through the softmax's sum */
        for (int i = 0; i < n; i++)
            if (rivals[i] == j) {
                dN += p * ((double)z[c] - (double)z[j]) - p;
                dS += p;
            }
        if (j == c)
            dN += P;
        dz[j] = (float)((dN - score * dS) / S);
    }
}

/* ---- the table ---- */

static const cr_method methods[] = {
    {.name = "gradcam", .title = "Grad-CAM",
     .about = "channels weighted by their mean gradient (Selvaraju 2017)",
     .formula = "sum_k w_k A_k, w_k = mean(g_k)",
     .needs = CR_NEEDS_GRADIENT, .weights = gradcam},
    {.name = "gradcam++", .title = "Grad-CAM++",
     .about = "channels by their positive gradients, for several objects (Chattopadhyay 2018)",
     .formula = "sum_k w_k A_k, w_k = sum(a max(g_k, 0)), a = g_k^2 / (2 g_k^2 + sum(A_k) g_k^3)",
     .needs = CR_NEEDS_GRADIENT, .weights = gradcam_plus_plus},
    {.name = "xgradcam", .title = "XGrad-CAM",
     .about = "channels weighted by their gradients' mean where they are active (Fu 2020)",
     .formula = "sum_k w_k A_k, w_k = sum(g_k A_k) / sum(A_k)",
     .needs = CR_NEEDS_GRADIENT, .weights = xgradcam},
    {.name = "hirescam", .title = "HiResCAM",
     .about = "each pixel weighted by its own gradient (Draelos 2020)",
     .formula = "sum_k g_k A_k",
     .needs = CR_NEEDS_GRADIENT, .term = hirescam},
    {.name = "gradcam-elementwise", .title = "Element-wise Grad-CAM",
     .about = "HiResCAM's positive terms alone (pytorch-grad-cam)",
     .formula = "sum_k max(g_k A_k, 0)",
     .needs = CR_NEEDS_GRADIENT, .term = gradcam_elementwise},
    {.name = "layercam", .title = "LayerCAM",
     .about = "each pixel by its positive gradient: sharp at shallow layers (Jiang 2021)",
     .formula = "sum_k max(g_k, 0) A_k",
     .needs = CR_NEEDS_GRADIENT, .term = layercam},
    {.name = "eigencam", .title = "Eigen-CAM",
     .about = "the channels' first principal component; no class, no gradient (Muhammad 2020)",
     .formula = "the first principal component of all A_k",
     .term = eigencam, .principal = true},
    {.name = "eigengradcam", .title = "EigenGradCAM",
     .about = "the first principal component of HiResCAM's terms (pytorch-grad-cam)",
     .formula = "the first principal component of all g_k A_k",
     .needs = CR_NEEDS_GRADIENT, .term = hirescam, .principal = true},
    {.name = "finercam", .title = "Finer-CAM",
     .about = "Grad-CAM of what tells the class from the three nearest to it (Zhang 2025)",
     .formula = "sum_k w_k A_k, w_k = mean(g_k), g of sum_i p_i (z_c - z_i) / sum_i p_i over the three nearest classes i",
     .needs = CR_NEEDS_GRADIENT, .weights = gradcam, .score = finer_score},
    {.name = "shapleycam", .title = "Shapley-CAM",
     .about = "second-order Shapley values; of a logit in these networks, Grad-CAM (Cai 2025)",
     .formula = "sum_k w_k A_k, w_k = mean(g_k - H A / 2), where the second derivative H is 0",
     .needs = CR_NEEDS_GRADIENT, .weights = shapleycam},
    {.name = "smoothgradcam++", .title = "Smooth Grad-CAM++",
     .about = "Grad-CAM++ of gradients averaged over noisy inputs (Omeiza 2019)",
     .formula = "as Grad-CAM++, with means of g_k, g_k^2 and g_k^3 over noisy inputs",
     .needs = CR_NEEDS_NOISE | CR_NEEDS_SEED, .weights = smoothgradcam_plus_plus},
    {.name = "fullgrad", .title = "FullGrad",
     .about = "the input and biases times their gradients, whatever the layer (Srinivas 2019)",
     .formula = "sum of |x g| at the input x and of |b_k g_k| behind every bias b_k, each channel scaled to [0,1]",
     .needs = CR_NEEDS_BIASES, .term = fullgrad},
    {.name = "scorecam", .title = "Score-CAM",
     .about = "channels by the score of what they let through of the input: slow (Wang 2020)",
     .formula = "sum_k w_k A_k, w = softmax(s), s_k = the logit for the input times A_k",
     .needs = CR_NEEDS_MASKED, .weights = scorecam},
    {.name = "ablationcam", .title = "Ablation-CAM",
     .about = "channels weighted by what the score loses without them: slow (Desai 2020)",
     .formula = "sum_k w_k A_k, w_k = (s - s_k) / s, s = the logit, s_k = the logit with A_k set to 0",
     .needs = CR_NEEDS_ABLATED, .weights = ablationcam},
    {.name = "cam", .title = "CAM",
     .about = "channels by the class's row of the last linear layer; ResNets only (Zhou 2016)",
     .formula = "sum_k w_k A_k, w_k = the class's weight for channel k in the last linear layer",
     .needs = CR_NEEDS_FC_WEIGHT, .weights = cam},
    {.name = "fem", .title = "FEM",
     .about = "channels by how many pixels stand out; no class, no gradient (Fuad 2020)",
     .formula = "sum_k w_k A_k, w_k = the part of A_k's pixels above mean + 2 standard deviations",
     .weights = fem},
    {.name = "randomcam", .title = "Random CAM",
     .about = "channels weighted at random: what every other method must be better than",
     .formula = "sum_k w_k A_k, w_k uniform in [-1, 1)",
     .needs = CR_NEEDS_SEED, .weights = randomcam},
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
