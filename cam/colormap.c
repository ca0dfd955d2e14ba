/* colormap.c - the colour maps (colormap.h). Each is a list of colours at equal distances, with straight lines between.
 *
 * jet, grey and bwr are exact: their corners lie at multiples of 1/8. viridis (van der Walt and Smith, in matplotlib under CC0) and
 * turbo (Mikhailov 2019) are least-squares fits to the published maps that stay within 1 of 255 of them. */
#include "colormap.h"

#include <stdio.h>
#include <string.h>

struct cr_colormap {
    const char *name;
    int n;              /* colours */
    uint32_t color[33]; /* 0xRRGGBB */
};

/* clang-format off */
static const cr_colormap colormaps[] = {
    {"jet", 9, {
    0x000080, 0x0000ff, 0x0080ff, 0x00ffff, 0x80ff80, 0xffff00, 0xff8000, 0xff0000, 0x800000}},
    {"viridis", 33, {
    0x440154, 0x470d60, 0x48186a, 0x482374, 0x472d7b, 0x453681, 0x424086, 0x3f4989, 0x3b528b, 0x375a8d, 0x33638d,
    0x2f6a8e, 0x2c728e, 0x297a8e, 0x26818e, 0x23898e, 0x21908d, 0x1f988b, 0x1e9f88, 0x21a685, 0x27ae80, 0x31b57b,
    0x3dbc74, 0x4cc26c, 0x5cc963, 0x6ece58, 0x81d44c, 0x96d840, 0xabdc32, 0xc0df24, 0xd5e219, 0xeae519, 0xfde724}},
    {"turbo", 33, {
    0x31123c, 0x3a2a74, 0x4040a2, 0x4556c7, 0x476be4, 0x477ff7, 0x4393ff, 0x37a8fb, 0x29bbec, 0x1ccdd8, 0x17dcc3,
    0x1de8b0, 0x30f299, 0x4cf97e, 0x6bfe63, 0x8aff4c, 0xa3fd3c, 0xb8f734, 0xcced34, 0xdee037, 0xedd03a, 0xf8c03a,
    0xfdae35, 0xfe982c, 0xfc8022, 0xf56817, 0xec520e, 0xe14009, 0xd23105, 0xc12302, 0xac1701, 0x950c01, 0x7a0403}},
    {"grey", 2, {0x000000, 0xffffff}},
    {"bwr", 3, {0x0000ff, 0xffffff, 0xff0000}},
};
/* clang-format on */

enum { COLORMAPS = sizeof colormaps / sizeof *colormaps };

const cr_colormap *cr_colormap_find(const char *name, cr_error *err)
{
    char known[64] = "";
    for (int i = 0, at = 0; i < COLORMAPS; i++) {
        if (!strcmp(colormaps[i].name, name))
            return &colormaps[i];
        at += snprintf(known + at, sizeof known - (size_t)at, "%s%s", i ? ", " : "", colormaps[i].name);
    }
    cr_fail(err, "unknown colour map '%s': expected one of %s", name, known);
    return NULL;
}

const cr_colormap *cr_colormap_at(int i)
{
    return i >= 0 && i < COLORMAPS ? &colormaps[i] : NULL;
}

const char *cr_colormap_name(const cr_colormap *colormap)
{
    return colormap->name;
}

void cr_colormap_rgb(const cr_colormap *colormap, float t, unsigned char rgb[3])
{
    int step = t >= 1 ? 255 : t > 0 ? (int)(t * 255) : 0;
    double at = step / 255.0 * (colormap->n - 1);
    int i = (int)at, j = i + (i < colormap->n - 1);
    for (int c = 0; c < 3; c++) {
        int shift = 16 - 8 * c;
        int a = colormap->color[i] >> shift & 0xff, b = colormap->color[j] >> shift & 0xff;
        rgb[c] = (unsigned char)(a + (b - a) * (at - i) + 0.5);
    }
}
