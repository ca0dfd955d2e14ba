/* contact.c - what goes where on the sheet of contact.h, and its words. */
#include "contact.h"

#include <stdio.h>
#include <stdlib.h>

bool contact_begin(contact *c, const options *o, const cr_image *photo, const cr_geometry *geometry, int n_targets,
                   int n_layers, cr_error *err)
{
    const bool by_layer = n_layers > 1;
    const cr_colormap *colormap = o->colormap ? o->colormap : cr_colormap_find("jet", err);
    *c = (contact){.n_layers = n_layers};
    if (!(c->map = malloc((size_t)geometry->h * (size_t)geometry->w * sizeof *c->map)))
        return cr_fail(err, "out of memory");
    c->sheet = cr_sheet_create(photo, geometry, by_layer ? n_targets * o->methods.n : n_targets,
                               by_layer ? n_layers : o->methods.n, o->alpha, colormap, err);
    return c->sheet != NULL;
}

void contact_free(contact *c)
{
    cr_sheet_free(c->sheet);
    free(c->map);
    *c = (contact){0};
}

static bool add_map(contact *c, const cr_explainer *e, int row, int column, const float *map, const char *name, cr_error *err)
{
    float least, most;
    char label[200];
    if (!cr_map_range(map, (size_t)e->h * (size_t)e->w, &least, &most, err))
        return false;
    snprintf(label, sizeof label, "%s%s", name, most > 0 ? "" : " (empty)");
    return cr_sheet_overlay(c->sheet, row, column, map, label, err);
}

bool contact_add(contact *c, const cr_explainer *e, int target, int method, const char *title, cr_error *err)
{
    const cr_explanation *r = &e->results[method];
    char words[400];
    if (c->n_layers < 2) {
        const char *layer = c->n_layers ? e->net->nodes[e->layers[0].node].name : NULL;
        snprintf(words, sizeof words, "%s%s%s%s", title, layer ? " at " : "", layer ? layer : "", cr_explainer_smoothing(e));
        if (method == 0)
            cr_sheet_title(c->sheet, target, words);
        return add_map(c, e, target, method, r->maps, r->method->title, err);
    }
    const int row = target * e->n_results + method;
    snprintf(words, sizeof words, "%s%s for %s", r->method->title, cr_explainer_smoothing(e), title);
    cr_sheet_title(c->sheet, row, words);
    if (r->n_raw == 1)
        return add_map(c, e, row, 0, r->maps, "all layers together", err);
    for (int i = 0; i < r->n_raw; i++)
        if (!cr_explanation_layer_map(c->map, e, r, i, 0, err) ||
            !add_map(c, e, row, i, c->map, e->net->nodes[r->raw[i].node].name, err))
            return false;
    return true;
}
