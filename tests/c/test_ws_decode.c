/*
 * test_ws_decode.c - what a stream of frames means (RFC 6455), however it is cut: every stream of the table is decoded
 * whole, in two parts cut at each of its bytes, byte by byte and in random pieces, and must give the same each time.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ws_cases.h"
#include "ws_stream.h"

enum { STREAMS = sizeof streams / sizeof *streams };

static uint8_t letter(size_t i)
{
    return (uint8_t)('a' + i % 23);
}

static void add_pattern(bytes *to, size_t skip, size_t len)
{
    uint8_t *p = bytes_extend(to, len);
    for (size_t i = 0; i < len; i++)
        p[i] = letter(skip + i);
}

static bytes wire_of(const stream *s)
{
    bytes wire = {0};
    for (const frame *f = s->frames; f < s->frames + MOST && (f->first || f->payload || f->len); f++) {
        bytes payload = {0};
        if (f->payload)
            bytes_add(&payload, f->payload, f->len);
        else
            add_pattern(&payload, f->skip, f->len);
        if (f->raw)
            bytes_add(&wire, payload.data, payload.len);
        else
            add_frame(&wire, !s->from_server, f->first, payload.data, payload.len);
        bytes_free(&payload);
    }
    return wire;
}

static bytes expected_of(const stream *s)
{
    bytes log = {0};
    for (const expected_item *i = s->items; i < s->items + MOST && i->opcode; i++) {
        bytes payload = {0};
        if (i->data)
            bytes_add(&payload, i->data, i->len);
        else
            add_pattern(&payload, 0, i->len);
        record(&log, i->opcode, i->code, payload.data, payload.len);
        bytes_free(&payload);
    }
    return log;
}

static hl_ws_config config_of(const stream *s)
{
    return (hl_ws_config){.max_message = s->max ? s->max : 1 << 20, .client = (uint8_t)s->from_server};
}

/* One stream of the table with what it must give, and a slab to decode it from. */
typedef struct bench {
    const stream *stream;
    hl_ws_config config;
    hl_slab *slab;
    hl_cache *cache;
    bytes wire, expected;
} bench;

static void bench_open(bench *b, const stream *s)
{
    b->stream = s;
    b->config = config_of(s);
    b->slab = hl_slab_new(0);
    b->cache = hl_cache_new(b->slab);
    b->wire = wire_of(s);
    b->expected = expected_of(s);
}

static void bench_close(bench *b)
{
    bytes_free(&b->wire);
    bytes_free(&b->expected);
    hl_cache_free(b->cache);
    assert_int_equal(hl_slab_free(b->slab), 0);
}

static outcome check_as(bench *b, const hl_ws_config *config, cuts c, int direct)
{
    bytes log = {0};
    outcome o = feed(config, b->cache, &b->wire, c, direct, &log);
    if (o.result != b->stream->result || log.len != b->expected.len ||
        (log.len > 0 && memcmp(log.data, b->expected.data, log.len) != 0))
        fail_msg("\"%s\" gave result %d and %zu bytes of items, not %d and %zu; first cut at %zu of %zu, direct %d",
                 b->stream->name, o.result, log.len, b->stream->result, b->expected.len, c.count ? c.at[0] : c.each,
                 b->wire.len, direct);
    bytes_free(&log);
    return o;
}

/* Whether messages come whole or in pieces makes no difference to what is in them. */
static outcome check(bench *b, cuts c, int direct)
{
    hl_ws_config streamed = b->config;
    streamed.streamed = 1;
    assert_int_equal(check_as(b, &streamed, c, direct).direct, 0);
    return check_as(b, &b->config, c, direct);
}

/* Of long streams, the offsets near the ends, and some between. */
static size_t next_offset(size_t offset, size_t len)
{
    return len <= 1024 || offset < 48 || offset + 48 >= len ? offset + 1 : offset + len / 97;
}

static void whole_and_cut_in_two(void **state)
{
    (void)state;
    for (size_t s = 0; s < STREAMS; s++) {
        bench b;
        bench_open(&b, &streams[s]);
        check(&b, (cuts){0}, 0);
        for (size_t at = 1; at < b.wire.len; at = next_offset(at, b.wire.len)) {
            check(&b, (cuts){.at = &at, .count = 1}, 0);
            check(&b, (cuts){.at = &at, .count = 1}, 1);
        }
        bench_close(&b);
    }
}

static void byte_by_byte(void **state)
{
    (void)state;
    for (size_t s = 0; s < STREAMS; s++) {
        bench b;
        bench_open(&b, &streams[s]);
        outcome o = check(&b, (cuts){.each = 1}, 0);
        check(&b, (cuts){.each = 1}, 1);
        if (streams[s].found_at && o.consumed != streams[s].found_at)
            fail_msg("\"%s\" failed after %zu bytes, not %zu", streams[s].name, o.consumed, streams[s].found_at);
        bench_close(&b);
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

enum { MOST_CUTS = 40 };

/* Up to MOST_CUTS ascending offsets. */
static cuts random_cuts(uint32_t *seed, size_t *at, size_t len)
{
    size_t count = next_random(seed) % MOST_CUTS;
    size_t last = 0;
    for (size_t i = 0; i < count; i++)
        at[i] = last += next_random(seed) % (2 * len / (count + 1) + 2);
    return (cuts){.at = at, .count = count};
}

static void in_random_pieces(void **state)
{
    (void)state;
    uint32_t seed = 20260101;
    for (size_t s = 0; s < STREAMS; s++) {
        bench b;
        bench_open(&b, &streams[s]);
        for (int round = 0; round < 100; round++) {
            size_t at[MOST_CUTS];
            cuts c = random_cuts(&seed, at, b.wire.len);
            check(&b, c, round & 1);
        }
        bench_close(&b);
    }
}

/* Text of random characters of one to four bytes, or random bytes. */
static void add_random_payload(bytes *to, uint32_t *seed, int text)
{
    static const char *const characters[] = {"a",
                                             "The quick brown fox jumps over the lazy dog. ",
                                             "\xd0\xb9",
                                             "\xe2\x82\xac",
                                             "\xed\x9f\xbf",
                                             "\xf0\x9f\x98\x80",
                                             "\xf4\x8f\xbf\xbf"};
    for (size_t n = next_random(seed) % (next_random(seed) % 8 ? 60 : 9000); n > 0; n--) {
        uint32_t r = next_random(seed);
        uint8_t byte = (uint8_t)r;
        const char *character = characters[r % 7];
        bytes_add(to, text ? (const void *)character : &byte, text ? strlen(character) : 1);
    }
}

/* Sends `payload` in fragments with control frames between them. The log gets the control frames, then the message. */
static void add_conversation_message(bytes *wire, bytes *log, uint32_t *seed, uint8_t opcode, const bytes *payload)
{
    size_t sent = 0;
    uint8_t next = opcode;
    for (;;) {
        size_t left = payload->len - sent;
        int fin = next_random(seed) % 3 != 0;
        size_t n = fin ? left : next_random(seed) % (left + 1);
        add_frame(wire, 1, (uint8_t)(next | (fin ? 0x80 : 0)), payload->len ? payload->data + sent : NULL, n);
        next = HL_WS_CONTINUATION;
        sent += n;
        if (fin)
            break;
        if (next_random(seed) % 2) {
            uint32_t noise = next_random(seed);
            uint8_t control = noise & 1 ? HL_WS_PING : HL_WS_PONG;
            add_frame(wire, 1, 0x80 | control, &noise, noise % 5);
            record(log, control, 0, &noise, noise % 5);
        }
    }
    record(log, opcode, 0, payload->data, payload->len);
}

static void random_conversations(void **state)
{
    (void)state;
    uint32_t seed = 6455;
    hl_slab *slab = hl_slab_new(0);
    hl_cache *cache = hl_cache_new(slab);
    size_t direct = 0;
    for (int round = 0; round < 100; round++) {
        bytes wire = {0}, expected = {0};
        for (uint32_t messages = next_random(&seed) % 12; messages > 0; messages--) {
            bytes payload = {0};
            uint8_t opcode = next_random(&seed) % 2 ? HL_WS_TEXT : HL_WS_BINARY;
            add_random_payload(&payload, &seed, opcode == HL_WS_TEXT);
            add_conversation_message(&wire, &expected, &seed, opcode, &payload);
            bytes_free(&payload);
        }
        for (int split = 0; split < 10; split++) {
            size_t at[MOST_CUTS];
            bytes log = {0};
            const hl_ws_config config = {.max_message = 1 << 20, .streamed = split >= 8};
            outcome o = feed(&config, cache, &wire, random_cuts(&seed, at, wire.len), split & 1, &log);
            direct += o.direct;
            assert_int_equal(o.result, HL_WS_MORE);
            assert_int_equal(log.len, expected.len);
            if (log.len > 0)
                assert_memory_equal(log.data, expected.data, log.len);
            bytes_free(&log);
        }
        bytes_free(&wire);
        bytes_free(&expected);
    }
    assert_true(direct > 0);
    hl_cache_free(cache);
    assert_int_equal(hl_slab_free(slab), 0);
}

/* A frame with this header and as many bytes as it says, then an empty message. */
static bytes wire_from(uint8_t first, uint8_t second, const char *payload)
{
    bytes wire = {0};
    size_t len = second & 0x7F;
    bytes_add(&wire, &first, 1);
    bytes_add(&wire, &second, 1);
    if (len == 126)
        bytes_add(&wire, "\0\x7e", 2);
    if (second & 0x80)
        bytes_add(&wire, "\0\0\0\0", 4);
    bytes_add(&wire, payload, len);
    add_frame(&wire, second & 0x80, FIN_B, "", 0);
    return wire;
}

/* Whole messages are decoded by other code than those that come byte by byte. */
static void every_start_whole_and_byte_by_byte(void **state)
{
    (void)state;
    static const char ascii[] = DIGITS_123 "abc";
    static const char cyrillic[] = "йцукенгшщзхъйцукенгшщзхъйцукенгшщзхъйцукенгшщзхъйцукенгшщзхъйцукен";
    static const uint8_t lengths[] = {0, 1, 2, 31, 32, 64, 65, 125, 126};
    hl_slab *slab = hl_slab_new(0);
    hl_cache *cache = hl_cache_new(slab);
    for (unsigned i = 0; i < 256 * sizeof lengths * 8; i++) {
        uint8_t first = (uint8_t)(i >> 3), second = (uint8_t)(lengths[i >> 11] | (i & 4) << 5);
        const hl_ws_config config = {.max_message = i & 1 ? 64 : 1000, .client = i >> 1 & 1};
        bytes wire = wire_from(first, second, i & 1 ? cyrillic : ascii), whole = {0}, cut = {0};
        outcome o = feed(&config, cache, &wire, (cuts){0}, 0, &whole);
        assert_int_equal(o.result, feed(&config, cache, &wire, (cuts){.each = 1}, 0, &cut).result);
        assert_int_equal(whole.len, cut.len);
        if (cut.len > 0)
            assert_memory_equal(whole.data, cut.data, cut.len);
        bytes_free(&wire);
        bytes_free(&whole);
        bytes_free(&cut);
    }
    hl_cache_free(cache);
    assert_int_equal(hl_slab_free(slab), 0);
}

/* All the codes there are, against the list of section 7.4 written out. */
static void every_close_code(void **state)
{
    (void)state;
    static const uint16_t low[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014};
    hl_slab *slab = hl_slab_new(0);
    hl_cache *cache = hl_cache_new(slab);
    const hl_ws_config config = {.max_message = 1};
    for (uint32_t code = 0; code < 65536; code++) {
        int good = code / 1000 == 3 || code / 1000 == 4;
        for (size_t i = 0; i < sizeof low / sizeof *low; i++)
            good |= code == low[i];
        bytes wire = {0}, log = {0}, expected = {0};
        const uint8_t body[2] = {(uint8_t)(code >> 8), (uint8_t)code};
        add_frame(&wire, 1, FIN_CLOSE, body, 2);
        if (good)
            record(&expected, HL_WS_CLOSE, (uint16_t)code, "", 0);
        assert_int_equal(feed(&config, cache, &wire, (cuts){0}, 0, &log).result, good ? HL_WS_MORE : HL_WS_EPROTO);
        assert_int_equal(log.len, expected.len);
        if (good)
            assert_memory_equal(log.data, expected.data, log.len);
        bytes_free(&wire);
        bytes_free(&log);
        bytes_free(&expected);
    }
    hl_cache_free(cache);
    assert_int_equal(hl_slab_free(slab), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_and_cut_in_two),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(in_random_pieces),
        cmocka_unit_test(random_conversations),
        cmocka_unit_test(every_start_whole_and_byte_by_byte),
        cmocka_unit_test(every_close_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
