/*
 * test_ws_inflate.c - compressed messages among others in a stream of frames (RFC 7692, sections 6 and 7.2), however it
 * is cut, put together or in pieces.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "test_support.h"

#include "deflate_peer.h"
#include "hl_deflate.h"

enum { RSV1 = 0x40, RSV2 = 0x20, FIN = 0x80, PIECE = 16384 };

/* A stream of frames from a client, what it says, and a decoder's slab. */
typedef struct bench {
    hl_slab *slab;
    hl_cache *cache;
    hl_deflate_pool *pool;
    hl_deflate_config deflate;
    uint64_t max;
    bytes wire, said;
    z_stream z;
    int midway;
} bench;

static void open_bench(bench *b, int takeover)
{
    *b = (bench){.deflate = {.in_takeover = (uint8_t)takeover}, .max = 1 << 20};
    b->slab = hl_slab_new(0);
    b->cache = hl_cache_new(b->slab);
    b->pool = hl_deflate_pool_new(b->cache, 1);
    peer_deflate_open(&b->z, 6, 15, 8);
}

static void close_bench(bench *b)
{
    deflateEnd(&b->z);
    bytes_free(&b->wire);
    bytes_free(&b->said);
    hl_deflate_pool_free(b->pool);
    hl_cache_free(b->cache);
    assert_int_equal(hl_slab_free(b->slab), 0);
}

static void say_frame(bench *b, uint8_t first, const void *payload, size_t n)
{
    add_frame(&b->wire, 1, first, payload, n);
}

/* A fragment, compressed. */
static void say_fragment(bench *b, uint8_t opcode, const void *p, size_t n, int fin)
{
    bytes payload = peer_deflate(&b->z, p, n, fin);
    say_frame(b, (uint8_t)((fin ? FIN : 0) | (b->midway ? HL_WS_CONTINUATION : opcode | RSV1)), payload.data,
              payload.len);
    b->midway = !fin;
    if (fin && !b->deflate.in_takeover)
        deflateReset(&b->z);
    bytes_free(&payload);
}

static void say(bench *b, uint8_t opcode, const void *p, size_t n)
{
    say_fragment(b, opcode, p, n, 1);
    record(&b->said, opcode, 0, p, n);
}

static void say_control(bench *b, uint8_t opcode, const char *text)
{
    say_frame(b, FIN | opcode, text, strlen(text));
    record(&b->said, opcode, 0, text, strlen(text));
}

static int hear(bench *b, cuts c, int direct, int streamed, bytes *log)
{
    hl_ws_config config = {.max_message = b->max, .streamed = (uint8_t)streamed};
    config.deflate = hl_deflate_new(b->pool, &b->deflate);
    assert_non_null(config.deflate);
    outcome o = feed(&config, b->cache, &b->wire, c, direct, log);
    hl_deflate_free(config.deflate);
    return o.result;
}

static void expect(bench *b, cuts c, int direct, int streamed, int result)
{
    bytes log = {0};
    int r = hear(b, c, direct, streamed, &log);
    if (r != result || log.len != b->said.len || (log.len > 0 && memcmp(log.data, b->said.data, log.len) != 0))
        fail_msg("result %d and %zu bytes of items, not %d and %zu; first cut at %zu of %zu, streamed %d", r, log.len,
                 result, b->said.len, c.count ? c.at[0] : c.each, b->wire.len, streamed);
    bytes_free(&log);
}

/* Whole, byte by byte, and cut in two anywhere. */
static void expect_however_cut(bench *b, int result)
{
    for (int streamed = 0; streamed <= 1; streamed++) {
        expect(b, (cuts){0}, 0, streamed, result);
        expect(b, (cuts){.each = 1}, 1, streamed, result);
        for (size_t at = 1; at < b->wire.len; at += b->wire.len < 3000 ? 1 : b->wire.len / 300)
            expect(b, (cuts){.at = &at, .count = 1}, at & 1, streamed, result);
    }
}

static bytes letters(size_t n)
{
    bytes b = {0};
    for (size_t i = 0; i < n; i++)
        bytes_extend(&b, 1)[0] = (uint8_t)("the quick brown fox "[i * i % 20] + i % 7 * (i / 1000 % 2));
    return b;
}

/* ------------------------------------------------------------------ streams */

static void a_conversation(void **state)
{
    (void)state;
    for (int takeover = 0; takeover <= 1; takeover++) {
        bench b;
        bytes text = letters(700);
        open_bench(&b, takeover);
        say(&b, HL_WS_TEXT, "Hello", 5);
        say(&b, HL_WS_TEXT, "Hello", 5);
        say_frame(&b, FIN | HL_WS_TEXT, "plain", 5); /* between compressed ones, which it is not in the window of */
        record(&b.said, HL_WS_TEXT, 0, "plain", 5);
        say(&b, HL_WS_BINARY, text.data, text.len);
        say(&b, HL_WS_BINARY, "", 0);
        say_fragment(&b, HL_WS_TEXT, "\xd0\xbf\xd1", 3, 0); /* cut within a character */
        say_control(&b, HL_WS_PING, "ping");
        say_fragment(&b, HL_WS_TEXT, "", 0, 0);
        say_fragment(&b, HL_WS_TEXT, "\x80\xd0\xb8\xf0", 4, 0);
        say_control(&b, HL_WS_PONG, "");
        say_fragment(&b, HL_WS_TEXT, "\x9f\x98\x80", 3, 1);
        record(&b.said, HL_WS_TEXT, 0, "\xd0\xbf\xd1\x80\xd0\xb8\xf0\x9f\x98\x80", 10);
        say_fragment(&b, HL_WS_BINARY, text.data, 300, 0);
        say_fragment(&b, HL_WS_BINARY, text.data + 300, 400, 0);
        say_fragment(&b, HL_WS_BINARY, "", 0, 1);
        record(&b.said, HL_WS_BINARY, 0, text.data, text.len);
        say(&b, HL_WS_TEXT, "Hello", 5);
        say_frame(&b, FIN | HL_WS_CLOSE, NULL, 0);
        record(&b.said, HL_WS_CLOSE, 1005, "", 0);
        expect_however_cut(&b, HL_WS_MORE);
        bytes_free(&text);
        close_bench(&b);
    }
}

/* A fragment may end anywhere in the compressed payload, and be empty (7.2.1). */
static void frames_cut_anywhere(void **state)
{
    (void)state;
    bench b;
    bytes text = letters(120);
    open_bench(&b, 1);
    for (int at = 0; at < 40; at++) {
        bytes payload = peer_deflate(&b.z, text.data, text.len, 1);
        size_t cut = (size_t)at < payload.len ? (size_t)at : payload.len;
        say_frame(&b, HL_WS_TEXT | RSV1, payload.data, cut);
        say_frame(&b, HL_WS_CONTINUATION, NULL, 0);
        say_frame(&b, FIN, payload.data + cut, payload.len - cut);
        record(&b.said, HL_WS_TEXT, 0, text.data, text.len);
        bytes_free(&payload);
    }
    expect_however_cut(&b, HL_WS_MORE);
    bytes_free(&text);
    close_bench(&b);
}

/* Large ones grow, or come in pieces of which none holds more than its share. */
static void large_messages(void **state)
{
    (void)state;
    static const size_t sizes[] = {PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 100000, 1 << 20};
    bench b;
    open_bench(&b, 1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bytes text = letters(sizes[i]);
        say(&b, HL_WS_TEXT, text.data, text.len);
        memset(text.data, 'x', text.len);
        say(&b, HL_WS_BINARY, text.data, text.len);
        bytes_free(&text);
    }
    expect_however_cut(&b, HL_WS_MORE);
    close_bench(&b);
}

/* ------------------------------------------------------------------ what is not allowed */

static void expect_error(bench *b, int error)
{
    expect_however_cut(b, error);
    close_bench(b);
}

static void reserved_bits(void **state)
{
    (void)state;
    static const uint8_t wrong[] = {
        FIN | RSV1 | HL_WS_PING,         FIN | RSV1 | HL_WS_CLOSE,       FIN | RSV2 | HL_WS_TEXT,
        FIN | RSV1 | RSV2 | HL_WS_TEXT,  FIN | RSV1 | 0x10 | HL_WS_TEXT, FIN | RSV1 | 0x3,
        FIN | RSV1 | HL_WS_CONTINUATION,
    };
    bench b;
    for (size_t i = 0; i < sizeof wrong; i++) {
        open_bench(&b, 1);
        say(&b, HL_WS_TEXT, "Hello", 5);
        say_frame(&b, wrong[i], "\x00", 1);
        expect_error(&b, HL_WS_EPROTO);
    }
    open_bench(&b, 1); /* a continuation with it, of either kind of message (section 6) */
    say_frame(&b, RSV1 | HL_WS_TEXT, "\x00", 1);
    say_frame(&b, FIN | RSV1, "\x00", 1);
    expect_error(&b, HL_WS_EPROTO);
    open_bench(&b, 1);
    say_frame(&b, HL_WS_TEXT, NULL, 0);
    say_frame(&b, FIN | RSV1, "\x00", 1);
    expect_error(&b, HL_WS_EPROTO);
}

static void not_agreed_upon(void **state)
{
    (void)state;
    bench b;
    open_bench(&b, 1);
    say(&b, HL_WS_TEXT, "Hello", 5);
    bytes log = {0};
    const hl_ws_config config = {.max_message = 100};
    assert_int_equal(feed(&config, b.cache, &b.wire, (cuts){0}, 0, &log).result, HL_WS_EPROTO);
    assert_int_equal(log.len, 0);
    close_bench(&b);
}

static void bad_payloads(void **state)
{
    (void)state;
    bench b;
    open_bench(&b, 1);
    say(&b, HL_WS_TEXT, "Hello", 5);
    say_frame(&b, FIN | RSV1 | HL_WS_TEXT, "\x06\x07\x08", 3);
    expect_error(&b, HL_WS_EDATA);
    open_bench(&b, 1); /* cut off within a block */
    say_frame(&b, FIN | RSV1 | HL_WS_TEXT, "\xf2\x48\xcd", 3);
    expect_error(&b, HL_WS_EDATA);
    open_bench(&b, 0); /* refers to what was before */
    say(&b, HL_WS_TEXT, "Hello", 5);
    say_frame(&b, FIN | RSV1 | HL_WS_TEXT, "\xf2\x00\x11\x00\x00", 5);
    expect_error(&b, HL_WS_EDATA);
}

static void text_is_validated_as_it_comes_out(void **state)
{
    (void)state;
    bench b;
    bytes text = letters(100000);
    for (int where = 0; where < 3; where++) {
        size_t at = where == 0 ? 0 : where == 1 ? 50000 : text.len - 1; /* the last: an unfinished character */
        uint8_t kept = text.data[at];
        text.data[at] = where < 2 ? 0xff : 0xd0;
        open_bench(&b, 1);
        say_fragment(&b, HL_WS_TEXT, text.data, text.len, 1);
        for (int streamed = 0; streamed <= 1; streamed++)
            expect(&b, (cuts){.each = 977}, 0, streamed, HL_WS_EUTF8);
        close_bench(&b);
        open_bench(&b, 1); /* which it does not have to be as binary */
        say(&b, HL_WS_BINARY, text.data, text.len);
        expect(&b, (cuts){.each = 977}, 0, 1, HL_WS_MORE);
        close_bench(&b);
        text.data[at] = kept;
    }
    bytes_free(&text);
}

/* ------------------------------------------------------------------ limits */

static void the_limit_is_of_what_comes_out(void **state)
{
    (void)state;
    static const size_t limits[] = {0, 1, 5, 511, 512, 513, 4096, PIECE, PIECE + 1, 40000};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        bench b;
        bytes text = letters(limits[i] + 1);
        open_bench(&b, 1);
        b.max = limits[i];
        say(&b, HL_WS_BINARY, text.data, limits[i]);
        say(&b, HL_WS_BINARY, text.data, limits[i]);
        say_fragment(&b, HL_WS_BINARY, text.data, limits[i] + 1, 1);
        for (int streamed = 0; streamed <= 1; streamed++) {
            expect(&b, (cuts){0}, 0, streamed, HL_WS_ETOOBIG);
            expect(&b, (cuts){.each = 1}, 0, streamed, HL_WS_ETOOBIG);
        }
        bytes_free(&text);
        close_bench(&b);
    }
}

/* A payload may be longer than what it stands for: not its length counts. */
static void payloads_longer_than_the_limit(void **state)
{
    (void)state;
    bench b;
    open_bench(&b, 1);
    b.max = 3;
    bytes payload = {0};
    for (int i = 0; i < 3; i++) /* stored blocks of one byte */
        bytes_add(&payload, "\x00\x01\x00\xfe\xff!", 6);
    bytes_add(&payload, "", 1);
    say_frame(&b, FIN | RSV1 | HL_WS_TEXT, payload.data, payload.len);
    record(&b.said, HL_WS_TEXT, 0, "!!!", 3);
    bytes_free(&payload);
    expect_however_cut(&b, HL_WS_MORE);
    close_bench(&b);
}

static uint64_t bytes_in_use(bench *b)
{
    hl_slab_stats stats;
    hl_slab_stats_read(b->slab, &stats);
    uint64_t sum = 0;
    for (int i = 0; i < HL_SLAB_CLASSES; i++)
        sum += stats.classes[i].in_use * stats.classes[i].size;
    assert_int_equal(stats.classes[HL_SLAB_LARGE].in_use, 0);
    return sum;
}

/* 64 MiB in 64 KiB: a message takes no more than its limit, and one that is streamed a block at a time. */
static void a_bomb(void **state)
{
    (void)state;
    enum { ROUNDS = 64, LIMIT = 1 << 19, EXPANDER = 50000 };
    uint8_t *zeros = calloc(1, 1 << 20);
    for (int streamed = 0; streamed <= 1; streamed++) {
        bench b;
        open_bench(&b, 0);
        for (int i = 0; i < ROUNDS; i++)
            say_fragment(&b, HL_WS_BINARY, zeros, 1 << 20, i == ROUNDS - 1);
        assert_true(b.wire.len < 80000);
        hl_ws_config config = {.max_message = streamed ? UINT64_MAX : LIMIT, .streamed = (uint8_t)streamed};
        config.deflate = hl_deflate_new(b.pool, &b.deflate);
        hl_ws ws;
        hl_ws_init(&ws, &config);
        hl_ws_input in = {b.wire.data, b.wire.len};
        hl_ws_item item;
        uint64_t before = bytes_in_use(&b), most = 0, total = 0;
        int r;
        while ((r = hl_ws_next(&ws, b.cache, &in, &item)) == HL_WS_ITEM) {
            most = bytes_in_use(&b) - before > most ? bytes_in_use(&b) - before : most;
            total += item.len;
            assert_true(item.len <= PIECE + 8192);
            hl_cache_unref(b.cache, item.block);
        }
        if (streamed) {
            assert_int_equal(r, HL_WS_MORE);
            assert_int_equal(total, (uint64_t)ROUNDS << 20);
            assert_in_range(most, PIECE, 2 * PIECE + EXPANDER);
        } else {
            assert_int_equal(r, HL_WS_ETOOBIG);
            assert_int_equal(total, 0);
            assert_in_range(bytes_in_use(&b) - before, LIMIT, LIMIT + EXPANDER);
        }
        hl_ws_fini(&ws, b.cache);
        hl_deflate_free(config.deflate);
        close_bench(&b);
    }
    free(zeros);
}

/* Nothing waits inside the expander for input that may never come: all that a message's bytes stand for is delivered
 * with the last of them. */
static void nothing_is_held_back(void **state)
{
    (void)state;
    bench b;
    uint8_t *zeros = calloc(1, 1 << 20);
    for (size_t n = 1; n < 200000; n += 1 + n / 3) {
        open_bench(&b, 1);
        say_fragment(&b, HL_WS_BINARY, zeros, n, 0); /* and no more of it */
        hl_ws_config config = {.max_message = UINT64_MAX, .streamed = 1};
        config.deflate = hl_deflate_new(b.pool, &b.deflate);
        hl_ws ws;
        hl_ws_init(&ws, &config);
        hl_ws_input in = {b.wire.data, b.wire.len};
        hl_ws_item item;
        size_t total = 0;
        while (hl_ws_next(&ws, b.cache, &in, &item) == HL_WS_ITEM) {
            total += item.len;
            assert_true(item.more);
            assert_true(item.block->size <= 512 || item.block->size <= 2 * item.len); /* a few bytes keep few */
            hl_cache_unref(b.cache, item.block);
        }
        assert_int_equal(total, n);
        hl_ws_fini(&ws, b.cache);
        hl_deflate_free(config.deflate);
        close_bench(&b);
    }
    free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conversation),
        cmocka_unit_test(frames_cut_anywhere),
        cmocka_unit_test(large_messages),
        cmocka_unit_test(reserved_bits),
        cmocka_unit_test(not_agreed_upon),
        cmocka_unit_test(bad_payloads),
        cmocka_unit_test(text_is_validated_as_it_comes_out),
        cmocka_unit_test(the_limit_is_of_what_comes_out),
        cmocka_unit_test(payloads_longer_than_the_limit),
        cmocka_unit_test(a_bomb),
        cmocka_unit_test(nothing_is_held_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
