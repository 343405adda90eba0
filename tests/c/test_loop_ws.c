/*
 * test_loop_ws.c - WebSocket streams: messages through the rings, pongs, the closing handshake, violations, bounds.
 * The codec itself is tested in test_ws_*.c.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "loop_fixture.h"

static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};

/* Builds a masked client frame; returns its size. `first` is FIN, RSV and opcode. */
static size_t client_frame(uint8_t *to, uint8_t first, const void *payload, size_t len)
{
    size_t n = hl_ws_header_write(to, first & 0x0f, 1, len, mask);
    to[0] = first;
    if (len > 0)
        memcpy(to + n, payload, len);
    hl_ws_mask_scalar(to + n, len, mask);
    return n + len;
}

static void peer_frame(int fd, uint8_t first, const void *payload, size_t len)
{
    uint8_t *b = malloc(len + HL_WS_MAX_HEADER);
    peer_write(fd, b, client_frame(b, first, payload, len));
    free(b);
}

static hl_handle open_ws(fixture *f, int fd[2])
{
    make_pair(fd);
    hl_handle h = attach(f, fd[0], HL_ONESHOT);
    push(f, (hl_op){.code = HL_OP_UPGRADE, .handle = h});
    return h;
}

static void expect_close_frame(fixture *f, int fd, uint16_t code)
{
    const uint8_t frame[] = {0x88, 2, (uint8_t)(code >> 8), (uint8_t)code};
    peer_expect(f, fd, frame, sizeof frame);
}

static void echoes_messages(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd);
    peer_frame(fd[1], 0x81, "text", 4);
    peer_frame(fd[1], 0x82, "bin", 3);
    peer_frame(fd[1], 0x82, NULL, 0);
    hl_event e = expect(f, HL_EV_MESSAGE, h);
    assert_int_equal(e.kind, HL_WS_TEXT);
    assert_memory_equal(e.data, "text", 4);
    push_frame(f, h, HL_WS_TEXT, e.data, e.len);
    e = expect(f, HL_EV_MESSAGE, h);
    assert_int_equal(e.kind, HL_WS_BINARY);
    assert_int_equal(e.len, 3);
    push_frame(f, h, HL_WS_BINARY, e.data, e.len);
    assert_int_equal(expect(f, HL_EV_MESSAGE, h).len, 0);
    push_frame(f, h, HL_WS_BINARY, NULL, 0);
    peer_expect(f, fd[1],
                "\x81\x04text\x82\x03"
                "bin\x82\x00",
                13);
    assert_int_equal(hl_loop_stream_stats(f->loop, h)->frames_received, 3);
    assert_int_equal(hl_loop_stream_stats(f->loop, h)->frames_sent, 3);
    close(fd[1]);
    close_fixture(f);
}

static void staged_frames_leave_in_one_piece(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd), 0); /* keeps writes apart */
    hl_handle h = attach(f, fd[0], HL_ONESHOT);
    push(f, (hl_op){.code = HL_OP_UPGRADE, .handle = h});
    for (int i = 0; i < 16; i++)
        push_frame(f, h, HL_WS_BINARY, "0123456789", 10);
    turn(f);
    uint8_t got[500];
    assert_int_equal(peer_read(fd[1], got, sizeof got), 16 * 12);
    close(fd[1]);
    close_fixture(f);
}

static void sends_fragments_and_unstaged_blocks(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd);
    push_frame(f, h, HL_WS_TEXT | HL_SEND_PARTIAL, "ab", 2);
    push_frame(f, h, HL_SEND_CONTINUATION, "c", 1);
    hl_block *b = hl_slab_get(f->slab, 70000);
    memset(hl_block_data(b), 'z', 70000);
    push(f, (hl_op){.code = HL_OP_SEND,
                    .handle = h,
                    .kind = HL_WS_BINARY,
                    .data = hl_block_data(b),
                    .len = 70000,
                    .block = b,
                    .flags = HL_GIVE});
    peer_expect(f, fd[1],
                "\x01\x02"
                "ab\x80\x01"
                "c\x82\x7f\0\0\0\0\0\x01\x11\x70",
                17);
    uint8_t *got = malloc(70000);
    peer_read_all(f, fd[1], got, 70000);
    assert_int_equal(got[0], 'z');
    assert_int_equal(got[69999], 'z');
    free(got);
    close(fd[1]);
    close_fixture(f);
}

static void upgrade_takes_bytes_that_came_early(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], HL_ONESHOT);
    uint8_t frame[32];
    size_t n = client_frame(frame, 0x81, "early", 5);
    peer_write(fd[1], "GET", 3);
    peer_write(fd[1], frame, 4); /* in the event with the request ... */
    hl_event e = expect(f, HL_EV_DATA, h);
    assert_int_equal(e.len, 7);
    peer_write(fd[1], frame + 4, n - 4); /* ... and after it */
    push(f, (hl_op){.code = HL_OP_UPGRADE,
                    .handle = h,
                    .data = (uint8_t *)e.data + 3,
                    .len = e.len - 3,
                    .block = e.block,
                    .flags = HL_KEEP});
    e = expect(f, HL_EV_MESSAGE, h);
    assert_memory_equal(e.data, "early", 5);
    close(fd[1]);
    close_fixture(f);
}

static void large_message_in_small_pieces(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd);
    enum { LEN = 10000000 };
    uint8_t *payload = malloc(LEN), *frame = malloc(LEN + HL_WS_MAX_HEADER);
    for (size_t i = 0; i < LEN; i++)
        payload[i] = (uint8_t)(i * 13 + (i >> 9));
    size_t n = client_frame(frame, 0x82, payload, LEN), sent = 0;
    hl_event e = {0};
    while (e.type == 0) {
        while (sent < n) {
            ssize_t r = send(fd[1], frame + sent, n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (r < 0)
                break;
            sent += (size_t)r;
        }
        turn(f);
        e = pop(f);
    }
    assert_int_equal(e.type, HL_EV_MESSAGE);
    assert_int_equal(e.handle, h);
    assert_int_equal(e.len, LEN);
    assert_memory_equal(e.data, payload, LEN);
    free(payload);
    free(frame);
    close(fd[1]);
    close_fixture(f);
}

static void one_byte_at_a_time(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd);
    uint8_t frame[300];
    size_t n = client_frame(frame, 0x81, "slowly but surely", 17);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(pop(f).type, 0);
        peer_write(fd[1], frame + i, 1);
        turn(f);
    }
    hl_event e = expect(f, HL_EV_MESSAGE, h);
    assert_int_equal(e.len, 17);
    assert_memory_equal(e.data, "slowly but surely", 17);
    close(fd[1]);
    close_fixture(f);
}

static void answers_pings_without_the_owner(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd);
    peer_frame(fd[1], 0x89, "are you there", 13);
    peer_frame(fd[1], 0x8a, NULL, 0);
    peer_frame(fd[1], 0x81, "m", 1);
    peer_expect(f, fd[1],
                "\x8a\x0d"
                "are you there",
                15);
    expect(f, HL_EV_MESSAGE, h);
    close(fd[1]);
    close_fixture(f);
}

static void peer_closes_after_its_messages_are_answered(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd);
    peer_frame(fd[1], 0x81, "last", 4);
    peer_frame(fd[1], 0x88,
               "\x0b\xb8"
               "enough",
               8); /* 3000 */
    peer_write(fd[1], "garbage behind the close", 24);
    expect(f, HL_EV_MESSAGE, h);
    push_frame(f, h, HL_WS_TEXT, "answer", 6);
    hl_event e = expect(f, HL_EV_END, h);
    assert_int_equal(e.flags, 3000);
    push_frame(f, h, HL_WS_TEXT, "p.s.", 4);
    push_code(f, h, HL_OP_CLOSE, 0);
    peer_expect(f, fd[1],
                "\x81\x06"
                "answer\x81\x04p.s.\x88\x02\x0b\xb8",
                18);
    e = expect(f, HL_EV_CLOSED, h);
    assert_int_equal(e.result, 0);
    assert_int_equal(e.flags, 3000);
    assert_int_equal(e.len, 6);
    assert_memory_equal(e.data, "enough", 6);
    close(fd[1]);
    close_fixture(f);
}

static void an_empty_close_is_answered_with_one(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.close_ms = 20});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    peer_frame(fd[1], 0x88, NULL, 0);
    assert_int_equal(expect(f, HL_EV_END, h).flags, 1005);
    peer_expect(f, fd[1], "\x88\x00", 2); /* the owner does not answer: the loop does, after close_ms */
    assert_int_equal(expect(f, HL_EV_CLOSED, h).flags, 1005);
    close(fd[1]);
    close_fixture(f);
}

static void we_close_and_wait_for_the_peer(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd);
    push(f, (hl_op){.code = HL_OP_CLOSE, .handle = h, .arg = 1001, .data = stage(f, "bye", 3, 0), .len = 3});
    peer_expect(f, fd[1],
                "\x88\x05\x03\xe9"
                "bye",
                7);
    peer_frame(fd[1], 0x81, "crossing", 8); /* discarded: we have said goodbye */
    peer_frame(fd[1], 0x89, "crossing", 8); /* no pong after a close frame */
    turn(f);
    assert_int_equal(pop(f).type, 0);
    peer_frame(fd[1], 0x88, "\x03\xe9", 2);
    hl_event e = expect(f, HL_EV_CLOSED, h);
    assert_int_equal(e.flags, 1001);
    assert_int_equal(e.result, 0);
    peer_expect_end(f, fd[1]);
    close(fd[1]);
    close_fixture(f);
}

static void a_peer_that_never_answers_the_close(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.close_ms = 20});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    push_code(f, h, HL_OP_CLOSE, 1000);
    hl_event e = expect(f, HL_EV_CLOSED, h);
    assert_int_equal(e.flags, 1006);
    assert_int_equal(e.result, -ETIMEDOUT);
    expect_close_frame(f, fd[1], 1000);
    close(fd[1]);
    close_fixture(f);
}

static void end_without_a_close_frame(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd);
    peer_frame(fd[1], 0x81, "m", 1);
    peer_write(fd[1], "\x81\x85half", 6); /* in mid-frame */
    shutdown(fd[1], SHUT_WR);
    expect(f, HL_EV_MESSAGE, h);
    push_frame(f, h, HL_WS_TEXT, "M", 1);
    assert_int_equal(expect(f, HL_EV_END, h).flags, 1006);
    push_code(f, h, HL_OP_CLOSE, 0);
    peer_expect(f, fd[1], "\x81\x01M", 3);
    peer_expect_end(f, fd[1]);
    assert_int_equal(expect(f, HL_EV_CLOSED, h).flags, 1006);
    close(fd[1]);
    close_fixture(f);
}

static void violations_are_answered_and_closed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        uint16_t code;
        int32_t result;
    } bad[] = {
        {"\x81\x01x", 3, 1002, -EPROTO},                                         /* not masked */
        {"\xc1\x81\0\0\0\0x", 7, 1002, -EPROTO},                                 /* RSV1 without an extension */
        {"\x83\x80\0\0\0\0", 6, 1002, -EPROTO},                                  /* reserved opcode */
        {"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14, 1002, -EPROTO},               /* length 2^63 */
        {"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14, 1002, -EPROTO}, /* length 2^64-1 */
        {"\x82\xff\0\0\0\x02\0\0\0\0\0\0\0\0", 14, 1009, -EMSGSIZE},             /* 8 GiB */
        {"\x81\x82\0\0\0\0\xc3\x28", 8, 1007, -EILSEQ},                          /* not UTF-8 */
        {"\x80\x80\0\0\0\0", 6, 1002, -EPROTO},                                  /* nothing to continue */
        {"\x88\x81\0\0\0\0x", 7, 1002, -EPROTO},                                 /* half a status code */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fixture *f = open_fixture(NULL);
        int fd[2], good[2];
        hl_handle h = open_ws(f, fd);
        hl_handle other = open_ws(f, good);
        peer_frame(fd[1], 0x82, "before", 6);
        peer_write(fd[1], bad[i].bytes, bad[i].len);
        expect(f, HL_EV_MESSAGE, h);
        push_frame(f, h, HL_WS_TEXT, "reply", 5);
        assert_int_equal(expect(f, HL_EV_END, h).flags, 1006);
        push_code(f, h, HL_OP_CLOSE, 0);
        peer_expect(f, fd[1], "\x81\x05reply", 7); /* what came before the violation is answered */
        expect_close_frame(f, fd[1], bad[i].code);
        peer_expect_end(f, fd[1]);
        static uint8_t more[100000];
        peer_write(fd[1], more, sizeof more); /* talks on: discarded, and no reset destroys our close frame */
        turn(f);
        close(fd[1]);
        hl_event e = expect(f, HL_EV_CLOSED, h);
        assert_int_equal(e.result, bad[i].result);
        assert_int_equal(e.flags, 1006);
        peer_frame(good[1], 0x81, "fine", 4);
        expect(f, HL_EV_MESSAGE, other);
        close(good[1]);
        close_fixture(f);
    }
}

static void message_limit(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ws = {.max_message = 1000}});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    static const uint8_t payload[1001];
    peer_frame(fd[1], 0x82, payload, 1000);
    assert_int_equal(expect(f, HL_EV_MESSAGE, h).len, 1000);
    peer_frame(fd[1], 0x82, payload, 1001);
    expect(f, HL_EV_END, h);
    push_code(f, h, HL_OP_CLOSE, 1000); /* the violation wins */
    expect_close_frame(f, fd[1], 1009);
    close(fd[1]);
    assert_int_equal(expect(f, HL_EV_CLOSED, h).result, -EMSGSIZE);
    close_fixture(f);
}

static void many_messages_through_a_small_ring(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    enum { COUNT = 5000 };
    static uint8_t all[COUNT * 10];
    size_t n = 0;
    for (uint32_t i = 0; i < COUNT; i++)
        n += client_frame(all + n, 0x82, &i, sizeof i);
    peer_write(fd[1], all, n);
    for (uint32_t i = 0; i < COUNT; i++) {
        hl_event e = expect(f, HL_EV_MESSAGE, h);
        assert_int_equal(e.len, sizeof i);
        assert_memory_equal(e.data, &i, sizeof i);
    }
    close(fd[1]);
    close_fixture(f);
}

static void a_flood_does_not_silence_the_others(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64});
    int fd[2], quiet[2];
    hl_handle loud = open_ws(f, fd), h = open_ws(f, quiet);
    static uint8_t all[10000 * 6];
    size_t n = 0;
    for (int i = 0; i < 10000; i++)
        n += client_frame(all + n, 0x82, NULL, 0);
    peer_write(fd[1], all, n);
    for (int i = 0; i < 100; i++) /* the loop holds thousands of messages that it has not delivered */
        assert_int_equal(next(f).handle, loud);
    peer_frame(quiet[1], 0x81, "me too", 6);
    int before = 0;
    while (next(f).handle != h)
        before++;
    assert_true(before < 3 * 64);
    close(fd[1]);
    close(quiet[1]);
    close_fixture(f);
}

/* Leaves `loud` with messages that waited for room, in a block that the loop receives into no more, and makes events of
 * some of them. Returns with these unread. */
static void deliver_from_a_held_block(fixture *f, hl_handle h, int loud, hl_handle other, int other_fd)
{
    static uint8_t all[500 * 20], big[60000];
    size_t n = 0;
    for (int i = 0; i < 500; i++)
        n += client_frame(all + n, 0x82, "secret-A", 8);
    peer_write(loud, all, n);
    turn(f);
    while (pop(f).type != 0)
        ;
    push_code(f, h, HL_OP_READ, 0);
    for (int i = 0; i < 4; i++) {
        peer_frame(other_fd, 0x82, big, sizeof big);
        while (next(f).handle != other)
            ;
    }
    push_code(f, h, HL_OP_READ, 1);
}

static void expect_secrets(fixture *f)
{
    int seen = 0;
    for (hl_event e = pop(f); e.type == HL_EV_MESSAGE; e = pop(f), seen++)
        assert_int_equal(memcmp(e.data, "secret-A", 8), 0); /* not cmocka's own, which sanitizers do not see into */
    assert_true(seen > 0);
}

static void events_outlive_the_stream_they_came_from(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        fixture *f = open_fixture(&(hl_loop_config){.ring = 64});
        int fd[2], other[2];
        hl_handle h = open_ws(f, fd), h2 = open_ws(f, other);
        turn(f);
        deliver_from_a_held_block(f, h, fd[1], h2, other[1]);
        hl_op op = {.code = way == 0 ? HL_OP_ABORT : HL_OP_CLOSE, .handle = h};
        if (way < 2) { /* somebody else ends it in the same turn */
            turn(f);
            assert_int_equal(hl_loop_post(f->loop, &op), 0);
            assert_true(hl_loop_enter(f->loop, 0, 0) >= 0);
        } else { /* or its owner, in the middle of the batch */
            turn(f);
            push(f, op);
            assert_true(hl_loop_enter(f->loop, 0, HL_ENTER_FLUSH) >= 0);
        }
        expect_secrets(f);
        close(fd[1]);
        close(other[1]);
        close_fixture(f);
    }
}

static void closing_reads_on_above_high_water(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.high_water = 100000});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    turn(f);
    enum { LEN = 2000000 };
    hl_block *b = hl_slab_get(f->slab, LEN);
    memset(hl_block_data(b), 'x', LEN);
    push(f, (hl_op){.code = HL_OP_SEND,
                    .handle = h,
                    .kind = HL_WS_BINARY,
                    .data = hl_block_data(b),
                    .len = LEN,
                    .block = b,
                    .flags = HL_GIVE});
    push_code(f, h, HL_OP_CLOSE, 1000);
    push_code(f, h, HL_OP_READ, 0); /* too late to be obeyed */
    static uint8_t chunk[50000];
    for (int i = 0; i < 40; i++) { /* a peer that writes all it has before it reads */
        for (size_t sent = 0; sent < sizeof chunk;) {
            ssize_t r = send(fd[1], chunk, sizeof chunk - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            assert_true(r >= 0 || errno == EAGAIN); /* it must not be cut off */
            if (r < 0)
                turn(f);
            else
                sent += (size_t)r;
        }
        if (i == 0)
            turn(f);
    }
    uint8_t *got = malloc(LEN + 10);
    peer_read_all(f, fd[1], got, LEN + 10);
    free(got);
    close(fd[1]);
    while (next(f).type != HL_EV_CLOSED)
        ;
    close_fixture(f);
}

static void codes_that_must_not_be_sent_become_1000(void **state)
{
    (void)state;
    static const int32_t codes[] = {5, 999, 1004, 1006, 1015, 70000};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        fixture *f = open_fixture(NULL);
        int fd[2];
        hl_handle h = open_ws(f, fd);
        push_code(f, h, HL_OP_CLOSE, codes[i]);
        expect_close_frame(f, fd[1], 1000);
        close(fd[1]);
        close_fixture(f);
    }
}

static void upgrading_a_stream_that_has_ended(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    uint8_t frame[32];
    size_t n = client_frame(frame, 0x81, "early", 5);
    peer_write(fd[1], frame, n);
    shutdown(fd[1], SHUT_WR);
    hl_event e = expect(f, HL_EV_DATA, h);
    hl_block_ref(e.block);
    expect(f, HL_EV_END, h);
    push(f,
         (hl_op){.code = HL_OP_UPGRADE, .handle = h, .data = e.data, .len = e.len, .block = e.block, .flags = HL_KEEP});
    hl_event m = expect(f, HL_EV_MESSAGE, h);
    assert_memory_equal(m.data, "early", 5);
    assert_int_equal(expect(f, HL_EV_END, h).flags, 1006);
    hl_block_unref(e.block);
    close(fd[1]);
    close_fixture(f);
}

static void reads_on_while_flushing_so_neither_side_locks_up(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.high_water = 100000});
    int fd[2];
    hl_handle h = open_ws(f, fd);
    static uint8_t payload[60000];
    for (int i = 0; i < 10; i++) {
        push_frame(f, h, HL_WS_BINARY, payload, sizeof payload);
        turn(f);
    }
    peer_write(fd[1], "\x83", 1); /* a violation ... */
    peer_write(fd[1], "\x80", 1);
    turn(f); /* ... that cannot be read yet: output is above high water */
    static uint8_t got[10 * (sizeof payload + 4)];
    peer_read_all(f, fd[1], got, sizeof got);
    expect(f, HL_EV_DRAIN, h);
    expect(f, HL_EV_END, h);
    push_code(f, h, HL_OP_CLOSE, 0);
    expect_close_frame(f, fd[1], 1002);
    peer_expect_end(f, fd[1]);
    close(fd[1]);
    expect(f, HL_EV_CLOSED, h);
    close_fixture(f);
}

/* Every byte of a message under way puts the end of the close off, up to 12 times close_ms. */
static void a_close_does_not_last_for_ever_however_much_comes(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.close_ms = 20});
    int fd[2];
    hl_handle h = open_ws(f, fd), backstop = hl_loop_reserve(f->loop);
    uint8_t header[HL_WS_MAX_HEADER];
    peer_write(fd[1], header, hl_ws_header_write(header, HL_WS_BINARY, 1, 10000000, mask));
    push_code(f, h, HL_OP_CLOSE, 1000);
    push(f, (hl_op){.code = HL_OP_TIMER, .handle = backstop, .len = 5000});
    hl_event e = {0};
    while (e.type == 0) {
        peer_write(fd[1], "x", 1);
        assert_true(hl_loop_enter(f->loop, 1, 0) >= 0);
        e = pop(f);
    }
    assert_int_equal(e.handle, h); /* and not the timer */
    assert_int_equal(e.type, HL_EV_CLOSED);
    assert_int_equal(e.result, -ETIMEDOUT);
    close(fd[1]);
    close_fixture(f);
}

/* Of two streams with messages that wait for room, the first ends. The second, which stands behind it in the same list,
 * is heard all the same, and of the first nothing but its end. */
static void a_stream_that_ends_while_its_input_waits_holds_up_nobody(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64});
    enum { MESSAGES = 100 };
    uint8_t frames[MESSAGES * 7];
    size_t len = 0;
    int fd[2][2], seen[2] = {0};
    for (int i = 0; i < MESSAGES; i++)
        len += client_frame(frames + len, 0x82, "m", 1);
    hl_handle h[2] = {open_ws(f, fd[0]), open_ws(f, fd[1])};
    turn(f);
    peer_write(fd[0][1], frames, len);
    turn(f); /* the ring is full */
    peer_write(fd[1][1], frames, len);
    for (int i = 0; i < 33; i++)
        seen[expect(f, HL_EV_MESSAGE, h[0]).handle == h[1]]++;
    turn(f); /* less than half of it is taken: the second gets as far as there is room */
    for (int i = 0; i < 20; i++)
        seen[next(f).handle == h[1]]++;
    push_code(f, h[0], HL_OP_ABORT, 0);
    turn(f); /* room for the end, but not for input */
    int closed = 0;
    while (seen[1] < MESSAGES || !closed) {
        hl_event e = next(f);
        if (e.type == HL_EV_CLOSED) {
            assert_int_equal(e.handle, h[0]);
            assert_false(closed++);
        } else {
            assert_int_equal(e.type, HL_EV_MESSAGE);
            assert_true(e.handle == h[1] || !closed);
            seen[e.handle == h[1]]++;
        }
    }
    for (int i = 0; i < 2; i++)
        close(fd[i][1]);
    close_fixture(f);
}

/* The owner has yet to answer the goodbye: what comes behind it stays with the kernel, and then with the peer. */
static void a_peer_that_sends_on_after_its_goodbye_is_held_up(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.close_ms = 60000});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], HL_ONESHOT);
    push(f, (hl_op){.code = HL_OP_UPGRADE, .handle = h});
    turn(f);
    peer_write(fd[1], "\x82\x81\0\0\0\0x", 7);
    expect(f, HL_EV_MESSAGE, h);
    turn(f);
    peer_write(fd[1], "\x88\x82\0\0\0\0\x03\xe8", 8);
    expect(f, HL_EV_END, h);
    uint64_t before = bytes_in_use(f);
    int sent = 0;
    while (sent < 4000 && send(fd[1], "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) {
        sent++;
        turn(f);
    }
    assert_in_range(sent, 1, 3999);
    assert_in_range(bytes_in_use(f), 0, before + (256 << 10));
    close(fd[1]);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echoes_messages),
        cmocka_unit_test(staged_frames_leave_in_one_piece),
        cmocka_unit_test(sends_fragments_and_unstaged_blocks),
        cmocka_unit_test(upgrade_takes_bytes_that_came_early),
        cmocka_unit_test(large_message_in_small_pieces),
        cmocka_unit_test(one_byte_at_a_time),
        cmocka_unit_test(answers_pings_without_the_owner),
        cmocka_unit_test(peer_closes_after_its_messages_are_answered),
        cmocka_unit_test(an_empty_close_is_answered_with_one),
        cmocka_unit_test(we_close_and_wait_for_the_peer),
        cmocka_unit_test(a_peer_that_never_answers_the_close),
        cmocka_unit_test(end_without_a_close_frame),
        cmocka_unit_test(violations_are_answered_and_closed),
        cmocka_unit_test(message_limit),
        cmocka_unit_test(many_messages_through_a_small_ring),
        cmocka_unit_test(a_flood_does_not_silence_the_others),
        cmocka_unit_test(events_outlive_the_stream_they_came_from),
        cmocka_unit_test(closing_reads_on_above_high_water),
        cmocka_unit_test(codes_that_must_not_be_sent_become_1000),
        cmocka_unit_test(upgrading_a_stream_that_has_ended),
        cmocka_unit_test(reads_on_while_flushing_so_neither_side_locks_up),
        cmocka_unit_test(a_close_does_not_last_for_ever_however_much_comes),
        cmocka_unit_test(a_stream_that_ends_while_its_input_waits_holds_up_nobody),
        cmocka_unit_test(a_peer_that_sends_on_after_its_goodbye_is_held_up),
    };
    return cmocka_run_group_tests_name("loop_ws", tests, NULL, NULL);
}
