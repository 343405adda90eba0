/*
 * test_mailbox.c - the mailbox of hl_mailbox.h: order, sleeping protocol, and both under contention.
 *
 * Assertions leave by longjmp, so threads only record what they saw and the test's own thread judges.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "test_support.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hl_mailbox.h"

enum { LOST_MS = 20000 }; /* a wake-up that takes longer is taken for lost */

typedef struct numbered {
    hl_letter letter; /* first: a letter is its numbered */
    uint32_t from;
    uint32_t number;
} numbered;

static uint32_t number_of(const hl_letter *letter)
{
    return ((const numbered *)letter)->number;
}

/* ------------------------------------------------------------------ one thread */

static void test_empty_box_gives_nothing(void **state)
{
    (void)state;
    hl_mailbox m;
    hl_mailbox_init(&m);
    assert_null(hl_mailbox_take(&m));
    assert_null(hl_mailbox_take(&m));
    assert_null(hl_letter_reverse(NULL));
}

static void test_letters_come_in_the_order_of_posting(void **state)
{
    (void)state;
    hl_mailbox m;
    numbered letters[5] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}, {.number = 4}};
    hl_mailbox_init(&m);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++) {
            assert_int_equal(hl_mailbox_post(&m, &letters[i].letter), 0);
        }
        hl_letter *letter = hl_mailbox_take(&m);
        for (uint32_t i = 0; i < 5; i++, letter = letter->next) {
            assert_non_null(letter);
            assert_int_equal(number_of(letter), i);
        }
        assert_null(letter);
        assert_null(hl_mailbox_take(&m));
    }
}

/* What the Go half does: the word at offset 0 is exchanged, and the list reversed later. */
static void test_head_may_be_exchanged_from_outside(void **state)
{
    (void)state;
    hl_mailbox m;
    numbered letters[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    hl_mailbox_init(&m);
    for (int i = 0; i < 3; i++) {
        hl_mailbox_post(&m, &letters[i].letter);
    }
    hl_letter *list = __atomic_exchange_n((hl_letter **)(void *)&m, NULL, __ATOMIC_SEQ_CST);
    assert_ptr_equal(list, &letters[2]);
    assert_null(hl_mailbox_take(&m));
    list = hl_letter_reverse(list);
    for (uint32_t i = 0; i < 3; i++, list = list->next) {
        assert_int_equal(number_of(list), i);
    }
    assert_null(list);
}

static void test_a_consumer_with_letters_may_not_sleep(void **state)
{
    (void)state;
    hl_mailbox m;
    numbered a = {.number = 0}, b = {.number = 1};
    hl_mailbox_init(&m);
    hl_mailbox_post(&m, &a.letter);
    assert_int_equal(hl_mailbox_sleep(&m), 0);
    assert_int_equal(hl_mailbox_post(&m, &b.letter), 0); /* the announcement was taken back: nobody is to be woken */
    assert_non_null(hl_mailbox_take(&m));
    assert_int_equal(hl_mailbox_sleep(&m), 1);
}

static void test_one_post_of_many_wakes(void **state)
{
    (void)state;
    hl_mailbox m;
    numbered letters[4] = {{.number = 0}};
    hl_mailbox_init(&m);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(hl_mailbox_sleep(&m), 1);
        assert_int_equal(hl_mailbox_post(&m, &letters[0].letter), 1);
        assert_int_equal(hl_mailbox_post(&m, &letters[1].letter), 0);
        assert_int_equal(hl_mailbox_nudge(&m), 0);
        hl_mailbox_awake(&m);
        assert_int_equal(hl_mailbox_post(&m, &letters[2].letter), 0);
        assert_non_null(hl_mailbox_take(&m));
    }
}

static void test_nudge_wakes_without_a_letter(void **state)
{
    (void)state;
    hl_mailbox m;
    numbered a = {.number = 0};
    hl_mailbox_init(&m);
    assert_int_equal(hl_mailbox_nudge(&m), 0);
    assert_int_equal(hl_mailbox_sleep(&m), 1);
    assert_int_equal(hl_mailbox_nudge(&m), 1);
    assert_int_equal(hl_mailbox_nudge(&m), 0);
    assert_int_equal(hl_mailbox_post(&m, &a.letter), 0);
    hl_mailbox_awake(&m);
    assert_ptr_equal(hl_mailbox_take(&m), &a.letter);
}

static void test_nobody_wakes_one_who_is_awake(void **state)
{
    (void)state;
    hl_mailbox m;
    numbered a = {.number = 0};
    hl_mailbox_init(&m);
    assert_int_equal(hl_mailbox_sleep(&m), 1);
    hl_mailbox_awake(&m); /* a timeout, say */
    assert_int_equal(hl_mailbox_nudge(&m), 0);
    assert_int_equal(hl_mailbox_post(&m, &a.letter), 0);
}

/* ------------------------------------------------------------------ threads */

/* A mailbox whose consumer really sleeps, on an eventfd. */
typedef struct box {
    hl_mailbox mailbox;
    int eventfd;
    uint64_t sleeps;   /* consumer: calls of hl_mailbox_sleep */
    uint64_t wakes;    /* atomic: posts and nudges that were told to wake */
    int lost;          /* consumer: a wait nobody ended */
} box;

static void box_init(box *b)
{
    *b = (box){.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    assert_true(b->eventfd >= 0);
    hl_mailbox_init(&b->mailbox);
}

static void box_fini(box *b)
{
    close(b->eventfd);
}

static void box_wake(box *b, int told)
{
    if (told) {
        __atomic_fetch_add(&b->wakes, 1, __ATOMIC_RELAXED); /* relaxed: read after the threads were joined */
        eventfd_write(b->eventfd, 1);
    }
}

/* Waits as a loop does; `also` is a word of the caller's that keeps the consumer awake while it is not 0. */
static void box_wait(box *b, const uint32_t *also)
{
    b->sleeps++;
    /* seq_cst: see the top of mailbox.c. */
    if (hl_mailbox_sleep(&b->mailbox) && (also == NULL || __atomic_load_n(also, __ATOMIC_SEQ_CST) == 0)) {
        struct pollfd p = {.fd = b->eventfd, .events = POLLIN};
        eventfd_t value;
        int ready;
        do {
            ready = poll(&p, 1, LOST_MS);
        } while (ready < 0 && errno == EINTR);
        b->lost = ready != 1;
        eventfd_read(b->eventfd, &value);
    }
    hl_mailbox_awake(&b->mailbox);
}

enum { PRODUCERS = 3, LETTERS = 4000 };

typedef struct producer {
    pthread_t thread;
    box *to;
    numbered *letters;
    uint32_t count;
} producer;

static void *produce(void *arg)
{
    producer *p = arg;
    for (uint32_t i = 0; i < p->count; i++) {
        box_wake(p->to, hl_mailbox_post(&p->to->mailbox, &p->letters[i].letter));
    }
    return NULL;
}

static void test_many_producers_one_sleeping_consumer(void **state)
{
    (void)state;
    box b;
    producer producers[PRODUCERS];
    uint32_t next[PRODUCERS] = {0};
    uint32_t count = test_rounds(LETTERS), received = 0, disorder = 0;
    box_init(&b);
    for (uint32_t p = 0; p < PRODUCERS; p++) {
        producers[p] = (producer){.to = &b, .count = count, .letters = calloc(count, sizeof(numbered))};
        assert_non_null(producers[p].letters);
        for (uint32_t i = 0; i < count; i++) {
            producers[p].letters[i].from = p;
            producers[p].letters[i].number = i;
        }
        assert_int_equal(pthread_create(&producers[p].thread, NULL, produce, &producers[p]), 0);
    }
    while (received < PRODUCERS * count && !b.lost) {
        hl_letter *letter = hl_mailbox_take(&b.mailbox);
        if (letter == NULL) {
            box_wait(&b, NULL);
        }
        for (; letter != NULL; letter = letter->next) {
            const numbered *n = (const numbered *)letter;
            disorder += n->number != next[n->from];
            next[n->from] = n->number + 1;
            received++;
        }
    }
    for (uint32_t p = 0; p < PRODUCERS; p++) {
        pthread_join(producers[p].thread, NULL);
        free(producers[p].letters);
    }
    assert_false(b.lost);
    assert_int_equal(received, PRODUCERS * count);
    assert_int_equal(disorder, 0);
    assert_null(hl_mailbox_take(&b.mailbox));
    assert_true(b.wakes <= b.sleeps); /* never two for one sleep */
    box_fini(&b);
}

typedef struct player {
    box *mine;
    box *theirs;
    uint32_t rounds;
    uint32_t disorder;
} player;

/* Sends back every letter, numbered one higher, until `rounds` have come. */
static void *play(void *arg)
{
    player *p = arg;
    for (uint32_t round = 0; round < p->rounds && !p->mine->lost;) {
        hl_letter *letter = hl_mailbox_take(&p->mine->mailbox);
        if (letter == NULL) {
            box_wait(p->mine, NULL);
            continue;
        }
        numbered *n = (numbered *)letter;
        p->disorder += n->number / 2 != round || letter->next != NULL;
        n->number++;
        round++;
        box_wake(p->theirs, hl_mailbox_post(&p->theirs->mailbox, letter));
    }
    return NULL;
}

/* Each side posts once and then sleeps at once: a single lost wake-up stops both. */
static void test_no_wake_up_is_lost_in_ping_pong(void **state)
{
    (void)state;
    box a, b;
    numbered ball = {.number = 0};
    pthread_t thread;
    box_init(&a);
    box_init(&b);
    player here = {.mine = &a, .theirs = &b, .rounds = test_rounds(4000)};
    player there = {.mine = &b, .theirs = &a, .rounds = here.rounds};
    hl_mailbox_post(&a.mailbox, &ball.letter);
    assert_int_equal(pthread_create(&thread, NULL, play, &there), 0);
    play(&here);
    pthread_join(thread, NULL);
    assert_false(a.lost);
    assert_false(b.lost);
    assert_int_equal(here.disorder + there.disorder, 0);
    assert_int_equal(ball.number, 2 * here.rounds);
    assert_true(a.wakes <= a.sleeps && b.wakes <= b.sleeps);
    box_fini(&a);
    box_fini(&b);
}

typedef struct flag {
    box box;
    uint32_t raised; /* atomic: 1 from the request until the consumer has seen it */
    int answer;      /* eventfd: one for each request seen */
    uint32_t rounds;
    int lost; /* requester: an answer that did not come */
} flag;

static void *request(void *arg)
{
    flag *f = arg;
    for (uint32_t round = 0; round < f->rounds && !f->lost; round++) {
        struct pollfd p = {.fd = f->answer, .events = POLLIN};
        eventfd_t value;
        __atomic_store_n(&f->raised, 1, __ATOMIC_SEQ_CST); /* seq_cst: see the top of mailbox.c */
        box_wake(&f->box, hl_mailbox_nudge(&f->box.mailbox));
        f->lost = poll(&p, 1, LOST_MS) != 1;
        eventfd_read(f->answer, &value);
    }
    return NULL;
}

/* A word beside the mailbox and a nudge: the consumer never sleeps over a raised flag. */
static void test_nudge_after_a_flag_is_never_lost(void **state)
{
    (void)state;
    flag f = {.answer = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .rounds = test_rounds(4000)};
    pthread_t thread;
    uint32_t seen = 0;
    box_init(&f.box);
    assert_int_equal(pthread_create(&thread, NULL, request, &f), 0);
    while (seen < f.rounds && !f.box.lost) {
        if (__atomic_exchange_n(&f.raised, 0, __ATOMIC_SEQ_CST) == 0) {
            box_wait(&f.box, &f.raised);
        } else {
            seen++;
            eventfd_write(f.answer, 1);
        }
    }
    pthread_join(thread, NULL);
    assert_false(f.box.lost);
    assert_false(f.lost);
    assert_int_equal(seen, f.rounds);
    assert_true(f.box.wakes <= f.box.sleeps);
    close(f.answer);
    box_fini(&f.box);
}

/* Two threads that start each round at the same moment. */
typedef struct race {
    hl_mailbox mailbox;
    numbered letter;
    uint32_t arrived; /* atomic: arrivals at the barrier so far */
    uint32_t rounds;
    int told; /* poster's result of this round */
} race;

static void meet(race *r, uint32_t arrivals)
{
    /* acq_rel and acquire: what each did before the barrier is seen by the other after it. */
    __atomic_fetch_add(&r->arrived, 1, __ATOMIC_ACQ_REL);
    for (uint32_t spins = 0; __atomic_load_n(&r->arrived, __ATOMIC_ACQUIRE) < arrivals; spins++) {
        if (spins > 1000) {
            sched_yield(); /* on one core, or under valgrind, the other needs this one */
        }
    }
}

/* Shifts the two sides against each other by a few nanoseconds, differently in each round. */
static void stagger(uint32_t steps)
{
    for (volatile uint32_t i = 0; i < steps; i++) {
    }
}

static void *race_post(void *arg)
{
    race *r = arg;
    for (uint32_t round = 0; round < r->rounds; round++) {
        meet(r, 4 * round + 2);
        stagger(round % 17);
        r->told = hl_mailbox_post(&r->mailbox, &r->letter.letter);
        meet(r, 4 * round + 4);
    }
    return NULL;
}

/* The store-buffering test: of a post and a sleep at the same moment, one must notice the other. */
static void test_post_and_sleep_at_once_notice_each_other(void **state)
{
    (void)state;
    race r = {.rounds = test_rounds(20000)};
    pthread_t thread;
    uint32_t unnoticed = 0;
    hl_mailbox_init(&r.mailbox);
    assert_int_equal(pthread_create(&thread, NULL, race_post, &r), 0);
    for (uint32_t round = 0; round < r.rounds; round++) {
        meet(&r, 4 * round + 2);
        stagger(round % 13);
        int may_sleep = hl_mailbox_sleep(&r.mailbox);
        meet(&r, 4 * round + 4);
        unnoticed += may_sleep && !r.told;
        hl_mailbox_awake(&r.mailbox);
        hl_mailbox_take(&r.mailbox);
    }
    pthread_join(thread, NULL);
    assert_int_equal(unnoticed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_box_gives_nothing),
        cmocka_unit_test(test_letters_come_in_the_order_of_posting),
        cmocka_unit_test(test_head_may_be_exchanged_from_outside),
        cmocka_unit_test(test_a_consumer_with_letters_may_not_sleep),
        cmocka_unit_test(test_one_post_of_many_wakes),
        cmocka_unit_test(test_nudge_wakes_without_a_letter),
        cmocka_unit_test(test_nobody_wakes_one_who_is_awake),
        cmocka_unit_test(test_post_and_sleep_at_once_notice_each_other),
        cmocka_unit_test(test_many_producers_one_sleeping_consumer),
        cmocka_unit_test(test_no_wake_up_is_lost_in_ping_pong),
        cmocka_unit_test(test_nudge_after_a_flag_is_never_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
