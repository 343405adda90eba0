/*
 * test_loop_deflate.c - permessage-deflate on streams of a loop, with zlib on the other side: messages both ways, as
 * server and as client; what ends a stream; the memory that it takes.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "loop_fixture.h"

#include "deflate_peer.h"

enum { RSV1 = 0x40, FIN = 0x80 };

/* A stream with its peer, which compresses and expands with what was agreed upon. */
typedef struct talk {
    fixture *f;
    hl_handle h;
    int fd;
    uint8_t client; /* we are */
    hl_deflate_config config;
    z_stream in, out; /* the peer's */
} talk;

static void upgrade(fixture *f, hl_handle h, uint8_t kind, uint64_t max, const hl_deflate_config *config,
                    const bytes *rest)
{
    bytes with = {0};
    bytes_add(&with, config, sizeof *config);
    bytes_add(&with, rest ? rest->data : NULL, rest ? rest->len : 0);
    push(f, (hl_op){.code = HL_OP_UPGRADE,
                    .handle = h,
                    .kind = kind | HL_WS_DEFLATE,
                    .user = max,
                    .data = stage(f, with.data, with.len, 0),
                    .len = with.len});
    bytes_free(&with);
}

static void open_talk(talk *t, fixture *f, uint8_t kind, uint64_t max, hl_deflate_config config, const bytes *rest)
{
    int fd[2];
    make_pair(fd);
    *t = (talk){.f = f, .fd = fd[1], .client = kind & HL_WS_CLIENT, .config = config};
    t->h = attach(f, fd[0], HL_ONESHOT);
    upgrade(f, t->h, kind, max, &config, rest);
    peer_deflate_open(&t->out, 6, config.in_bits ? config.in_bits : 15, 8);
    peer_inflate_open(&t->in, config.out_bits ? config.out_bits : 15);
}

static void close_talk(talk *t)
{
    deflateEnd(&t->out);
    inflateEnd(&t->in);
    close(t->fd);
}

/* Adds a frame with a message of the peer's, compressed. */
static void add_message(talk *t, bytes *wire, uint8_t opcode, const void *p, size_t n)
{
    bytes payload = peer_deflate(&t->out, p, n, 1);
    add_frame(wire, !t->client, FIN | RSV1 | opcode, payload.data, payload.len);
    if (!t->config.in_takeover)
        deflateReset(&t->out);
    bytes_free(&payload);
}

static void peer_say(talk *t, uint8_t opcode, const void *p, size_t n)
{
    bytes wire = {0};
    add_message(t, &wire, opcode, p, n);
    peer_write(t->fd, wire.data, wire.len);
    bytes_free(&wire);
}

static void we_say(talk *t, uint8_t kind, const void *p, size_t n)
{
    push(t->f, (hl_op){.code = HL_OP_SEND,
                       .handle = t->h,
                       .kind = kind,
                       .flags = HL_HEADROOM,
                       .data = stage(t->f, p, n, hl_ws_header_size(n, t->client)),
                       .len = n});
}

/* The peer reads one frame, unmasked if need be. Returns its first byte. */
static uint8_t peer_frame(talk *t, bytes *payload)
{
    uint8_t header[HL_WS_MAX_HEADER];
    peer_read_all(t->f, t->fd, header, 2);
    assert_int_equal(header[1] >> 7, t->client);
    size_t len = header[1] & 0x7f, more = len < 126 ? 0 : len == 126 ? 2 : 8;
    peer_read_all(t->f, t->fd, header + 2, more);
    if (more > 0)
        len = 0;
    for (size_t i = 0; i < more; i++)
        len = len << 8 | header[2 + i];
    uint8_t mask[4] = {0};
    if (t->client)
        peer_read_all(t->f, t->fd, mask, 4);
    payload->len = 0;
    peer_read_all(t->f, t->fd, bytes_extend(payload, len), len);
    hl_ws_mask_scalar(payload->data, len, mask);
    return header[0];
}

/* The peer reads one compressed message of one frame. Returns the bytes of its payload. */
static size_t peer_hear(talk *t, uint8_t opcode, const void *want, size_t n)
{
    bytes payload = {0}, got = {0};
    assert_int_equal(peer_frame(t, &payload), FIN | RSV1 | opcode);
    peer_inflate(&t->in, payload.data, payload.len, 1, &got);
    if (!t->config.out_takeover)
        inflateReset(&t->in);
    assert_int_equal(got.len, n);
    if (n > 0)
        assert_memory_equal(got.data, want, n);
    size_t size = payload.len;
    bytes_free(&payload);
    bytes_free(&got);
    return size;
}

static void peer_hear_plain(talk *t, uint8_t first, const void *want, size_t n)
{
    bytes payload = {0};
    assert_int_equal(peer_frame(t, &payload), first);
    assert_int_equal(payload.len, n);
    if (n > 0)
        assert_memory_equal(payload.data, want, n);
    bytes_free(&payload);
}

static void we_hear(talk *t, uint8_t opcode, const void *want, size_t n)
{
    hl_event e = expect(t->f, HL_EV_MESSAGE, t->h);
    assert_int_equal(e.kind, opcode);
    assert_int_equal(e.flags, 0);
    assert_int_equal(e.len, n);
    if (n > 0)
        assert_memory_equal(e.data, want, n);
}

static uint8_t *text(size_t n)
{
    static const char *const words[] = {"bid ", "ask ", "EURUSD ", "0.99", "812 ", "{\"sequence\":"};
    uint8_t *p = malloc(n + 16);
    uint64_t seed = 7692;
    for (size_t at = 0; at < n;) {
        const char *word = words[test_random(&seed) % 6];
        memcpy(p + at, word, strlen(word));
        at += strlen(word);
    }
    return p;
}

/* ------------------------------------------------------------------ messages */

static void messages_both_ways(void **state)
{
    (void)state;
    static const size_t sizes[] = {5, 0, 1, 200, 70000, 1000, 4096, 30000};
    uint8_t *words = text(100000);
    for (uint8_t bits = 9; bits <= 15; bits += 3)
        for (uint8_t takeover = 0; takeover < 4; takeover++)
            for (uint8_t kind = 0; kind <= HL_WS_CLIENT; kind++) {
                fixture *f = open_fixture(NULL);
                talk t;
                open_talk(&t, f, kind, 0,
                          (hl_deflate_config){.level = (int8_t)(bits - 8),
                                              .out_bits = bits,
                                              .in_bits = (uint8_t)(24 - bits),
                                              .out_takeover = takeover & 1,
                                              .in_takeover = takeover >> 1},
                          NULL);
                for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                    peer_say(&t, HL_WS_TEXT, words + i, sizes[i]);
                    we_hear(&t, HL_WS_TEXT, words + i, sizes[i]);
                    we_say(&t, HL_WS_BINARY, words + i, sizes[i]);
                    peer_hear(&t, HL_WS_BINARY, words + i, sizes[i]);
                }
                close_talk(&t);
                expect(f, HL_EV_END, t.h);
                close_fixture(f);
            }
    free(words);
}

/* As they come, as pieces and with what was received behind the handshake. */
static void the_rest_of_a_handshake_and_pieces(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    talk t = {0};
    bytes rest = {0};
    peer_deflate_open(&t.out, 6, 15, 8);
    add_message(&t, &rest, HL_WS_TEXT, "early", 5);
    deflateEnd(&t.out);
    open_talk(&t, f, HL_WS_STREAMED, 0, (hl_deflate_config){0}, &rest);
    hl_event e = expect(f, HL_EV_MESSAGE, t.h);
    assert_int_equal(e.flags, 0);
    assert_memory_equal(e.data, "early", 5);
    uint8_t *zeros = calloc(1, 1 << 20);
    peer_say(&t, HL_WS_BINARY, zeros, 1 << 20);
    size_t total = 0, pieces = 0;
    do {
        e = expect(f, HL_EV_MESSAGE, t.h);
        total += e.len;
        pieces++;
    } while (e.flags & HL_MORE);
    assert_int_equal(total, 1 << 20);
    assert_in_range(pieces, 32, 128);
    assert_int_equal(hl_loop_stream_stats(f->loop, t.h)->frames_received, 2);
    free(zeros);
    bytes_free(&rest);
    close_talk(&t);
    close_fixture(f);
}

/* An owner that stops reading in the middle of a message gets the rest when it reads again, with no byte from the peer
 * to wake it. */
static void reading_paused_within_a_message(void **state)
{
    (void)state;
    fixture *f = open_fixture(&(hl_loop_config){.ring = 64});
    talk t;
    uint8_t *zeros = calloc(1, 4 << 20);
    open_talk(&t, f, HL_WS_STREAMED, 0, (hl_deflate_config){0}, NULL);
    peer_say(&t, HL_WS_BINARY, zeros, 4 << 20);
    size_t total = 0;
    hl_event e;
    for (int i = 0;; i++) {
        e = expect(f, HL_EV_MESSAGE, t.h);
        total += e.len;
        if (!(e.flags & HL_MORE))
            break;
        push_code(f, t.h, HL_OP_READ, 0);
        if (i % 8 == 0) {
            while ((e = pop(f)).type != 0)
                total += e.len;
            turn(f);
            turn(f);
            assert_int_equal(pop(f).type, 0);
        }
        push_code(f, t.h, HL_OP_READ, 1);
    }
    assert_int_equal(total, 4 << 20);
    free(zeros);
    close_talk(&t);
    close_fixture(f);
}

static void short_messages_are_left_as_they_are(void **state)
{
    (void)state;
    for (uint8_t kind = 0; kind <= HL_WS_CLIENT; kind++) {
        fixture *f = open_fixture(NULL);
        talk t;
        open_talk(&t, f, kind, 0, (hl_deflate_config){.threshold = 10, .out_takeover = 1}, NULL);
        for (int i = 0; i < 3; i++) {
            we_say(&t, HL_WS_TEXT, "123456789", 9);
            we_say(&t, HL_WS_TEXT, "1234567890", 10);
            peer_hear_plain(&t, FIN | HL_WS_TEXT, "123456789", 9);
            peer_hear(&t, HL_WS_TEXT, "1234567890", 10);
        }
        push_code(f, t.h, HL_OP_CLOSE, 1001);
        peer_hear_plain(&t, FIN | HL_WS_CLOSE, "\x03\xe9", 2);
        close_talk(&t);
        close_fixture(f);
    }
}

static void control_frames_are_never_compressed(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    talk t;
    bytes wire = {0};
    open_talk(&t, f, 0, 0, (hl_deflate_config){0}, NULL);
    we_say(&t, HL_WS_PING, "ping", 4);
    peer_hear_plain(&t, FIN | HL_WS_PING, "ping", 4);
    add_frame(&wire, 1, FIN | HL_WS_PING, "ping", 4);
    peer_write(t.fd, wire.data, wire.len);
    peer_hear_plain(&t, FIN | HL_WS_PONG, "ping", 4);
    bytes_free(&wire);
    close_talk(&t);
    close_fixture(f);
}

/* Of a message in several frames only the first says that it is compressed; control frames may come between; what was
 * begun plain stays so. */
static void fragments(void **state)
{
    (void)state;
    for (uint8_t takeover = 0; takeover <= 1; takeover++) {
        fixture *f = open_fixture(NULL);
        talk t;
        bytes payload = {0}, got = {0};
        open_talk(&t, f, HL_WS_CLIENT, 0, (hl_deflate_config){.threshold = 1000, .out_takeover = takeover}, NULL);
        for (int round = 0; round < 3; round++) {
            const size_t whole = round == 1 ? 10 : 15;
            got.len = 0;
            we_say(&t, HL_WS_TEXT | HL_SEND_PARTIAL, "one, ", 5);
            we_say(&t, HL_WS_PING, "ping", 4);
            we_say(&t, HL_SEND_CONTINUATION | HL_SEND_PARTIAL, "two, ", 5);
            we_say(&t, HL_SEND_CONTINUATION | HL_SEND_PARTIAL, "", 0);
            we_say(&t, HL_SEND_CONTINUATION, "three", whole - 10);
            static const uint8_t firsts[] = {RSV1 | HL_WS_TEXT, FIN | HL_WS_PING, 0, 0, FIN};
            for (size_t i = 0; i < sizeof firsts; i++) {
                assert_int_equal(peer_frame(&t, &payload), firsts[i]);
                if (i == 1)
                    assert_memory_equal(payload.data, "ping", 4);
                else
                    peer_inflate(&t.in, payload.data, payload.len, firsts[i] == FIN, &got);
                assert_int_equal(got.len, i == 4 ? whole : i < 2 ? 5 : 10); /* at once */
            }
            assert_memory_equal(got.data, "one, two, three", got.len);
            if (!takeover)
                inflateReset(&t.in);
        }
        bytes_free(&payload);
        bytes_free(&got);
        close_talk(&t);
        close_fixture(f);
    }
}

/* A message compressed once, without context, for many: those who have a context of their own begin a new one. */
static void encoded_frames(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    talk t;
    uint8_t *words = text(5000);
    const hl_deflate_config config = {.out_takeover = 1, .out_bits = 11};
    open_talk(&t, f, 0, 0, config, NULL);
    hl_deflate_out out;
    assert_int_equal(hl_deflate_once(f->slab, &config, words, 5000, 4, &out), 0);
    uint8_t *frame = hl_block_data(out.block);
    assert_int_equal(hl_ws_header_write(frame, HL_WS_TEXT, 1, out.len - 4, NULL), 4);
    frame[0] |= RSV1;
    for (int i = 0; i < 3; i++) {
        we_say(&t, HL_WS_TEXT, words, 1000);
        push(f, (hl_op){.code = HL_OP_SEND,
                        .handle = t.h,
                        .flags = HL_KEEP | HL_ENCODED,
                        .data = frame,
                        .len = out.len,
                        .block = out.block});
        we_say(&t, HL_WS_TEXT, words, 1000);
        we_say(&t, HL_WS_TEXT, words, 1000);
        size_t before = peer_hear(&t, HL_WS_TEXT, words, 1000);
        peer_hear(&t, HL_WS_TEXT, words, 5000);
        size_t fresh = peer_hear(&t, HL_WS_TEXT, words, 1000);
        size_t again = peer_hear(&t, HL_WS_TEXT, words, 1000);
        assert_true(again < 40 && fresh > 5 * again);
        assert_true(i == 0 ? before == fresh : before < 40);
    }
    hl_block *plain = hl_slab_get(f->slab, 6);
    memcpy(hl_block_data(plain), "\x81\x04news", 6);
    push(f, (hl_op){.code = HL_OP_SEND,
                    .handle = t.h,
                    .flags = HL_GIVE | HL_ENCODED,
                    .data = hl_block_data(plain),
                    .len = 6,
                    .block = plain});
    we_say(&t, HL_WS_TEXT, words, 1000);
    peer_hear_plain(&t, FIN | HL_WS_TEXT, "news", 4);
    assert_true(peer_hear(&t, HL_WS_TEXT, words, 1000) < 40); /* it has moved no window */
    hl_block_unref(out.block);
    free(words);
    close_talk(&t);
    close_fixture(f);
}

/* Small frames leave as one piece. */
static void many_small_messages(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    talk t;
    open_talk(&t, f, 0, 0, (hl_deflate_config){.out_takeover = 1}, NULL);
    turn(f);
    uint64_t before = bytes_in_use(f);
    for (int i = 0; i < 200; i++)
        we_say(&t, HL_WS_TEXT, "{\"price\":1}", 11);
    turn(f);
    for (int i = 0; i < 200; i++)
        peer_hear(&t, HL_WS_TEXT, "{\"price\":1}", 11);
    assert_true(bytes_in_use(f) - before <= hl_deflate_cost(&t.config) + 8192);
    close_talk(&t);
    close_fixture(f);
}

/* ------------------------------------------------------------------ what ends a stream */

static void expect_end_with(talk *t, int32_t result, uint16_t code)
{
    const uint8_t body[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    assert_int_equal(expect(t->f, HL_EV_END, t->h).flags, 1006);
    push_code(t->f, t->h, HL_OP_CLOSE, 0);
    peer_hear_plain(t, FIN | HL_WS_CLOSE, body, 2);
    close_talk(t);
    assert_int_equal(expect(t->f, HL_EV_CLOSED, t->h).result, result);
}

static void a_bomb(void **state)
{
    (void)state;
    enum { LIMIT = 1 << 18 };
    uint8_t *zeros = calloc(1, 64 << 20);
    fixture *f = open_fixture(NULL);
    talk t;
    open_talk(&t, f, 0, LIMIT, (hl_deflate_config){.in_takeover = 1}, NULL);
    peer_say(&t, HL_WS_BINARY, "small", 5);
    we_hear(&t, HL_WS_BINARY, "small", 5);
    hl_slab_stats before, after;
    hl_slab_stats_read(f->slab, &before);
    peer_say(&t, HL_WS_BINARY, zeros, 64 << 20);
    hl_event e = expect(f, HL_EV_END, t.h);
    assert_int_equal(e.flags, 1006);
    hl_slab_stats_read(f->slab, &after);
    int as_large_as_the_limit = 0;
    for (int i = 0; i <= HL_SLAB_LARGE; i++) { /* none that is larger was ever asked for */
        as_large_as_the_limit += after.classes[i].size == LIMIT && after.classes[i].gets > before.classes[i].gets;
        if (after.classes[i].size > LIMIT || i == HL_SLAB_LARGE)
            assert_int_equal(after.classes[i].gets, before.classes[i].gets);
    }
    assert_true(as_large_as_the_limit);
    push_code(f, t.h, HL_OP_CLOSE, 0);
    peer_hear_plain(&t, FIN | HL_WS_CLOSE, "\x03\xf1", 2); /* 1009 */
    close_talk(&t);
    assert_int_equal(expect(f, HL_EV_CLOSED, t.h).result, -EMSGSIZE);
    free(zeros);
    close_fixture(f);
}

static void bad_data(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    talk t;
    bytes wire = {0};
    open_talk(&t, f, HL_WS_CLIENT, 0, (hl_deflate_config){0}, NULL);
    add_frame(&wire, 0, FIN | RSV1 | HL_WS_TEXT, "\x06\x07", 2);
    peer_write(t.fd, wire.data, wire.len);
    expect_end_with(&t, -EBADMSG, 1007);
    bytes_free(&wire);
    close_fixture(f);
}

static void a_config_out_of_bounds(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], HL_ONESHOT);
    upgrade(f, h, 0, 0, &(hl_deflate_config){.out_bits = 8}, NULL);
    assert_int_equal(expect(f, HL_EV_CLOSED, h).result, -EINVAL);
    close(fd[1]);
    make_pair(fd);
    h = attach(f, fd[0], HL_ONESHOT);
    push(f, (hl_op){.code = HL_OP_UPGRADE, .handle = h, .kind = HL_WS_DEFLATE}); /* none at all */
    assert_int_equal(expect(f, HL_EV_CLOSED, h).result, -EINVAL);
    close(fd[1]);
    close_fixture(f);
}

static void posted_by_another_thread(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    int fd[2];
    make_pair(fd);
    const hl_deflate_config config = {0};
    talk t = {.f = f, .fd = fd[1], .h = attach(f, fd[0], HL_ONESHOT)};
    hl_op op = {.code = HL_OP_UPGRADE, .handle = t.h, .kind = HL_WS_DEFLATE, .data = (void *)&config};
    op.len = sizeof config;
    turn(f);
    assert_int_equal(hl_loop_post(f->loop, &op), 0);
    op = (hl_op){.code = HL_OP_SEND, .handle = t.h, .kind = HL_WS_TEXT, .data = (void *)"letter", .len = 6};
    assert_int_equal(hl_loop_post(f->loop, &op), 0);
    peer_inflate_open(&t.in, 15);
    peer_deflate_open(&t.out, 6, 15, 8);
    peer_hear(&t, HL_WS_TEXT, "letter", 6);
    close_talk(&t);
    close_fixture(f);
}

/* ------------------------------------------------------------------ memory */

static void exchange(talk *t, const void *p, size_t n)
{
    peer_say(t, HL_WS_TEXT, p, n);
    we_hear(t, HL_WS_TEXT, p, n);
    we_say(t, HL_WS_TEXT, p, n);
    peer_hear(t, HL_WS_TEXT, p, n);
    turn(t->f);
}

static void finish(talk *t)
{
    close_talk(t);
    expect(t->f, HL_EV_END, t->h);
    push_code(t->f, t->h, HL_OP_CLOSE, 0);
    expect(t->f, HL_EV_CLOSED, t->h);
}

/* Streams without takeover share what one has; those with it have each their own, and give it back when they end. */
static void memory(void **state)
{
    (void)state;
    enum { STREAMS = 20, SLACK = 8192 };
    uint8_t *words = text(2000);
    for (uint8_t takeover = 0; takeover <= 1; takeover++) {
        const hl_deflate_config config = {.in_takeover = takeover, .out_takeover = takeover};
        const uint64_t cost = hl_deflate_cost(&config);
        fixture *f = open_fixture(NULL);
        talk t[STREAMS];
        for (int i = 0; i < STREAMS; i++)
            open_talk(&t[i], f, 0, 0, config, NULL);
        exchange(&t[0], words, 2000);
        uint64_t before = bytes_in_use(f);
        for (int i = 1; i < STREAMS; i++)
            exchange(&t[i], words, 2000);
        uint64_t grown = bytes_in_use(f) - before;
        assert_in_range(grown, takeover ? (STREAMS - 1) * cost * 7 / 8 : 0, takeover ? (STREAMS - 1) * cost : SLACK);
        for (int i = 1; i < STREAMS; i++)
            finish(&t[i]);
        exchange(&t[0], words, 2000);
        assert_true(bytes_in_use(f) <= before + 4 * cost + SLACK); /* what the pool keeps */
        finish(&t[0]);
        close_fixture(f);
    }
    free(words);
}

/* What the pool keeps is given back when the slab is eased and the loop goes to sleep. */
static void an_idle_loop_keeps_nothing(void **state)
{
    (void)state;
    fixture *f = open_fixture(NULL);
    talk t;
    open_talk(&t, f, 0, 0, (hl_deflate_config){0}, NULL);
    exchange(&t, "Hello", 5);
    uint64_t before = bytes_in_use(f), kept = hl_deflate_cost(&(hl_deflate_config){1, 8, 15, 15, 1, 1, 0});
    assert_int_equal(hl_slab_ease(f->slab, 0), 1);
    assert_true(hl_loop_enter(f->loop, 1, 0) >= 0);
    assert_in_range(before - bytes_in_use(f), kept * 7 / 8, kept);
    exchange(&t, "Hello", 5); /* and is made anew when it is needed */
    close_talk(&t);
    close_fixture(f);
}

/* A few bytes stand for many messages: they come a share at a time, so that others are heard in between. */
static void a_volley_of_bombs(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20, COUNT = 20 };
    fixture *f = open_fixture(NULL);
    talk t;
    open_talk(&t, f, 0, 0, (hl_deflate_config){0}, NULL);
    turn(f);
    bytes wire = {0};
    uint8_t *zeros = test_calloc(1, SIZE);
    for (int i = 0; i < COUNT; i++)
        add_message(&t, &wire, HL_WS_BINARY, zeros, SIZE);
    peer_write(t.fd, wire.data, wire.len);
    turn(f);
    assert_true(f->sh->cq.tail - f->sh->cq.head <= 1);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(expect(f, HL_EV_MESSAGE, t.h).len, SIZE);
    test_free(zeros);
    bytes_free(&wire);
    close_talk(&t);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_both_ways),
        cmocka_unit_test(the_rest_of_a_handshake_and_pieces),
        cmocka_unit_test(reading_paused_within_a_message),
        cmocka_unit_test(short_messages_are_left_as_they_are),
        cmocka_unit_test(control_frames_are_never_compressed),
        cmocka_unit_test(fragments),
        cmocka_unit_test(encoded_frames),
        cmocka_unit_test(many_small_messages),
        cmocka_unit_test(a_bomb),
        cmocka_unit_test(a_volley_of_bombs),
        cmocka_unit_test(bad_data),
        cmocka_unit_test(a_config_out_of_bounds),
        cmocka_unit_test(posted_by_another_thread),
        cmocka_unit_test(memory),
        cmocka_unit_test(an_idle_loop_keeps_nothing),
    };
    return cmocka_run_group_tests_name("loop_deflate", tests, NULL, NULL);
}
