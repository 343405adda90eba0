/*
 * test_stack.c - the stack of hl_stack.h: order, runs, a count about to wrap, and threads.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_stack.h"
#include "test_support.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

enum { ELEMENTS = 64 };

/* Elements are numbers; elements[number] is the link of one. */
static uint32_t *link_of(const void *elements, uint32_t number)
{
    return (uint32_t *)elements + number;
}

static void push(hl_stack *s, uint32_t *links, uint32_t number)
{
    hl_stack_push(s, link_of, links, number, number);
}

static uint32_t pop(hl_stack *s, uint32_t *links)
{
    uint32_t number;
    return hl_stack_pop(s, link_of, links, &number, 1) != 0 ? number : 0;
}

static void the_last_one_comes_first(void **state)
{
    (void)state;
    hl_stack s = {0};
    uint32_t links[ELEMENTS] = {0};
    assert_true(hl_stack_empty(&s));
    assert_int_equal(pop(&s, links), 0);
    for (uint32_t i = 1; i < ELEMENTS; i++) {
        push(&s, links, i);
        assert_false(hl_stack_empty(&s));
    }
    for (uint32_t i = ELEMENTS - 1; i > 0; i--) {
        assert_int_equal(pop(&s, links), i);
    }
    assert_true(hl_stack_empty(&s));
    assert_int_equal(pop(&s, links), 0);
}

static void runs_are_pushed_and_popped_whole(void **state)
{
    (void)state;
    hl_stack s = {0};
    uint32_t links[ELEMENTS] = {0}, out[ELEMENTS];
    push(&s, links, 9);
    hl_stack_join(link_of, links, 1, 2);
    hl_stack_join(link_of, links, 2, 3);
    hl_stack_push(&s, link_of, links, 1, 3); /* 1 2 3 9 */
    assert_int_equal(hl_stack_pop(&s, link_of, links, out, 2), 2);
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 2);
    assert_int_equal(hl_stack_pop(&s, link_of, links, out, ELEMENTS), 2); /* as many as there are */
    assert_int_equal(out[0], 3);
    assert_int_equal(out[1], 9);
    assert_int_equal(hl_stack_pop(&s, link_of, links, out, ELEMENTS), 0);
}

static void all_can_be_taken_at_once(void **state)
{
    (void)state;
    hl_stack s = {0};
    uint32_t links[ELEMENTS] = {0};
    assert_int_equal(hl_stack_take(&s), 0);
    for (uint32_t i = 1; i <= 5; i++) {
        push(&s, links, i);
    }
    uint32_t number = hl_stack_take(&s);
    assert_true(hl_stack_empty(&s));
    for (uint32_t i = 5; i > 0; i--) {
        assert_int_equal(number, i);
        number = hl_stack_below(link_of, links, number);
    }
    assert_int_equal(number, 0);
}

/* Every change of the head shows in it, also when the count wraps: the second state of the same element is not the
 * first one. And the count never spills into the number, nor is it lost when the stack is emptied. */
static void the_count_goes_on_across_its_wrap(void **state)
{
    (void)state;
    const uint32_t highest = UINT32_MAX; /* as a number, too */
    for (uint32_t before = 0; before < 8; before++) {
        hl_stack s = {.head = (uint64_t)(UINT32_MAX - before) << 32};
        uint32_t links[4] = {0};
        uint64_t heads[12];
        unsigned n = 0;
        heads[n++] = s.head;
        for (uint32_t i = 1; i <= 3; i++) {
            push(&s, links, i);
            heads[n++] = s.head;
        }
        assert_int_equal(pop(&s, links), 3);
        heads[n++] = s.head;
        push(&s, links, 3); /* as it was, were it not for the count */
        heads[n++] = s.head;
        assert_int_equal((uint32_t)heads[3], (uint32_t)heads[5]);
        assert_int_equal(hl_stack_take(&s), 3);
        heads[n++] = s.head;
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(heads[i] >> 32, (uint32_t)(UINT32_MAX - before + i));
        }
        s.head = (uint64_t)UINT32_MAX << 32 | highest;
        assert_int_equal(hl_stack_take(&s), highest);
        assert_int_equal(s.head, 0);
    }
}

/* ------------------------------------------------------------------ threads */

enum { THREADS = 4, FEW = 6, RUN = 3 };

typedef struct element {
    uint32_t link;
    uint32_t owners; /* atomic: threads that hold it: 1 at most */
    uint64_t popped; /* plain: its holder's, handed over by the stack; TSan would notice if it were not */
    uint64_t check;  /* as popped */
} element;

typedef struct contest {
    hl_stack stack;
    element elements[1 + 64];
    uint32_t count; /* of elements, named 1 to count */
    uint32_t rounds;
    uint32_t started; /* atomic */
    uint32_t wrong;   /* atomic */
    uint32_t takers;  /* so many threads take all instead of a few */
} contest;

typedef struct contestant {
    pthread_t thread;
    contest *contest;
    uint32_t index;
    uint64_t popped;
    uint64_t random;
} contestant;

static uint32_t *element_link(const void *elements, uint32_t number)
{
    return (uint32_t *)&((const element *)elements)[number].link;
}

/* Holds an element for a moment. */
static void hold(contestant *t, uint32_t number)
{
    element *e = &t->contest->elements[number];
    if (number == 0 || number > t->contest->count || __atomic_fetch_add(&e->owners, 1, __ATOMIC_RELAXED) != 0 ||
        e->popped != e->check) {
        __atomic_fetch_add(&t->contest->wrong, 1, __ATOMIC_RELAXED);
    }
    e->popped++;
    t->popped++;
}

static void let_go(contestant *t, uint32_t number)
{
    element *e = &t->contest->elements[number];
    e->check++;
    if (__atomic_fetch_sub(&e->owners, 1, __ATOMIC_RELAXED) != 1) {
        __atomic_fetch_add(&t->contest->wrong, 1, __ATOMIC_RELAXED);
    }
}

/* Pops up to RUN and pushes them back: in one run, or singly in another order, which is what ABA needs. */
static void juggle(contestant *t)
{
    contest *c = t->contest;
    uint32_t got[RUN];
    uint32_t n = hl_stack_pop(&c->stack, element_link, c->elements, got, 1 + (uint32_t)(test_random(&t->random) % RUN));
    for (uint32_t i = 0; i < n; i++) {
        hold(t, got[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        let_go(t, got[i]);
    }
    if (n > 1 && (test_random(&t->random) & 1) != 0) {
        for (uint32_t i = 0; i + 1 < n; i++) {
            hl_stack_join(element_link, c->elements, got[i], got[i + 1]);
        }
        hl_stack_push(&c->stack, element_link, c->elements, got[0], got[n - 1]);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        hl_stack_push(&c->stack, element_link, c->elements, got[i], got[i]);
    }
}

static void take_all(contestant *t)
{
    contest *c = t->contest;
    uint32_t first = hl_stack_take(&c->stack), last = 0;
    for (uint32_t number = first; number != 0; number = hl_stack_below(element_link, c->elements, number)) {
        hold(t, number);
        last = number;
        let_go(t, number);
    }
    if (last != 0) {
        hl_stack_push(&c->stack, element_link, c->elements, first, last);
    }
}

static void *compete(void *arg)
{
    contestant *t = arg;
    contest *c = t->contest;
    /* relaxed: nothing is published, the threads shall only overlap. */
    __atomic_fetch_add(&c->started, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&c->started, __ATOMIC_RELAXED) < THREADS) {
        sched_yield();
    }
    for (uint32_t round = 0; round < c->rounds; round++) {
        if (t->index < c->takers) {
            take_all(t);
        } else {
            juggle(t);
        }
    }
    return NULL;
}

/* Each element comes to one thread at a time, as often as it was pushed, and none is lost. */
static void run_contest(uint32_t count, uint32_t takers)
{
    static contest c;
    contestant threads[THREADS];
    uint64_t seed = test_seed(7), popped = 0, counted = 0;
    memset(&c, 0, sizeof c);
    c.stack.head = (uint64_t)(UINT32_MAX - 1000) << 32; /* the count wraps on the way */
    c.count = count;
    c.takers = takers;
    c.rounds = test_rounds(250000);
    for (uint32_t number = 1; number <= count; number++) {
        hl_stack_push(&c.stack, element_link, c.elements, number, number);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        threads[i] = (contestant){.contest = &c, .index = i, .random = seed + i};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, compete, &threads[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
        popped += threads[i].popped;
    }
    assert_int_equal(c.wrong, 0);
    uint32_t left = 0;
    for (uint32_t number = hl_stack_take(&c.stack); number != 0;
         number = hl_stack_below(element_link, c.elements, number)) {
        assert_in_range(number, 1, count);
        assert_int_equal(c.elements[number].owners++, 0); /* once on the stack */
        counted += c.elements[number].popped;
        left++;
    }
    assert_int_equal(left, count);
    assert_int_equal(counted, popped);
    assert_true(popped >= c.rounds);
}

static void threads_share_few_elements(void **state)
{
    (void)state;
    run_contest(FEW, 0);
}

static void threads_share_many_elements(void **state)
{
    (void)state;
    run_contest(64, 0);
}

static void some_threads_take_all(void **state)
{
    (void)state;
    run_contest(FEW, 1);
    run_contest(64, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_one_comes_first),   cmocka_unit_test(runs_are_pushed_and_popped_whole),
        cmocka_unit_test(all_can_be_taken_at_once),   cmocka_unit_test(the_count_goes_on_across_its_wrap),
        cmocka_unit_test(threads_share_few_elements), cmocka_unit_test(threads_share_many_elements),
        cmocka_unit_test(some_threads_take_all),
    };
    return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
