/* test_saliency.c - the methods of saliency.h: identities that they must satisfy, and how attributions become pictures. */
#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "saliency.h"
#include "subject.h"

static const float zeros3[3] = {0, 0, 0};

static cr_saliency_request ask(const subject *s, const char *method)
{
    cr_saliency_request r = {.method = cr_saliency_find(method, NULL), .h = s->H, .w = s->W, .samples = 5, .steps = 5,
                             .cam_layer = cr_net_last_feature_map(s->net), .baseline = zeros3};
    assert_non_null(r.method);
    return r;
}

/* What the method gives for score k; the caller frees it. */
static float *attribute(const subject *s, const cr_saliency_request *request, int k, cr_saliency_facts *facts)
{
    cr_error err;
    cr_saliency *saliency = cr_saliency_create(s->net, request, &err);
    if (!saliency)
        fail_msg("%s", err.text);
    float *out = zeros(oracle_count(s->oracle, 0), sizeof *out), *again = zeros(oracle_count(s->oracle, 0), sizeof *again);
    cr_saliency_facts ignored;
    if (!cr_saliency_run(saliency, s->x, k, out, facts, &err) || !cr_saliency_run(saliency, s->x, (k + 1) % 3, again, &ignored, &err) ||
        !cr_saliency_run(saliency, s->x, k, again, &ignored, &err))
        fail_msg("%s", err.text);
    check_same_bits(again, out, oracle_count(s->oracle, 0), "%s again", cr_saliency_name(request->method));
    free(again);
    cr_saliency_free(saliency);
    return out;
}

/* Under each ReLU rule the gradient of a logit, and of the mean of a channel, is the oracle's. */
static void test_gradients(void **state)
{
    (void)state;
    subject s = small_subject(1, 23, 18);
    static const char *const methods[] = {"vanilla", "guided", "deconvnet"};
    const int ends[] = {s.net->n_nodes - 1, cr_net_find(s.net, "conv_1", NULL)};
    for (int e = 0; e < 2; e++)
        for (int m = 0; m < 3; m++) {
            const int end = ends[e];
            const size_t k = 2;
            const size_t pixels = oracle_count(s.oracle, end) / (size_t)s.net->nodes[end].channels;
            cr_saliency_request request = ask(&s, methods[m]);
            request.end = e ? end : 0;
            float *seed = zeros(oracle_count(s.oracle, end), sizeof *seed);
            float **at = zeros((size_t)s.net->n_nodes, sizeof *at);
            double score = 0;
            for (size_t i = 0; i < pixels; i++) {
                seed[k * pixels + i] = 1.0f / (float)pixels;
                score += (double)s.oracle->value[end][k * pixels + i] / (double)pixels;
            }
            s.oracle->end = end;
            s.oracle->relu = (cr_relu_rule)m;
            oracle_backward(s.oracle, at, seed);
            cr_saliency_facts facts;
            float *found = attribute(&s, &request, (int)k, &facts);
            check_close(found, s.oracle->grad[0], oracle_count(s.oracle, 0), NETWORK_TOLERANCE, "%s", methods[m]);
            assert_true(fabs(facts.score - score) < 1e-4 * (1 + fabs(score)));
            free(found);
            free(seed);
            free(at);
        }
    free_subject(&s);
}

static void test_identities(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, 45, 38);
    const size_t count = oracle_count(s.oracle, 0);
    cr_saliency_facts facts;
    cr_saliency_request request = ask(&s, "vanilla");
    float *plain = attribute(&s, &request, 1, &facts);

    /* times the input */
    request = ask(&s, "inputxgradient");
    float *product = attribute(&s, &request, 1, &facts);
    for (size_t i = 0; i < count; i++)
        assert_true(product[i] == plain[i] * s.x[i]);

    /* samples without noise are the gradient; more than fit one batch, and one that is not full */
    request = ask(&s, "smoothgrad");
    request.samples = 11;
    float *smooth = attribute(&s, &request, 1, &facts);
    check_close(smooth, plain, count, 1e-6, "SmoothGrad without noise");
    free(smooth);
    request.noise = 0.1;
    smooth = attribute(&s, &request, 1, &facts);
    request.seed = 1;
    float *other = attribute(&s, &request, 1, &facts);
    assert_memory_not_equal(smooth, other, count * sizeof *smooth);
    free(smooth);
    free(other);

    /* what integrated gradients sum to, better with more steps */
    double error[2];
    for (int more = 0; more < 2; more++) {
        request = ask(&s, "integrated");
        request.steps = more ? 400 : 4;
        float *integrated = attribute(&s, &request, 1, &facts);
        error[more] = fabs(facts.sum - (facts.score - facts.baseline_score)) / fabs(facts.score - facts.baseline_score);
        free(integrated);
    }
    assert_true(error[1] < 0.01 && error[1] < error[0]);
    assert_true(fabs(facts.score - (double)s.oracle->value[s.net->n_nodes - 1][1]) < 1e-3);

    /* from the input itself there is nothing to integrate */
    const float same[3] = {0.5f, 0.5f, 0.5f};
    request.baseline = same;
    for (size_t i = 0; i < count; i++)
        s.x[i] = 0.5f;
    float *none = attribute(&s, &request, 1, &facts);
    for (size_t i = 0; i < count; i++)
        assert_true(none[i] <= 0 && none[i] >= 0);
    free(none);
    free(plain);
    free(product);
    free_subject(&s);
}

static void test_guided_gradcam(void **state)
{
    (void)state;
    subject s = make_subject("resnet18", 4, 3, 1, 75, 68);
    cr_saliency_facts facts;
    cr_saliency_request request = ask(&s, "guidedgradcam");
    float *product = attribute(&s, &request, 0, &facts);
    request = ask(&s, "guided");
    float *guided = attribute(&s, &request, 0, &facts);
    float largest = 0;
    for (size_t i = 0; i < oracle_count(s.oracle, 0); i++) {
        assert_true(fabsf(product[i]) <= fabsf(guided[i]) && product[i] * guided[i] >= 0);
        largest = guided[i] != 0 ? fmaxf(largest, product[i] / guided[i]) : largest;
    }
    assert_true(largest > 0.9f); /* where the map is 1 */
    free(product);
    free(guided);

    cr_error err;
    request = ask(&s, "guidedgradcam");
    request.cam_layer = s.net->n_nodes - 1;
    assert_null(cr_saliency_create(s.net, &request, &err));
    check_message(&err, "fc", NULL);
    free_subject(&s);
}

static void test_mistakes(void **state)
{
    (void)state;
    cr_error err;
    assert_null(cr_saliency_find("gradients", &err));
    check_message(&err, "gradients", "vanilla, guided, deconvnet", "guidedgradcam", NULL);
    int n = 0;
    while (cr_saliency_at(n))
        n++;
    assert_int_equal(n, 7);
    assert_null(cr_saliency_at(-1));

    subject s = make_subject("resnet18", 4, 3, 1, 40, 40);
    cr_saliency_facts facts;
    float *out = zeros(oracle_count(s.oracle, 0), sizeof *out);
    cr_saliency_request request = ask(&s, "vanilla");
    cr_saliency *saliency = cr_saliency_create(s.net, &request, &err);
    assert_false(cr_saliency_run(saliency, s.x, 3, out, &facts, &err));
    check_message(&err, "3 channels or classes", NULL);
    assert_false(cr_saliency_run(saliency, s.x, -1, out, &facts, &err));
    s.x[7] = NAN;
    assert_false(cr_saliency_run(saliency, s.x, 0, out, &facts, &err));
    check_message(&err, "finite", NULL);
    cr_saliency_free(saliency);
    request.h = 0;
    assert_null(cr_saliency_create(s.net, &request, &err));
    free(out);
    free_subject(&s);
}

static void test_pictures(void **state)
{
    (void)state;
    enum { H = 10, W = 20, PIXELS = H * W };
    float *a = zeros(3 * PIXELS, sizeof *a), *shown = zeros(3 * PIXELS, sizeof *shown);
    for (int i = 0; i < PIXELS; i++)
        a[PIXELS + i] = i % 2 ? -2.0f : 1.0f;
    a[5] = 1000; /* less than a hundredth of the pixels */
    assert_true(cr_saliency_heat(shown, a, 3, H, W, NULL));
    assert_true(shown[5] == 1 && shown[7] == 1 && shown[4] == 0.5f);
    assert_true(cr_saliency_signed(shown, a, 3, H, W, NULL));
    assert_true(shown[5] == 1 && shown[7] == 0 && shown[4] == 0.75f);

    memset(a, 0, 3 * PIXELS * sizeof *a);
    a[2 * PIXELS + 3] = -4; /* where the percentile is 0, the largest counts */
    assert_true(cr_saliency_heat(shown, a, 3, H, W, NULL));
    assert_true(shown[3] == 1 && shown[4] == 0);
    memset(a, 0, 3 * PIXELS * sizeof *a);
    assert_true(cr_saliency_heat(shown, a, 3, H, W, NULL));
    assert_true(shown[3] == 0);
    assert_true(cr_saliency_signed(shown, a, 3, H, W, NULL));
    assert_true(shown[3] == 0.5f);
    cr_saliency_color(shown, a, 3, H, W);
    assert_true(shown[3] == 0.5f);

    for (int i = 0; i < 3 * PIXELS; i++)
        a[i] = i % 2 ? 3.0f : 1.0f; /* mean 2, std 1 */
    a[0] = 1;
    cr_saliency_color(shown, a, 3, H, W);
    assert_true(fabsf(shown[1] - 0.6f) < 1e-5f && fabsf(shown[2] - 0.4f) < 1e-5f);
    memset(a, 0, 3 * PIXELS * sizeof *a);
    a[9] = 1;
    cr_saliency_color(shown, a, 3, H, W);
    assert_true(shown[9] == 1 && shown[8] < 0.5f && shown[8] > 0.49f);
    free(a);
    free(shown);
}

int main(void)
{
    cr_set_threads(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients), cmocka_unit_test(test_identities), cmocka_unit_test(test_guided_gradcam),
        cmocka_unit_test(test_mistakes),  cmocka_unit_test(test_pictures),
    };
    return cmocka_run_group_tests_name("saliency", tests, NULL, NULL);
}
