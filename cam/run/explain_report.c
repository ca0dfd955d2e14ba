/* explain_report.c - the wording of explain_report.h: text first, then JSON, then --list-layers. */
#include "explain_report.h"

#include <inttypes.h>
#include <string.h>

#include "program.h"
#include "progress.h"

enum { TOP = 5 };

static int top_of(const image_facts *image, int classes, int top[TOP])
{
    int n = classes < TOP ? classes : TOP;
    cr_top_classes(top, n, image->logits, classes);
    return n;
}

/* Whether any raw map is above zero somewhere. */
static bool has_evidence(const map_facts *map)
{
    for (int i = 0; i < map->result->n_raw; i++)
        if (map->range[i][1] > 0)
            return true;
    return false;
}

/* ---- text ---- */

static void put_class(FILE *out, const cr_labels *labels, int class_index)
{
    char title[256];
    cr_class_title(title, sizeof title, labels, class_index);
    put_printable(out, title);
}

static void text_top(const report *r, FILE *out, const image_facts *image)
{
    int top[TOP], n = top_of(image, r->run->net->classes, top);
    fputs("     logit  probability  class\n", out);
    for (int i = 0; i < n; i++) {
        fprintf(out, "  %8.3f     %6.2f %%  ", (double)image->logits[top[i]],
                100 * (double)image->probabilities[top[i]]);
        put_class(out, r->run->labels, top[i]);
        putc('\n', out);
    }
}

static void text_written(FILE *out, const char *path)
{
    fputs(" written to ", out);
    put_printable(out, path);
    putc('\n', out);
}

static void text_map(const report *r, FILE *out, const image_facts *image, const map_facts *map)
{
    const run_facts *run = r->run;
    fprintf(out, "%s%s for ", map->result->method->title, cr_explainer_smoothing(image->explainer));
    if (map->class_index < 0)
        fprintf(out, "the mean of %d class%s", map->n_classes, map->n_classes > 1 ? "es" : "");
    else
        put_class(out, run->labels, map->class_index);
    for (int i = 0; i < map->result->n_raw; i++) {
        const cr_raw_map *raw = &map->result->raw[i];
        fprintf(out, "%s at %s (%dx%d), raw map from %.4g to %.4g", i ? ",\n " : "", run->net->nodes[raw->node].name,
                raw->w, raw->h, (double)map->range[i][0], (double)map->range[i][1]);
    }
    putc('\n', out);
    if (!has_evidence(map))
        fputs("  no positive evidence: nowhere is the raw map above zero, so the map is empty\n", out);
    else if (map->empty)
        fputs("  no place stands out: the raw map is the same everywhere, so the map is empty\n", out);
    if (map->result->method->needs & CR_NEEDS_ABLATED && map->class_index >= 0 && image->logits[map->class_index] < 0)
        fputs("  the logit is below zero, which by the method's formula turns the map over\n", out);
    if (map->picture) {
        putc(' ', out);
        text_written(out, map->picture);
    }
}

static void text_times(const report *r, FILE *out, const image_facts *image)
{
    const run_facts *run = r->run;
    double backward = 0, map = 0;
    for (int i = 0; i < image->n_maps; i++) {
        backward += image->maps[i].backward_ms / image->n_maps;
        map += image->maps[i].map_ms / image->n_maps;
    }
    fputs("time: ", out);
    if (r->images == 0)
        fprintf(out, "load %.1f ms, ", run->load_ms);
    if (image->plan_ms >= 0)
        fprintf(out, "plan %.1f ms, ", image->plan_ms);
    fprintf(out, "forward %.1f ms", image->forward_ms);
    if (image->scores_ms >= 0)
        fprintf(out, ", all channels %.1f ms", image->scores_ms);
    if (backward >= 0)
        fprintf(out, ", backward %.1f ms", backward);
    fprintf(out, ", map %.1f ms%s", map, image->n_maps > run->n_methods ? " a class" : "");
    if (run->repeat)
        fprintf(out, " (medians of %d run%s)", run->repeat, run->repeat > 1 ? "s" : "");
    putc('\n', out);
}

static void text_image(const report *r, FILE *out, const image_facts *image)
{
    const cr_explainer *e = image->explainer;
    put_printable(out, image->source);
    if (image->index >= 0)
        fprintf(out, "[%d]", image->index);
    if (image->photo_w)
        fprintf(out, " (%dx%d)", image->photo_w, image->photo_h);
    fprintf(out, " through %s, input %dx%d\n", e->net->arch, e->w, e->h);
    text_top(r, out, image);
    for (int i = 0; i < image->n_maps; i++)
        text_map(r, out, image, &image->maps[i]);
    if (image->sheet) {
        fputs("contact sheet", out);
        text_written(out, image->sheet);
    }
    if (image->index <= 0) /* a batch is timed as one */
        text_times(r, out, image);
}

/* "pets/cat/1.jpg  93.1 %  tabby" */
static void text_line(const report *r, FILE *out, const image_facts *image)
{
    int top[TOP];
    top_of(image, r->run->net->classes, top);
    put_printable(out, image->source);
    fprintf(out, "  %.1f %%  ", 100 * (double)image->probabilities[top[0]]);
    put_class(out, r->run->labels, top[0]);
    for (int i = 0; i < image->n_maps; i++)
        if (image->maps[i].empty) {
            fprintf(out, "  (%s: empty map)", image->maps[i].result->method->name);
            break;
        }
    putc('\n', out);
}

static void text_counts(FILE *out, const end_facts *end)
{
    const counts *c = end->counts;
    char time[32];
    fprintf(out, "%d of %d picture%s explained in %s", c->done, c->pictures, c->pictures > 1 ? "s" : "",
            duration_text(c->ms, time));
    if (c->done && c->ms > 0)
        fprintf(out, " (%.1f a second)", c->done / c->ms * 1e3);
    if (c->failed)
        fprintf(out, ", %d failed", c->failed);
    if (c->before)
        fprintf(out, ", %d were done before", c->before);
    const int left = c->pictures - c->done - c->failed - c->before;
    if (left)
        fprintf(out, ", %d are left", left);
    putc('\n', out);
}

static void text_end(const report *r, const end_facts *end)
{
    const char *const saved[][2] = {
        {"maps", end->map}, {"raw maps", end->raw}, {"logits", end->logits}, {"results", end->results}};
    if (end->counts)
        text_counts(r->out, end);
    for (int i = 0; i < 4; i++)
        if (saved[i][1]) {
            fputs(saved[i][0], r->out);
            text_written(r->out, saved[i][1]);
        }
    if (r->run->repeat)
        fprintf(r->out, "peak memory: %.1f MB, with %d thread%s of %s kernels\n", (double)end->peak_bytes / 1e6,
                cr_threads(), cr_threads() > 1 ? "s" : "", cr_isa());
}

/* ---- JSON ---- */

static void json_shape(json_writer *j, const char *key, const int *dim, int n)
{
    json_open(j, key, '[');
    for (int i = 0; i < n; i++)
        json_integer(j, NULL, dim[i]);
    json_close(j, ']');
}

static void json_class(const report *r, json_writer *j, const image_facts *image, int class_index)
{
    json_integer(j, "class", class_index);
    json_text(j, "name", cr_label(r->run->labels, class_index));
    json_float(j, "logit", image->logits[class_index]);
    json_float(j, "probability", image->probabilities[class_index]);
}

void json_transform(json_writer *j, const cr_transform *t)
{
    json_open(j, "preprocessing", '{');
    if (t->resize)
        json_integer(j, "resize", t->resize);
    else
        json_shape(j, "resize", (const int[]){t->resize_w, t->resize_h}, 2);
    if (t->crop_w)
        json_shape(j, "crop", (const int[]){t->crop_w, t->crop_h}, 2);
    json_bool(j, "gray", t->gray);
    json_open(j, "mean", '[');
    for (int i = 0; i < t->n_mean; i++)
        json_float(j, NULL, t->mean[i]);
    json_close(j, ']');
    json_open(j, "std", '[');
    for (int i = 0; i < t->n_std; i++)
        json_float(j, NULL, t->std[i]);
    json_close(j, ']');
    json_close(j, '}');
}

static void json_begin(report *r)
{
    const run_facts *run = r->run;
    json_writer *j = &r->j;
    json_open(j, NULL, '{');
    json_text(j, "camrun", CAMRUN_VERSION);
    json_text(j, "arch", run->net->arch);
    json_text(j, "weights", run->weights);
    json_integer(j, "classes", run->net->classes);
    json_open(j, "methods", '[');
    for (int i = 0; i < run->n_methods; i++)
        json_text(j, NULL, run->methods[i]->name);
    json_close(j, ']');
    json_open(j, "layers", '[');
    for (int i = 0; i < run->n_layers; i++)
        json_text(j, NULL, run->net->nodes[run->layers[i]].name);
    json_close(j, ']');
    if (run->transform)
        json_transform(j, run->transform);
    json_integer(j, "threads", cr_threads());
    json_text(j, "isa", cr_isa());
    json_double(j, "load_ms", run->load_ms);
    if (run->repeat)
        json_integer(j, "repeat", run->repeat);
    json_open(j, "images", '[');
}

static void json_map(const report *r, json_writer *j, const image_facts *image, const map_facts *map, bool times)
{
    json_open(j, NULL, '{');
    json_text(j, "method", map->result->method->name);
    if (map->class_index < 0)
        json_integer(j, "mean_of_classes", map->n_classes);
    else
        json_class(r, j, image, map->class_index);
    json_open(j, "layers", '[');
    for (int i = 0; i < map->result->n_raw; i++) {
        const cr_raw_map *raw = &map->result->raw[i];
        int dim[3];
        cr_plan_shape(image->explainer->plan, raw->node, dim);
        json_open(j, NULL, '{');
        json_text(j, "layer", r->run->net->nodes[raw->node].name);
        json_shape(j, "shape", dim, 3);
        json_float(j, "min", map->range[i][0]);
        json_float(j, "max", map->range[i][1]);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_bool(j, "positive_evidence", has_evidence(map));
    json_bool(j, "empty", map->empty);
    if (times && map->backward_ms >= 0)
        json_double(j, "backward_ms", map->backward_ms);
    if (times)
        json_double(j, "map_ms", map->map_ms);
    json_text(j, "picture", map->picture);
    json_close(j, '}');
}

/* What one image's object has behind its source. */
static void json_image(const report *r, json_writer *j, const image_facts *image, bool times)
{
    const cr_explainer *e = image->explainer;
    if (image->index >= 0)
        json_integer(j, "index", image->index);
    if (image->photo_w) {
        json_integer(j, "width", image->photo_w);
        json_integer(j, "height", image->photo_h);
    }
    json_shape(j, "input", (const int[]){e->net->in_channels, e->h, e->w}, 3);
    json_open(j, "top", '[');
    int top[TOP], n = top_of(image, e->net->classes, top);
    for (int i = 0; i < n; i++) {
        json_open(j, NULL, '{');
        json_class(r, j, image, top[i]);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_open(j, "maps", '[');
    for (int i = 0; i < image->n_maps; i++)
        json_map(r, j, image, &image->maps[i], times);
    json_close(j, ']');
    json_text(j, "sheet", image->sheet);
    if (!times)
        return;
    if (image->plan_ms >= 0)
        json_double(j, "plan_ms", image->plan_ms);
    json_double(j, "forward_ms", image->forward_ms);
    if (image->scores_ms >= 0)
        json_double(j, "scores_ms", image->scores_ms);
}

static void json_memory(json_writer *j, const image_facts *image)
{
    json_integer(j, "arena_bytes", (int64_t)cr_plan_arena_bytes(image->explainer->plan));
    json_integer(j, "packed_weight_bytes", (int64_t)cr_plan_packed_bytes(image->explainer->plan));
}

void report_line(const report *r, FILE *to, const image_facts *image, int64_t bytes)
{
    json_writer j = {.out = to, .compact = true};
    json_open(&j, NULL, '{');
    json_text(&j, "source", image->source);
    json_integer(&j, "bytes", bytes);
    json_open(&j, "pictures", '[');
    for (int i = 0; i < image->n_maps; i++)
        if (image->maps[i].picture)
            json_text(&j, NULL, image->maps[i].picture);
    if (image->sheet)
        json_text(&j, NULL, image->sheet);
    json_close(&j, ']');
    json_image(r, &j, image, r->run->repeat > 0);
    json_close(&j, '}');
    putc('\n', to);
}

static void json_failure(json_writer *j, const char *source, const char *why)
{
    json_open(j, NULL, '{');
    json_text(j, "source", source);
    json_text(j, "error", why);
    json_close(j, '}');
}

void report_failure_line(FILE *to, const char *source, const char *why)
{
    json_writer j = {.out = to, .compact = true};
    json_failure(&j, source, why);
    putc('\n', to);
}

static void json_end(report *r, const end_facts *end)
{
    json_writer *j = &r->j;
    json_close(j, ']');
    if (end->counts) {
        json_integer(j, "pictures", end->counts->pictures);
        json_integer(j, "done", end->counts->done);
        json_integer(j, "done_before", end->counts->before);
        json_integer(j, "failed", end->counts->failed);
        json_text(j, "results", end->results);
    }
    json_text(j, "saved_map", end->map);
    json_text(j, "saved_raw", end->raw);
    json_text(j, "saved_logits", end->logits);
    json_integer(j, "peak_memory_bytes", (int64_t)end->peak_bytes);
    json_close(j, '}');
}

/* ---- both ---- */

void report_begin(report *r, FILE *out, report_style style, const run_facts *run)
{
    *r = (report){.out = out, .style = style, .run = run, .j = {.out = out}};
    if (style == REPORT_JSON)
        json_begin(r);
}

/* For a member of the array of images, which report_put puts there. */
static json_writer inner_writer(const report *r, FILE *to)
{
    return (json_writer){.out = to, .depth = r->j.depth};
}

void report_image(report *r, FILE *to, const image_facts *image)
{
    json_writer j = inner_writer(r, to);
    switch (r->style) {
    case REPORT_TEXT:
        text_image(r, to, image);
        break;
    case REPORT_LINES:
        text_line(r, to, image);
        break;
    case REPORT_END:
        break;
    case REPORT_JSON:
        if (image->index > 0) /* the batch before it */
            putc(',', to);
        json_open(&j, NULL, '{');
        json_text(&j, "source", image->source);
        json_image(r, &j, image, true);
        json_memory(&j, image);
        json_close(&j, '}');
    }
    r->images++;
}

void report_failure(report *r, FILE *to, const char *source, const char *why)
{
    json_writer j = inner_writer(r, to);
    if (r->style == REPORT_JSON)
        json_failure(&j, source, why);
}

void report_put(report *r, const char *text)
{
    if (r->style == REPORT_JSON && r->j.filled)
        putc(',', r->out);
    fputs(text, r->out);
    r->j.filled = true;
}

void report_end(report *r, const end_facts *end)
{
    if (r->style == REPORT_JSON)
        json_end(r, end);
    else
        text_end(r, end);
}

/* ---- --list-methods ---- */

void report_methods(FILE *out, bool as_json)
{
    json_writer j = {.out = out};
    if (as_json) {
        json_open(&j, NULL, '{');
        json_text(&j, "camrun", CAMRUN_VERSION);
        json_open(&j, "methods", '[');
    }
    for (int i = 0; cr_method_at(i); i++) {
        const cr_method *m = cr_method_at(i);
        if (as_json) {
            json_open(&j, NULL, '{');
            json_text(&j, "name", m->name);
            json_text(&j, "title", m->title);
            json_text(&j, "about", m->about);
            json_text(&j, "formula", m->formula);
            json_close(&j, '}');
        } else {
            fprintf(out, "%-20s %s\n", m->name, m->about);
        }
    }
    if (as_json) {
        json_close(&j, ']');
        json_close(&j, '}');
    }
}

/* ---- --list-layers ---- */

/* "11,689,512" */
static const char *grouped(int64_t value, char text[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRId64, value), k = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            text[k++] = ',';
        text[k++] = digits[i];
    }
    text[k] = '\0';
    return text;
}

static void text_layers(FILE *out, const cr_net *net, int (*dims)[3])
{
    char shape[40], params[32], macs[32];
    int64_t all_params = 0, all_macs = 0;
    int width = 5;
    for (int i = 0; i < net->n_nodes; i++)
        width = (int)strlen(net->nodes[i].name) > width ? (int)strlen(net->nodes[i].name) : width;
    fprintf(out, "%-*s  %-16s  %-14s %13s %16s\n", width, "layer", "op", "output CxHxW", "parameters", "MACs");
    for (int i = 0; i < net->n_nodes; i++) {
        const int *d = dims[i];
        snprintf(shape, sizeof shape, cr_is_feature_map(net, i) ? "%dx%dx%d" : "%d", d[0], d[1], d[2]);
        int64_t p = cr_node_params(net, i), m = cr_node_macs(net, i, dims);
        all_params += p;
        all_macs += m;
        fprintf(out, "%-*s  %-16s  %-14s %13s %16s\n", width, net->nodes[i].name, cr_op_name(net->nodes[i].op), shape,
                grouped(p, params), grouped(m, macs));
    }
    fprintf(out, "%-*s  %-16s  %-14s %13s %16s\n", width, "total", "", "", grouped(all_params, params),
            grouped(all_macs, macs));
    const char *last = net->nodes[cr_net_last_feature_map(net)].name;
    fprintf(out, "--layer takes any CxHxW layer, or a part such as '%.*s' for the last layer in it (default: %s)\n",
            (int)strcspn(last, "."), last, last);
}

static void json_layers(FILE *out, const cr_net *net, int (*dims)[3])
{
    json_writer j = {.out = out};
    int64_t all_params = 0, all_macs = 0;
    json_open(&j, NULL, '{');
    json_text(&j, "camrun", CAMRUN_VERSION);
    json_text(&j, "arch", net->arch);
    json_integer(&j, "classes", net->classes);
    json_text(&j, "default_layer", net->nodes[cr_net_last_feature_map(net)].name);
    json_open(&j, "layers", '[');
    for (int i = 0; i < net->n_nodes; i++) {
        const cr_node *n = &net->nodes[i];
        int64_t p = cr_node_params(net, i), m = cr_node_macs(net, i, dims);
        all_params += p;
        all_macs += m;
        json_open(&j, NULL, '{');
        json_text(&j, "name", n->name);
        json_text(&j, "op", cr_op_name(n->op));
        json_open(&j, "inputs", '[');
        for (int k = 0; k < 2 && n->in[k] >= 0; k++)
            json_text(&j, NULL, net->nodes[n->in[k]].name);
        json_close(&j, ']');
        json_shape(&j, "shape", dims[i], cr_is_feature_map(net, i) ? 3 : 1);
        json_integer(&j, "parameters", p);
        json_integer(&j, "macs", m);
        json_close(&j, '}');
    }
    json_close(&j, ']');
    json_integer(&j, "parameters", all_params);
    json_integer(&j, "macs", all_macs);
    json_close(&j, '}');
}

void report_layers(FILE *out, bool as_json, const cr_net *net, int (*dims)[3])
{
    if (as_json)
        json_layers(out, net, dims);
    else
        text_layers(out, net, dims);
}
