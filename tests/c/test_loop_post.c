/*
 * test_loop_post.c - what other threads may do to a loop: post, reserve, wake; and the order that results.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "loop_fixture.h"

#include <pthread.h>
#include <sched.h>

static void posted_bytes_are_copied(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    char text[] = "posted";
    hl_op op = {.code = HL_OP_SEND, .handle = h, .data = text, .len = 6};
    assert_int_equal(hl_loop_post(f->loop, &op), 0);
    memset(text, '?', sizeof text);
    peer_expect(f, fd[1], "posted", 6);
    assert_int_equal(hl_loop_stream_stats(f->loop, h)->posted, 6 + HL_LETTER_COST);
    assert_int_equal(loop_stats(f).letters, 1);
    close(fd[1]);
    close_fixture(f);
}

static void posted_blocks_are_counted(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    hl_block *kept = hl_slab_get(f->slab, 10), *given = hl_slab_get(f->slab, 10);
    memcpy(hl_block_data(kept), "kept", 4);
    memcpy(hl_block_data(given), "given", 5);
    hl_op op = {
        .code = HL_OP_SEND, .handle = h, .data = hl_block_data(kept), .len = 4, .block = kept, .flags = HL_KEEP};
    assert_int_equal(hl_loop_post(f->loop, &op), 0);
    hl_block_unref(kept); /* the post has taken a reference of its own */
    op = (hl_op){
        .code = HL_OP_SEND, .handle = h, .data = hl_block_data(given), .len = 5, .block = given, .flags = HL_GIVE};
    assert_int_equal(hl_loop_post(f->loop, &op), 0);
    peer_expect(f, fd[1], "keptgiven", 9);
    close(fd[1]);
    close_fixture(f);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    assert_int_equal(hl_loop_post(f->loop, &(hl_op){.code = 0}), -EINVAL);
    assert_int_equal(hl_loop_post(f->loop, &(hl_op){.code = HL_OP_LETTERS}), -EINVAL);
    assert_int_equal(hl_loop_post(f->loop, &(hl_op){.code = HL_OP_SEND, .flags = HL_GIVE}), -EINVAL);
    hl_block *b = hl_slab_get(f->slab, 1);
    assert_int_equal(hl_loop_post(f->loop, &(hl_op){.code = HL_OP_SEND, .block = b, .flags = HL_GIVE | HL_KEEP}),
                     -EINVAL);
    hl_block_unref(b);
    close_fixture(f);
}

/* The owner's way to order its own operations behind letters: see "Order" in hl_loop.h. */
static void letters_can_be_queued_in_order(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    push_send(f, h, "1", 1);
    hl_op op = {.code = HL_OP_SEND, .handle = h, .data = "2", .len = 1};
    assert_int_equal(hl_loop_post(f->loop, &op), 0);
    op.data = "3";
    assert_int_equal(hl_loop_post(f->loop, &op), 0);
    hl_letter *list = __atomic_exchange_n(&f->sh->mailbox.head, NULL, __ATOMIC_ACQ_REL);
    push(f, (hl_op){.code = HL_OP_LETTERS, .data = list});
    push_send(f, h, "4", 1);
    op.data = "5";
    assert_int_equal(hl_loop_post(f->loop, &op), 0);
    push_send(f, h, "*", 1); /* queued without looking: before what is still in the mailbox */
    peer_expect(f, fd[1], "1234*5", 6);
    close(fd[1]);
    close_fixture(f);
}

enum { THREADS = 3 };

static uint32_t posts(void)
{
    return test_rounds(2000);
}

typedef struct poster {
    hl_loop *loop;
    hl_handle handle;
    uint8_t id;
} poster;

static void *post_many(void *arg)
{
    poster *p = arg;
    for (uint32_t i = 0, n = posts(); i < n; i++) {
        uint8_t record[4] = {p->id, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        hl_op op = {.code = HL_OP_SEND, .handle = p->handle, .data = record, .len = sizeof record};
        if (hl_loop_post(p->loop, &op) < 0)
            abort();
    }
    return NULL;
}

static void many_threads_keep_their_order_and_wake_a_sleeping_loop(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    turn(f);
    pthread_t t[THREADS];
    poster p[THREADS];
    for (int i = 0; i < THREADS; i++) {
        p[i] = (poster){f->loop, h, (uint8_t)i};
        assert_int_equal(pthread_create(&t[i], NULL, post_many, &p[i]), 0);
    }
    uint32_t seen[THREADS] = {0}, total = 0;
    uint8_t record[4];
    size_t have = 0;
    while (total < THREADS * posts()) {
        ssize_t r = peer_read(fd[1], record + have, sizeof record - have);
        if (r <= 0) {
            assert_true(hl_loop_enter(f->loop, 100, 0) >= 0); /* the last bytes may have left within it */
            continue;
        }
        have += (size_t)r;
        if (have < sizeof record)
            continue;
        have = 0;
        assert_true(record[0] < THREADS);
        assert_int_equal((uint32_t)record[1] << 16 | (uint32_t)record[2] << 8 | record[3], seen[record[0]]++);
        total++;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    assert_true(loop_stats(f).wakeups <= loop_stats(f).waits);
    close(fd[1]);
    close_fixture(f);
}

static void *reserve_and_cancel(void *arg)
{
    hl_handle held[8];
    for (uint32_t round = posts() / 8; round > 0; round--) {
        for (int i = 0; i < 8; i++)
            if ((held[i] = hl_loop_reserve(arg)) == 0)
                abort();
        for (int i = 0; i < 8; i++)
            hl_loop_cancel(arg, held[i]);
    }
    return NULL;
}

static void slots_are_reserved_by_any_thread(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.slots = 8 * THREADS});
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&t[i], NULL, reserve_and_cancel, f->loop), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    hl_handle all[8 * THREADS];
    for (int i = 0; i < 8 * THREADS; i++) {
        all[i] = hl_loop_reserve(f->loop);
        assert_int_not_equal(all[i], 0);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(hl_handle_index(all[i]), hl_handle_index(all[j]));
    }
    assert_int_equal(hl_loop_reserve(f->loop), 0); /* config.slots are in use */
    hl_loop_cancel(f->loop, all[3]);
    hl_handle again = hl_loop_reserve(f->loop);
    assert_int_equal(hl_handle_index(again), hl_handle_index(all[3]));
    assert_int_not_equal(again, all[3]);
    hl_loop_cancel(f->loop, all[3]); /* void: nothing happens */
    assert_int_equal(loop_stats(f).slots, 8 * THREADS);
    close_fixture(f);
}

typedef struct waker {
    fixture *f;
    hl_handle stream;
    int peer;
    int unheard; /* the letter was posted and nothing came of it */
} waker;

static void *post_to_a_sleeper(void *arg)
{
    waker *w = arg;
    while (!__atomic_load_n(&w->f->sh->mailbox.sleeping, __ATOMIC_ACQUIRE)) /* all that it did before */
        sched_yield();
    hl_op op = {.code = HL_OP_SEND, .handle = w->stream, .data = "wake up", .len = 7};
    struct pollfd answer = {.fd = w->peer, .events = POLLIN};
    w->unheard = hl_loop_post(w->f->loop, &op) != 0 || poll(&answer, 1, 10000) != 1;
    hl_loop_wake(w->f->loop); /* lets it go on, whatever became of the letter */
    return NULL;
}

/* A loop that sleeps without a limit has nothing but the letter to wake it. */
static void a_letter_wakes_a_loop_that_sleeps(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    pthread_t t;
    make_pair(fd);
    waker w = {.f = f, .stream = attach(f, fd[0], 0), .peer = fd[1]};
    turn(f);
    assert_int_equal(pthread_create(&t, NULL, post_to_a_sleeper, &w), 0);
    assert_true(hl_loop_enter(f->loop, -1, 0) >= 0);
    turn(f); /* sends it, if the wake-up came before the letter was read */
    pthread_join(t, NULL);
    assert_false(w.unheard);
    close(fd[1]);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posted_bytes_are_copied),
        cmocka_unit_test(posted_blocks_are_counted),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(letters_can_be_queued_in_order),
        cmocka_unit_test(many_threads_keep_their_order_and_wake_a_sleeping_loop),
        cmocka_unit_test(slots_are_reserved_by_any_thread),
        cmocka_unit_test(a_letter_wakes_a_loop_that_sleeps),
    };
    return cmocka_run_group_tests_name("loop_post", tests, NULL, NULL);
}
