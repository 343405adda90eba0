/*
 * test_loop_uring.c - what only the io_uring backend can get wrong: running out of provided buffers and of room for
 * completions, receives straight into a message, and which thread a ring belongs to. What every backend has to do is
 * tested on it by the other test_loop_*.c.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "loop_fixture.h"

#ifndef HL_NO_URING
#include "uring.h"
#endif

#include <netinet/in.h>
#include <pthread.h>
#include <sys/mman.h>

/* NULL, having said so, where io_uring is not to be had. */
static fixture *open_uring(hl_loop_config c)
{
    const char *step;
    setenv("HL_TEST_BACKEND", "io_uring", 1);
    hl_slab *slab = hl_slab_new(0);
    int error;
    hl_loop *l = hl_loop_new(&(hl_loop_config){.backend = HL_BACKEND_URING, .slab = slab}, &error);
    assert_non_null(l);
    error = hl_loop_backend_error(l, &step);
    hl_loop_free(l);
    hl_slab_free(slab);
    if (error == 0)
        return open_fixture(&c);
    print_message("no io_uring here: %s: %s\n", step, strerror(-error));
    skip();
    return NULL;
}

/* More streams than provided buffers, and than completions that the ring has room for, receive at the same time. */
static void nothing_is_lost_when_buffers_and_completions_run_out(void **state)
{
    (void)state;
    enum { STREAMS = 1000, ROUNDS = 3 };
    fixture *f = open_uring((hl_loop_config){.ring = 64});
    static int fd[STREAMS][2];
    static hl_handle h[STREAMS];
    static uint32_t got[STREAMS];
    memset(got, 0, sizeof got);
    for (int i = 0; i < STREAMS; i++) {
        make_pair(fd[i]);
        h[i] = attach(f, fd[i][0], 0);
        if (i % 50 == 49)
            turn(f);
    }
    turn(f);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < STREAMS; i++)
            peer_write(fd[i][1], (uint32_t[]){i, round}, 8);
        for (int n = 0; n < STREAMS; n++) {
            hl_event e = next(f);
            assert_int_equal(e.type, HL_EV_DATA);
            assert_int_equal(e.len, 8);
            const uint32_t *said = e.data;
            assert_int_equal(e.handle, h[said[0]]);
            assert_int_equal(said[1], round);
            assert_int_equal(got[said[0]]++, round);
        }
    }
    for (int i = 0; i < STREAMS; i++)
        close(fd[i][1]);
    close_fixture(f);
}

#ifndef HL_NO_URING

/* ------------------------------------------------------------------ receiving straight */

#define LARGE (4u << 20)

/* A binary message of LARGE bytes as a client sends it, with a mask of zeros: the payload is on the wire as it is. */
static uint8_t *large_message(void)
{
    uint8_t *wire = malloc(HL_WS_MAX_HEADER + LARGE);
    size_t n = hl_ws_header_write(wire, HL_WS_BINARY, 1, LARGE, (const uint8_t[4]){0});
    assert_int_equal(n, HL_WS_MAX_HEADER);
    for (uint32_t i = 0; i < LARGE; i++)
        wire[n + i] = (uint8_t)(i * 2654435761u >> 24);
    return wire;
}

/* ------------------------------------------------------------------ a ring that breaks */

/* From now on the kernel refuses what is submitted; what it has completed can still be seen. */
static hl__uring_state *break_ring(fixture *f)
{
    hl__uring_state *p = f->loop->poll;
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(dup2(nothing, p->ring.ring_fd), p->ring.ring_fd);
    close(nothing);
    return p;
}

static void sends_stay_within_bounds_when_the_ring_breaks(void **state)
{
    (void)state;
    enum { STREAMS = 2 * HL__GATHERS };
    static int fd[STREAMS][2];
    static hl_handle h[STREAMS];
    fixture *f = open_uring((hl_loop_config){.ring = 4 * HL__GATHERS});
    for (int i = 0; i < STREAMS; i++) {
        make_pair(fd[i]);
        h[i] = attach(f, fd[i][0], 0);
        turn(f);
    }
    hl_block *piece[2] = {hl_slab_get(f->slab, 64), hl_slab_get(f->slab, 64)};
    for (int i = 0; i < STREAMS; i++)
        for (int k = 0; k < 2; k++)
            push(f, (hl_op){.code = HL_OP_SEND, .handle = h[i], .flags = HL_KEEP, .block = piece[k],
                            .data = hl_block_data(piece[k]), .len = 8});
    hl__uring_state *p = break_ring(f);
    assert_true(hl_loop_enter(f->loop, 0, 0) < 0);
    assert_in_range(p->gathers_used, 0, HL__GATHERS);
    for (int k = 0; k < 2; k++)
        hl_block_unref(piece[k]);
    for (int i = 0; i < STREAMS; i++)
        close(fd[i][1]);
    close_fixture(f);
}

static void accepted_sockets_are_closed_when_the_ring_breaks(void **state)
{
    (void)state;
    enum { CLIENTS = 5 };
    fixture *f = open_uring((hl_loop_config){0});
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof where;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&where, size), 0);
    assert_int_equal(listen(listener, CLIENTS), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&where, &size), 0);
    push_code(f, hl_loop_reserve(f->loop), HL_OP_LISTEN, listener);
    turn(f);
    int client[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        client[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client[i], (struct sockaddr *)&where, size), 0);
    }
    break_ring(f);
    assert_true(hl_loop_enter(f->loop, 0, 0) < 0);
    f->descriptors += CLIENTS;
    close_fixture(f);
    for (int i = 0; i < CLIENTS; i++)
        close(client[i]);
}

static uint32_t straights_under_way(fixture *f)
{
    return HL__STRAIGHTS - ((hl__uring_state *)f->loop->poll)->unused_count;
}

/* Sends of wire[*from..to) what the peer's socket takes. */
static void send_some(int fd, const uint8_t *wire, size_t *from, size_t to)
{
    ssize_t n = send(fd, wire + *from, to - *from, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
        *from += (size_t)n;
}

/* Sends half a message and turns the loop until a receive straight into it is under way. */
static size_t send_half(fixture *f, int fd, const uint8_t *wire)
{
    size_t sent = 0;
    for (int i = 0; sent < LARGE / 2 || straights_under_way(f) == 0; i++) {
        assert_true(i < 100000);
        send_some(fd, wire, &sent, LARGE / 2);
        assert_int_equal(hl_loop_enter(f->loop, 0, 0), 0);
    }
    return sent;
}

static hl_handle open_ws(fixture *f, int fd[2])
{
    make_pair(fd);
    hl_handle h = attach(f, fd[0], HL_ONESHOT);
    push(f, (hl_op){.code = HL_OP_UPGRADE, .handle = h});
    return h;
}

static void turns_until_none_is_under_way(fixture *f)
{
    for (int i = 0; straights_under_way(f) > 0; i++) {
        assert_true(i < 1000);
        turn(f);
    }
}

static void a_large_message_is_received_straight(void **state)
{
    (void)state;
    fixture *f = open_uring((hl_loop_config){0});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    uint8_t *wire = large_message();
    for (int round = 0; round < 3; round++) {
        size_t sent = send_half(f, fd[1], wire);
        hl_event e = {0};
        for (int i = 0; e.type == 0; i++) {
            assert_true(i < 100000);
            send_some(fd[1], wire, &sent, HL_WS_MAX_HEADER + LARGE);
            turn(f);
            e = pop(f);
        }
        assert_int_equal(e.type, HL_EV_MESSAGE);
        assert_int_equal(e.handle, h);
        assert_int_equal(e.len, LARGE);
        assert_memory_equal(e.data, wire + HL_WS_MAX_HEADER, LARGE);
    }
    free(wire);
    close(fd[1]);
    expect(f, HL_EV_END, h);
    close_fixture(f);
}

/* The kernel may write to the message until the request has completed: its block has to outlive the stream. */
static void aborting_amid_a_straight_receive(void **state)
{
    (void)state;
    fixture *f = open_uring((hl_loop_config){0});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    uint8_t *wire = large_message();
    send_half(f, fd[1], wire);
    push_code(f, h, HL_OP_ABORT, 0);
    expect(f, HL_EV_CLOSED, h);
    turns_until_none_is_under_way(f);
    peer_expect_end(f, fd[1]);
    free(wire);
    close(fd[1]);
    close_fixture(f);
}

static void freeing_amid_a_straight_receive(void **state)
{
    (void)state;
    fixture *f = open_uring((hl_loop_config){0});
    int fd[2];
    open_ws(f, fd);
    uint8_t *wire = large_message();
    send_half(f, fd[1], wire);
    free(wire);
    f->descriptors++; /* the peer's */
    close_fixture(f);
    close(fd[1]);
}

static void quiescing_amid_a_straight_receive(void **state)
{
    (void)state;
    fixture *f = open_uring((hl_loop_config){0});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    uint8_t *wire = large_message();
    size_t sent = send_half(f, fd[1], wire);
    push_code(f, h, HL_OP_QUIESCE, 0);
    expect(f, HL_EV_QUIET, h);
    assert_int_equal(straights_under_way(f), 0);
    send_some(fd[1], wire, &sent, HL_WS_MAX_HEADER + LARGE);
    for (int i = 0; i < 10; i++)
        turn(f);
    assert_int_equal(hl_loop_stream_stats(f->loop, h)->received, LARGE / 2); /* it has stopped reading */
    free(wire);
    close(fd[1]);
    close_fixture(f);
}

/* The receive that was quiesced fills the message's block, and more waits: what is asked for next makes the block grow,
 * and one this large moves. */
static void quiescing_as_a_straight_receive_fills_its_block(void **state)
{
    (void)state;
    enum { HUGE = 15u << 20, LEFT = 65536, BEHIND = 40000 };
    fixture *f = open_uring((hl_loop_config){0});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    uint8_t *wire = calloc(1, HL_WS_MAX_HEADER + HUGE);
    hl_ws_header_write(wire, HL_WS_BINARY, 1, HUGE, (const uint8_t[4]){0});
    const hl__straight *asked = NULL;
    size_t sent = 0, to = HL_SLAB_MAX + HL_SLAB_MAX / 2;
    for (int i = 0; sent < to || straights_under_way(f) == 0; i++) {
        assert_true(i < 100000);
        send_some(fd[1], wire, &sent, to);
        assert_int_equal(hl_loop_enter(f->loop, 0, 0), 0);
        if (asked == NULL && sent == to && straights_under_way(f) > 0) {
            hl__uring_state *p = f->loop->poll;
            asked = &p->straights[p->unused[p->unused_count]];
            assert_int_equal(asked->block->cls, HL_SLAB_LARGE);
            to = HL_WS_MAX_HEADER + asked->block->size - LEFT;
        }
    }
    assert_int_equal(asked->where.iov_len, LEFT);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *end = hl_block_data(asked->block) + asked->block->size; /* something may lie there already */
    void *behind = mmap(end, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    to += LEFT + BEHIND;
    while (sent < to)
        send_some(fd[1], wire, &sent, to);
    push_code(f, h, HL_OP_QUIESCE, 0);
    expect(f, HL_EV_QUIET, h);
    assert_int_equal(hl_loop_stream_stats(f->loop, h)->received, to);
    if (behind != MAP_FAILED)
        munmap(behind, page);
    free(wire);
    close(fd[1]);
    close_fixture(f);
}

static void closing_amid_a_straight_receive(void **state)
{
    (void)state;
    fixture *f = open_uring((hl_loop_config){0});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    uint8_t *wire = large_message();
    size_t sent = send_half(f, fd[1], wire);
    push_code(f, h, HL_OP_CLOSE, 1001);
    peer_expect(f, fd[1], "\x88\x02\x03\xe9", 4);
    for (int i = 0; sent < HL_WS_MAX_HEADER + LARGE; i++) {
        assert_true(i < 100000);
        send_some(fd[1], wire, &sent, HL_WS_MAX_HEADER + LARGE);
        turn(f);
    }
    peer_write(fd[1], "\x88\x82\0\0\0\0\x03\xe9", 8);
    hl_event e = expect(f, HL_EV_CLOSED, h);
    assert_int_equal(e.flags, 1001);
    assert_int_equal(e.result, 0);
    free(wire);
    close(fd[1]);
    close_fixture(f);
}

#endif

/* ------------------------------------------------------------------ whose ring it is */

static void *drive(void *arg)
{
    fixture *f = arg;
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    peer_write(fd[1], "ping", 4);
    hl_event e = next(f);
    int ok = e.type == HL_EV_DATA && e.handle == h && e.len == 4;
    push_send(f, h, "pong", 4);
    peer_expect(f, fd[1], "pong", 4);
    close(fd[1]);
    hl_loop_free(f->loop);
    return ok ? f : NULL;
}

/* A loop is made by one thread and belongs to the one that drives it first. */
static void another_thread_may_drive(void **state)
{
    (void)state;
    for (uint32_t one_thread = 0; one_thread < 2; one_thread++) {
        fixture *f = open_uring((hl_loop_config){.one_thread = one_thread});
        if (!one_thread)
            assert_int_equal(hl_loop_features(f->loop), getenv("HL_TEST_ONE_THREAD") ? HL_FEATURE_ONE_THREAD : 0);
        pthread_t t;
        void *ok = NULL;
        assert_int_equal(pthread_create(&t, NULL, drive, f), 0);
        pthread_join(t, &ok);
        assert_ptr_equal(ok, f);
        assert_int_equal(hl_slab_free(f->slab), 0);
        assert_int_equal(count_descriptors(), f->descriptors);
        free(f);
    }
}

static void a_loop_that_nobody_drives_can_be_freed(void **state)
{
    (void)state;
    fixture *f = open_uring((hl_loop_config){.one_thread = 1});
    int fd[2];
    make_pair(fd);
    attach(f, fd[0], 0);
    f->descriptors++; /* the peer's */
    close_fixture(f);
    char c;
    assert_int_equal(peer_read(fd[1], &c, 1), 0);
    close(fd[1]);
}

/* Which kernel has it is the kernel's affair; that it is told, ours. */
static void busy_polling_is_asked_for_and_told(void **state)
{
    (void)state;
    fixture *f = open_uring((hl_loop_config){.busy_poll_us = 50});
    print_message("busy polling: %s\n", hl_loop_features(f->loop) & HL_FEATURE_BUSY_POLL ? "yes" : "no");
    close_fixture(f);
    f = open_uring((hl_loop_config){0});
    assert_int_equal(hl_loop_features(f->loop) & HL_FEATURE_BUSY_POLL, 0);
    close_fixture(f);
    int error;
    assert_null(hl_loop_new(&(hl_loop_config){.busy_poll_us = 10001}, &error));
    assert_int_equal(error, -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_when_buffers_and_completions_run_out),
#ifndef HL_NO_URING
        cmocka_unit_test(sends_stay_within_bounds_when_the_ring_breaks),
        cmocka_unit_test(accepted_sockets_are_closed_when_the_ring_breaks),
        cmocka_unit_test(a_large_message_is_received_straight),
        cmocka_unit_test(aborting_amid_a_straight_receive),
        cmocka_unit_test(freeing_amid_a_straight_receive),
        cmocka_unit_test(quiescing_amid_a_straight_receive),
        cmocka_unit_test(quiescing_as_a_straight_receive_fills_its_block),
        cmocka_unit_test(closing_amid_a_straight_receive),
#endif
        cmocka_unit_test(another_thread_may_drive),
        cmocka_unit_test(a_loop_that_nobody_drives_can_be_freed),
        cmocka_unit_test(busy_polling_is_asked_for_and_told),
    };
    return cmocka_run_group_tests_name("loop_uring", tests, NULL, NULL);
}
