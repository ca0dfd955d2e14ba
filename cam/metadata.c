/* metadata.c - reading the keys of metadata.h. */
#include "metadata.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool cr_labels_from_weights(cr_labels *labels, const cr_weights *weights, int classes, cr_error *err)
{
    *labels = (cr_labels){0};
    const char *text = cr_weights_meta(weights, "classes");
    if (!text)
        return true;
    int count;
    cr_error why;
    char **names = cr_meta_strings(text, &count, &why);
    if (!names)
        return cr_fail(err, "metadata 'classes': %s; --labels FILE gives the names instead", why.text);
    bool ok = false;
    if (count == classes)
        ok = cr_labels_create(labels, names, count, err);
    else
        cr_fail(err, "metadata 'classes': expected a name for each of the network's %d classes, found %d; --labels "
                "FILE gives other names", classes, count);
    cr_meta_strings_free(names);
    return ok;
}

/* A side's length under this key; *value is left alone where there is none. */
static bool read_side(const cr_weights *weights, const char *key, int *value, cr_error *err)
{
    enum { LONGEST_SIDE = 1 << 15 };
    const char *text = cr_weights_meta(weights, key);
    if (!text)
        return true;
    char *end;
    long side = strtol(text, &end, 10);
    if (end == text || *end || side < 1 || side > LONGEST_SIDE)
        return cr_fail(err, "metadata '%s': expected a whole number from 1 to %d, found '%.60s'", key, LONGEST_SIDE,
                       text);
    *value = (int)side;
    return true;
}

/* Values for the channels under this key, each at least `least`; values and *n are left alone where there are none. */
static bool read_channels(const cr_weights *weights, const char *key, float values[3], int *n, float least,
                          cr_error *err)
{
    const char *text = cr_weights_meta(weights, key);
    if (!text)
        return true;
    float found[3];
    int count = cr_meta_floats(text, found, 3);
    bool ok = count == 1 || count == 3;
    for (int i = 0; ok && i < count; i++)
        ok = isfinite(found[i]) && found[i] >= least;
    if (!ok)
        return cr_fail(err, "metadata '%s': expected 1 or 3 numbers of at least %g, as [0.5], found '%.60s'", key,
                       (double)least, text);
    memcpy(values, found, sizeof found);
    *n = count;
    return true;
}

bool cr_transform_from_weights(cr_transform *transform, const cr_weights *weights, cr_error *err)
{
    cr_transform t = cr_transform_default();
    int crop = t.crop_w;
    if (!read_side(weights, "crop", &crop, err))
        return false;
    t.resize = (int)((int64_t)t.resize * crop / t.crop_w);
    t.crop_w = t.crop_h = crop;
    if (!read_side(weights, "resize", &t.resize, err) ||
        !read_channels(weights, "mean", t.mean, &t.n_mean, 0, err) ||
        !read_channels(weights, "std", t.std, &t.n_std, 1e-6f, err))
        return false;
    *transform = t;
    return true;
}
