/*
 * test_mpmc.c - the bounded ring between any number of producers and consumers.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_mpmc.h"
#include "queue_history.h"

#include <pthread.h>
#include <sched.h>

enum { SIZE = 8 };

static void sizes_are_powers_of_two(void **state)
{
    (void)state;
    hl_mpmc r;
    hl_mpmc_cell cells[8];
    assert_int_equal(hl_mpmc_init(&r, cells, 0), -1);
    assert_int_equal(hl_mpmc_init(&r, cells, 1), -1);
    assert_int_equal(hl_mpmc_init(&r, cells, 6), -1);
    assert_int_equal(hl_mpmc_init(&r, cells, 8), 0);
}

/* A ring as it is after 2^32 - before operations: positions and sequence numbers about to wrap. */
static void age(hl_mpmc *r, uint32_t before)
{
    uint32_t at = 0 - before;
    r->head = r->tail = at;
    for (uint32_t i = 0; i <= r->mask; i++)
        r->cells[(at + i) & r->mask].sequence = at + i;
}

static void fills_and_empties_across_the_wrap(void **state)
{
    (void)state;
    hl_mpmc r;
    hl_mpmc_cell cells[SIZE];
    uint64_t v = 99;
    assert_int_equal(hl_mpmc_init(&r, cells, SIZE), 0);
    for (uint32_t before = 0; before < 3 * SIZE; before++) {
        age(&r, before);
        assert_int_equal(hl_mpmc_pop(&r, &v), 0);
        for (uint64_t i = 0; i < SIZE; i++) {
            assert_int_equal(hl_mpmc_count(&r), i);
            assert_int_equal(hl_mpmc_push(&r, i), 1);
        }
        assert_int_equal(hl_mpmc_push(&r, 8), 0);
        assert_int_equal(hl_mpmc_count(&r), SIZE);
        for (uint64_t i = 0; i < SIZE; i++) {
            assert_int_equal(hl_mpmc_pop(&r, &v), 1);
            assert_int_equal(v, i);
        }
        assert_int_equal(hl_mpmc_pop(&r, &v), 0);
    }
}

enum { PRODUCERS = 2, CONSUMERS = 2 };

typedef struct contest {
    hl_mpmc ring;
    value_history *values;
    uint32_t per_producer;
    uint32_t popped;        /* atomic */
    uint32_t next_producer; /* atomic */
} contest;

static void *produce(void *arg)
{
    contest *c = arg;
    uint32_t first = __atomic_fetch_add(&c->next_producer, 1, __ATOMIC_RELAXED) * c->per_producer;
    for (uint32_t v = first; v < first + c->per_producer; v++) {
        for (;;) {
            uint64_t began = moment();
            if (hl_mpmc_push(&c->ring, v)) {
                c->values[v].push = (span){began, moment()};
                break;
            }
            sched_yield();
        }
    }
    return NULL;
}

static void *consume(void *arg)
{
    contest *c = arg;
    while (__atomic_load_n(&c->popped, __ATOMIC_RELAXED) < PRODUCERS * c->per_producer) {
        uint64_t began = moment(), v;
        if (!hl_mpmc_pop(&c->ring, &v)) {
            sched_yield();
            continue;
        }
        c->values[v].pop = (span){began, moment()};
        __atomic_fetch_add(&c->values[v].pops, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&c->popped, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void many_threads_are_linearizable(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {2, 16, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        contest c = {.per_producer = test_rounds(20000)};
        hl_mpmc_cell *cells = calloc(sizes[i], sizeof *cells);
        c.values = calloc(PRODUCERS * (size_t)c.per_producer, sizeof *c.values);
        assert_int_equal(hl_mpmc_init(&c.ring, cells, sizes[i]), 0);
        age(&c.ring, 5000);
        pthread_t t[PRODUCERS + CONSUMERS];
        for (int k = 0; k < PRODUCERS + CONSUMERS; k++)
            assert_int_equal(pthread_create(&t[k], NULL, k < PRODUCERS ? produce : consume, &c), 0);
        for (int k = 0; k < PRODUCERS + CONSUMERS; k++)
            pthread_join(t[k], NULL);
        const char *flaw = queue_history_flaw(c.values, PRODUCERS * (size_t)c.per_producer);
        if (flaw != NULL)
            fail_msg("size %u: %s", sizes[i], flaw);
        free(c.values);
        free(cells);
    }
}

/* The checker itself must be able to object. */
static void the_checker_objects(void **state)
{
    (void)state;
    value_history good[] = {{{1, 2}, {5, 6}, 1}, {{3, 4}, {7, 8}, 1}};
    assert_null(queue_history_flaw(good, 2));
    value_history overlapping[] = {{{1, 4}, {7, 8}, 1}, {{3, 4}, {5, 6}, 1}}; /* the pushes may have swapped */
    assert_null(queue_history_flaw(overlapping, 2));
    value_history overtaken[] = {{{1, 2}, {7, 8}, 1}, {{3, 4}, {5, 6}, 1}};
    assert_string_equal(queue_history_flaw(overtaken, 2), "a value overtook an older one");
    value_history lost[] = {{{1, 2}, {0, 0}, 0}};
    assert_string_equal(queue_history_flaw(lost, 1), "a value was lost");
    value_history twice[] = {{{1, 2}, {3, 4}, 2}};
    assert_string_equal(queue_history_flaw(twice, 1), "a value came twice");
    value_history early[] = {{{5, 6}, {3, 4}, 1}};
    assert_string_equal(queue_history_flaw(early, 1), "a value came before it was pushed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_powers_of_two),
        cmocka_unit_test(fills_and_empties_across_the_wrap),
        cmocka_unit_test(the_checker_objects),
        cmocka_unit_test(many_threads_are_linearizable),
    };
    return cmocka_run_group_tests_name("mpmc", tests, NULL, NULL);
}
