/* methods.c - the methods of methods.h as their formulas, and the table that names them. */
#include "methods.h"

#include <stdio.h>
#include <string.h>

/* map[p] += weight * a[p] */
static void add_channel(double *map, double weight, const float *a, size_t pixels)
{
    for (size_t p = 0; p < pixels; p++)
        map[p] += weight * (double)a[p];
}

void cr_gradcam(double *map, const float *a, const float *g, int c, int h, int w)
{
    size_t pixels = (size_t)h * (size_t)w;
    memset(map, 0, pixels * sizeof *map);
    for (size_t k = 0; k < (size_t)c; k++) {
        double sum = 0;
        for (size_t p = 0; p < pixels; p++)
            sum += (double)g[k * pixels + p];
        add_channel(map, sum / (double)pixels, a + k * pixels, pixels);
    }
}

void cr_layercam(double *map, const float *a, const float *g, int c, int h, int w)
{
    size_t pixels = (size_t)h * (size_t)w;
    memset(map, 0, pixels * sizeof *map);
    for (size_t k = 0; k < (size_t)c; k++)
        for (size_t p = 0; p < pixels; p++) {
            float weight = g[k * pixels + p];
            if (!(weight <= 0)) /* so written, a NaN gets into the map, where it is found */
                map[p] += (double)weight * (double)a[k * pixels + p];
        }
}

void cr_cam(double *map, const float *a, const float *weight, int c, int h, int w)
{
    size_t pixels = (size_t)h * (size_t)w;
    memset(map, 0, pixels * sizeof *map);
    for (size_t k = 0; k < (size_t)c; k++)
        add_channel(map, (double)weight[k], a + k * pixels, pixels);
}

static const cr_method methods[] = {
    {"gradcam", "Grad-CAM", CR_GRADIENT, cr_gradcam,
     "channels weighted by their mean gradient (Selvaraju 2017)"},
    {"layercam", "LayerCAM", CR_GRADIENT, cr_layercam,
     "every pixel weighted by its positive gradient: sharp at shallow layers (Jiang 2021)"},
    {"cam", "CAM", CR_FC_WEIGHT, cr_cam,
     "channels weighted by the class's row of the last linear layer; ResNets only (Zhou 2016)"},
};

enum { METHODS = sizeof methods / sizeof methods[0] };

const cr_method *cr_method_at(int i)
{
    return i >= 0 && i < METHODS ? &methods[i] : NULL;
}

const cr_method *cr_method_find(const char *name, cr_error *err)
{
    char known[128] = "";
    for (int i = 0; i < METHODS; i++) {
        if (strcmp(methods[i].name, name) == 0)
            return &methods[i];
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", methods[i].name);
    }
    cr_fail(err, "unknown method '%.60s': expected one of %s", name, known);
    return NULL;
}
