/* by_image.c - batches: the first steps of a network run image by image, the rest on the whole batch.
 *
 * Early layers have large maps and small weights, late ones the reverse. The maps of a whole batch would go to memory and
 * come back between two early steps; one image's stay in the caches. Late steps read their weights once for all images. So
 * steps 0 .. by_image - 1 run for image 0, then for image 1, and so on. What only they use needs the place of one image;
 * what is read behind them, or later than the forward, has a place for every image from the start.
 *
 * Image n runs on a view: a copy of the plan with N = 1 whose tensors lie where image n's are. */
#include <stdlib.h>
#include <string.h>

#include "ops.h"

enum {
    CACHED = 1 << 20,   /* floats of a batch's maps around one step that fit in the caches: then there is nothing to gain */
    WEIGHTS_OF_MAP = 4, /* a step with so many times more weights than values of its maps, of one image, is a late one */
};

static int64_t floats_of(const cr_plan *plan, int node)
{
    return node < 0 ? 0 : (int64_t)plan->shape[node][0] * plan->shape[node][1] * plan->shape[node][2];
}

void choose_by_image(cr_plan *plan)
{
    int64_t largest = 0;
    int steps = 0;
    if (plan->N == 1 || plan->train)
        return;
    for (; steps < plan->n_steps; steps++) {
        const step *s = &plan->steps[steps];
        const cr_op op = step_op(plan, s);
        const int64_t maps = floats_of(plan, s->x) + floats_of(plan, s->last);
        if (op == CR_FLATTEN || op == CR_LINEAR || s->need_params)
            break;
        if (op == CR_CONV2D && cr_node_params(plan->net, s->node) > WEIGHTS_OF_MAP * maps)
            break;
        largest = maps > largest ? maps : largest;
    }
    if (largest * plan->N > CACHED)
        plan->by_image = steps;
}

/* The forward of the first steps is one time, as often as there are images. */
static void share(tensor *t, int by_image)
{
    if (!tensor_exists(t) || t->start >= by_image)
        return;
    if (t->end < by_image)
        t->one_image = true;
    else
        t->start = 0;
}

void share_images(cr_plan *plan)
{
    for (int i = 0; i < plan->net->n_nodes; i++)
        share(&plan->value[i], plan->by_image);
    for (int i = 0; i < plan->by_image; i++)
        share(&plan->steps[i].argmax, plan->by_image);
}

bool make_views(cr_plan *plan)
{
    if (plan->by_image == 0)
        return true;
    const size_t nodes = (size_t)plan->net->n_nodes, steps = (size_t)plan->by_image;
    plan->views = calloc((size_t)plan->N, sizeof *plan->views);
    for (int n = 0; plan->views && n < plan->N; n++) {
        cr_plan *view = &plan->views[n];
        *view = *plan;
        view->N = 1;
        view->value = malloc(nodes * sizeof *view->value);
        view->steps = malloc(steps * sizeof *view->steps);
        if (!view->value || !view->steps)
            return false;
        memcpy(view->value, plan->value, nodes * sizeof *view->value);
        memcpy(view->steps, plan->steps, steps * sizeof *view->steps);
        for (size_t i = 0; i < nodes; i++)
            view->value[i].offset += (size_t)n * (size_t)view->value[i].image;
        for (size_t i = 0; i < steps; i++) {
            tensor *t = &view->steps[i].argmax; /* bytes; read by the backward, so there is one for every image */
            t->offset += (size_t)n * (size_t)t->blocks * (size_t)t->H * (size_t)t->W * BLOCK / sizeof(float);
        }
    }
    return plan->views != NULL;
}

void free_views(cr_plan *plan)
{
    for (int n = 0; plan->views && n < plan->N; n++) {
        free(plan->views[n].value);
        free(plan->views[n].steps);
    }
    free(plan->views);
}
