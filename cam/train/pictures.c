/* pictures.c - see pictures.h. */
#include "pictures.h"

#include <limits.h>
#include <stdlib.h>

/* What went wrong in a parallel loop: that of the smallest index counts, whichever thread came first. */
typedef struct failure {
    int index, count;
    cr_error why;
} failure;

static void note(failure *f, int index, const cr_error *why)
{
#pragma omp critical(camtrain_failure)
    {
        f->count++;
        if (index < f->index) {
            f->index = index;
            f->why = *why;
        }
    }
}

static size_t image_bytes(const cr_image *image)
{
    return (size_t)image->w * (size_t)image->h * 3;
}

/* Keeps the picture, or frees it. */
static void keep(pictures *p, int i, cr_image *image, size_t limit)
{
    size_t bytes = image_bytes(image);
    bool room;
#pragma omp critical(camtrain_keep)
    {
        room = bytes <= limit && p->bytes <= limit - bytes;
        if (room) {
            p->bytes += bytes;
            p->n_kept++;
        }
    }
    if (room)
        p->kept[i] = *image;
    else
        cr_image_free(image);
}

bool pictures_open(pictures *p, const dataset *data, const cr_transform *transform, int channels, size_t limit,
                   picture_progress *progress, void *context, cr_error *err)
{
    *p = (pictures){.data = data, .transform = transform, .channels = channels};
    p->kept = calloc((size_t)data->n + 1, sizeof *p->kept);
    if (!p->kept)
        return cr_fail(err, "%s: out of memory for a list of %d pictures", data->folder, data->n);
    failure f = {.index = INT_MAX};
    int done = 0;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < data->n; i++) {
        cr_error why;
        cr_image image;
        if (cr_image_load(&image, data->samples[i].path, &why))
            keep(p, i, &image, limit);
        else
            note(&f, i, &why);
#pragma omp critical(camtrain_progress)
        progress(context, ++done, data->n);
    }
    if (f.count > 1)
        return cr_fail(err, "%s (and %d more cannot be read)", f.why.text, f.count - 1);
    return f.count == 0 || cr_fail(err, "%s", f.why.text);
}

void pictures_close(pictures *p)
{
    for (int i = 0; p->kept && i < p->data->n; i++)
        cr_image_free(&p->kept[i]);
    free(p->kept);
    *p = (pictures){0};
}

static bool fill(float *x, const pictures *p, int index, const augmentation *augment, uint64_t seed, int epoch,
                 cr_error *err)
{
    cr_image decoded = {0};
    const cr_image *photo = &p->kept[index];
    if (!photo->rgb) {
        if (!cr_image_load(&decoded, p->data->samples[index].path, err))
            return false;
        photo = &decoded;
    }
    view v = {0};
    if (augment) {
        stream s = stream_of(seed, FOR_VIEW, (uint64_t)epoch, (uint64_t)index);
        v = view_draw(augment, photo->w, photo->h, &s);
    }
    bool ok = view_apply(x, p->channels, photo, &v, p->transform, err);
    cr_image_free(&decoded);
    return ok;
}

bool pictures_batch(float *x, int *labels, const pictures *p, const int *indices, int n, const augmentation *augment,
                    uint64_t seed, int epoch, cr_error *err)
{
    const size_t size = (size_t)p->channels * (size_t)p->transform->crop_h * (size_t)p->transform->crop_w;
    failure f = {.index = INT_MAX};
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n; i++) {
        cr_error why;
        labels[i] = p->data->samples[indices[i]].label;
        if (!fill(x + (size_t)i * size, p, indices[i], augment, seed, epoch, &why))
            note(&f, i, &why);
    }
    return f.count == 0 || cr_fail(err, "%s", f.why.text);
}
