/*
 * test_loop_stream.c - raw streams: bytes in, bytes out, back-pressure, the ways a stream ends, deadlines.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "loop_fixture.h"

#include <netinet/in.h>

static void echoes_bytes(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    peer_write(fd[1], "hello", 5);
    hl_event e = expect(f, HL_EV_DATA, h);
    assert_int_equal(e.len, 5);
    assert_memory_equal(e.data, "hello", 5);
    push_send(f, h, e.data, e.len);
    push_send(f, h, " you", 4);
    peer_expect(f, fd[1], "hello you", 9);
    const hl_stream_stats *st = hl_loop_stream_stats(f->loop, h);
    assert_int_equal(st->received, 5);
    assert_int_equal(st->sent, 9);
    assert_int_equal(st->frames_received, 1);
    assert_int_equal(st->frames_sent, 2);
    assert_int_equal(st->queued, 0);
    push_code(f, h, HL_OP_CLOSE, 0);
    peer_expect_end(f, fd[1]);
    close(fd[1]);
    e = expect(f, HL_EV_CLOSED, h);
    assert_int_equal(e.result, 0);
    assert_int_equal(e.user, 0xfeed);
    assert_int_equal(e.kind, 0);
    assert_int_equal(loop_stats(f).slots, 0);
    close_fixture(f);
}

static void event_bytes_can_be_kept(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    peer_write(fd[1], "first", 5);
    hl_event e = expect(f, HL_EV_DATA, h);
    hl_block_ref(e.block);
    for (int i = 0; i < 50; i++) {
        peer_write(fd[1], "other", 5);
        expect(f, HL_EV_DATA, h);
    }
    assert_memory_equal(e.data, "first", 5);
    hl_block_unref(e.block);
    close(fd[1]);
    close_fixture(f);
}

static void sends_a_received_block_without_a_copy(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    peer_write(fd[1], "zero-copy", 9);
    hl_event e = expect(f, HL_EV_DATA, h);
    push(f, (hl_op){.code = HL_OP_SEND, .handle = h, .data = e.data, .len = 9, .block = e.block, .flags = HL_KEEP});
    hl_block *own = hl_slab_get(f->slab, 4);
    memcpy(hl_block_data(own), "give", 4);
    push(f, (hl_op){
                .code = HL_OP_SEND, .handle = h, .data = hl_block_data(own), .len = 4, .block = own, .flags = HL_GIVE});
    peer_expect(f, fd[1], "zero-copygive", 13);
    close(fd[1]);
    close_fixture(f);
}

/* Everything the test queues for a peer that does not read, so that it can be compared when it does. */
static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static void keeps_order_through_partial_writes(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.stage_size = 4096});
    turn(f); /* a backend takes what it receives into with its first wait */
    uint64_t before = bytes_in_use(f);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    enum { TOTAL = 3000000 };
    size_t made = 0;
    for (unsigned piece = 1; made < TOTAL; piece = piece * 7 % 3001 + 1) {
        uint8_t buf[3002];
        for (unsigned i = 0; i < piece; i++)
            buf[i] = pattern(made + i);
        if (f->sh->stage_used + piece > f->sh->stage->size)
            assert_true(hl_loop_enter(f->loop, 0, HL_ENTER_FLUSH) >= 0);
        if (piece % 5 == 0) { /* some lie in blocks of their own */
            hl_block *b = hl_slab_get(f->slab, piece);
            memcpy(hl_block_data(b), buf, piece);
            push(f, (hl_op){.code = HL_OP_SEND,
                            .handle = h,
                            .data = hl_block_data(b),
                            .len = piece,
                            .block = b,
                            .flags = HL_GIVE});
        } else {
            push_send(f, h, buf, piece);
        }
        made += piece;
        if (f->sh->sq.tail - f->sh->sq.head > f->sh->sq.mask)
            assert_true(hl_loop_enter(f->loop, 0, HL_ENTER_FLUSH) >= 0);
    }
    turn(f);
    assert_true(queued(f, h) > TOTAL / 2);                                 /* the kernel did stall */
    assert_true(bytes_in_use(f) - before < 3 * queued(f, h) + (2u << 20)); /* small runs were gathered, staging areas
                                                                              given back */
    uint8_t *got = malloc(made);
    peer_read_all(f, fd[1], got, made);
    for (size_t i = 0; i < made; i++)
        if (got[i] != pattern(i))
            fail_msg("byte %zu of %zu is wrong", i, made);
    free(got);
    assert_int_equal(queued(f, h), 0);
    close(fd[1]);
    close_fixture(f);
}

static void pauses_reading_above_high_water(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.high_water = 100000, .low_water = 1000});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    static uint8_t chunk[60000];
    for (int i = 0; i < 20; i++) {
        push_send(f, h, chunk, sizeof chunk);
        turn(f);
    }
    assert_true(queued(f, h) > 100000);
    assert_int_equal(loop_stats(f).read_pauses, 1);
    peer_write(fd[1], "wait", 4);
    for (int i = 0; i < 5; i++) {
        turn(f);
        assert_int_equal(pop(f).type, 0);
    }
    static uint8_t got[20 * sizeof chunk];
    peer_read_all(f, fd[1], got, sizeof got);
    expect(f, HL_EV_DRAIN, h);
    expect(f, HL_EV_DATA, h);
    close(fd[1]);
    close_fixture(f);
}

static void drain_can_be_asked_for(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.high_water = 1u << 30, .low_water = 1000});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    push_code(f, h, HL_OP_DRAIN, 0);
    expect(f, HL_EV_DRAIN, h); /* there is nothing to wait for */
    static uint8_t chunk[60000], got[10 * sizeof chunk];
    for (int i = 0; i < 10; i++) {
        push_send(f, h, chunk, sizeof chunk);
        turn(f);
    }
    push_code(f, h, HL_OP_DRAIN, 0);
    turn(f);
    assert_int_equal(pop(f).type, 0);
    peer_read_all(f, fd[1], got, sizeof got);
    expect(f, HL_EV_DRAIN, h); /* though high_water was never reached */
    peer_write(fd[1], "more", 4);
    expect(f, HL_EV_DATA, h); /* once is once */
    close(fd[1]);
    close_fixture(f);
}

static void output_that_is_lost_has_drained(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.high_water = 100000, .low_water = 1000});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    push_code(f, h, HL_OP_READ, 0); /* its end does not tell the owner, who waits for room */
    static uint8_t chunk[60000];
    for (int i = 0; i < 20; i++) {
        push_send(f, h, chunk, sizeof chunk);
        turn(f);
    }
    assert_true(queued(f, h) > 100000);
    close(fd[1]);
    hl_event e = next(f);
    assert_true(e.type == HL_EV_DRAIN || e.type == HL_EV_CLOSED); /* the latter where receiving fails first */
    assert_int_equal(queued(f, h), 0);
    close_fixture(f);
}

static void reading_stops_and_resumes(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    push_code(f, h, HL_OP_READ, 0);
    turn(f);
    peer_write(fd[1], "abc", 3);
    for (int i = 0; i < 5; i++) {
        turn(f);
        assert_int_equal(pop(f).type, 0);
    }
    push_code(f, h, HL_OP_READ, 1);
    assert_int_equal(expect(f, HL_EV_DATA, h).len, 3);
    close(fd[1]);
    close_fixture(f);
}

static void a_paused_stream_whose_peer_left_costs_nothing_and_loses_nothing(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    push_code(f, h, HL_OP_READ, 0);
    turn(f);
    peer_write(fd[1], "last words", 10);
    close(fd[1]); /* hang-up cannot be masked in an epoll set */
    turn(f);
    turn(f);
    uint64_t turns = loop_stats(f).turns;
    assert_int_equal(hl_loop_enter(f->loop, 20, 0), 0); /* would return at once if it were still reported */
    assert_int_equal(loop_stats(f).turns, turns + 1);
    push_code(f, h, HL_OP_READ, 1);
    assert_int_equal(expect(f, HL_EV_DATA, h).len, 10);
    expect(f, HL_EV_END, h);
    push_code(f, h, HL_OP_CLOSE, 0);
    expect(f, HL_EV_CLOSED, h);
    close_fixture(f);
}

static void oneshot_delivers_once(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], HL_ONESHOT);
    peer_write(fd[1], "one", 3);
    expect(f, HL_EV_DATA, h);
    peer_write(fd[1], "two", 3);
    turn(f);
    assert_int_equal(pop(f).type, 0);
    push_code(f, h, HL_OP_READ, 1);
    assert_memory_equal(expect(f, HL_EV_DATA, h).data, "two", 3);
    close(fd[1]);
    close_fixture(f);
}

static void half_closed_peer_gets_its_answer(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    peer_write(fd[1], "question", 8);
    shutdown(fd[1], SHUT_WR);
    expect(f, HL_EV_DATA, h);
    expect(f, HL_EV_END, h);
    push_send(f, h, "answer", 6);
    push_code(f, h, HL_OP_CLOSE, 0);
    peer_expect(f, fd[1], "answer", 6);
    peer_expect_end(f, fd[1]);
    hl_event e = expect(f, HL_EV_CLOSED, h);
    assert_int_equal(e.result, 0);
    assert_int_equal(e.kind, 0);
    close(fd[1]);
    close_fixture(f);
}

static void close_sends_what_is_queued_and_lingers(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    static uint8_t big[200000];
    memset(big, 'x', sizeof big);
    for (int i = 0; i < 4; i++) {
        push_send(f, h, big, sizeof big);
        turn(f);
    }
    push_code(f, h, HL_OP_CLOSE, 0);
    push_send(f, h, "late", 4); /* after the close: dropped and counted */
    turn(f);
    assert_int_equal(loop_stats(f).stale_ops, 1);
    peer_write(fd[1], "talking on", 10); /* is discarded, and not answered with a reset */
    static uint8_t got[4 * sizeof big];
    peer_read_all(f, fd[1], got, sizeof got);
    peer_expect_end(f, fd[1]);
    turn(f);
    assert_int_equal(pop(f).type, 0); /* lingers until the peer ends too */
    close(fd[1]);
    assert_int_equal(expect(f, HL_EV_CLOSED, h).kind, 0);
    close_fixture(f);
}

static void close_gives_up_on_a_peer_that_never_ends(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.close_ms = 30});
    int fd[2], deaf[2];
    make_pair(fd);
    make_pair(deaf);
    hl_handle h = attach(f, fd[0], 0);
    push_code(f, h, HL_OP_CLOSE, 0);
    hl_event e = expect(f, HL_EV_CLOSED, h);
    assert_int_equal(e.result, 0); /* all it had to say was sent */
    hl_handle d = attach(f, deaf[0], 0);
    static uint8_t big[200000];
    for (int i = 0; i < 10; i++) {
        push_send(f, d, big, sizeof big);
        turn(f);
    }
    push_code(f, d, HL_OP_CLOSE, 0);
    e = expect(f, HL_EV_CLOSED, d);
    assert_int_equal(e.result, -ETIMEDOUT);
    assert_int_equal(e.kind, 1); /* bytes were lost, and it says so */
    close(fd[1]);
    close(deaf[1]);
    close_fixture(f);
}

static void abort_ends_at_once(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    push_code(f, h, HL_OP_ABORT, 0);
    expect(f, HL_EV_CLOSED, h);
    peer_expect_end(f, fd[1]);
    close(fd[1]);
    close_fixture(f);
}

static void void_handles_are_dropped(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2], other[2];
    make_pair(fd);
    make_pair(other);
    hl_handle old = attach(f, fd[0], 0);
    push_code(f, old, HL_OP_ABORT, 0);
    expect(f, HL_EV_CLOSED, old);
    hl_handle h = attach(f, other[0], 0);
    assert_int_equal(hl_handle_index(h), hl_handle_index(old)); /* the slot is used again */
    assert_int_not_equal(h, old);
    push_send(f, old, "stray", 5);
    hl_block *b = hl_slab_get(f->slab, 10);
    push(f,
         (hl_op){.code = HL_OP_SEND, .handle = old, .data = hl_block_data(b), .len = 10, .block = b, .flags = HL_GIVE});
    push_code(f, old, HL_OP_ABORT, 0);
    push_send(f, h, "mine", 4);
    peer_expect(f, other[1], "mine", 4);
    assert_int_equal(loop_stats(f).stale_ops, 3);
    close(fd[1]);
    close(other[1]);
    close_fixture(f);
}

static void deadlines_pass(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.high_water = 1u << 30, .low_water = 1});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h, .kind = HL_DEADLINE_ONCE, .len = 5});
    assert_int_equal(expect(f, HL_EV_TIMEOUT, h).kind, HL_DEADLINE_ONCE);
    push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h, .kind = HL_DEADLINE_READ, .len = 10});
    assert_int_equal(expect(f, HL_EV_TIMEOUT, h).kind, HL_DEADLINE_READ);
    push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h, .kind = HL_DEADLINE_READ, .len = 0});
    push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h, .kind = HL_DEADLINE_WRITE, .len = 10});
    turn(f);
    assert_int_equal(hl_loop_enter(f->loop, 30, 0), 0); /* nothing waits to be sent */
    static uint8_t big[200000];
    for (int i = 0; i < 10; i++) {
        push_send(f, h, big, sizeof big);
        turn(f);
    }
    assert_int_equal(expect(f, HL_EV_TIMEOUT, h).kind, HL_DEADLINE_WRITE);
    close(fd[1]);
    close_fixture(f);
}

static void quiesce_delivers_what_has_arrived(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.recv_size = 1024});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    static uint8_t sent[5000];
    peer_write(fd[1], sent, sizeof sent);
    push_code(f, h, HL_OP_QUIESCE, 0);
    size_t got = 0;
    hl_event e = next(f);
    for (; e.type == HL_EV_DATA; e = next(f))
        got += e.len;
    assert_int_equal(e.type, HL_EV_QUIET);
    assert_int_equal(got, sizeof sent);
    peer_write(fd[1], "later", 5);
    turn(f);
    assert_int_equal(pop(f).type, 0);
    close(fd[1]);
    close_fixture(f);
}

/* What the loop has not received stays in the kernel, for who reads the descriptor next: no byte is lost or doubled. */
static void halting_leaves_the_rest_in_the_kernel(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.recv_size = 1024});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], HL_ONESHOT);
    static uint8_t sent[50000], got[sizeof sent];
    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 7 + i / 256);
    peer_write(fd[1], sent, sizeof sent);
    hl_event e = expect(f, HL_EV_DATA, h);
    memcpy(got, e.data, e.len);
    size_t n = e.len;
    push_code(f, h, HL_OP_QUIESCE, 1);
    for (;;) {
        push_code(f, h, HL_OP_READ, 1);
        e = next(f);
        if (e.type != HL_EV_DATA)
            break;
        memcpy(got + n, e.data, e.len);
        n += e.len;
    }
    assert_int_equal(e.type, HL_EV_QUIET);
    int copy = dup(fd[0]);
    push_code(f, h, HL_OP_ABORT, 0);
    expect(f, HL_EV_CLOSED, h);
    while (n < sizeof sent) {
        ssize_t r = recv(copy, got + n, sizeof sent - n, MSG_DONTWAIT);
        assert_true(r > 0);
        n += (size_t)r;
    }
    assert_memory_equal(got, sent, sizeof sent);
    close(copy);
    close(fd[1]);
    close_fixture(f);
}

static void quiescing_twice_is_answered_twice(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    push_code(f, h, HL_OP_QUIESCE, 0);
    expect(f, HL_EV_QUIET, h);
    peer_write(fd[1], "x", 1);
    push_code(f, h, HL_OP_QUIESCE, 0);
    expect(f, HL_EV_DATA, h);
    expect(f, HL_EV_QUIET, h);
    close(fd[1]);
    close_fixture(f);
}

static void small_ring_loses_nothing(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64, .batch = 16});
    enum { STREAMS = 200 };
    int fd[STREAMS][2];
    hl_handle h[STREAMS];
    int seen[STREAMS] = {0}, closed = 0;
    for (int i = 0; i < STREAMS; i++) {
        make_pair(fd[i]);
        h[i] = attach(f, fd[i][0], 0);
        peer_write(fd[i][1], "x", 1);
        close(fd[i][1]);
        if (i % 60 == 59)
            turn(f);
    }
    while (closed < STREAMS) {
        hl_event e = next(f);
        for (int i = 0; i < STREAMS; i++) {
            if (h[i] != e.handle)
                continue;
            if (e.type == HL_EV_DATA)
                assert_int_equal(seen[i]++, 0);
            else if (e.type == HL_EV_END) {
                assert_int_equal(seen[i]++, 1);
                if (f->sh->sq.tail - f->sh->sq.head > f->sh->sq.mask)
                    assert_true(hl_loop_enter(f->loop, 0, HL_ENTER_FLUSH) >= 0);
                push_code(f, h[i], HL_OP_CLOSE, 0);
            } else {
                assert_int_equal(e.type, HL_EV_CLOSED);
                assert_int_equal(seen[i], 2);
                closed++;
            }
        }
    }
    close_fixture(f);
}

static void reset_ends_with_its_error_after_the_bytes(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    push_send(f, h, "unread", 6);
    turn(f);
    peer_write(fd[1], "bye", 3);
    close(fd[1]);                 /* with unread bytes: a Unix socket then reports ECONNRESET */
    push_send(f, h, "nobody", 6); /* fails, but what the peer had sent is still delivered */
    assert_int_equal(expect(f, HL_EV_DATA, h).len, 3);
    hl_event e = next(f);
    if (e.type == HL_EV_END) {
        push_code(f, h, HL_OP_CLOSE, 0);
        e = next(f);
    }
    assert_int_equal(e.type, HL_EV_CLOSED);
    assert_true(e.result == -EPIPE || e.result == -ECONNRESET);
    assert_int_equal(e.kind, 1);
    close_fixture(f);
}

static void a_bad_descriptor_closes_its_slot(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    close(fd[0]);
    close(fd[1]);
    hl_handle h = attach(f, fd[0], 0);
    assert_int_equal(expect(f, HL_EV_CLOSED, h).result, -EBADF);
    close_fixture(f);
}

static void free_closes_everything(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[4][2];
    for (int i = 0; i < 4; i++)
        make_pair(fd[i]);
    static uint8_t big[200000];
    hl_handle h = attach(f, fd[0][0], 0);
    for (int i = 0; i < 3; i++) {
        push_send(f, h, big, sizeof big);
        turn(f);
    }
    attach(f, fd[1][0], 0); /* queued, never performed by a turn */
    hl_op op = {.code = HL_OP_ATTACH, .handle = hl_loop_reserve(f->loop), .arg = fd[2][0]};
    assert_int_equal(hl_loop_post(f->loop, &op), 0);
    hl_handle late = attach(f, fd[3][0], 0);
    turn(f);
    peer_write(fd[3][1], "unseen", 6);
    turn(f);
    (void)late;
    for (int i = 0; i < 4; i++)
        close(fd[i][1]);
    close_fixture(f); /* checks blocks and descriptors */
}

static void refuses_configs_out_of_bounds(void **state)
{
    (void)state;
    hl_slab *slab = hl_slab_new(0);
    const hl_loop_config bad[] = {
        {.ring = 63},
        {.ring = 100},
        {.ring = 1 << 17},
        {.batch = 5000},
        {.recv_size = 100},
        {.stage_size = 10},
        {.high_water = 10, .low_water = 20},
        {.ws = {.client = 1}},
        {.slots = 1 << 25},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        hl_loop_config c = bad[i];
        c.slab = slab;
        int error = 0;
        assert_null(hl_loop_new(&c, &error));
        assert_int_equal(error, -EINVAL);
    }
    assert_int_equal(hl_slab_free(slab), 0);
}

/* A connection over TCP, on the loopback; [0] is for the loop. */
static void make_tcp_pair(int fd[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd[1], (struct sockaddr *)&at, sizeof at), 0);
    fd[0] = accept(listener, NULL, NULL);
    assert_true(fd[0] >= 0);
    close(listener);
}

static void an_abort_can_be_a_reset(void **state)
{
    (void)state;
    for (int reset = 0; reset <= 1; reset++) {
        fixture *f = open_fixture(NULL);
        int fd[2];
        char c;
        make_tcp_pair(fd);
        hl_handle h = attach(f, fd[0], 0);
        turn(f);
        push(f, (hl_op){.code = HL_OP_ABORT, .handle = h, .flags = reset ? HL_RESET : 0});
        expect(f, HL_EV_CLOSED, h);
        turn(f); /* io_uring: cancels what holds the socket */
        ssize_t n = recv(fd[1], &c, 1, 0);
        assert_int_equal(n, reset ? -1 : 0);
        if (reset)
            assert_int_equal(errno, ECONNRESET);
        close(fd[1]);
        close_fixture(f);
    }
}

static void a_peer_is_not_silent_because_we_do_not_listen(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0), timer = hl_loop_reserve(f->loop);
    push_code(f, h, HL_OP_READ, 0);
    push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h, .kind = HL_DEADLINE_READ, .len = 5});
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = timer, .len = 50});
    expect(f, HL_EV_TIMEOUT, timer);
    push_code(f, h, HL_OP_READ, 1);
    assert_int_equal(expect(f, HL_EV_TIMEOUT, h).kind, HL_DEADLINE_READ);
    close(fd[1]);
    close_fixture(f);
}

/* A stream that had stopped reading because its output waited reads again when the output has nowhere to go: or its
 * owner would never hear the last words, nor that the peer has gone. */
static void a_peer_that_left_unread_output_is_heard_to_the_end(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.high_water = 100000, .low_water = 1000});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    static uint8_t big[200000];
    for (int i = 0; i < 3; i++) {
        push_send(f, h, big, sizeof big);
        turn(f);
    }
    assert_true(queued(f, h) > 100000);
    while (pop(f).type == HL_EV_DRAIN) /* of what the kernel took at first */
        ;
    peer_write(fd[1], "last words", 10);
    for (int i = 0; i < 3; i++) {
        turn(f);
        assert_int_equal(pop(f).type, 0);
    }
    close(fd[1]);
    hl_event e = next(f);
    if (e.type == HL_EV_DRAIN) /* which of the two comes first is up to the kernel */
        e = next(f);
    assert_int_equal(e.type, HL_EV_DATA);
    assert_int_equal(e.len, 10);
    while ((e = next(f)).type == HL_EV_DRAIN)
        ;
    if (e.type == HL_EV_END) {
        push_code(f, h, HL_OP_CLOSE, 0);
        e = next(f);
    }
    assert_int_equal(e.type, HL_EV_CLOSED);
    assert_int_equal(e.kind, 1);
    close_fixture(f);
}

/* When no more memory is to be had a stream that receives ends with that error, and the loop lives: with memory there
 * is service again. */
static void a_stream_that_cannot_receive_for_want_of_memory_ends(void **state)
{
    (void)state;
    enum { MOST = 4096 };
    static hl_block *kept[MOST], *hoard[MOST];
    uint32_t held = 0, hoarded = 0;
    fixture *f = open_fixture(NULL);
    hl_loop_free(f->loop);
    assert_int_equal(hl_slab_free(f->slab), 0);
    f->slab = hl_slab_new(64u << 20);
    const char *backend = getenv("HL_TEST_BACKEND");
    hl_loop_config c = {.slab = f->slab,
                        .recv_size = 8192,
                        .backend = backend && strcmp(backend, "io_uring") == 0 ? HL_BACKEND_URING : HL_BACKEND_EPOLL};
    int error, fd[2];
    f->loop = hl_loop_new(&c, &error);
    assert_int_equal(error, 0);
    f->sh = hl_loop_shared(f->loop);
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    turn(f);
    for (size_t size = HL_SLAB_MAX; size >= 4096; size /= 2)
        while (hoarded < MOST && (hoard[hoarded] = hl_slab_get(f->slab, size)) != NULL)
            hoarded++;
    hl_event e;
    for (;;) { /* its owner keeps all that comes */
        peer_write(fd[1], "0123456789", 10);
        e = next(f);
        if (e.type != HL_EV_DATA)
            break;
        assert_true(held < MOST);
        hl_block_ref(e.block);
        kept[held++] = e.block;
    }
    assert_int_equal(e.type, HL_EV_CLOSED);
    assert_int_equal(e.result, -ENOMEM);
    assert_true(loop_stats(f).nomem > 0);
    close(fd[1]);
    while (held > 0)
        hl_block_unref(kept[--held]);
    while (hoarded > 0)
        hl_block_unref(hoard[--hoarded]);
    hl_slab_trim(f->slab); /* for whatever size it is needed in */
    make_pair(fd);
    h = attach(f, fd[0], 0);
    peer_write(fd[1], "again", 5);
    expect(f, HL_EV_DATA, h);
    close(fd[1]);
    close_fixture(f);
}

/* A backend that receives without being asked takes a byte or two before it is told to stop. */
static void paused_streams_hold_little(void **state)
{
    (void)state;
    enum { STREAMS = 200 };
    static int fd[STREAMS][2];
    fixture *f = open_fixture(NULL);
    for (int i = 0; i < STREAMS; i++) {
        make_pair(fd[i]);
        push_code(f, attach(f, fd[i][0], 0), HL_OP_READ, 0);
        turn(f);
    }
    uint64_t before = bytes_in_use(f);
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < STREAMS; i++) {
            peer_write(fd[i][1], "x", 1);
            turn(f);
        }
    assert_in_range(bytes_in_use(f), 0, before + STREAMS * 1024);
    for (int i = 0; i < STREAMS; i++)
        close(fd[i][1]);
    close_fixture(f);
}

/* However much is sent in a turn: who takes it is not slow. */
static void what_the_kernel_takes_pauses_nobody(void **state)
{
    (void)state;
    static const uint8_t much[20000];
    fixture *f = open_fixture(&(hl_loop_config){.high_water = sizeof much / 2});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    push_send(f, h, much, sizeof much);
    peer_expect(f, fd[1], much, sizeof much);
    turn(f);
    assert_int_equal(queued(f, h), 0);
    assert_int_equal(loop_stats(f).read_pauses, 0);
    assert_int_equal(pop(f).type, 0);
    close(fd[1]);
    expect(f, HL_EV_END, h);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_bytes),
        cmocka_unit_test(event_bytes_can_be_kept),
        cmocka_unit_test(sends_a_received_block_without_a_copy),
        cmocka_unit_test(keeps_order_through_partial_writes),
        cmocka_unit_test(pauses_reading_above_high_water),
        cmocka_unit_test(drain_can_be_asked_for),
        cmocka_unit_test(output_that_is_lost_has_drained),
        cmocka_unit_test(reading_stops_and_resumes),
        cmocka_unit_test(a_paused_stream_whose_peer_left_costs_nothing_and_loses_nothing),
        cmocka_unit_test(oneshot_delivers_once),
        cmocka_unit_test(half_closed_peer_gets_its_answer),
        cmocka_unit_test(close_sends_what_is_queued_and_lingers),
        cmocka_unit_test(close_gives_up_on_a_peer_that_never_ends),
        cmocka_unit_test(abort_ends_at_once),
        cmocka_unit_test(void_handles_are_dropped),
        cmocka_unit_test(deadlines_pass),
        cmocka_unit_test(quiesce_delivers_what_has_arrived),
        cmocka_unit_test(halting_leaves_the_rest_in_the_kernel),
        cmocka_unit_test(quiescing_twice_is_answered_twice),
        cmocka_unit_test(small_ring_loses_nothing),
        cmocka_unit_test(reset_ends_with_its_error_after_the_bytes),
        cmocka_unit_test(a_bad_descriptor_closes_its_slot),
        cmocka_unit_test(free_closes_everything),
        cmocka_unit_test(refuses_configs_out_of_bounds),
        cmocka_unit_test(an_abort_can_be_a_reset),
        cmocka_unit_test(a_peer_is_not_silent_because_we_do_not_listen),
        cmocka_unit_test(a_peer_that_left_unread_output_is_heard_to_the_end),
        cmocka_unit_test(a_stream_that_cannot_receive_for_want_of_memory_ends),
        cmocka_unit_test(paused_streams_hold_little),
        cmocka_unit_test(what_the_kernel_takes_pauses_nobody),
    };
    return cmocka_run_group_tests_name("loop_stream", tests, NULL, NULL);
}
