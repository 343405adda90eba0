/*
 * test_loop_rings.c - the two rings: wrapping, full, left unread; flushing in mid-turn.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "loop_fixture.h"

/* Both rings as they are after 2^32 - `before` entries. */
static void age_rings(fixture *f, uint32_t before)
{
    f->sh->sq.head = f->sh->sq.tail = UINT32_MAX - before + 1;
    f->sh->cq.head = f->sh->cq.tail = UINT32_MAX - before + 1;
}

static void indices_wrap(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64});
    age_rings(f, 5);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    for (int i = 0; i < 200; i++) {
        char c = (char)i;
        peer_write(fd[1], &c, 1);
        hl_event e = expect(f, HL_EV_DATA, h);
        assert_int_equal(e.len, 1);
        push_send(f, h, e.data, 1);
        peer_expect(f, fd[1], &c, 1);
    }
    assert_true(f->sh->sq.tail < 1000 && f->sh->cq.tail < 1000); /* past 0 */
    close(fd[1]);
    close_fixture(f);
}

static void a_full_submission_ring_is_performed_whole_and_in_order(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64});
    age_rings(f, 30);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    for (uint8_t i = 0; i < 63; i++)
        push_send(f, h, &i, 1);
    assert_int_equal(f->sh->sq.tail - f->sh->sq.head, 64);
    turn(f);
    assert_int_equal(f->sh->sq.head, f->sh->sq.tail);
    uint8_t got[63];
    peer_read_all(f, fd[1], got, sizeof got);
    for (uint8_t i = 0; i < 63; i++)
        assert_int_equal(got[i], i);
    close(fd[1]);
    close_fixture(f);
}

/* One more event than fits waits in the loop, not in the void; what was left unread keeps its bytes. */
static void unread_events_are_kept(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64});
    enum { STREAMS = 70 };
    int fd[STREAMS][2];
    hl_handle h[STREAMS];
    for (int i = 0; i < STREAMS; i++) {
        make_pair(fd[i]);
        h[i] = attach(f, fd[i][0], 0);
        if (i % 60 == 59)
            turn(f);
    }
    turn(f);
    uint8_t id;
    for (id = 0; id < STREAMS; id++)
        peer_write(fd[id][1], &id, 1);
    for (int i = 0; i < 10; i++)
        turn(f);
    assert_int_equal(f->sh->cq.tail - f->sh->cq.head, 64);
    int seen[STREAMS] = {0};
    for (int n = 0; n < STREAMS; n++) {
        hl_event e = next(f);
        assert_int_equal(e.type, HL_EV_DATA);
        id = *(uint8_t *)e.data;
        assert_int_equal(e.handle, h[id]);
        assert_int_equal(seen[id]++, 0);
        if (n == 20)
            turn(f); /* a turn with events unread */
    }
    for (int i = 0; i < STREAMS; i++)
        close(fd[i][1]);
    close_fixture(f);
}

static void a_flush_sends_and_leaves_events_alone(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.stage_size = 4096});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    peer_write(fd[1], "request", 7);
    hl_event e = expect(f, HL_EV_DATA, h);
    static uint8_t big[4000];
    memset(big, 'r', sizeof big);
    size_t sent = 0;
    for (int i = 0; i < 10; i++) {
        if (f->sh->stage_used + sizeof big > f->sh->stage->size) {
            uint64_t turns = loop_stats(f).turns;
            assert_int_equal(hl_loop_enter(f->loop, -1, HL_ENTER_FLUSH), 0); /* never waits */
            assert_int_equal(loop_stats(f).turns, turns);
            assert_int_equal(f->sh->stage_used, 0);
        }
        push_send(f, h, big, sizeof big);
        sent += sizeof big;
    }
    assert_memory_equal(e.data, "request", 7);
    assert_int_equal(loop_stats(f).flushes, 9);
    uint8_t *got = malloc(sent);
    peer_read_all(f, fd[1], got, sent);
    for (size_t i = 0; i < sent; i++)
        assert_int_equal(got[i], 'r');
    free(got);
    close(fd[1]);
    close_fixture(f);
}

/* One message that can be read is one that was sent by one system call. */
static void make_packet_pair(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

static void make_room(fixture *f)
{
    if (f->sh->sq.tail - f->sh->sq.head > f->sh->sq.mask)
        assert_int_equal(hl_loop_enter(f->loop, -1, HL_ENTER_PERFORM), 0); /* never waits */
}

static void a_full_submission_ring_does_not_scatter_output(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64});
    enum { STREAMS = 50, ROUNDS = 16 };
    int fd[STREAMS][2];
    hl_handle h[STREAMS];
    hl_block *blocks[ROUNDS];
    uint8_t want[ROUNDS], got[ROUNDS + 1];
    for (int i = 0; i < STREAMS; i++) {
        make_packet_pair(fd[i]);
        h[i] = attach(f, fd[i][0], 0);
    }
    turn(f);
    for (uint8_t round = 0; round < ROUNDS; round++) {
        want[round] = round;
        hl_block *b = hl_slab_get(f->slab, 1); /* pieces of one stream do not lie side by side */
        *hl_block_data(b) = round;
        for (int i = 0; i < STREAMS; i++) {
            make_room(f);
            push(f, (hl_op){.code = HL_OP_SEND,
                            .handle = h[i],
                            .data = hl_block_data(b),
                            .len = 1,
                            .block = b,
                            .flags = HL_KEEP});
        }
        blocks[round] = b; /* until the last operation is performed */
    }
    assert_int_equal(loop_stats(f).flushes, STREAMS * ROUNDS / 64);
    for (int i = 0; i < STREAMS; i++)
        assert_int_equal(peer_read(fd[i][1], got, sizeof got), -1);
    turn(f);
    for (int i = 0; i < ROUNDS; i++)
        hl_block_unref(blocks[i]);
    for (int i = 0; i < STREAMS; i++) {
        assert_int_equal(peer_read(fd[i][1], got, sizeof got), ROUNDS);
        assert_memory_equal(got, want, ROUNDS);
        close(fd[i][1]);
    }
    close_fixture(f);
}

static void performing_leaves_events_and_the_staging_area_alone(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    peer_write(fd[1], "request", 7);
    hl_event e = expect(f, HL_EV_DATA, h);
    push_send(f, h, "rep", 3);
    assert_int_equal(hl_loop_enter(f->loop, -1, HL_ENTER_PERFORM), 0);
    assert_memory_equal(e.data, "request", 7);
    assert_int_equal(f->sh->stage_used, 3);
    assert_int_equal(queued(f, h), 3);
    push_send(f, h, "ly", 2);
    assert_int_equal(hl_loop_enter(f->loop, -1, HL_ENTER_FLUSH), 0); /* sends both */
    assert_int_equal(queued(f, h), 0);
    peer_expect(f, fd[1], "reply", 5);
    close(fd[1]);
    close_fixture(f);
}

/* What waits is bounded: for each stream, so that nobody takes its peer for slow, and in all. */
static void much_output_is_not_put_off(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.low_water = 10000});
    enum { STREAMS = 600, SIZE = 10000 };
    int fd[STREAMS][2];
    hl_handle h[STREAMS];
    static uint8_t big[SIZE + 1];
    for (int i = 0; i < STREAMS; i++) {
        make_pair(fd[i]);
        h[i] = attach(f, fd[i][0], 0);
    }
    turn(f);
    push_send(f, h[0], "x", 1);
    hl_block *b = hl_slab_get(f->slab, SIZE);
    int sent = 0; /* streams that have got one */
    for (int i = 1; i < STREAMS; i++) {
        push(f, (hl_op){.code = HL_OP_SEND,
                        .handle = h[i],
                        .data = hl_block_data(b),
                        .len = SIZE,
                        .block = b,
                        .flags = HL_KEEP});
        assert_int_equal(hl_loop_enter(f->loop, 0, HL_ENTER_PERFORM), 0);
        if (sent == 0 && peer_read(fd[0][1], big, 1) == 1)
            sent = i;
    }
    assert_in_range((uint64_t)sent * SIZE, 4000000, 4 << 20);
    turn(f);
    turn(f);
    push_send(f, h[0], big, SIZE + 1);
    assert_int_equal(hl_loop_enter(f->loop, 0, HL_ENTER_PERFORM), 0);
    assert_int_equal(peer_read(fd[0][1], big, sizeof big), SIZE + 1);
    hl_block_unref(b);
    for (int i = 0; i < STREAMS; i++)
        close(fd[i][1]);
    close_fixture(f);
}

static void a_flush_makes_no_event(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    peer_write(fd[1], "x", 1);
    push_code(f, h, HL_OP_ABORT, 0);
    assert_int_equal(hl_loop_enter(f->loop, 0, HL_ENTER_FLUSH), 0);
    expect(f, HL_EV_CLOSED, h); /* it comes with the next turn */
    close(fd[1]);
    close_fixture(f);
}

/* The last bytes take the last entry that is free; the end, which lies behind them, comes when there is another. */
static void an_end_waits_for_room(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64, .recv_size = 512});
    enum { OTHERS = 31 };
    int fd[2], other[OTHERS][2];
    static uint8_t bytes[1000];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    for (int i = 0; i < OTHERS; i++) {
        make_pair(other[i]);
        attach(f, other[i][0], 0);
    }
    turn(f);
    for (int i = 0; i < OTHERS; i++)
        peer_write(other[i][1], "x", 1);
    while (f->sh->cq.tail - f->sh->cq.head < OTHERS)
        turn(f);
    peer_write(fd[1], bytes, sizeof bytes); /* two pieces */
    close(fd[1]);
    turn(f);
    assert_int_equal(f->sh->cq.tail - f->sh->cq.head, OTHERS + 1);
    size_t got = 0;
    int ends = 0;
    for (int events = 0; ends == 0; events++) {
        hl_event e = next(f);
        if (e.handle == h && e.type == HL_EV_DATA)
            got += e.len;
        ends += e.handle == h && e.type == HL_EV_END;
        if (events == 0)
            turn(f); /* with room for one more event of input that waits */
    }
    assert_int_equal(got, sizeof bytes);
    for (int i = 0; i < OTHERS; i++)
        close(other[i][1]);
    close_fixture(f);
}

enum { BUSY = 40, MANY = 150, PIECE = 16384, MOST = (128 << 10) + (64 << 10) };

/* `n` streams whose peers have each written `size` bytes, with a deadline of `ms` (0: none) for them. */
static fixture *open_busy(const hl_loop_config *config, int *peers, int n, size_t size, uint64_t ms)
{
    static const uint8_t bytes[PIECE];
    hl_handle h[MANY];
    fixture *f = open_fixture(config);
    for (int i = 0; i < n; i++) {
        int fd[2];
        make_pair(fd);
        peers[i] = fd[1];
        h[i] = attach(f, fd[0], 0);
        if (i % 16 == 15)
            turn(f); /* a small ring has no room for all */
    }
    for (int i = 0; i < n; i++) {
        push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h[i], .kind = HL_DEADLINE_READ, .len = ms});
        if (i % 16 == 15)
            turn(f);
    }
    turn(f);
    for (int i = 0; i < n; i++)
        peer_write(peers[i], bytes, size);
    return f;
}

static void close_busy(fixture *f, const int *peers, int n)
{
    for (int i = 0; i < n; i++)
        close(peers[i]);
    close_fixture(f);
}

/* What many streams have received does not come all at once with epoll, but without anybody waiting for the rest. */
static void a_turn_receives_so_much(void **state)
{
    (void)state;
    int peers[BUSY], turns = 0;
    fixture *f = open_busy(&(hl_loop_config){.batch = 64}, peers, BUSY, PIECE, 0);
    int bounded = strcmp(hl_loop_backend(f->loop), "epoll") == 0;
    uint64_t waits = loop_stats(f).waits;
    for (size_t all = 0; all < (size_t)BUSY * PIECE; turns++) {
        int n = hl_loop_enter(f->loop, -1, 0);
        size_t received = 0;
        assert_true(n >= 0);
        while (n-- > 0)
            received += pop(f).len;
        if (bounded)
            assert_true(received <= MOST);
        all += received;
    }
    if (bounded) {
        assert_true(turns >= BUSY * PIECE / MOST);
        assert_true(loop_stats(f).waits - waits <= 1); /* for what is left behind nobody falls asleep */
    }
    close_busy(f, peers, BUSY);
}

/* Whoever has written in time is not late, however late the owner looks. */
static void expect_nobody_late(const hl_loop_config *config, int n, size_t size, uint64_t ms)
{
    int peers[MANY];
    fixture *f = open_busy(config, peers, n, size, ms);
    poll(NULL, 0, (int)ms + 100); /* the owner is busy */
    for (size_t all = 0; all < n * size;) {
        int events = hl_loop_enter(f->loop, -1, 0);
        assert_true(events >= 0);
        while (events-- > 0) {
            hl_event e = pop(f);
            assert_int_equal(e.type, HL_EV_DATA);
            all += e.len;
        }
    }
    close_busy(f, peers, n);
}

/* However much others have written. */
static void nobody_is_late_before_he_was_heard(void **state)
{
    (void)state;
    expect_nobody_late(&(hl_loop_config){.batch = 64}, BUSY, PIECE, 1000);
}

/* When more is ready than the completion ring or a batch of the backend's can take. */
static void nobody_is_late_who_found_no_room(void **state)
{
    (void)state;
    expect_nobody_late(&(hl_loop_config){.ring = 64, .batch = 256}, MANY, 1, 500);
    expect_nobody_late(&(hl_loop_config){.ring = 256, .batch = 16}, MANY, 1, 500);
}

/* Parts of large messages, of which there is nothing to tell yet, do not keep a turn from ending. */
static void parts_of_messages_let_a_turn_end(void **state)
{
    (void)state;
    enum { SIZE = 300000, PART = 60000 };
    static uint8_t message[HL_WS_MAX_HEADER + SIZE];
    hl_ws_header_write(message, HL_WS_BINARY, 1, SIZE, (const uint8_t[4]){0});
    fixture *f = open_fixture(NULL);
    int fd[5][2];
    hl_handle h[5];
    for (int i = 0; i < 5; i++) {
        make_pair(fd[i]);
        h[i] = attach(f, fd[i][0], 0);
        push(f, (hl_op){.code = HL_OP_UPGRADE, .handle = h[i]});
    }
    turn(f);
    turn(f);
    for (int i = 0; i < 5; i++)
        peer_write(fd[i][1], message, PART);
    for (uint64_t seen = 0; seen < 5 * PART;) {
        assert_int_equal(hl_loop_enter(f->loop, 10, 0), 0);
        seen = 0;
        for (int i = 0; i < 5; i++)
            seen += hl_loop_stream_stats(f->loop, h[i])->received;
    }
    for (int i = 0; i < 5; i++)
        close(fd[i][1]);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indices_wrap),
        cmocka_unit_test(a_full_submission_ring_is_performed_whole_and_in_order),
        cmocka_unit_test(unread_events_are_kept),
        cmocka_unit_test(a_flush_sends_and_leaves_events_alone),
        cmocka_unit_test(a_full_submission_ring_does_not_scatter_output),
        cmocka_unit_test(performing_leaves_events_and_the_staging_area_alone),
        cmocka_unit_test(much_output_is_not_put_off),
        cmocka_unit_test(a_flush_makes_no_event),
        cmocka_unit_test(an_end_waits_for_room),
        cmocka_unit_test(a_turn_receives_so_much),
        cmocka_unit_test(nobody_is_late_before_he_was_heard),
        cmocka_unit_test(nobody_is_late_who_found_no_room),
        cmocka_unit_test(parts_of_messages_let_a_turn_end),
    };
    return cmocka_run_group_tests_name("loop_rings", tests, NULL, NULL);
}
