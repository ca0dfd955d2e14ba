/* maximise.c - see maximise.h. */
#include "maximise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "map.h"
#include "random.h"

/* ---- the gradient of what is climbed ---- */

/* Runs n inputs of one size to a node and back. */
typedef struct climber {
    const cr_net *net;
    const cr_ascent_options *o;
    int node, n, h, w;
    size_t pixels, count;         /* of an input: h * w, C * h * w */
    int dim[3];                   /* of the node's output */
    size_t values;                /* in it */
    cr_plan *plan;
    cr_tape *tape;
    float *moved, *g;             /* (n,C,h,w) */
    float *value, *seed;          /* (n) of the node's output */
    float *row;                   /* scratch of a blur */
    float low[3], high[3];        /* the colours there are */
    const int *channels;          /* what input i climbs: channels[i]'s mean; or, squares: the channels of all */
    int n_channels;
    bool squares;
} climber;

static void climber_close(climber *c)
{
    cr_tape_free(c->tape);
    cr_plan_free(c->plan);
    free(c->moved);
    free(c->g);
    free(c->value);
    free(c->seed);
    free(c->row);
}

/* c->net, o, node, n, h, w are set. */
static bool climber_open(climber *c, cr_error *err)
{
    const int input = 0, channels = c->net->nodes[0].channels;
    const cr_request request = {.n = c->n, .h = c->h, .w = c->w, .end = c->node, .grad = &input, .n_grad = 1};
    if (!(c->plan = cr_plan_create(c->net, &request, err)) || !(c->tape = cr_tape_create(c->plan, err)))
        return false;
    cr_plan_shape(c->plan, c->node, c->dim);
    c->values = (size_t)c->dim[0] * (size_t)c->dim[1] * (size_t)c->dim[2];
    c->pixels = (size_t)c->h * (size_t)c->w;
    c->count = (size_t)channels * c->pixels;
    const size_t n = (size_t)c->n;
    c->moved = calloc(n * c->count, sizeof *c->moved);
    c->g = calloc(n * c->count, sizeof *c->g);
    c->value = calloc(n * c->values, sizeof *c->value);
    c->seed = calloc(n * c->values, sizeof *c->seed);
    c->row = calloc(c->pixels, sizeof *c->row);
    if (!c->moved || !c->g || !c->value || !c->seed || !c->row)
        return cr_fail(err, "out of memory for %d inputs of %dx%d (WxH)", c->n, c->w, c->h);
    for (int i = 0; i < channels && i < 3; i++) {
        c->low[i] = cr_transform_level(c->o->transform, 0, i, channels);
        c->high[i] = cr_transform_level(c->o->transform, 1, i, channels);
    }
    return true;
}

/* What input i climbs, and its gradient at the node. */
static double score_of(climber *c, int i)
{
    const size_t map = (size_t)c->dim[1] * (size_t)c->dim[2];
    const float *value = c->value + (size_t)i * c->values;
    float *seed = c->seed + (size_t)i * c->values;
    double score = 0;
    memset(seed, 0, c->values * sizeof *seed);
    if (!c->squares) {
        const size_t first = (size_t)c->channels[i] * map;
        for (size_t k = first; k < first + map; k++) {
            score += (double)value[k] / (double)map;
            seed[k] = (float)(1 / (double)map);
        }
        return score;
    }
    const int n = c->n_channels ? c->n_channels : c->dim[0];
    const double terms = (double)n * (double)map;
    for (int j = 0; j < n; j++) {
        const size_t first = (size_t)(c->n_channels ? c->channels[j] : j) * map;
        for (size_t k = first; k < first + map; k++) {
            score += (double)value[k] * (double)value[k] / terms;
            seed[k] = (float)((double)value[k] / terms);
        }
    }
    return score;
}

static bool find_scores(climber *c, double *scores, cr_error *err)
{
    cr_tape_forward(c->tape, c->moved);
    if (!cr_tape_value(c->tape, c->node, c->value, err))
        return false;
    for (int i = 0; i < c->n; i++) {
        scores[i] = score_of(c, i);
        if (!isfinite(scores[i]))
            return cr_fail(err, "%s becomes %g: the weights are too large, or hold a value that is no finite number",
                           c->net->nodes[c->node].name, scores[i]);
    }
    return true;
}

/* ---- one step ---- */

/* to = from (h,w) moved down by dy and right by dx, around the borders. */
static void roll(float *to, const float *from, int h, int w, int dy, int dx)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            to[(size_t)((y + dy) % h) * (size_t)w + (size_t)((x + dx) % w)] = from[(size_t)y * (size_t)w + (size_t)x];
}

/* Where a step sees input i: 0 to 2 * jitter in both directions. */
static void move_of(const climber *c, uint64_t stream, int step, int move[2])
{
    for (int axis = 0; axis < 2; axis++) {
        const int side = axis ? c->w : c->h, most = c->o->jitter < side / 2 ? c->o->jitter : side / 2;
        move[axis] = (int)(random_at(stream, 2 * (uint64_t)step + (uint64_t)axis) * (2 * most + 1));
    }
}

/* Separable, with weights exp(-d^2 / 2 blur^2) at distance d, clamped at the borders. */
static void blur_rows(float *to, const float *from, int lines, int length, ptrdiff_t line, ptrdiff_t step, double blur)
{
    enum { FURTHEST = 60 };
    const int reach = ceil(3 * blur) < FURTHEST ? (int)ceil(3 * blur) : FURTHEST;
    double weight[FURTHEST + 1], all = 0;
    for (int d = 0; d <= reach; d++) {
        weight[d] = exp(-d * d / (2 * blur * blur));
        all += d ? 2 * weight[d] : weight[d];
    }
    for (int l = 0; l < lines; l++)
        for (int i = 0; i < length; i++) {
            double sum = 0;
            for (int d = -reach; d <= reach; d++) {
                const int at = i + d < 0 ? 0 : i + d >= length ? length - 1 : i + d;
                sum += weight[d < 0 ? -d : d] * (double)from[l * line + at * step];
            }
            to[l * line + i * step] = (float)(sum / all);
        }
}

static void regularise(const climber *c, float *x, int step)
{
    enum { BLUR_EVERY = 4 };
    for (size_t i = 0; i < c->count; i++) {
        const size_t channel = i / c->pixels;
        x[i] -= (float)c->o->decay * x[i];
        x[i] = fminf(fmaxf(x[i], c->low[channel]), c->high[channel]);
    }
    for (size_t i = 0; c->o->blur > 0 && step % BLUR_EVERY == BLUR_EVERY - 1 && i < c->count; i += c->pixels) {
        blur_rows(c->row, x + i, c->h, c->w, c->w, 1, c->o->blur);
        blur_rows(x + i, c->row, c->w, c->h, 1, c->w, c->o->blur);
    }
}

/* x (n,C,h,w); streams: of each input's jitter. */
static bool climb(climber *c, float *x, const uint64_t *streams, int step, double *scores, cr_error *err)
{
    for (int i = 0; i < c->n; i++) {
        int move[2];
        move_of(c, streams[i], step, move);
        for (size_t k = (size_t)i * c->count; k < (size_t)(i + 1) * c->count; k += c->pixels)
            roll(c->moved + k, x + k, c->h, c->w, move[0], move[1]);
    }
    if (!find_scores(c, scores, err) || !cr_tape_backward(c->tape, c->seed, err) || !cr_tape_grad(c->tape, 0, c->g, err))
        return false;
    for (int i = 0; i < c->n; i++) {
        float *of = x + (size_t)i * c->count, *g = c->moved + (size_t)i * c->count; /* the gradient, moved back */
        int move[2];
        move_of(c, streams[i], step, move);
        for (size_t k = 0; k < c->count; k += c->pixels)
            roll(g + k, c->g + (size_t)i * c->count + k, c->h, c->w, c->h - move[0], c->w - move[1]);
        double squares = 0;
        for (size_t k = 0; k < c->count; k++)
            squares += (double)g[k] * (double)g[k];
        const double scale = c->o->lr / (sqrt(squares / (double)c->count) + 1e-8);
        for (size_t k = 0; k < c->count; k++)
            of[k] += (float)(scale * (double)g[k]);
        regularise(c, of, step);
    }
    return true;
}

static bool scores_at(climber *c, const float *x, double *scores, cr_error *err)
{
    memcpy(c->moved, x, (size_t)c->n * c->count * sizeof *x);
    return find_scores(c, scores, err);
}

/* ---- activation maximisation ---- */

/* A stream of random numbers for each filter, so that it does not matter which others there are. */
static uint64_t stream_of(uint64_t seed, int channel)
{
    return random_mix(random_mix(seed) + (uint64_t)channel);
}

/* Uniform from 150/255 to 180/255, as a picture's pixels. */
static void begin(float *x, const climber *c, uint64_t stream)
{
    for (size_t i = 0; i < c->count; i++) {
        const size_t channel = i / c->pixels;
        const double level = (150 + 30 * random_at(~stream, i)) / 255;
        x[i] = (float)((double)c->low[channel] + level * ((double)c->high[channel] - (double)c->low[channel]));
    }
}

static bool maximise_batch(climber *c, float *x, double (*scores)[2], int before, int all, bool *go_on, cr_error *err)
{
    uint64_t streams[MOST_BATCH];
    double now[MOST_BATCH];
    for (int i = 0; i < c->n; i++) {
        streams[i] = stream_of(c->o->seed, c->channels[i]);
        begin(x + (size_t)i * c->count, c, streams[i]);
    }
    if (!scores_at(c, x, now, err))
        return false;
    for (int i = 0; i < c->n; i++)
        scores[i][0] = now[i];
    for (int step = 0; step < c->o->steps && *go_on; step++) {
        if (!climb(c, x, streams, step, now, err))
            return false;
        *go_on = !c->o->go_on || c->o->go_on(c->o->owner, before + (step + 1) * c->n, all);
    }
    if (!scores_at(c, x, now, err))
        return false;
    for (int i = 0; i < c->n; i++)
        scores[i][1] = now[i];
    return true;
}

bool cr_maximise(float *x, double (*scores)[2], const cr_net *net, int node, const int *channels, int n, int h, int w,
                 const cr_ascent_options *o, cr_error *err)
{
    bool ok = true, go_on = true;
    climber c = {0};
    const int most = batch_that_fits(net, h, w, n);
    for (int done = 0; ok && done < n; done += c.n) {
        const int together = n - done < most ? n - done : most;
        if (together != c.n) {
            climber_close(&c);
            c = (climber){.net = net, .o = o, .node = node, .n = together, .h = h, .w = w};
            ok = climber_open(&c, err);
        }
        c.channels = channels + done;
        for (int i = 0; ok && i < c.n; i++)
            if (c.channels[i] < 0 || c.channels[i] >= c.dim[0])
                ok = cr_fail(err, "%s has channels 0 to %d, and no channel %d", net->nodes[node].name, c.dim[0] - 1, c.channels[i]);
        ok = ok && maximise_batch(&c, x + (size_t)done * c.count, scores + done, done * o->steps, n * o->steps, &go_on, err);
    }
    climber_close(&c);
    return ok;
}

/* ---- dreams ---- */

static void resize_planes(float *out, int oh, int ow, const float *in, int h, int w, int channels)
{
    for (int i = 0; i < channels; i++)
        cr_map_resize(out + (size_t)i * (size_t)oh * (size_t)ow, oh, ow, in + (size_t)i * (size_t)h * (size_t)w, h, w);
}

/* One size: x = the picture at that size + what smaller ones added; climbs; leaves in `added` what there is now beyond it. */
static bool dream_at(climber *c, const float *picture, int h, int w, float *added, int *added_h, int *added_w, float *x, float *base,
                     int before, int all, bool *go_on, cr_error *err)
{
    const int channels = c->net->nodes[0].channels;
    double score;
    const uint64_t stream = stream_of(c->o->seed, before);
    resize_planes(base, c->h, c->w, picture, h, w, channels);
    if (*added_h)
        resize_planes(x, c->h, c->w, added, *added_h, *added_w, channels);
    else
        memset(x, 0, c->count * sizeof *x);
    for (size_t i = 0; i < c->count; i++)
        x[i] += base[i];
    for (int step = 0; step < c->o->steps && *go_on; step++) {
        if (!climb(c, x, &stream, step, &score, err))
            return false;
        *go_on = !c->o->go_on || c->o->go_on(c->o->owner, before + step + 1, all);
    }
    for (size_t i = 0; i < c->count; i++)
        added[i] = x[i] - base[i];
    *added_h = c->h;
    *added_w = c->w;
    return true;
}

bool cr_dream(float *x, double scores[2], const cr_net *net, int node, const int *channels, int n_channels, int h, int w,
              const cr_dream_octaves *octaves, const cr_ascent_options *o, cr_error *err)
{
    const size_t count = (size_t)net->nodes[0].channels * (size_t)h * (size_t)w;
    float *added = calloc(count, sizeof *added), *now = calloc(count, sizeof *now), *base = calloc(count, sizeof *base);
    int added_h = 0, added_w = 0;
    bool ok = (added && now && base) || cr_fail(err, "out of memory"), go_on = true;
    for (int octave = octaves->n - 1; ok && octave >= 0; octave--) {
        const double scale = pow(octaves->scale, -octave);
        climber c = {.net = net, .o = o, .node = node, .n = 1, .h = (int)lround(h * scale), .w = (int)lround(w * scale),
                     .channels = channels, .n_channels = n_channels, .squares = true};
        const bool fits = climber_open(&c, err);
        if (fits || octave == 0) {
            ok = fits && (octave || scores_at(&c, x, &scores[0], err)) &&
                 dream_at(&c, x, h, w, added, &added_h, &added_w, now, base, (octaves->n - 1 - octave) * o->steps,
                          octaves->n * o->steps, &go_on, err) &&
                 (octave || scores_at(&c, now, &scores[1], err));
        }
        climber_close(&c);
    }
    if (ok)
        memcpy(x, now, count * sizeof *x);
    free(added);
    free(now);
    free(base);
    return ok;
}
