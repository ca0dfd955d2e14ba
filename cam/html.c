/* html.c - the page of html.h: writing escaped text and pictures first, then the page from top to bottom. Its style and
 * script are page/style.css and page/script.js. */
#include "html.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json_writer.h"
#include "map.h"
#include "resize.h"

struct cr_html {
    cr_file *file;
    const cr_html_run *run;
    const int *classes; /* of the last picture */
    int pictures;
};

static const char style[] =
#include "style.css.inc"
    ;
static const char script[] =
#include "script.js.inc"
    ;

enum { TOP = 5, MAX_PHOTO = 1024, MAX_MAP = 160, TITLE_SIZE = 256 };

/* ---- writing ---- */

static void put(cr_html *html, const char *markup)
{
    cr_file_add(html->file, markup, strlen(markup));
}

/* Numbers, and words of our own, of no more than 512 bytes in all. */
__attribute__((format(printf, 2, 3))) static void put_format(cr_html *html, const char *format, ...)
{
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    put(html, text);
}

/* Text from outside, for an element or an attribute's value in quotes. */
static void put_text(cr_html *html, const char *text)
{
    const bool utf8 = json_is_utf8(text);
    const char *plain = text; /* what is to be written as it is begins here */
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        const char *entity = c == '&'    ? "&amp;"
                             : c == '<'  ? "&lt;"
                             : c == '>'  ? "&gt;"
                             : c == '"'  ? "&quot;"
                             : c == '\'' ? "&#39;"
                             : c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8) ? "\xef\xbf\xbd"
                                                                             : NULL;
        if (!entity)
            continue;
        cr_file_add(html->file, plain, (size_t)(text - plain));
        put(html, entity);
        plain = text + 1;
    }
    put(html, plain);
}

static void put_base64(cr_html *html, const unsigned char *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[4096];
    size_t n = 0;
    for (size_t i = 0; i < bytes; i += 3) {
        const size_t left = bytes - i;
        const unsigned three = (unsigned)data[i] << 16 | (left > 1 ? (unsigned)data[i + 1] << 8 : 0) | (left > 2 ? data[i + 2] : 0);
        for (int k = 0; k < 4; k++)
            text[n++] = (size_t)k <= left ? digits[three >> (18 - 6 * k) & 63] : '=';
        if (n == sizeof text || i + 3 >= bytes) {
            cr_file_add(html->file, text, n);
            n = 0;
        }
    }
}

/* The address of a picture that is inside the page; frees data. */
static void put_picture(cr_html *html, const char *type, unsigned char *data, size_t bytes)
{
    put_format(html, "data:image/%s;base64,", type);
    put_base64(html, data, bytes);
    free(data);
}

static void put_class(cr_html *html, int class_index)
{
    char title[TITLE_SIZE];
    cr_class_title(title, sizeof title, html->run->labels, class_index);
    put_text(html, title);
}

/* ---- what the reader can choose ---- */

/* One of several, as radio buttons; its attributes and its content are to follow. */
static void begin_choice(cr_html *html, const char *name, int value)
{
    put(html, "<label><input type=\"radio\" name=\"");
    put(html, name);
    put_format(html, "\" value=\"%d\"%s", value, value == 0 ? " checked" : "");
}

static void put_methods(cr_html *html)
{
    const cr_html_run *run = html->run;
    put(html, "<fieldset><legend>Method</legend><div class=\"choices\">\n");
    for (int i = 0; i < run->n_methods; i++) {
        const cr_method *m = run->methods[i];
        begin_choice(html, "method", i);
        put(html, " data-formula=\"");
        put_text(html, m->title);
        put(html, ": ");
        put_text(html, m->formula);
        put(html, "\"><span>");
        put_text(html, m->title);
        put(html, "</span></label>\n");
    }
    put(html, "</div></fieldset>\n");
}

static void put_layers(cr_html *html)
{
    const cr_html_run *run = html->run;
    const bool several = run->n_layers > 1, average = several || run->n_layers == 0;
    put(html, "<fieldset><legend>Layer</legend><div class=\"choices\">\n");
    int value = 0;
    for (int i = 0; i < run->n_layers && !(several && run->only_average); i++) {
        begin_choice(html, "layer", value++);
        put(html, "><span>");
        put_text(html, run->net->nodes[run->layers[i]].name);
        put(html, "</span></label>\n");
    }
    if (average) {
        begin_choice(html, "layer", value);
        put(html, several ? "><span>average</span></label>\n" : "><span>all layers together</span></label>\n");
    }
    put(html, "</div></fieldset>\n");
}

static void put_colormaps(cr_html *html)
{
    put(html, "<div><label class=\"label\" for=\"colors\">Colours</label><select id=\"colors\">\n");
    const cr_colormap *map;
    for (int i = 0; (map = cr_colormap_at(i)); i++) {
        unsigned char colors[256 * 3];
        for (int k = 0; k < 256; k++)
            cr_colormap_rgb(map, ((float)k + 0.5f) / 255, colors + 3 * k);
        put(html, "<option data-colors=\"");
        put_base64(html, colors, sizeof colors);
        put_format(html, "\"%s>%s</option>\n", map == html->run->colormap ? " selected" : "", cr_colormap_name(map));
    }
    put(html, "</select><span class=\"scale\">0 <canvas aria-hidden=\"true\"></canvas> 1</span></div>\n");
}

static void put_controls(cr_html *html)
{
    const int percent = (int)lround(100 * (double)html->run->alpha);
    put(html, "<form class=\"controls\" autocomplete=\"off\" aria-label=\"What is shown\">\n");
    put_methods(html);
    put_layers(html);
    put_format(html, "<div><label class=\"label\" for=\"opacity\">Opacity of the map</label><input id=\"opacity\" type=\"range\" min=\"0\" "
               "max=\"100\" value=\"%d\"> <output for=\"opacity\">%d %%</output></div>\n", percent, percent);
    put_colormaps(html);
    put(html, "<p class=\"formula\"></p>\n</form>\n");
}

/* ---- the page ---- */

cr_html *cr_html_create(const char *path, const cr_html_run *run, cr_error *err)
{
    cr_html *html = calloc(1, sizeof *html);
    if (!html) {
        cr_fail(err, "out of memory");
        return NULL;
    }
    html->run = run;
    if (!(html->file = cr_file_create(path, err))) {
        free(html);
        return NULL;
    }
    put(html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
              "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
              "script-src 'unsafe-inline'\">\n"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>camrun: ");
    put_text(html, run->net->arch);
    put(html, "</title>\n<style>\n");
    put(html, style);
    put(html, "</style>\n</head>\n<body>\n<h1>Where the network looks</h1>\n<p class=\"about\">");
    put_text(html, run->net->arch);
    put_format(html, " of %d classes, ", run->net->classes);
    put_text(html, run->weights);
    put(html, "</p>\n<noscript><p>The maps are drawn by a script, and scripts are switched off here.</p></noscript>\n");
    put_controls(html);
    return html;
}

static void end_picture(cr_html *html)
{
    if (html->pictures)
        put(html, "</div>\n</section>\n");
}

static int scaled(int side, int size, int longer)
{
    return (int)fmax(1, round((double)side * size / longer));
}

/* The photo, no larger than the page needs. */
static bool put_photo(cr_html *html, const cr_image *photo, cr_error *err)
{
    const int longer = photo->w > photo->h ? photo->w : photo->h;
    cr_image small = {0};
    const cr_image *shown = photo;
    if (longer > MAX_PHOTO) {
        const int w = scaled(photo->w, MAX_PHOTO, longer), h = scaled(photo->h, MAX_PHOTO, longer);
        if (!cr_image_create(&small, w, h, err) ||
            !cr_resize(small.rgb, (cr_rect){0, 0, w, h}, h, w, photo->rgb, photo->h, photo->w, 3, err)) {
            cr_image_free(&small);
            return false;
        }
        shown = &small;
    }
    unsigned char *data;
    size_t bytes;
    const bool ok = cr_image_encode_jpeg(&data, &bytes, shown, err);
    if (ok)
        put_picture(html, "jpeg", data, bytes);
    cr_image_free(&small);
    return ok;
}

static void put_classes(cr_html *html, const cr_html_picture_facts *p)
{
    put(html, "<form autocomplete=\"off\"><fieldset><legend>Class</legend><div class=\"choices\">\n");
    for (int k = 0; k < p->n_classes; k++) {
        begin_choice(html, "class", k);
        put(html, "><span>");
        put_class(html, p->classes[k]);
        put_format(html, " <small>%.1f %%</small></span></label>\n", 100 * (double)p->probabilities[p->classes[k]]);
    }
    put(html, "</div></fieldset></form>\n");
}

static void put_top(cr_html *html, const cr_html_picture_facts *p)
{
    const int classes = html->run->net->classes, n = classes < TOP ? classes : TOP;
    int top[TOP];
    cr_top_classes(top, n, p->logits, classes);
    put_format(html, "<h3>Top %d</h3>\n<table class=\"top\">\n<thead><tr><th>class</th><td></td><td>probability</td><td>logit</td></tr></thead>\n", n);
    for (int i = 0; i < n; i++) {
        put(html, "<tr><th scope=\"row\">");
        put_class(html, top[i]);
        const double percent = 100 * (double)p->probabilities[top[i]];
        put_format(html, "</th><td class=\"bar\"><div style=\"width: %.2f%%\"></div></td><td>%.2f %%</td><td class=\"pale\">%.3f</td></tr>\n",
                   percent, percent, (double)p->logits[top[i]]);
    }
    put(html, "</table>\n");
}

bool cr_html_picture(cr_html *html, const cr_html_picture_facts *p, cr_error *err)
{
    const cr_geometry *g = p->geometry;
    end_picture(html);
    html->pictures++;
    html->classes = p->classes;
    put(html, "<section class=\"picture\">\n<h2>");
    put_text(html, p->name);
    put_format(html, " <small>%d&times;%d, input %d&times;%d</small></h2>\n<figure>\n", p->photo->w, p->photo->h, g->w, g->h);
    /* As large as fits, but no higher than the window. */
    put_format(html, "<div class=\"stack\" style=\"aspect-ratio: %d / %d; width: calc(66vh * %.4f)\"><img alt=\"", p->photo->w, p->photo->h,
               (double)p->photo->w / p->photo->h);
    put_text(html, p->name);
    put(html, "\" src=\"");
    if (!put_photo(html, p->photo, err))
        return false;
    put_format(html, "\"><canvas role=\"img\" style=\"left: %.4f%%; top: %.4f%%; width: %.4f%%; height: %.4f%%\"></canvas></div>\n",
               100.0 * g->left / g->resized_w, 100.0 * g->top / g->resized_h, 100.0 * g->w / g->resized_w,
               100.0 * g->h / g->resized_h);
    put(html, "<figcaption aria-live=\"polite\"><span></span><span class=\"remark\"></span></figcaption>\n</figure>\n<div>\n");
    put_classes(html, p);
    put_top(html, p);
    put(html, "</div>\n<div hidden>\n");
    return true;
}

/* ---- maps ---- */

static bool encode_map(unsigned char **data, size_t *bytes, const float *map, int w, int h, cr_error *err)
{
    const int longer = w > h ? w : h, size = longer < MAX_MAP ? longer : MAX_MAP;
    const int small_w = scaled(w, size, longer), small_h = scaled(h, size, longer);
    unsigned char *grey = malloc((size_t)w * (size_t)h), *small = malloc((size_t)small_w * (size_t)small_h);
    bool ok = (grey && small) || cr_fail(err, "out of memory for a map of %d x %d pixels", w, h);
    for (int i = 0; ok && i < w * h; i++)
        grey[i] = map[i] >= 1 ? 255 : map[i] > 0 ? (unsigned char)(map[i] * 255) : 0; /* the colour map's step */
    ok = ok && cr_resize(small, (cr_rect){0, 0, small_w, small_h}, small_h, small_w, grey, h, w, 1, err) &&
         cr_image_encode_png(data, bytes, small, small_w, small_h, 1, err);
    free(grey);
    free(small);
    return ok;
}

/* Why there is nothing to see, if so. range: of each of n raw maps. */
static const char *remark_on(const float *map, size_t pixels, const float (*range)[2], int n)
{
    float most = 0;
    for (size_t i = 0; i < pixels; i++)
        most = fmaxf(most, map[i]);
    bool evidence = false;
    for (int i = 0; i < n; i++)
        evidence |= range[i][1] > 0;
    return !evidence    ? "No positive evidence: nowhere is the raw map above zero, so the map is empty."
           : most == 0  ? "No place stands out: the raw map is the same everywhere, so the map is empty."
                        : "";
}

/* layer: which of the reader's choices of a layer this is, or -1: all of them. raw, n_raw: what it is made of. */
static bool put_map(cr_html *html, const cr_explainer *e, const float *map, int k, int m, int layer, const cr_raw_map *raw,
                    int n_raw, cr_error *err)
{
    const cr_html_run *run = html->run;
    float (*range)[2] = calloc((size_t)n_raw, sizeof *range);
    unsigned char *png = NULL;
    size_t bytes = 0;
    bool ok = range || cr_fail(err, "out of memory");
    for (int i = 0; ok && i < n_raw; i++)
        ok = cr_map_range(raw[i].values, (size_t)raw[i].h * (size_t)raw[i].w, &range[i][0], &range[i][1], err);
    ok = ok && encode_map(&png, &bytes, map, e->w, e->h, err);
    if (ok) {
        put_format(html, layer < 0 ? "<img data-map=\"%d %d" : "<img data-map=\"%d %d %d", k, m, layer);
        put(html, "\" alt=\"");
        put_text(html, run->methods[m]->title);
        put(html, cr_explainer_smoothing(e));
        put(html, " for ");
        put_class(html, html->classes[k]);
        if (n_raw > 1)
            put_format(html, ", average of %d layers", n_raw);
        for (int i = 0; i < n_raw; i++)
            put_format(html, "%s %s (%d&times;%d), raw map from %.4g to %.4g", i ? ";" : n_raw > 1 ? ":" : " at",
                       run->net->nodes[raw[i].node].name, raw[i].w, raw[i].h, (double)range[i][0], (double)range[i][1]);
        put(html, "\" data-remark=\"");
        put(html, remark_on(map, (size_t)e->h * (size_t)e->w, (const float (*)[2])range, n_raw));
        put(html, "\" src=\"");
        put_picture(html, "png", png, bytes);
        put(html, "\">\n");
    }
    free(range);
    return ok;
}

bool cr_html_maps(cr_html *html, const cr_explainer *e, int k, cr_error *err)
{
    float *map = malloc((size_t)e->h * (size_t)e->w * sizeof *map);
    bool ok = map || cr_fail(err, "out of memory");
    for (int m = 0; ok && m < e->n_results; m++) {
        const cr_explanation *r = &e->results[m];
        const bool each = r->n_raw > 1 && !html->run->only_average;
        for (int i = 0; ok && each && i < r->n_raw; i++)
            ok = cr_explanation_layer_map(map, e, r, i, 0, err) && put_map(html, e, map, k, m, i, &r->raw[i], 1, err);
        ok = ok && put_map(html, e, r->maps, k, m, each ? r->n_raw : -1, r->raw, r->n_raw, err);
    }
    free(map);
    return ok;
}

/* ---- the end of the page ---- */

static void put_values(cr_html *html, const float *values, int n)
{
    for (int i = 0; i < n; i++)
        put_format(html, "%s%.4g", i ? ", " : "", (double)values[i]);
}

static void put_transform(cr_html *html, const cr_transform *t)
{
    put(html, "<tr><th>Input</th><td>");
    if (t->resize)
        put_format(html, "shorter side resized to %d", t->resize);
    else if (t->resize_w)
        put_format(html, "resized to %d&times;%d", t->resize_w, t->resize_h);
    else
        put(html, "not resized");
    if (t->crop_w)
        put_format(html, ", %d&times;%d cut from the centre", t->crop_w, t->crop_h);
    put(html, t->gray ? ", without colours" : "");
    put(html, "; values in [0,1] less ");
    put_values(html, t->mean, t->n_mean);
    put(html, " and divided by ");
    put_values(html, t->std, t->n_std);
    put(html, "</td></tr>\n");
}

static void put_facts(cr_html *html)
{
    const cr_html_run *run = html->run;
    put(html, "<footer>\n<h3>How these maps were made</h3>\n<table class=\"facts\">\n<tr><th>Network</th><td>");
    put_text(html, run->net->arch);
    put_format(html, ", %d classes, %d channel%s, weights from ", run->net->classes, run->net->in_channels,
               run->net->in_channels > 1 ? "s" : "");
    put_text(html, run->weights);
    put(html, "</td></tr>\n");
    put_transform(html, run->transform);
    for (int i = 0; i < run->n_methods; i++) {
        put(html, "<tr><th>");
        put_text(html, run->methods[i]->title);
        put(html, "</th><td>");
        put_text(html, run->methods[i]->formula);
        put(html, "<br><span class=\"pale\">");
        put_text(html, run->methods[i]->about);
        put(html, "</span></td></tr>\n");
    }
    put(html, "</table>\n<p class=\"pale\">A is the layer's output, g the gradient of the class's logit with respect to it, k a channel; means "
              "and sums without an index are over pixels. A map is shown without its negative part, scaled so that its largest value is 1, "
              "and laid on that part of the photograph that the network saw: colours of two maps cannot be compared, their raw "
              "ranges can. Made by camrun " CAMRUN_VERSION ".</p>\n</footer>\n");
}

bool cr_html_finish(cr_html *html, cr_error *err)
{
    end_picture(html);
    put_facts(html);
    put(html, "<script>\n");
    put(html, script);
    put(html, "</script>\n</body>\n</html>\n");
    bool ok = cr_file_finish(html->file, false, err);
    free(html);
    return ok;
}

void cr_html_discard(cr_html *html)
{
    if (html)
        cr_file_discard(html->file);
    free(html);
}
