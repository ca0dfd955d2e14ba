/* trainer.c - see trainer.h. */
#include "trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* torch.nn.BatchNorm2d's, which all networks here have. */
static const float batchnorm_momentum = 0.1f;

static bool make_states(trainer *t, cr_error *err)
{
    const model *m = t->model;
    const settings *s = t->settings;
    t->n_states = s->optimizer == ADAM ? 2 : s->momentum > 0 ? 1 : 0;
    t->state_memory = calloc(m->trained_values * (size_t)t->n_states + 1, sizeof *t->state_memory);
    float *next = t->state_memory;
    for (int k = 0; k < OPTIMIZER_STATES; k++) {
        t->state[k] = calloc((size_t)m->net->n_params, sizeof *t->state[k]);
        for (int i = 0; next && t->state[k] && k < t->n_states && i < m->net->n_params; i++)
            if (m->trained[i]) {
                t->state[k][i] = next;
                next += m->count[i];
            }
    }
    return (t->state_memory && t->state[0] && t->state[1]) ||
           cr_fail(err, "out of memory for the optimiser's %d x %zu values", t->n_states, m->trained_values);
}

bool trainer_create(trainer *t, model *m, const settings *s, int n, int size, cr_error *err)
{
    const int batch = s->batch < n ? s->batch : n, steps = n / batch, warmup = s->warmup * steps;
    *t = (trainer){.model = m, .settings = s, .batch = batch, .steps = steps};
    t->schedule = (cr_schedule){
        .kind = (typeof(t->schedule.kind))s->schedule, .lr = s->lr, .gamma = s->gamma, .lowest = 0,
        .period = s->schedule == CR_STEP ? (int64_t)s->step_size * steps : (int64_t)s->epochs * steps - warmup,
    };
    const size_t inputs = (size_t)batch * (size_t)m->net->in_channels * (size_t)size * (size_t)size;
    const size_t outputs = (size_t)batch * (size_t)m->net->classes;
    t->x = calloc(inputs, sizeof *t->x);
    t->labels = calloc((size_t)batch, sizeof *t->labels);
    t->logits = calloc(outputs, sizeof *t->logits);
    t->dlogits = calloc(outputs, sizeof *t->dlogits);
    if (!t->x || !t->labels || !t->logits || !t->dlogits)
        return cr_fail(err, "out of memory for batches of %d pictures of %dx%d", batch, size, size);
    cr_request request = {.n = batch, .h = size, .w = size};
    cr_request training = {.n = batch, .h = size, .w = size, .train = true, .param_grad = m->trained};
    return make_states(t, err) && (t->plan = cr_plan_create(m->net, &training, err)) &&
           (t->test_plan = cr_plan_create(m->net, &request, err)) && (t->tape = cr_tape_create(t->plan, err)) &&
           (t->test_tape = cr_tape_create(t->test_plan, err));
}

void trainer_free(trainer *t)
{
    cr_tape_free(t->tape);
    cr_tape_free(t->test_tape);
    cr_plan_free(t->plan);
    cr_plan_free(t->test_plan);
    free(t->x);
    free(t->labels);
    free(t->logits);
    free(t->dlogits);
    for (int k = 0; k < OPTIMIZER_STATES; k++)
        free(t->state[k]);
    free(t->state_memory);
    *t = (trainer){0};
}

const char *trainer_state_name(const trainer *t, int k)
{
    static const char *const names[][OPTIMIZER_STATES] = {[SGD] = {"momentum_buffer"}, [ADAM] = {"exp_avg", "exp_avg_sq"}};
    return names[t->settings->optimizer][k];
}

double trainer_lr(const trainer *t, int epoch, int step)
{
    const int64_t at = (int64_t)epoch * t->steps + step, warmup = (int64_t)t->settings->warmup * t->steps;
    return at < warmup ? t->settings->lr * (double)(at + 1) / (double)warmup : cr_schedule_lr(&t->schedule, at - warmup);
}

/* ---- training ---- */

static int count_correct(const float *logits, const int *labels, int n, int classes)
{
    int correct = 0;
    for (int i = 0; i < n; i++, logits += classes) {
        int best = 0;
        for (int c = 1; c < classes; c++)
            best = logits[c] > logits[best] ? c : best;
        correct += best == labels[i];
    }
    return correct;
}

/* Runs the network on t->x; returns the mean loss of the first n pictures, and its gradient where dlogits is not NULL. */
static bool forward(trainer *t, cr_tape *tape, int n, float *dlogits, double *loss, cr_error *err)
{
    const cr_net *net = t->model->net;
    cr_tape_forward(tape, t->x);
    if (!cr_tape_value(tape, net->n_nodes - 1, t->logits, err))
        return false;
    *loss = cr_cross_entropy(dlogits, t->logits, t->labels, n, net->classes);
    return true;
}

static bool update_parameters(trainer *t, int64_t step, double lr, cr_error *err)
{
    const settings *s = t->settings;
    const model *m = t->model;
    const cr_sgd sgd = {.lr = lr, .momentum = s->momentum, .weight_decay = s->weight_decay};
    const cr_adam adam = {.lr = lr, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = s->weight_decay};
    for (int i = 0; i < m->net->n_params; i++) {
        if (!m->trained[i])
            continue;
        const float *gradient = cr_tape_param_grad(t->tape, i, err);
        if (!gradient)
            return false;
        if (s->optimizer == ADAM)
            cr_adam_step(&adam, step + 1, m->param[i], gradient, t->state[0][i], t->state[1][i], m->count[i]);
        else
            cr_sgd_step(&sgd, m->param[i], gradient, t->state[0][i], m->count[i]);
    }
    return true;
}

static bool update_statistics(trainer *t, cr_error *err)
{
    const model *m = t->model;
    for (int i = 0; i < m->net->n_nodes; i++) {
        const cr_node *n = &m->net->nodes[i];
        bool frozen = !m->trained[n->param] && !m->trained[n->param + 1];
        if (n->op == CR_BATCHNORM && !frozen &&
            !cr_tape_update_running(t->tape, i, batchnorm_momentum, m->param[n->param + 2], m->param[n->param + 3], err))
            return false;
    }
    return true;
}

bool trainer_step(trainer *t, const pictures *p, const int *indices, int epoch, int step, score *sum, cr_error *err)
{
    const settings *s = t->settings;
    const uint64_t seed = (uint64_t)s->seed;
    double loss;
    stream dropout = stream_of(seed, FOR_DROPOUT, (uint64_t)epoch, (uint64_t)step);
    cr_tape_seed(t->tape, draw_bits(&dropout));
    if (!pictures_batch(t->x, t->labels, p, indices, t->batch, &s->augment, seed, epoch, err) ||
        !forward(t, t->tape, t->batch, t->dlogits, &loss, err))
        return false;
    if (!isfinite(loss))
        return cr_fail(err, "the loss is %g: the steps were too large; try a smaller --lr, or --warmup", loss);
    if (!cr_tape_backward(t->tape, t->dlogits, err) || !update_statistics(t, err) ||
        !update_parameters(t, (int64_t)epoch * t->steps + step, trainer_lr(t, epoch, step), err))
        return false;
    cr_plan_update(t->plan);
    sum->n += t->batch;
    sum->loss += loss * t->batch;
    sum->correct += count_correct(t->logits, t->labels, t->batch, t->model->net->classes);
    return true;
}

/* ---- testing ---- */

bool trainer_test(trainer *t, const pictures *p, bool (*stop)(void), bool *stopped, score *sum, cr_error *err)
{
    int *indices = malloc((size_t)t->batch * sizeof *indices);
    bool ok = indices || cr_fail(err, "out of memory");
    *sum = (score){0};
    *stopped = false;
    cr_plan_update(t->test_plan);
    for (int first = 0, n; ok && first < p->data->n; first += n) {
        if ((*stopped = stop()))
            break;
        n = p->data->n - first < t->batch ? p->data->n - first : t->batch;
        for (int i = 0; i < n; i++)
            indices[i] = first + i;
        double loss;
        /* Behind the last pictures, the batch holds some of before, which change nothing and are not looked at. */
        ok = pictures_batch(t->x, t->labels, p, indices, n, NULL, 0, 0, err) &&
             forward(t, t->test_tape, n, NULL, &loss, err);
        if (ok) {
            sum->n += n;
            sum->loss += loss * n;
            sum->correct += count_correct(t->logits, t->labels, n, t->model->net->classes);
        }
    }
    free(indices);
    return ok;
}

memory_use trainer_memory(const trainer *t)
{
    const size_t gradients = t->model->trained_values * sizeof(float); /* in the arena, with the activations */
    return (memory_use){
        .activations = cr_plan_arena_bytes(t->plan) - gradients + cr_plan_arena_bytes(t->test_plan),
        .packed = cr_plan_packed_bytes(t->plan) + cr_plan_packed_bytes(t->test_plan),
        .weights = t->model->values * sizeof(float),
        .gradients = gradients,
        .optimizer = gradients * (size_t)t->n_states,
    };
}
