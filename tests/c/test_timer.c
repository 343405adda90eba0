/*
 * test_timer.c - the wheel of hl_timer.h, behaviour by behaviour and against a naive model.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "test_support.h"

#include "hl_timer.h"

#define HORIZON (UINT64_C(1) << 36) /* 64^6 */

static void assert_empty(const hl_wheel *w)
{
    assert_int_equal(w->count, 0);
    assert_null(w->expired);
    for (int level = 0; level < HL_WHEEL_LEVELS; level++) {
        assert_int_equal(w->occupied[level], 0);
    }
    assert_int_equal(hl_wheel_next(w, w->now), -1);
}

static void test_zero_timer_is_idle(void **state)
{
    (void)state;
    hl_wheel w;
    hl_timer t = {0};
    hl_wheel_init(&w, 1000);
    assert_false(hl_timer_is_set(&t));
    assert_int_equal(hl_timer_cancel(&w, &t), 0);
    assert_null(hl_wheel_expire(&w, 5000));
    assert_empty(&w);
}

/* Distances and starting points around every digit's edge. */
static const uint64_t starts[] = {0, 1, 63, 64, 4095, 4096, 123456789, HORIZON - 1, HORIZON, 5 * HORIZON + 777};
static const uint64_t distances[] = {
    1, 2, 62, 63, 64, 65, 127, 128, 4095, 4096, 4097, 262143, 262144, 16777216, 1073741823, 1073741824,
    UINT64_C(63) << 30, HORIZON - 1, HORIZON, HORIZON + 1, 3 * HORIZON + 12345,
};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_fires_at_its_deadline_and_not_before(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(starts); s++) {
        for (size_t d = 0; d < COUNT(distances); d++) {
            hl_wheel w;
            hl_timer t = {0};
            uint64_t deadline = starts[s] + distances[d];
            hl_wheel_init(&w, starts[s]);
            hl_timer_set(&w, &t, deadline);
            assert_true(hl_timer_is_set(&t));
            assert_null(hl_wheel_expire(&w, starts[s]));
            assert_null(hl_wheel_expire(&w, deadline - 1));
            assert_ptr_equal(hl_wheel_expire(&w, deadline), &t);
            assert_false(hl_timer_is_set(&t));
            assert_null(hl_wheel_expire(&w, deadline));
            assert_empty(&w);
        }
    }
}

static void test_next_leads_to_the_deadline_in_few_steps(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(starts); s++) {
        for (size_t d = 0; d < COUNT(distances); d++) {
            hl_wheel w;
            hl_timer t = {0};
            uint64_t now = starts[s];
            uint64_t deadline = now + distances[d];
            unsigned steps = 0;
            hl_wheel_init(&w, now);
            hl_timer_set(&w, &t, deadline);
            while (hl_wheel_expire(&w, now) == NULL) {
                int64_t wait = hl_wheel_next(&w, now);
                assert_true(wait > 0);
                assert_true((uint64_t)wait <= deadline - now);
                now += (uint64_t)wait;
                steps++;
            }
            assert_int_equal(now, deadline);
            assert_in_range(steps, 1, HL_WHEEL_LEVELS + distances[d] / HORIZON + 1);
        }
    }
}

static void test_past_deadline_fires_at_the_next_call(void **state)
{
    (void)state;
    hl_wheel w;
    hl_timer past = {0}, present = {0};
    hl_wheel_init(&w, 1000);
    hl_timer_set(&w, &past, 3);
    hl_timer_set(&w, &present, 1000);
    assert_int_equal(hl_wheel_next(&w, 1000), 0);
    assert_ptr_equal(hl_wheel_expire(&w, 1000), &past);
    assert_ptr_equal(hl_wheel_expire(&w, 1000), &present);
    assert_null(hl_wheel_expire(&w, 1000));
    assert_empty(&w);
}

static void test_next_is_zero_once_time_has_passed_it(void **state)
{
    (void)state;
    hl_wheel w;
    hl_timer t = {0};
    hl_wheel_init(&w, 0);
    hl_timer_set(&w, &t, 10);
    assert_int_equal(hl_wheel_next(&w, 0), 10);
    assert_int_equal(hl_wheel_next(&w, 9), 1);
    assert_int_equal(hl_wheel_next(&w, 10), 0);
    assert_int_equal(hl_wheel_next(&w, 5000), 0);
}

static void test_setting_again_moves_the_timer(void **state)
{
    (void)state;
    hl_wheel w;
    hl_timer t = {0};
    hl_wheel_init(&w, 0);
    hl_timer_set(&w, &t, 50);
    hl_timer_set(&w, &t, 100000);
    assert_int_equal(w.count, 1);
    assert_null(hl_wheel_expire(&w, 99999));
    hl_timer_set(&w, &t, 100001);
    assert_null(hl_wheel_expire(&w, 100000));
    assert_ptr_equal(hl_wheel_expire(&w, 100001), &t);
    assert_empty(&w);
}

static void test_cancelled_timer_does_not_fire(void **state)
{
    (void)state;
    hl_wheel w;
    hl_timer t[3] = {{0}};
    hl_wheel_init(&w, 7);
    for (size_t d = 0; d < COUNT(distances); d++) {
        for (int victim = 0; victim < 3; victim++) { /* first, middle and last of one slot's list */
            uint64_t deadline = w.now + distances[d];
            for (int i = 0; i < 3; i++) {
                hl_timer_set(&w, &t[i], deadline);
            }
            assert_int_equal(hl_timer_cancel(&w, &t[victim]), 1);
            assert_int_equal(hl_timer_cancel(&w, &t[victim]), 0);
            assert_int_equal(w.count, 2);
            int fired = 0;
            for (hl_timer *due; (due = hl_wheel_expire(&w, deadline)) != NULL; fired++) {
                assert_ptr_not_equal(due, &t[victim]);
            }
            assert_int_equal(fired, 2);
        }
    }
    for (size_t d = 0; d < COUNT(distances); d++) {
        hl_timer_set(&w, &t[0], w.now + distances[d]);
        hl_timer_cancel(&w, &t[0]);
        assert_empty(&w); /* the slot's bit is gone too */
    }
}

/* The due timers that have not been handed out yet may be cancelled and set, wherever they are in the list. */
static void test_due_timers_may_change_between_calls(void **state)
{
    (void)state;
    for (int victim = 1; victim < 4; victim++) {
        for (int reset = 0; reset < 2; reset++) {
            hl_wheel w;
            hl_timer t[4] = {{0}}, late = {0};
            hl_wheel_init(&w, 0);
            for (int i = 0; i < 4; i++) {
                hl_timer_set(&w, &t[i], 10 + (uint64_t)i);
            }
            assert_ptr_equal(hl_wheel_expire(&w, 20), &t[0]);
            if (reset) {
                hl_timer_set(&w, &t[victim], 500);
            } else {
                assert_int_equal(hl_timer_cancel(&w, &t[victim]), 1);
            }
            hl_timer_set(&w, &late, 20); /* joins the end of the list, whatever its end has become */
            for (int i = 1; i < 4; i++) {
                if (i != victim) {
                    assert_ptr_equal(hl_wheel_expire(&w, 20), &t[i]);
                }
            }
            assert_ptr_equal(hl_wheel_expire(&w, 20), &late);
            assert_null(hl_wheel_expire(&w, 20));
            assert_int_equal(hl_timer_is_set(&t[victim]), reset);
            assert_ptr_equal(hl_wheel_expire(&w, 500), reset ? &t[victim] : NULL);
            assert_empty(&w);
        }
    }
}

static void test_caller_may_stop_early(void **state)
{
    (void)state;
    hl_wheel w;
    hl_timer a = {0}, b = {0}, c = {0};
    hl_wheel_init(&w, 0);
    hl_timer_set(&w, &a, 10);
    hl_timer_set(&w, &b, 11);
    hl_timer_set(&w, &c, 30);
    assert_ptr_equal(hl_wheel_expire(&w, 15), &a);
    assert_int_equal(hl_wheel_next(&w, 15), 0);
    assert_ptr_equal(hl_wheel_expire(&w, 40), &b);
    assert_ptr_equal(hl_wheel_expire(&w, 40), &c);
    assert_empty(&w);
}

static void test_time_running_backwards_is_the_last_time(void **state)
{
    (void)state;
    hl_wheel w;
    hl_timer a = {0}, b = {0}, c = {0};
    hl_wheel_init(&w, 0);
    hl_timer_set(&w, &a, 10);
    hl_timer_set(&w, &b, 50);
    assert_ptr_equal(hl_wheel_expire(&w, 100), &a);
    assert_ptr_equal(hl_wheel_expire(&w, 20), &b);
    hl_timer_set(&w, &c, 60);
    assert_ptr_equal(hl_wheel_expire(&w, 0), &c);
    hl_timer_set(&w, &c, 101);
    assert_null(hl_wheel_expire(&w, 0));
    assert_ptr_equal(hl_wheel_expire(&w, 101), &c);
}

static void test_timers_come_in_the_order_of_their_deadlines(void **state)
{
    (void)state;
    enum { N = 2000 };
    static hl_timer t[N];
    hl_wheel w;
    uint64_t random = test_seed(20260101), last = 0;
    hl_wheel_init(&w, 12345);
    for (int i = 0; i < N; i++) {
        hl_timer_set(&w, &t[i], 12346 + (test_random(&random) >> (24 + test_random(&random) % 40)));
    }
    for (int i = 0; i < N; i++) {
        hl_timer *due = hl_wheel_expire(&w, UINT64_C(1) << 41);
        assert_non_null(due);
        assert_true(due->deadline >= last);
        last = due->deadline;
    }
    assert_empty(&w);
}

/* Millisecond by millisecond either jump would take hours. */
static void test_jumping_far_ahead_costs_nothing(void **state)
{
    (void)state;
    hl_wheel w;
    hl_timer t = {0}, never = {0};
    hl_wheel_init(&w, 0);
    assert_null(hl_wheel_expire(&w, 100 * HORIZON));
    hl_timer_set(&w, &never, UINT64_MAX);
    hl_timer_set(&w, &t, 100 * HORIZON + 5);
    assert_ptr_equal(hl_wheel_expire(&w, 200 * HORIZON), &t);
    assert_null(hl_wheel_expire(&w, 200 * HORIZON));
    assert_true(hl_timer_is_set(&never));
    assert_true(hl_wheel_next(&w, 200 * HORIZON) > 0);
    hl_timer_cancel(&w, &never);
    assert_empty(&w);
}

static void test_end_of_time(void **state)
{
    (void)state;
    hl_wheel w;
    hl_timer t = {0}, last = {0};
    hl_wheel_init(&w, UINT64_MAX - 100000);
    hl_timer_set(&w, &t, UINT64_MAX - 1);
    hl_timer_set(&w, &last, UINT64_MAX);
    assert_null(hl_wheel_expire(&w, UINT64_MAX - 2));
    assert_ptr_equal(hl_wheel_expire(&w, UINT64_MAX - 1), &t);
    assert_ptr_equal(hl_wheel_expire(&w, UINT64_MAX), &last);
    assert_empty(&w);

    hl_wheel_init(&w, 0);
    hl_timer_set(&w, &t, UINT64_MAX);
    assert_int_equal(hl_wheel_next(&w, 0), UINT64_C(63) << 30);
    hl_timer_cancel(&w, &t);
}

/* ------------------------------------------------------------------ against a model */

enum { TIMERS = 100 };

typedef struct model {
    hl_wheel wheel;
    hl_timer timers[TIMERS];
    int set[TIMERS];
    uint64_t deadlines[TIMERS];
    uint64_t now;
    uint64_t random;
} model;

/* A duration of any magnitude up to 2^bits. */
static uint64_t any_duration(model *m, unsigned bits)
{
    uint64_t magnitude = test_random(&m->random) % (bits + 1);
    return magnitude == 0 ? 0 : test_random(&m->random) >> (64 - magnitude);
}

static void model_set(model *m, size_t i)
{
    m->deadlines[i] = m->now + any_duration(m, 38);
    if (test_random(&m->random) % 16 == 0) {
        m->deadlines[i] = m->now - any_duration(m, 12);
    }
    hl_timer_set(&m->wheel, &m->timers[i], m->deadlines[i]);
    m->set[i] = 1;
}

static void model_cancel(model *m, size_t i)
{
    assert_int_equal(hl_timer_cancel(&m->wheel, &m->timers[i]), m->set[i]);
    m->set[i] = 0;
}

/* Takes due timers, all of them or a few. */
static void model_expire(model *m)
{
    uint64_t most = test_random(&m->random) % 4 == 0 ? test_random(&m->random) % 4 : TIMERS;
    for (uint64_t n = 0; n < most; n++) {
        hl_timer *t = hl_wheel_expire(&m->wheel, m->now);
        if (t == NULL) {
            for (size_t i = 0; i < TIMERS; i++) {
                assert_false(m->set[i] && m->deadlines[i] <= m->now);
            }
            return;
        }
        size_t i = (size_t)(t - m->timers);
        assert_true(m->set[i] && m->deadlines[i] <= m->now);
        m->set[i] = 0;
    }
}

static void model_check(model *m)
{
    uint64_t count = 0, first = UINT64_MAX;
    for (size_t i = 0; i < TIMERS; i++) {
        assert_int_equal(hl_timer_is_set(&m->timers[i]), m->set[i]);
        count += (uint64_t)m->set[i];
        if (m->set[i] && m->deadlines[i] < first) {
            first = m->deadlines[i];
        }
    }
    assert_int_equal(m->wheel.count, count);
    int64_t wait = hl_wheel_next(&m->wheel, m->now);
    if (count == 0) {
        assert_int_equal(wait, -1);
    } else if (first <= m->now) {
        assert_int_equal(wait, 0);
    } else {
        assert_true(wait >= 0 && (uint64_t)wait <= first - m->now);
    }
}

static void test_random_operations_match_a_naive_model(void **state)
{
    (void)state;
    static model m;
    m.now = 3 * HORIZON - 1000000;
    m.random = test_seed(4711);
    hl_wheel_init(&m.wheel, m.now);
    uint32_t steps = test_rounds(300000);
    for (uint32_t step = 0; step < steps; step++) {
        size_t i = test_random(&m.random) % TIMERS;
        switch (test_random(&m.random) % 8) {
        case 0:
        case 1:
        case 2:
            model_set(&m, i);
            break;
        case 3:
            model_cancel(&m, i);
            break;
        case 4: /* as a loop does: sleep until the wheel says so */
            if (m.wheel.count != 0) {
                m.now += (uint64_t)hl_wheel_next(&m.wheel, m.now);
            }
            model_expire(&m);
            break;
        case 5:
            m.now += any_duration(&m, step % 64 == 0 ? 37 : 16);
            break; /* and set and cancel with a wheel that lags behind */
        default:
            m.now += any_duration(&m, 6);
            model_expire(&m);
            break;
        }
        model_check(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_timer_is_idle),
        cmocka_unit_test(test_fires_at_its_deadline_and_not_before),
        cmocka_unit_test(test_next_leads_to_the_deadline_in_few_steps),
        cmocka_unit_test(test_past_deadline_fires_at_the_next_call),
        cmocka_unit_test(test_next_is_zero_once_time_has_passed_it),
        cmocka_unit_test(test_setting_again_moves_the_timer),
        cmocka_unit_test(test_cancelled_timer_does_not_fire),
        cmocka_unit_test(test_due_timers_may_change_between_calls),
        cmocka_unit_test(test_caller_may_stop_early),
        cmocka_unit_test(test_time_running_backwards_is_the_last_time),
        cmocka_unit_test(test_timers_come_in_the_order_of_their_deadlines),
        cmocka_unit_test(test_jumping_far_ahead_costs_nothing),
        cmocka_unit_test(test_end_of_time),
        cmocka_unit_test(test_random_operations_match_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
