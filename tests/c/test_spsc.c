/*
 * test_spsc.c - the ring between one producer and one consumer.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_spsc.h"
#include "test_support.h"

#include <pthread.h>
#include <sched.h>

enum { SIZE = 8 };

static void sizes_are_powers_of_two(void **state)
{
    (void)state;
    hl_spsc r;
    uint64_t entries[8];
    assert_int_equal(hl_spsc_init(&r, entries, 0), -1);
    assert_int_equal(hl_spsc_init(&r, entries, 7), -1);
    assert_int_equal(hl_spsc_init(&r, entries, 1), 0);
    assert_int_equal(hl_spsc_init(&r, entries, 8), 0);
}

static void fills_and_empties(void **state)
{
    (void)state;
    hl_spsc r;
    uint64_t entries[SIZE], v = 99;
    assert_int_equal(hl_spsc_init(&r, entries, SIZE), 0);
    assert_int_equal(hl_spsc_pop(&r, &v), 0);
    assert_int_equal(v, 99);
    for (uint64_t i = 0; i < SIZE; i++) {
        assert_int_equal(hl_spsc_count(&r), i);
        assert_int_equal(hl_spsc_push(&r, i), 1);
    }
    assert_int_equal(hl_spsc_push(&r, 8), 0);
    assert_int_equal(hl_spsc_count(&r), SIZE);
    for (uint64_t i = 0; i < SIZE; i++) {
        assert_int_equal(hl_spsc_pop(&r, &v), 1);
        assert_int_equal(v, i);
    }
    assert_int_equal(hl_spsc_pop(&r, &v), 0);
}

/* Every fill level across the point where the indices wrap. */
static void indices_wrap(void **state)
{
    (void)state;
    for (uint32_t level = 0; level <= SIZE; level++) {
        hl_spsc r;
        uint64_t entries[SIZE], v, pushed = 0, popped = 0;
        assert_int_equal(hl_spsc_init(&r, entries, SIZE), 0);
        r.head = r.tail = r.head_seen = r.tail_seen = UINT32_MAX - 20;
        for (; pushed < level; pushed++)
            assert_int_equal(hl_spsc_push(&r, pushed), 1);
        for (int i = 0; i < 50; i++) {
            if (level == SIZE)
                assert_int_equal(hl_spsc_push(&r, 0), 0);
            if (level > 0) {
                assert_int_equal(hl_spsc_pop(&r, &v), 1);
                assert_int_equal(v, popped++);
            } else {
                assert_int_equal(hl_spsc_pop(&r, &v), 0);
            }
            if (level > 0)
                assert_int_equal(hl_spsc_push(&r, pushed++), 1);
            assert_int_equal(hl_spsc_count(&r), level);
        }
    }
}

typedef struct stream {
    hl_spsc ring;
    uint64_t count;
} stream;

static void *produce(void *arg)
{
    stream *s = arg;
    for (uint64_t i = 0; i < s->count; i++)
        while (!hl_spsc_push(&s->ring, i))
            sched_yield();
    return NULL;
}

static void two_threads_see_every_value_in_order(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 2, 64, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        stream s = {.count = test_rounds(100000)};
        uint64_t *entries = calloc(sizes[i], sizeof *entries), v;
        assert_int_equal(hl_spsc_init(&s.ring, entries, sizes[i]), 0);
        s.ring.head = s.ring.tail = s.ring.head_seen = s.ring.tail_seen = UINT32_MAX - 1000;
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, produce, &s), 0);
        for (uint64_t n = 0; n < s.count; n++) {
            while (!hl_spsc_pop(&s.ring, &v))
                sched_yield();
            if (v != n)
                fail_msg("%llu came where %llu was due", (unsigned long long)v, (unsigned long long)n);
        }
        pthread_join(t, NULL);
        assert_int_equal(hl_spsc_pop(&s.ring, &v), 0);
        free(entries);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_powers_of_two),
        cmocka_unit_test(fills_and_empties),
        cmocka_unit_test(indices_wrap),
        cmocka_unit_test(two_threads_see_every_value_in_order),
    };
    return cmocka_run_group_tests_name("spsc", tests, NULL, NULL);
}
