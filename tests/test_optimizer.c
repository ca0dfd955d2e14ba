/* test_optimizer.c - the loss, the optimisers and the schedules against what PyTorch computes (1.13; 2.15 gives the same but
 * for last bits), and a small network that learns. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer.h"
#include "subject.h"

/* ---- optimisers ---- */

enum { W = 4 };

/* Five steps from (1, -2, 0.5, 3) with gradients (1, -0.5, t / 4, 0) + w / 2, t = 1 to 5. */
static void gradient(float g[W], const float w[W], int t)
{
    const float constant[W] = {1.0f, -0.5f, 0.25f * (float)t, 0.0f};
    for (int i = 0; i < W; i++)
        g[i] = constant[i] + 0.5f * w[i];
}

static void check_sgd(const cr_sgd *sgd, const float expected[W])
{
    float w[W] = {1.0f, -2.0f, 0.5f, 3.0f}, g[W], buffer[W] = {0};
    for (int t = 1; t <= 5; t++) {
        gradient(g, w, t);
        cr_sgd_step(sgd, w, g, sgd->momentum > 0.0 ? buffer : NULL, W);
    }
    check_close(w, expected, W, 2e-7, "SGD of momentum %g", sgd->momentum);
}

static void test_sgd(void **state)
{
    (void)state;
    check_sgd(&(cr_sgd){.lr = 0.1}, (float[]){0.321342826f, -1.32134283f, 0.0359715484f, 2.32134271f});
    check_sgd(&(cr_sgd){.lr = 0.1, .weight_decay = 0.05}, (float[]){0.305688798f, -1.28329158f, 0.0282060988f, 2.2608943f});
    check_sgd(&(cr_sgd){.lr = 0.1, .momentum = 0.9, .weight_decay = 0.05},
              (float[]){-0.784820139f, -0.157604814f, -0.542097867f, 1.10002995f});
    check_sgd(&(cr_sgd){.lr = 0.1, .momentum = 0.9, .weight_decay = 0.05, .nesterov = true},
              (float[]){-1.07630944f, 0.143287092f, -0.802768707f, 0.789735317f});
}

static void check_adam(const cr_adam *adam, const float expected[W])
{
    float w[W] = {1.0f, -2.0f, 0.5f, 3.0f}, g[W], m[W] = {0}, v[W] = {0};
    for (int t = 1; t <= 5; t++) {
        gradient(g, w, t);
        cr_adam_step(adam, t, w, g, m, v, W);
    }
    check_close(w, expected, W, 2e-7, "Adam of beta2 %g", adam->beta2);
}

static void test_adam(void **state)
{
    (void)state;
    check_adam(&(cr_adam){.lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
               (float[]){0.501779437f, -1.50177944f, 0.00194734335f, 2.50177956f});
    check_adam(&(cr_adam){.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.05},
               (float[]){0.900167644f, -1.90016234f, 0.399356008f, 2.90015745f});
}

/* Arrays so long that threads share them. */
static void test_same_bits_for_any_threads(void **state)
{
    (void)state;
    enum { COUNT = 300001 };
    uint64_t random = SEED;
    float *start = new_random(COUNT, -1.0f, 1.0f, &random), *g = new_random(COUNT, -1.0f, 1.0f, &random);
    float *expected[2], *w = zeros(COUNT, sizeof *w);
    for (int threads = 1; threads <= 3; threads++)
        for (int adam = 0; adam < 2; adam++) {
            cr_set_threads(threads);
            float *m = zeros(COUNT, sizeof *m), *v = zeros(COUNT, sizeof *v);
            memcpy(w, start, COUNT * sizeof *w);
            for (int t = 1; t <= 2; t++)
                if (adam)
                    cr_adam_step(&(cr_adam){0.1, 0.9, 0.999, 1e-8, 0.01}, t, w, g, m, v, COUNT);
                else
                    cr_sgd_step(&(cr_sgd){0.1, 0.9, 0.01, true}, w, g, m, COUNT);
            if (threads == 1) {
                expected[adam] = zeros(COUNT, sizeof *w);
                memcpy(expected[adam], w, COUNT * sizeof *w);
            }
            check_same_bits(w, expected[adam], COUNT, "%s with %d threads", adam ? "Adam" : "SGD", threads);
            assert_true(w[COUNT - 1] != start[COUNT - 1]);
            free(m);
            free(v);
        }
    cr_set_threads(1);
    free(expected[0]);
    free(expected[1]);
    free(start);
    free(g);
    free(w);
}

static void test_schedules(void **state)
{
    (void)state;
    const cr_schedule constant = {.kind = CR_CONSTANT, .lr = 0.4};
    const cr_schedule steps = {.kind = CR_STEP, .lr = 0.4, .period = 3, .gamma = 0.1};
    const cr_schedule cosine = {.kind = CR_COSINE, .lr = 0.4, .period = 10, .lowest = 0.01};
    const double of_steps[] = {0.4, 0.4, 0.4, 0.04, 0.04, 0.04, 0.004, 0.004, 0.004, 0.0004, 0.0004};
    const double of_cosine[] = {0.4,      0.390456, 0.362758, 0.319618, 0.265258, 0.205,
                                0.144742, 0.090382, 0.047242, 0.019544, 0.01};
    for (int t = 0; t <= 10; t++) {
        assert_true(cr_schedule_lr(&constant, t) == 0.4);
        assert_true(fabs(cr_schedule_lr(&steps, t) - of_steps[t]) < 1e-12);
        assert_true(fabs(cr_schedule_lr(&cosine, t) - of_cosine[t]) < 1e-6);
    }
    assert_true(cr_schedule_lr(&cosine, 1000) == 0.01);
}

/* ---- loss ---- */

static void test_cross_entropy(void **state)
{
    (void)state;
    const float z[] = {1, 2, 3, 0, -1, 4};
    const int labels[] = {0, 2};
    float dz[6];
    assert_true(fabs(cr_cross_entropy(dz, z, labels, 2, 3) - 1.2161754272916017) < 1e-12);
    assert_true(fabs(cr_cross_entropy(NULL, z, labels, 2, 3) - 1.2161754272916017) < 1e-12);

    /* each gradient against a central difference, and all of an image's together 0 */
    uint64_t random = SEED;
    enum { N = 3, CLASSES = 7 };
    float logits[N * CLASSES], found[N * CLASSES], expected[N * CLASSES];
    const int truth[N] = {6, 0, 3};
    fill_random(logits, N * CLASSES, -3.0f, 3.0f, &random);
    cr_cross_entropy(found, logits, truth, N, CLASSES);
    for (int i = 0; i < N * CLASSES; i++) {
        const float middle = logits[i], little = 1.0f / 1024;
        logits[i] = middle + little;
        const double above = cr_cross_entropy(NULL, logits, truth, N, CLASSES), up = (double)logits[i];
        logits[i] = middle - little;
        expected[i] = (float)((above - cr_cross_entropy(NULL, logits, truth, N, CLASSES)) / (up - (double)logits[i]));
        logits[i] = middle;
    }
    check_close(found, expected, N * CLASSES, 1e-6, "gradient of the loss");
    for (int n = 0; n < N; n++) {
        double sum = 0.0;
        for (int c = 0; c < CLASSES; c++)
            sum += (double)found[n * CLASSES + c];
        assert_true(fabs(sum) < 1e-7);
    }

    /* logits whose exponentials overflow: certainty, right and wrong */
    const float large[] = {1e4f, 0.0f, -1e4f};
    assert_true(cr_cross_entropy(dz, large, (const int[]){0}, 1, 3) == 0.0);
    check_close(dz, (const float[]){0, 0, 0}, 3, 0.0, "gradient of a certain and right answer");
    assert_true(cr_cross_entropy(dz, large, (const int[]){2}, 1, 3) == 2e4);
    check_close(dz, (const float[]){1, 0, -1}, 3, 0.0, "gradient of a certain and wrong answer");
    assert_true(isnan(cr_cross_entropy(NULL, (const float[]){1.0f, NAN}, (const int[]){0}, 1, 2)));
}

/* ---- learning ---- */

/* Plan, tape, loss and optimiser together: a small network learns a batch by heart, dropout and all. */
static void test_learning(void **state)
{
    (void)state;
    enum { N = 8, CLASSES = 5, STEPS = 100 };
    subject s = small_subject(N, 13, 18);
    for (int i = 0; i < s.net->n_nodes; i++)
        s.net->nodes[i].p = 0.2f; /* of dropouts, less than by default: the network is small */
    int labels[N];
    float dz[N * CLASSES], logits[N * CLASSES], *buffer[32] = {0};
    for (int n = 0; n < N; n++)
        labels[n] = n % CLASSES;
    cr_request request = request_of(&s);
    request.train = true;
    request.param_grad = s.learned;
    run r = start_run(s.net, &request);
    double first = 0.0, last = 0.0;
    for (int t = 0; t < STEPS; t++) {
        cr_tape_seed(r.tape, (uint64_t)t);
        cr_tape_forward(r.tape, s.x);
        assert_true(cr_tape_value(r.tape, s.net->n_nodes - 1, logits, NULL));
        last = cr_cross_entropy(dz, logits, labels, N, CLASSES);
        first = t == 0 ? last : first;
        run_backward(&r, dz);
        for (int p = 0; p < s.net->n_params; p++) {
            if (!s.learned[p])
                continue;
            const size_t count = oracle_param_count(s.oracle, p);
            if (!buffer[p])
                buffer[p] = zeros(count, sizeof(float));
            /* bind_random's memory, which is ours to change */
            float *w = s.weights + (s.net->params[p].data - s.weights);
            cr_sgd_step(&(cr_sgd){.lr = 0.02, .momentum = 0.9}, w, cr_tape_param_grad(r.tape, p, NULL), buffer[p], count);
        }
        cr_plan_update(r.plan);
    }
    assert_true(first > 1.0);
    assert_true(last < 0.1 * first);
    for (int p = 0; p < s.net->n_params; p++)
        free(buffer[p]);
    stop_run(&r);
    free_subject(&s);
}

int main(void)
{
    print_setup();
    cr_set_threads(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgd),
        cmocka_unit_test(test_adam),
        cmocka_unit_test(test_same_bits_for_any_threads),
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_cross_entropy),
        cmocka_unit_test(test_learning),
    };
    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
