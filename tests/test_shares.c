/* test_shares.c - pieces of work that threads take: every one once, one's own first; and that nothing of who took it shows. */
#include "check.h"

#include <stdlib.h>

#include "ops.h"
#include "subject.h"

static void test_own_share_first_then_the_others(void **state)
{
    (void)state;
    work_shares work = {0};
    const int pieces[] = {2, 3, 0, 1}, expected[][2] = {{1, 0}, {1, 1}, {1, 2}, {3, 0}, {0, 0}, {0, 1}};
    for (int i = 0; i < 4; i++)
        add_share(&work, pieces[i]);
    int from = 1, piece = -1;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_true(take_piece(&work, &from, &piece));
        assert_int_equal(from, expected[i][0]);
        assert_int_equal(piece, expected[i][1]);
    }
    for (from = 0; from < 4; from++)
        assert_false(take_piece(&work, &from, &piece));
}

enum { SHARES = 3, PIECES = 50, THREADS = 5 };

static void test_every_piece_once(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        int taken[SHARES][PIECES] = {0};
        work_shares work = {0};
        for (int i = 0; i < SHARES; i++)
            add_share(&work, PIECES - i * round % PIECES);
#pragma omp parallel num_threads(THREADS)
        for (int from = thread_index() % work.n, piece; take_piece(&work, &from, &piece);) {
#pragma omp atomic
            taken[from][piece]++;
        }
        for (int i = 0; i < SHARES; i++)
            for (int piece = 0; piece < PIECES; piece++)
                assert_int_equal(taken[i][piece], piece < work.of[i].pieces);
    }
}

/* Forward, backward and what they leave, by as many threads as there are: within a parallel region that is one, which has to
 * take over everybody's share. */
static result run_alone_or_not(const subject *s, const cr_request *request, bool alone)
{
    (void)alone; /* without OpenMP */
    run r = start_run(s->net, request);
#pragma omp parallel num_threads(alone ? 2 : 1)
#pragma omp single
    {
        cr_tape_forward(r.tape, s->x);
        run_backward(&r, s->seed);
    }
    result found = read_result(&r, 0);
    stop_run(&r);
    return found;
}

static void check_taking_over(const subject *s, int threads)
{
    const int input = 0;
    cr_request request = request_of(s);
    request.grad = &input;
    request.n_grad = 1;
    request.threads = threads;
    result together = run_alone_or_not(s, &request, false), alone = run_alone_or_not(s, &request, true);
    check_same_bits(alone.logits, together.logits, oracle_count(s->oracle, s->net->n_nodes - 1), "%s: logits", s->net->arch);
    check_same_bits(alone.grad, together.grad, oracle_count(s->oracle, input), "%s: gradient", s->net->arch);
    free_result(&together);
    free_result(&alone);
}

static void test_one_thread_takes_over_all_shares(void **state)
{
    (void)state;
    for (int i = 0; i < SUBJECTS; i++) {
        subject s = subject_at(i);
        check_taking_over(&s, 3);
        free_subject(&s);
    }
}

static void test_more_threads_than_shares(void **state)
{
    (void)state;
    subject s = small_subject(2, 40, 37);
    check_taking_over(&s, MOST_SHARES + 1);
    free_subject(&s);
}

int main(void)
{
    print_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_share_first_then_the_others),
        cmocka_unit_test(test_every_piece_once),
        cmocka_unit_test(test_one_thread_takes_over_all_shares),
        cmocka_unit_test(test_more_threads_than_shares),
    };
    return cmocka_run_group_tests_name("shares", tests, NULL, NULL);
}
