/*
 * test_faults_birth.c - every call fails once while a slab and a loop are made and freed: what cannot be had is refused
 * with a reason, or done without; and nothing of what had been made is left.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault_echo.h"

static uint32_t one_thread;

/* A loop as full of unfinished things as can be: a stream that does not read, one whose output waits, a listener, a
 * watch, a timer, an operation and a letter not yet performed, events not yet read. */
static void fill(fixture *f, int outside[4])
{
    static uint8_t big[200000];
    hl_handle h[4];
    for (int i = 0; i < 4; i++) {
        int fd[2];
        make_pair(fd);
        outside[i] = fd[1];
        peer_write(fd[1], "unread", 6);
        h[i] = hl_loop_reserve(f->loop);
        if (h[i] == 0) {
            close(fd[0]);
            continue;
        }
        if (i < 2)
            push(f, (hl_op){.code = HL_OP_ATTACH, .handle = h[i], .arg = fd[0]});
        else if (i == 2)
            push(f, (hl_op){.code = HL_OP_LISTEN, .handle = h[i], .arg = fd[0]});
        else if (hl_loop_post(f->loop, &(hl_op){.code = HL_OP_ATTACH, .handle = h[i], .arg = fd[0]}) < 0)
            close(fd[0]);
    }
    if (h[0] != 0)
        push_send(f, h[0], big, sizeof big);
    (void)hl_loop_enter(f->loop, 0, 0);
    (void)hl_loop_enter(f->loop, 0, 0);
    hl_handle late = hl_loop_reserve(f->loop);
    if (late != 0)
        push(f, (hl_op){.code = HL_OP_TIMER, .handle = late, .len = 60000});
}

/* Nobody holds the other end any more, neither a descriptor nor a request in a ring. Of a ring that can be asked for
 * nothing the kernel disposes in its own time. */
static void expect_closed(int fd)
{
    static uint8_t rest[200000];
    struct pollfd soon = {.fd = fd, .events = POLLIN};
    ssize_t n;
    do {
        if (fault_harm_done() == FAULT_ENDS_LOOP)
            assert_int_equal(poll(&soon, 1, 10000), 1);
        n = peer_read(fd, rest, sizeof rest);
    } while (n > 0);
    assert_true(n == 0 || errno == ECONNRESET);
    close(fd);
}

/* A slab, a loop, what it holds, and their end. */
static void life(void)
{
    fixture f = {.descriptors = count_descriptors()};
    int backend = strcmp(getenv("HL_TEST_BACKEND"), "epoll") == 0 ? HL_BACKEND_EPOLL : HL_BACKEND_URING;
    int error = 1, outside[4];
    fault_arm();
    f.slab = hl_slab_new(0);
    if (f.slab == NULL) {
        assert_int_not_equal(fault_harm_done(), FAULT_HARMLESS);
        return;
    }
    hl_loop_config c = {.slab = f.slab, .backend = backend, .one_thread = one_thread, .busy_poll_us = 10};
    f.loop = hl_loop_new(&c, &error);
    if (f.loop != NULL) {
        const char *step;
        assert_int_equal(error, 0);
        int why = hl_loop_backend_error(f.loop, &step);
        assert_true(why == 0 || (fault_injected() != NULL && step != NULL));
        f.sh = hl_loop_shared(f.loop);
        fill(&f, outside);
        hl_loop_free(f.loop);
        for (int i = 0; i < 4; i++)
            expect_closed(outside[i]);
    } else {
        assert_true(error < 0);
        assert_int_not_equal(fault_harm_done(), FAULT_HARMLESS);
    }
    assert_int_equal(hl_slab_free(f.slab), 0);
    fault_disarm();
    assert_int_equal(count_descriptors(), f.descriptors);
}

/* The same with a loop that is also driven, by the thread that made it. */
static void a_life_survives_every_fault(void **state)
{
    (void)state;
    one_thread = 0;
    fault_sweep(life);
}

static void a_life_on_one_thread_survives_every_fault(void **state)
{
    (void)state;
    one_thread = 1;
    fault_sweep(life);
}

/* Blocks of every class, and one with a mapping of its own that grows. What is refused is counted. */
static void blocks(void)
{
    fault_arm();
    hl_slab *s = hl_slab_new(0);
    if (s == NULL)
        return;
    hl_cache *c = hl_cache_new(s);
    int refused = c == NULL;
    hl_block *b[HL_SLAB_CLASSES];
    for (uint32_t i = 0; i < HL_SLAB_CLASSES; i++) {
        size_t size = (size_t)HL_SLAB_MIN << i;
        b[i] = c != NULL && i % 2 ? hl_cache_get(c, size) : hl_slab_get(s, size);
        refused += b[i] == NULL;
        if (b[i] != NULL)
            memset(hl_block_data(b[i]), (int)i, 64);
    }
    hl_block *large = hl_slab_get(s, 2 * HL_SLAB_MAX), *other = hl_slab_get(s, 2 * HL_SLAB_MAX);
    refused += (large == NULL) + (other == NULL);
    if (large != NULL && c != NULL) {
        memset(hl_block_data(large), 'x', 64);
        hl_block *grown = hl_cache_grow(c, large, 64, 4 * HL_SLAB_MAX);
        refused += grown == NULL;
        large = grown != NULL ? grown : large;
        assert_int_equal(hl_block_data(large)[63], 'x');
    }
    hl_slab_stats stats;
    hl_slab_stats_read(s, &stats);
    assert_int_equal(stats.failures, refused);
    assert_true(refused == 0 || fault_harm_done() == FAULT_ENDS_MANY || refused == (fault_injected() != NULL));
    hl_block_unref(other);
    hl_block_unref(large);
    for (uint32_t i = 0; i < HL_SLAB_CLASSES; i++) {
        if (b[i] != NULL)
            assert_int_equal(hl_block_data(b[i])[63], i);
        hl_block_unref(b[i]);
    }
    hl_cache_free(c);
    assert_int_equal(hl_slab_free(s), 0);
}

static void a_slab_survives_every_fault(void **state)
{
    (void)state;
    fault_sweep(blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life_survives_every_fault),
        cmocka_unit_test(a_life_on_one_thread_survives_every_fault),
        cmocka_unit_test(a_slab_survives_every_fault),
    };
    return fault_main(&(fault_program){
        .name = "faults_birth",
        .tests = tests,
        .count = sizeof tests / sizeof tests[0],
        .must = "close eventfd mmap mremap pthread_mutex_init hl_slab_get hl_slab_get_on hl_cache_new_on",
        .must_epoll = "epoll_create1 epoll_ctl(ADD) fcntl(F_DUPFD)",
        .must_uring = "socketpair write io_uring_queue_init io_uring_queue_init_params io_uring_get_probe_ring "
                      "io_uring_register_buf_ring io_uring_register(NAPI)",
    });
}
