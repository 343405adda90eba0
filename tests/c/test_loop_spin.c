/*
 * test_loop_spin.c - staying awake before sleeping: what it finds, what it costs, when it stops. Everything is counted;
 * nothing is timed.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "loop_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#define MOST 1000 /* us */

static fixture *open_spinning(uint32_t spin_us)
{
    return open_fixture(&(hl_loop_config){.spin_us = spin_us});
}

static hl_loop_stats stats(fixture *f)
{
    hl_loop_stats s;
    hl_loop_stats_read(f->loop, &s);
    return s;
}

/* A turn that finds nothing; 1 when it spun. It slept in any case. */
static int idle_turn(fixture *f)
{
    hl_loop_stats before = stats(f);
    assert_int_equal(hl_loop_enter(f->loop, 1, 0), 0);
    hl_loop_stats after = stats(f);
    assert_int_equal(after.waits, before.waits + 1);
    assert_int_equal(after.spin_hits, before.spin_hits);
    return (int)(after.spins - before.spins);
}

/* Turns until the budget is used up; returns how many spun. */
static int tire(fixture *f)
{
    int spun = 0;
    while (idle_turn(f)) {
        spun++;
        assert_in_range(spun, 1, 10); /* 1000 halved ten times is 0 */
    }
    return spun;
}

/* A connected stream, and its peer's end in *peer; the loop has taken it up. */
static hl_handle connect_stream(fixture *f, int *peer)
{
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    *peer = fd[1];
    assert_int_equal(hl_loop_enter(f->loop, 0, 0), 0);
    return h;
}

/* One byte comes before the turn begins; it is delivered. */
static void busy_turn(fixture *f, hl_handle h, int peer)
{
    assert_int_equal(write(peer, "x", 1), 1);
    hl_event e = expect(f, HL_EV_DATA, h);
    assert_int_equal(e.len, 1);
}

static void by_default_nothing_spins(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int peer;
    hl_handle h = connect_stream(f, &peer);
    busy_turn(f, h, peer);
    assert_int_equal(idle_turn(f), 0);
    assert_int_equal(stats(f).spins, 0);
    close(peer);
    close_fixture(f);
}

static void out_of_bounds_is_refused(void **state)
{
    (void)state;
    hl_slab *slab = hl_slab_new(0);
    int error = 0;
    assert_null(hl_loop_new(&(hl_loop_config){.slab = slab, .spin_us = MOST + 1}, &error));
    assert_int_equal(error, -EINVAL);
    assert_int_equal(hl_slab_free(slab), 0);
}

static void what_is_ready_is_found_without_sleeping(void **state)
{
    (void)state;
    fixture *f = open_spinning(MOST);
    int peer;
    hl_handle h = connect_stream(f, &peer);
    for (uint64_t i = 1; i <= 100; i++) {
        busy_turn(f, h, peer);
        hl_loop_stats s = stats(f);
        assert_int_equal(s.spin_hits, i);
        assert_int_equal(s.spins, i);
        assert_int_equal(s.waits, 0);
    }
    close(peer);
    close_fixture(f);
}

static void an_idle_loop_stops_spinning(void **state)
{
    (void)state;
    for (uint32_t most = 1; most <= MOST; most *= 10) {
        fixture *f = open_spinning(most);
        int spun = tire(f);
        assert_in_range(spun, 1, 10);
        for (int i = 0; i < 20; i++)
            assert_int_equal(idle_turn(f), 0); /* and goes on not to */
        close_fixture(f);
    }
}

/* What is found gives back what was lost: from 500 us to 1000, which takes as long to tire as ever. */
static void a_find_restores_the_budget(void **state)
{
    (void)state;
    fixture *f = open_spinning(MOST);
    int peer;
    hl_handle h = connect_stream(f, &peer);
    assert_int_equal(idle_turn(f), 1);
    busy_turn(f, h, peer);
    assert_int_equal(tire(f), 10);
    close(peer);
    close_fixture(f);
}

static void on_alarm(int number)
{
    (void)number;
}

/* Signals cut waits short, as Go's do to preempt; that is no reason to stay awake. */
static void a_signal_is_no_reason_to_spin(void **state)
{
    (void)state;
    struct sigaction alarm = {.sa_handler = on_alarm};                       /* it stays: one may still be on its way */
    struct itimerval often = {{0, 400}, {0, 400}}, never = {{0, 0}, {0, 0}}; /* s, us */
    fixture *f = open_spinning(MOST);
    assert_int_equal(sigaction(SIGALRM, &alarm, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(tire(f), 10);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    close_fixture(f);
}

/* Timers wake an idle loop and are no reason to stay awake. */
static void a_timer_is_no_reason_to_spin(void **state)
{
    (void)state;
    fixture *f = open_spinning(MOST);
    tire(f);
    hl_handle h = hl_loop_reserve(f->loop);
    for (int i = 0; i < 5; i++) {
        push(f, (hl_op){.code = HL_OP_TIMER, .handle = h, .len = 1});
        uint64_t spins = stats(f).spins;
        expect(f, HL_EV_TIMEOUT, h);
        assert_int_equal(stats(f).spins, spins);
    }
    close_fixture(f);
}

/* With messages that are there as soon as it sleeps, a loop that had stopped spinning begins again. How soon is up to
 * the scheduler; that it never does is the failure. */
static void a_busy_loop_spins_again(void **state)
{
    (void)state;
    fixture *f = open_spinning(MOST);
    int peer;
    hl_handle h = connect_stream(f, &peer);
    tire(f);
    uint64_t hits = stats(f).spin_hits;
    for (int i = 0; i < 10000 && stats(f).spin_hits == hits; i++)
        busy_turn(f, h, peer);
    assert_true(stats(f).spin_hits > hits);
    close(peer);
    close_fixture(f);
}

/* A turn that is not to wait, or has work, does not spin either. */
static void without_a_wait_there_is_no_spin(void **state)
{
    (void)state;
    fixture *f = open_spinning(MOST);
    for (int i = 0; i < 5; i++)
        assert_int_equal(hl_loop_enter(f->loop, 0, 0), 0);
    hl_handle h = hl_loop_reserve(f->loop);
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = h, .len = 0});
    expect(f, HL_EV_TIMEOUT, h);
    assert_int_equal(stats(f).spins, 0);
    close_fixture(f);
}

/* A letter ends a spin as it ends a sleep, and so does a wake-up, once. */
static void letters_and_wake_ups_end_a_spin(void **state)
{
    (void)state;
    fixture *f = open_spinning(MOST);
    hl_handle h = hl_loop_reserve(f->loop);
    assert_int_equal(hl_loop_enter(f->loop, 0, 0), 0);
    hl_loop_wake(f->loop);
    assert_int_equal(hl_loop_enter(f->loop, -1, 0), 0);
    hl_loop_stats s = stats(f);
    assert_int_equal(s.spin_hits, 1);
    assert_int_equal(s.waits, 0);
    idle_turn(f); /* the wake-up has been used up */
    assert_int_equal(hl_loop_post(f->loop, &(hl_op){.code = HL_OP_TIMER, .handle = h, .len = 0}), 0);
    expect(f, HL_EV_TIMEOUT, h);
    close_fixture(f);
}

static void *wake_sleeper(void *p)
{
    fixture *f = p;
    while (stats(f).waits == 0)
        sched_yield(); /* counted when it goes to sleep */
    hl_loop_wake(f->loop);
    return NULL;
}

/* A wake-up that has ended a sleep does not keep the next turn from sleeping. */
static void a_wake_up_ends_one_sleep(void **state)
{
    (void)state;
    fixture *f = open_spinning(0);
    pthread_t waker;
    assert_int_equal(pthread_create(&waker, NULL, wake_sleeper, f), 0);
    assert_int_equal(hl_loop_enter(f->loop, -1, 0), 0);
    pthread_join(waker, NULL);
    assert_int_equal(stats(f).waits, 1);
    idle_turn(f);
    close_fixture(f);
}

#define LETTERS 20000

static void *post_letters(void *p)
{
    fixture *f = p;
    for (int i = 0; i < LETTERS; i++)
        while (hl_loop_post(f->loop, &(hl_op){.code = HL_OP_READ, .handle = 0}) != 0)
            sched_yield();
    hl_loop_wake(f->loop); /* a turn may take the last letters and then wait */
    return NULL;
}

/* Another thread posts while the loop spins, falls asleep, sleeps: no letter is overlooked, and no wake-up. */
static void no_letter_is_overlooked(void **state)
{
    (void)state;
    fixture *f = open_spinning(20);
    pthread_t poster;
    assert_int_equal(pthread_create(&poster, NULL, post_letters, f), 0);
    while (stats(f).letters < LETTERS)
        assert_true(hl_loop_enter(f->loop, -1, 0) >= 0); /* hangs if one is */
    pthread_join(poster, NULL);
    assert_int_equal(stats(f).letters, LETTERS);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_default_nothing_spins),
        cmocka_unit_test(out_of_bounds_is_refused),
        cmocka_unit_test(what_is_ready_is_found_without_sleeping),
        cmocka_unit_test(an_idle_loop_stops_spinning),
        cmocka_unit_test(a_find_restores_the_budget),
        cmocka_unit_test(a_signal_is_no_reason_to_spin),
        cmocka_unit_test(a_timer_is_no_reason_to_spin),
        cmocka_unit_test(a_busy_loop_spins_again),
        cmocka_unit_test(without_a_wait_there_is_no_spin),
        cmocka_unit_test(letters_and_wake_ups_end_a_spin),
        cmocka_unit_test(a_wake_up_ends_one_sleep),
        cmocka_unit_test(no_letter_is_overlooked),
    };
    return cmocka_run_group_tests_name("loop_spin", tests, NULL, NULL);
}
