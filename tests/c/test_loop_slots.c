/*
 * test_loop_slots.c - listeners, watched descriptors and timers, and waiting.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "loop_fixture.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int listen_on_loopback(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static int connect_to(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)at, sizeof *at), 0);
    return fd;
}

static hl_handle push_slot(fixture *f, uint8_t code, int fd, uint16_t flags, uint64_t len)
{
    hl_handle h = hl_loop_reserve(f->loop);
    push(f, (hl_op){.code = code, .handle = h, .arg = fd, .flags = flags, .len = len, .user = 7});
    return h;
}

/* ------------------------------------------------------------------ listeners */

static void accepts_with_the_peers_address(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    struct sockaddr_in at, peer;
    hl_handle h = push_slot(f, HL_OP_LISTEN, listen_on_loopback(&at), 0, 0);
    for (int i = 0; i < 3; i++) {
        int fd = connect_to(&at);
        socklen_t len = sizeof peer;
        assert_int_equal(getsockname(fd, (struct sockaddr *)&peer, &len), 0);
        hl_event e = expect(f, HL_EV_ACCEPT, h);
        assert_int_equal(e.len, sizeof peer);
        assert_int_equal(((struct sockaddr_in *)e.data)->sin_port, peer.sin_port);
        assert_int_equal(fcntl(e.result, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(e.result, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        close(e.result);
        close(fd);
    }
    push_code(f, h, HL_OP_CLOSE, 0);
    assert_int_equal(expect(f, HL_EV_CLOSED, h).user, 7);
    assert_int_equal(loop_stats(f).accepted, 3);
    close_fixture(f);
}

static void running_out_of_descriptors_pauses_accepting(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    struct sockaddr_in at;
    struct rlimit old; /* io_uring looks at the limit when accepting begins */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit tight = {.rlim_cur = 256, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    hl_handle h = push_slot(f, HL_OP_LISTEN, listen_on_loopback(&at), 0, 0);
    int fd = connect_to(&at);
    turn(f);
    hl_event e = expect(f, HL_EV_ACCEPT, h);
    close(e.result);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int filler[256], fillers = 0;
    while ((filler[fillers] = dup(fd)) >= 0)
        fillers++;
    assert_int_equal(errno, EMFILE);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    e = expect(f, HL_EV_ACCEPT_ERROR, h);
    assert_int_equal(e.result, -EMFILE);
    uint64_t turns = loop_stats(f).turns;
    hl_loop_enter(f->loop, 20, 0); /* it sleeps: the pause is no busy loop */
    assert_int_equal(loop_stats(f).turns, turns + 1);
    assert_int_equal(loop_stats(f).accept_pauses, 1);
    while (fillers > 0)
        close(filler[--fillers]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    /* valgrind plays the limit by accepting, closing and reporting EMFILE: there, and only there, it takes another */
    const char *preload = getenv("LD_PRELOAD");
    int other = preload != NULL && strstr(preload, "vgpreload") ? connect_to(&at) : -1;
    e = expect(f, HL_EV_ACCEPT, h); /* the connection has waited in the kernel */
    close(e.result);
    close(fd);
    if (other >= 0)
        close(other);
    close_fixture(f);
}

static void listening_on_nonsense_ends_the_slot(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = push_slot(f, HL_OP_LISTEN, fd[0], 0, 0);
    peer_write(fd[1], "x", 1);
    assert_int_equal(expect(f, HL_EV_CLOSED, h).result, -EINVAL);
    close(fd[1]);
    close_fixture(f);
}

static void unconsumed_accepts_do_not_leak(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    struct sockaddr_in at;
    push_slot(f, HL_OP_LISTEN, listen_on_loopback(&at), 0, 0);
    int fd = connect_to(&at);
    turn(f);
    turn(f);
    close(fd);
    close_fixture(f);
}

/* ------------------------------------------------------------------ watched descriptors */

static void watches_level_triggered(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = push_slot(f, HL_OP_WATCH, fd[0], HL_READABLE, 0);
    peer_write(fd[1], "ab", 2);
    char c;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(expect(f, HL_EV_READY, h).flags, HL_READABLE);
        assert_int_equal(read(fd[0], &c, 1), 1);
    }
    turn(f);
    assert_int_equal(pop(f).type, 0);
    push(f, (hl_op){.code = HL_OP_REWATCH, .handle = h, .flags = HL_WRITABLE});
    assert_int_equal(expect(f, HL_EV_READY, h).flags, HL_WRITABLE);
    push(f, (hl_op){.code = HL_OP_REWATCH, .handle = h, .flags = 0});
    turn(f);
    while (pop(f).type != 0)
        ;
    turn(f);
    assert_int_equal(pop(f).type, 0);
    push_code(f, h, HL_OP_CLOSE, 0);
    expect(f, HL_EV_CLOSED, h);
    assert_true(is_open(fd[0])); /* it stays the caller's */
    close(fd[0]);
    close(fd[1]);
    close_fixture(f);
}

static void watching_reports_hang_up(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    hl_handle h = push_slot(f, HL_OP_WATCH, fd[0], HL_TROUBLE, 0);
    assert_int_equal(write(fd[1], "x", 1), 1); /* nobody asked for that */
    turn(f);
    assert_int_equal(pop(f).type, 0);
    close(fd[1]);
    assert_int_equal(expect(f, HL_EV_READY, h).flags, HL_TROUBLE);
    push_code(f, h, HL_OP_CLOSE, 0);
    while (next(f).type != HL_EV_CLOSED)
        ;
    close(fd[0]);
    close_fixture(f);
}

static void what_cannot_be_watched_is_refused(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(hl_fd_pollable(file), -EPERM);
    assert_int_equal(expect(f, HL_EV_CLOSED, push_slot(f, HL_OP_WATCH, file, HL_READABLE, 0)).result, -EPERM);
    close(file);
    assert_int_equal(hl_fd_pollable(file), -EBADF);
    int fd[2];
    make_pair(fd);
    assert_int_equal(hl_fd_pollable(fd[0]), 0);
    close(fd[0]);
    close(fd[1]);
    close_fixture(f);
}

/* The number of a closed descriptor comes back at once: the old registration must not get the new one's events. */
static void a_reused_number_never_reaches_the_old_slot(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    for (int i = 0; i < 100; i++) {
        int fd[2], reused[2];
        make_pair(fd);
        hl_handle old = push_slot(f, HL_OP_WATCH, fd[0], HL_READABLE, 0);
        turn(f);
        push_code(f, old, HL_OP_CLOSE, 0);
        close(fd[0]);
        close(fd[1]);
        make_pair(reused);
        hl_handle h = push_slot(f, HL_OP_WATCH, reused[0], HL_READABLE, 0);
        peer_write(reused[1], "x", 1);
        expect(f, HL_EV_CLOSED, old);
        expect(f, HL_EV_READY, h);
        push_code(f, h, HL_OP_CLOSE, 0);
        hl_event e;
        while ((e = next(f)).type == HL_EV_READY)
            assert_int_equal(e.handle, h);
        close(reused[0]);
        close(reused[1]);
    }
    close_fixture(f);
}

/* epoll(7), question 6: the set keeps an entry that cannot be removed any more, because a duplicate lives on. */
static void an_entry_that_cannot_be_removed_does_not_spin(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2], other[2];
    make_pair(fd);
    make_pair(other);
    hl_handle h = push_slot(f, HL_OP_WATCH, fd[0], HL_READABLE, 0);
    hl_handle live = push_slot(f, HL_OP_WATCH, other[0], HL_READABLE, 0);
    turn(f);
    int duplicate = dup(fd[0]);
    close(fd[0]);
    push_code(f, h, HL_OP_CLOSE, 0); /* too late: EBADF */
    expect(f, HL_EV_CLOSED, h);
    peer_write(fd[1], "x", 1);
    for (int i = 0; i < 3; i++)
        turn(f);
    assert_true(loop_stats(f).stale_events >= 1);
    uint64_t seen = loop_stats(f).stale_events;
    hl_loop_enter(f->loop, 20, 0);
    assert_int_equal(loop_stats(f).stale_events, seen); /* the set was made anew */
    peer_write(other[1], "y", 1);
    expect(f, HL_EV_READY, live); /* and has kept the others */
    close(duplicate);
    close(fd[1]);
    close(other[0]);
    close(other[1]);
    close_fixture(f);
}

/* ------------------------------------------------------------------ timers and waiting */

/* Order, not time: what is due first comes first, what was switched off does not come. */
static void a_watched_descriptor_has_a_timer(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), other = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    hl_handle h = push_slot(f, HL_OP_WATCH, fd, HL_READABLE, 0), h2 = push_slot(f, HL_OP_WATCH, other, HL_READABLE, 0);
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = h, .len = 1});
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = h2, .len = 30});
    expect(f, HL_EV_TIMEOUT, h);
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = h, .len = 1});
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = h, .arg = HL_TIMER_OFF});
    expect(f, HL_EV_TIMEOUT, h2);
    assert_int_equal(write(fd, &(uint64_t){1}, 8), 8); /* it is still watched */
    expect(f, HL_EV_READY, h);
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = h, .len = 60000});
    push_code(f, h, HL_OP_CLOSE, 0);
    expect(f, HL_EV_CLOSED, h);
    close(fd);
    close(other);
    close_fixture(f);
}

static void timers_fire_not_before_their_time(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int64_t start = now_ms();
    hl_handle late = push_slot(f, HL_OP_TIMER, 0, 0, 40), soon = push_slot(f, HL_OP_TIMER, 0, 0, 10);
    expect(f, HL_EV_TIMEOUT, soon);
    assert_true(now_ms() - start >= 10);
    expect(f, HL_EV_TIMEOUT, late);
    assert_true(now_ms() - start >= 40);
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = soon, .len = 1});
    expect(f, HL_EV_TIMEOUT, soon);
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = soon, .len = 60000});
    push_code(f, soon, HL_OP_CLOSE, 0);
    expect(f, HL_EV_CLOSED, soon);
    close_fixture(f);
}

static void waits_no_longer_than_asked(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int64_t start = now_ms();
    assert_int_equal(hl_loop_enter(f->loop, 20, 0), 0);
    assert_true(now_ms() - start >= 19);
    assert_int_equal(loop_stats(f).waits, 1);
    close_fixture(f);
}

static void *wake_it(void *arg)
{
    hl_loop_wake(arg);
    return NULL;
}

static void a_wake_reaches_this_wait_or_the_next(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    hl_loop_wake(f->loop);                              /* before it sleeps */
    assert_int_equal(hl_loop_enter(f->loop, -1, 0), 0); /* would never return if it were forgotten */
    for (int i = 0; i < 200; i++) {
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, wake_it, f->loop), 0);
        assert_int_equal(hl_loop_enter(f->loop, -1, 0), 0);
        pthread_join(t, NULL);
        hl_loop_wake(f->loop); /* any remembered one is used up here */
        assert_int_equal(hl_loop_enter(f->loop, -1, 0), 0);
    }
    close_fixture(f);
}

/* What comes much too late comes after something else. */
static void waits_end_when_they_should(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    hl_handle late = push_slot(f, HL_OP_TIMER, 0, 0, 10000);
    int later = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    assert_int_equal(timerfd_settime(later, 0, &(struct itimerspec){.it_value.tv_sec = 3}, NULL), 0);
    hl_handle watch = push_slot(f, HL_OP_WATCH, later, HL_READABLE, 0);
    turn(f);
    assert_int_equal(hl_loop_enter(f->loop, 20, 0), 0); /* because it was asked to, not because of a timer */
    push_code(f, watch, HL_OP_CLOSE, 0);
    expect(f, HL_EV_CLOSED, watch);
    close(later);
    hl_handle soon = push_slot(f, HL_OP_TIMER, 0, 0, 10);
    expect(f, HL_EV_TIMEOUT, soon);
    assert_int_equal(pop(f).type, 0);
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = soon, .len = 10});
    int r;
    while ((r = hl_loop_enter(f->loop, 20000, 0)) ==
           0) /* because of the timer; on the way the wheel may have to turn */
        ;
    assert_int_equal(r, 1);
    expect(f, HL_EV_TIMEOUT, soon);
    assert_int_equal(pop(f).type, 0);
    push_code(f, late, HL_OP_CLOSE, 0);
    expect(f, HL_EV_CLOSED, late);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_with_the_peers_address),
        cmocka_unit_test(running_out_of_descriptors_pauses_accepting),
        cmocka_unit_test(listening_on_nonsense_ends_the_slot),
        cmocka_unit_test(unconsumed_accepts_do_not_leak),
        cmocka_unit_test(watches_level_triggered),
        cmocka_unit_test(watching_reports_hang_up),
        cmocka_unit_test(what_cannot_be_watched_is_refused),
        cmocka_unit_test(a_reused_number_never_reaches_the_old_slot),
        cmocka_unit_test(an_entry_that_cannot_be_removed_does_not_spin),
        cmocka_unit_test(timers_fire_not_before_their_time),
        cmocka_unit_test(a_watched_descriptor_has_a_timer),
        cmocka_unit_test(waits_no_longer_than_asked),
        cmocka_unit_test(a_wake_reaches_this_wait_or_the_next),
        cmocka_unit_test(waits_end_when_they_should),
    };
    return cmocka_run_group_tests_name("loop_slots", tests, NULL, NULL);
}
