/*
 * test_loop_ws_options.c - what HL_OP_UPGRADE and its kin ask for beyond a server's plain messages: the client's end,
 * messages in pieces, pings by the loop, pongs, frames that come encoded.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "loop_fixture.h"

#include "ws_stream.h"

static hl_handle open_ws(fixture *f, int fd[2], uint8_t kind, uint64_t max)
{
    make_pair(fd);
    hl_handle h = attach(f, fd[0], HL_ONESHOT);
    push(f, (hl_op){.code = HL_OP_UPGRADE, .handle = h, .kind = kind, .user = max});
    return h;
}

/* Reads a client's frame of `len` bytes of payload, which it unmasks into `to`. Returns its mask. */
static uint32_t read_masked(fixture *f, int fd, uint8_t first, void *to, size_t len)
{
    uint8_t header[HL_WS_MAX_HEADER], want[HL_WS_MAX_HEADER];
    size_t size = hl_ws_header_size(len, 1);
    peer_read_all(f, fd, header, size);
    const uint8_t *mask = header + size - HL_WS_MASK_SIZE;
    hl_ws_header_write(want, first & 0x0f, first & 0x80, len, mask);
    assert_memory_equal(header, want, size);
    peer_read_all(f, fd, to, len);
    hl_ws_mask_scalar(to, len, mask);
    uint32_t word;
    memcpy(&word, mask, sizeof word);
    return word;
}

static void expect_masked(fixture *f, int fd, uint8_t first, const void *want, size_t len)
{
    uint8_t *got = malloc(len + 1);
    read_masked(f, fd, first, got, len);
    assert_memory_equal(got, want, len);
    free(got);
}

static void *staged_for_client(fixture *f, const void *p, size_t n)
{
    return stage(f, p, n, hl_ws_header_size(n, 1));
}

static void push_client_frame(fixture *f, hl_handle h, uint8_t kind, const void *p, size_t n)
{
    push(f, (hl_op){.code = HL_OP_SEND,
                    .handle = h,
                    .kind = kind,
                    .flags = HL_HEADROOM,
                    .data = staged_for_client(f, p, n),
                    .len = n});
}

static void a_client_masks_what_it_sends(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd, HL_WS_CLIENT, 0);
    push_client_frame(f, h, HL_WS_TEXT, "staged", 6);
    push_client_frame(f, h, HL_WS_BINARY, NULL, 0);
    push_client_frame(f, h, HL_WS_PING, "ping", 4);
    hl_block *given = hl_slab_get(f->slab, 70000);
    memset(hl_block_data(given), 'g', 70000);
    push(f, (hl_op){.code = HL_OP_SEND,
                    .handle = h,
                    .kind = HL_WS_BINARY,
                    .data = hl_block_data(given),
                    .len = 70000,
                    .block = given,
                    .flags = HL_GIVE});
    expect_masked(f, fd[1], 0x81, "staged", 6);
    expect_masked(f, fd[1], 0x82, "", 0);
    expect_masked(f, fd[1], 0x89, "ping", 4);
    uint8_t *want = malloc(70000);
    memset(want, 'g', 70000);
    expect_masked(f, fd[1], 0x82, want, 70000);
    free(want);
    const hl_op letter = {.code = HL_OP_SEND, .handle = h, .kind = HL_WS_TEXT, .data = (void *)"letter", .len = 6};
    assert_int_equal(hl_loop_post(f->loop, &letter), 0);
    expect_masked(f, fd[1], 0x81, "letter", 6);
    close(fd[1]);
    close_fixture(f);
}

/* An owner that keeps a block may send it to many, and look at it afterwards. */
static void bytes_that_others_look_at_are_masked_in_a_copy(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd, HL_WS_CLIENT, 0);
    hl_block *b = hl_slab_get(f->slab, 5000);
    memset(hl_block_data(b), 'k', 5000);
    hl_op op = {
        .code = HL_OP_SEND, .handle = h, .kind = HL_WS_BINARY, .data = hl_block_data(b), .len = 5000, .block = b};
    op.flags = HL_KEEP;
    push(f, op);
    op.flags = HL_GIVE;
    hl_block_ref(b); /* given, and yet not the only reference */
    push(f, op);
    op.flags = HL_KEEP;
    op.len = 0;
    push(f, op);
    turn(f);
    uint8_t want[5000];
    memset(want, 'k', sizeof want);
    assert_memory_equal(hl_block_data(b), want, sizeof want);
    expect_masked(f, fd[1], 0x82, want, sizeof want);
    expect_masked(f, fd[1], 0x82, want, sizeof want);
    expect_masked(f, fd[1], 0x82, want, 0);
    hl_block_unref(b);
    close(fd[1]);
    close_fixture(f);
}

static void each_frame_has_a_mask_of_its_own(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd, HL_WS_CLIENT, 0);
    enum { FRAMES = 300 }; /* more than the loop has in store */
    uint32_t masks[FRAMES];
    int same = 0;
    for (int i = 0; i < FRAMES; i++) {
        char got;
        push_client_frame(f, h, HL_WS_TEXT, "x", 1);
        masks[i] = read_masked(f, fd[1], 0x81, &got, 1);
        for (int j = 0; j < i; j++)
            same += masks[i] == masks[j];
    }
    assert_in_range(same, 0, 1); /* one pair by chance: 1 in 100,000 */
    close(fd[1]);
    close_fixture(f);
}

static void a_client_takes_no_masked_frames_and_a_server_no_others(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd, HL_WS_CLIENT, 0);
    peer_write(fd[1], "\x81\x02ok\x81\x81\0\0\0\0x", 11);
    hl_event e = expect(f, HL_EV_MESSAGE, h);
    assert_memory_equal(e.data, "ok", 2);
    assert_int_equal(expect(f, HL_EV_END, h).flags, 1006);
    push_code(f, h, HL_OP_CLOSE, 0);
    expect_masked(f, fd[1], 0x88, "\x03\xea", 2);
    close(fd[1]);
    expect(f, HL_EV_CLOSED, h);
    close_fixture(f);
}

/* The server closes the connection first (RFC 6455 section 7.1.1): whoever does is left with TIME_WAIT. */
static void a_client_waits_for_the_server_to_close(void **state)
{
    (void)state;
    for (int server_first = 0; server_first < 2; server_first++) {
        fixture *f = open_fixture(NULL);
        int fd[2];
        hl_handle h = open_ws(f, fd, HL_WS_CLIENT, 0);
        if (server_first) {
            peer_write(fd[1], "\x88\x02\x03\xe9", 4);
            expect(f, HL_EV_END, h);
            push_code(f, h, HL_OP_CLOSE, 0);
            expect_masked(f, fd[1], 0x88, "\x03\xe9", 2);
        } else {
            push_code(f, h, HL_OP_CLOSE, 1001);
            expect_masked(f, fd[1], 0x88, "\x03\xe9", 2);
            peer_write(fd[1], "\x88\x02\x03\xe9", 4);
        }
        for (int i = 0; i < 20; i++)
            assert_true(hl_loop_enter(f->loop, 1, 0) >= 0);
        char c;
        assert_int_equal(peer_read(fd[1], &c, 1), -1); /* it has not closed */
        assert_int_equal(pop(f).type, 0);
        close(fd[1]);
        hl_event e = expect(f, HL_EV_CLOSED, h);
        assert_int_equal(e.result, 0);
        assert_int_equal(e.flags, 1001);
        close_fixture(f);
    }
}

static void but_not_for_ever(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.close_ms = 20});
    int fd[2];
    hl_handle h = open_ws(f, fd, HL_WS_CLIENT, 0);
    peer_write(fd[1], "\x88\x02\x03\xe8", 4);
    expect(f, HL_EV_END, h);
    push_code(f, h, HL_OP_CLOSE, 0);
    assert_int_equal(expect(f, HL_EV_CLOSED, h).result, 0);
    close(fd[1]);
    close_fixture(f);
}

static void messages_in_pieces(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd, HL_WS_CLIENT | HL_WS_STREAMED, 0);
    peer_write(fd[1], "\x01\x06one", 5);
    hl_event e = expect(f, HL_EV_MESSAGE, h);
    assert_int_equal(e.kind, HL_WS_TEXT);
    assert_int_equal(e.flags, HL_MORE);
    assert_int_equal(e.len, 3);
    peer_write(fd[1], "two\x89\x01p\x80\x00\x82\x01z", 11);
    e = expect(f, HL_EV_MESSAGE, h);
    assert_int_equal(e.flags, HL_MORE);
    assert_memory_equal(e.data, "two", 3);
    e = expect(f, HL_EV_MESSAGE, h);
    assert_int_equal(e.kind, HL_WS_TEXT);
    assert_int_equal(e.flags, 0);
    assert_int_equal(e.len, 0);
    e = expect(f, HL_EV_MESSAGE, h);
    assert_int_equal(e.kind, HL_WS_BINARY);
    assert_int_equal(e.flags, 0);
    assert_int_equal(e.len, 1);
    assert_int_equal(hl_loop_stream_stats(f->loop, h)->frames_received, 3); /* two messages and a ping */
    assert_int_equal(loop_stats(f).messages, 2);
    expect_masked(f, fd[1], 0x8a, "p", 1);
    close(fd[1]);
    close_fixture(f);
}

static void the_limit_of_a_stream_of_its_own(void **state)
{
    (void)state;
    for (uint8_t streamed = 0; streamed <= HL_WS_STREAMED; streamed += HL_WS_STREAMED) {
        fixture *f = open_fixture(NULL);
        int fd[2];
        hl_handle h = open_ws(f, fd, HL_WS_CLIENT | streamed, 5);
        peer_write(fd[1],
                   "\x82\x05"
                   "12345"
                   "\x82\x06"
                   "123456",
                   15);
        assert_int_equal(expect(f, HL_EV_MESSAGE, h).len, 5);
        expect(f, HL_EV_END, h);
        push_code(f, h, HL_OP_CLOSE, 0);
        expect_masked(f, fd[1], 0x88, "\x03\xf1", 2); /* 1009 */
        close(fd[1]);
        expect(f, HL_EV_CLOSED, h);
        close_fixture(f);
    }
}

static void pongs_with_a_payload_are_told(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd, HL_WS_CLIENT, 0);
    peer_write(fd[1], "\x8a\x00\x8a\x04pong\x82\x00", 10);
    hl_event e = expect(f, HL_EV_PONG, h);
    assert_int_equal(e.len, 4);
    assert_memory_equal(e.data, "pong", 4);
    expect(f, HL_EV_MESSAGE, h);
    peer_write(fd[1], "\x8a\x04po", 4);
    turn(f);
    peer_write(fd[1], "ng", 2); /* put together in a block of its own */
    e = expect(f, HL_EV_PONG, h);
    assert_memory_equal(e.data, "pong", 4);
    assert_int_equal(hl_loop_stream_stats(f->loop, h)->frames_received, 4);
    assert_int_equal(loop_stats(f).messages, 1);
    close(fd[1]);
    close_fixture(f);
}

static void encoded_frames_leave_as_they_are(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd, 0, 0);
    hl_block *b = hl_slab_get(f->slab, 6);
    memcpy(hl_block_data(b), "\x81\x04news", 6);
    hl_op op = {.code = HL_OP_SEND, .handle = h, .flags = HL_KEEP | HL_ENCODED, .block = b};
    op.data = hl_block_data(b);
    op.len = 6;
    push(f, op);
    assert_int_equal(hl_loop_post(f->loop, &op), 0);
    peer_expect(f, fd[1], "\x81\x04news\x81\x04news", 12);
    assert_int_equal(hl_loop_stream_stats(f->loop, h)->frames_sent, 2);
    hl_block_unref(b);
    close(fd[1]);
    close_fixture(f);
}

/* Counts the pings that the last turn has made: io_uring sends them with the next submission. */
static int pings_made(fixture *f, int fd)
{
    int n = 0;
    uint8_t ping[2];
    assert_true(hl_loop_enter(f->loop, 0, HL_ENTER_FLUSH) >= 0);
    for (; peer_read(fd, ping, 2) == 2; n++)
        assert_memory_equal(ping, "\x89\x00", 2);
    return n;
}

/* Turns the loop until `ms` have passed, and counts the pings that come meanwhile. */
static int pings_within(fixture *f, int fd, int ms)
{
    int n = 0;
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        assert_true(hl_loop_enter(f->loop, 1, 0) >= 0);
        n += pings_made(f, fd);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
    return n;
}

static void the_loop_pings_a_silent_peer(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd, 0, 0);
    push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h, .kind = HL_DEADLINE_PING, .len = 20});
    peer_expect(f, fd[1], "\x89\x00", 2);
    peer_expect(f, fd[1], "\x89\x00", 2); /* again, for it has not answered */
    assert_int_equal(pop(f).type, 0);     /* nobody is told */
    int most = 200 / 20 + 2;              /* how many fit, however late the loop is, and one that is on its way */
    assert_in_range(pings_within(f, fd[1], 200), 1, most);
    push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h, .kind = HL_DEADLINE_PING, .len = 0});
    assert_in_range(pings_within(f, fd[1], 10), 0, 1); /* one was on its way */
    assert_int_equal(pings_within(f, fd[1], 50), 0);
    close(fd[1]);
    close_fixture(f);
}

/* A ping does not count as a sign of life: the deadline for reading passes all the same. */
static void a_peer_that_does_not_answer_pings_is_idle(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd, 0, 0);
    push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h, .kind = HL_DEADLINE_PING, .len = 10});
    push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h, .kind = HL_DEADLINE_READ, .len = 60});
    int pings = 0;
    for (int i = 0; i < 100 && pings == 0; i++) { /* who stands still for 60 ms has no time for a ping */
        assert_int_equal(expect(f, HL_EV_TIMEOUT, h).kind, HL_DEADLINE_READ);
        pings = pings_made(f, fd[1]);
    }
    assert_true(pings > 0);
    close(fd[1]);
    close_fixture(f);
}

static void no_pings_behind_output_that_waits(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    hl_handle h = open_ws(f, fd, 0, 0);
    hl_block *b = hl_slab_get(f->slab, 1 << 20);
    memset(hl_block_data(b), 0, 1 << 20);
    for (int i = 0; i < 4; i++)
        push(f, (hl_op){.code = HL_OP_SEND,
                        .handle = h,
                        .kind = HL_WS_BINARY,
                        .flags = HL_KEEP,
                        .block = b,
                        .data = hl_block_data(b),
                        .len = 1 << 20});
    turn(f);
    hl_block_unref(b);
    uint64_t waiting = queued(f, h);
    assert_true(waiting > 0);
    push(f, (hl_op){.code = HL_OP_DEADLINE, .handle = h, .kind = HL_DEADLINE_PING, .len = 5});
    for (int i = 0; i < 30; i++)
        assert_true(hl_loop_enter(f->loop, 1, 0) >= 0);
    assert_int_equal(queued(f, h), waiting);
    close(fd[1]);
    close_fixture(f);
}

/* The end has come before the upgrade, with more messages than the completion ring has room for. */
static void all_that_came_before_the_end_is_delivered(void **state)
{
    (void)state;
    enum { MESSAGES = 200 };
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64});
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    bytes rest = {0};
    for (int i = 0; i < MESSAGES; i++)
        add_frame(&rest, 1, 0x82, &i, sizeof i);
    close(fd[1]);
    expect(f, HL_EV_END, h);
    push(f, (hl_op){
                .code = HL_OP_UPGRADE, .handle = h, .data = stage(f, rest.data, rest.len, 0), .len = rest.len});
    for (int i = 0; i < MESSAGES; i++) {
        hl_event e = expect(f, HL_EV_MESSAGE, h);
        assert_int_equal(e.len, sizeof i);
        assert_memory_equal(e.data, &i, sizeof i);
    }
    assert_int_equal(expect(f, HL_EV_END, h).flags, 1006);
    bytes_free(&rest);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_came_before_the_end_is_delivered),
        cmocka_unit_test(a_client_masks_what_it_sends),
        cmocka_unit_test(bytes_that_others_look_at_are_masked_in_a_copy),
        cmocka_unit_test(each_frame_has_a_mask_of_its_own),
        cmocka_unit_test(a_client_takes_no_masked_frames_and_a_server_no_others),
        cmocka_unit_test(a_client_waits_for_the_server_to_close),
        cmocka_unit_test(but_not_for_ever),
        cmocka_unit_test(messages_in_pieces),
        cmocka_unit_test(the_limit_of_a_stream_of_its_own),
        cmocka_unit_test(pongs_with_a_payload_are_told),
        cmocka_unit_test(encoded_frames_leave_as_they_are),
        cmocka_unit_test(the_loop_pings_a_silent_peer),
        cmocka_unit_test(a_peer_that_does_not_answer_pings_is_idle),
        cmocka_unit_test(no_pings_behind_output_that_waits),
    };
    return cmocka_run_group_tests_name("loop_ws_options", tests, NULL, NULL);
}
