/*
 * test_deflate.c - hl_deflate.h against zlib itself on the other side, with every window, level and split.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "test_support.h"

#include <string.h>
#include <zlib.h>

#include "hl_deflate.h"
#include "slab_fixture.h"

#define LIMIT (UINT64_C(256) << 20)

enum { IDLE = 4, MOST = 1 << 17 };

typedef struct fixture {
    hl_slab *slab;
    hl_cache *cache;
    hl_deflate_pool *pool;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    f.slab = one_node_slab(LIMIT);
    f.cache = f.slab != NULL ? hl_cache_new(f.slab) : NULL;
    f.pool = f.cache != NULL ? hl_deflate_pool_new(f.cache, IDLE) : NULL;
    *state = &f;
    return f.pool != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    hl_deflate_pool_free(f->pool);
    hl_cache_free(f->cache);
    return hl_slab_free(f->slab) == 0 ? 0 : -1; /* no test leaves a block behind */
}

/* Bytes of the blocks in use, headers included. */
static uint64_t in_use(const fixture *f)
{
    hl_slab_stats stats;
    uint64_t bytes = 0;
    hl_slab_stats_read(f->slab, &stats);
    for (int i = 0; i < HL_SLAB_CLASSES; i++)
        bytes += stats.classes[i].in_use * (stats.classes[i].size + sizeof(hl_block));
    return bytes;
}

static hl_deflate *connection(const fixture *f, hl_deflate_config config)
{
    assert_true(hl_deflate_config_valid(&config));
    hl_deflate *d = hl_deflate_new(f->pool, &config);
    assert_non_null(d);
    return d;
}

/* ------------------------------------------------------------------ the other side: zlib */

typedef struct bytes {
    uint8_t *data;
    size_t len;
} bytes;

static void peer_open(z_stream *z, int expands, int bits)
{
    memset(z, 0, sizeof *z);
    int r = expands ? inflateInit2(z, -bits) : deflateInit2(z, 6, Z_DEFLATED, -bits, 8, Z_DEFAULT_STRATEGY);
    assert_int_equal(r, Z_OK);
}

/* Compresses a message as a sender does that follows RFC 7692 7.2.1 to the letter. */
static bytes peer_compress(z_stream *z, const uint8_t *p, size_t n)
{
    bytes b = {malloc(n + n / 8 + 64), 0};
    z->next_in = (Bytef *)(uintptr_t)p;
    z->avail_in = (uInt)n;
    z->next_out = b.data;
    z->avail_out = (uInt)(n + n / 8 + 64);
    deflate(z, Z_SYNC_FLUSH);
    b.len = (size_t)(z->next_out - b.data);
    if (b.len == 0) { /* zlib has nothing to flush behind a flush: 7.2.3.6 */
        b.data[b.len++] = 0;
        return b;
    }
    assert_memory_equal(b.data + b.len - 4, "\0\0\xff\xff", 4);
    b.len -= 4;
    return b;
}

/* Expands a whole message with the tail behind it, and expects the stream to stop between two blocks. */
static bytes peer_expand(z_stream *z, const uint8_t *p, size_t n)
{
    bytes b = {malloc(MOST), 0};
    uint8_t *whole = malloc(n + 4);
    memcpy(whole, p, n);
    memcpy(whole + n, "\0\0\xff\xff", 4);
    z->next_in = whole;
    z->avail_in = (uInt)n + 4;
    z->next_out = b.data;
    z->avail_out = MOST;
    assert_int_equal(inflate(z, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(z->avail_in, 0);
    assert_int_equal(z->data_type & 0x80, 0x80);
    b.len = MOST - z->avail_out;
    free(whole);
    return b;
}

/* ------------------------------------------------------------------ messages */

/* Text of words: it compresses, and refers to what is far behind. */
static bytes text(uint64_t *seed, size_t n)
{
    static const char *const words[] = {"price ",     "{\"symbol\":", "\"EURUSD\",", "bid ", "ask ", "0.99812,",
                                        "timestamp ", "sequence ",    "}\n",         "open", "high", "low "};
    bytes b = {malloc(n + 32), 0};
    while (b.len < n) {
        uint64_t r = test_random(seed);
        const char *word = words[r % 12];
        memcpy(b.data + b.len, word, strlen(word));
        b.len += strlen(word);
        if (r % 5 == 0)
            b.data[b.len++] = (uint8_t)(r >> 32);
    }
    b.len = n;
    return b;
}

static bytes noise(uint64_t *seed, size_t n)
{
    bytes b = {malloc(n + 1), n};
    for (size_t i = 0; i < n; i++)
        b.data[i] = (uint8_t)(test_random(seed) >> 24);
    return b;
}

/* Sends one message and expects the peer to read it. Returns the bytes on the wire. */
static size_t send_message(hl_deflate *d, hl_cache *cache, z_stream *peer, const bytes *message)
{
    hl_deflate_out out = {0};
    assert_int_equal(hl_deflate_compress(d, message->data, message->len, 1, &out), 0);
    bytes got = peer_expand(peer, hl_block_data(out.block), out.len);
    assert_int_equal(got.len, message->len);
    assert_memory_equal(got.data, message->data, got.len);
    free(got.data);
    hl_cache_unref(cache, out.block);
    return out.len;
}

/* Expands a message that comes in pieces of `piece` bytes into room that comes in pieces of `room` bytes, `limit` in
 * all. Every piece is an allocation of its own. Returns the result; *got is what came out until then. */
static int expand(hl_deflate *d, const uint8_t *p, size_t n, size_t piece, size_t room, size_t limit, bytes *got)
{
    *got = (bytes){malloc(limit + 1), 0};
    size_t at = 0;
    int r = HL_DEFLATE_DONE;
    do {
        size_t now = n - at < piece ? n - at : piece;
        int fin = at + now == n;
        uint8_t *copy = malloc(now);
        if (now > 0)
            memcpy(copy, p + at, now);
        hl_deflate_io io = {.in = copy, .in_len = now};
        do {
            size_t left = limit - got->len;
            io.out_len = left < room ? left : room;
            uint8_t *to = io.out = malloc(io.out_len);
            r = hl_deflate_expand(d, &io, fin);
            memcpy(got->data + got->len, to, (size_t)(io.out - to));
            got->len += (size_t)(io.out - to);
            free(to);
        } while (r == HL_DEFLATE_ROOM);
        if (r == HL_DEFLATE_DONE)
            assert_int_equal(io.in_len, 0);
        free(copy);
        at += now;
    } while (r == HL_DEFLATE_DONE && at < n);
    return r;
}

static void expect_message(hl_deflate *d, const void *p, size_t n, const void *message, size_t len)
{
    bytes got;
    assert_int_equal(expand(d, p, n, n + 1, 4096, MOST, &got), HL_DEFLATE_DONE);
    assert_int_equal(got.len, len);
    assert_memory_equal(got.data, message, len);
    free(got.data);
}

static void expect_error(const fixture *f, hl_deflate_config config, const void *p, size_t n, int error)
{
    bytes got;
    for (size_t piece = 1; piece <= n + 1; piece += n) {
        hl_deflate *d = connection(f, config);
        int r = expand(d, p, n, piece, 64, MOST, &got);
        free(got.data);
        assert_int_equal(r, error);
        hl_deflate_free(d);
    }
}

/* ------------------------------------------------------------------ the examples of section 7.2.3 */

#define MESSAGE(literal) literal, sizeof literal - 1

static void test_the_examples_of_the_rfc(void **state)
{
    fixture *f = *state;
    const hl_deflate_config both = {.in_takeover = 1, .out_takeover = 1};
    hl_deflate *d = connection(f, both);
    expect_message(d, MESSAGE("\xf2\x48\xcd\xc9\xc9\x07\x00"), MESSAGE("Hello")); /* 7.2.3.1 */
    expect_message(d, MESSAGE("\xf2\x00\x11\x00\x00"), MESSAGE("Hello"));         /* 7.2.3.2, from the window */
    expect_message(d, MESSAGE("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), MESSAGE("Hello")); /* 7.2.3.3 */
    expect_message(d, MESSAGE("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), MESSAGE("Hello")); /* 7.2.3.4, a final block */
    expect_message(d, MESSAGE("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), MESSAGE("Hello")); /* 7.2.3.5 */
    expect_message(d, MESSAGE("\x00"), "", 0);                                                            /* 7.2.3.6 */
    expect_message(d, MESSAGE("\xf2\x00\x11\x00\x00"), MESSAGE("Hello")); /* still in the window */
    hl_deflate_free(d);
}

static void test_blocks_that_end_a_stream(void **state)
{
    fixture *f = *state;
    hl_deflate *d = connection(f, (hl_deflate_config){.in_takeover = 1});
    expect_message(d, MESSAGE("\xf3\x48\xcd\xc9\xc9\x07\x00"), MESSAGE("Hello")); /* and nothing behind it */
    expect_message(d, MESSAGE("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00"), MESSAGE("HelloHello"));
    expect_message(d, MESSAGE("\x03\x00\xf2\x00\x11\x00\x00"), MESSAGE("Hello")); /* refers to what is before it */
    for (size_t room = 1; room < 8; room++) { /* the tail as the rest of a stored block */
        bytes got;
        assert_int_equal(expand(d, (const uint8_t *)"\x00\x05\x00\xfa\xff\x48", 6, 1, room, MOST, &got), 0);
        assert_int_equal(got.len, 5);
        free(got.data);
    }
    expect_message(d, MESSAGE("\x01"), "", 0); /* its rest is the tail */
    expect_message(d, "", 0, "", 0);
    expect_message(d, MESSAGE("\xf2\x48\xcd\xc9\xc9\x07\x00"), MESSAGE("Hello"));
    expect_message(d, MESSAGE("\xf2\x00\x11\x00\x00"), MESSAGE("Hello"));
    hl_deflate_free(d);
}

static void test_what_is_not_deflate(void **state)
{
    fixture *f = *state;
    const hl_deflate_config config = {.in_takeover = 1};
    expect_error(f, config, MESSAGE("\x06"), HL_WS_EDATA);                         /* a block of type 3 */
    expect_error(f, config, MESSAGE("\xf2\x00\x11\x00\x00"), HL_WS_EDATA);         /* refers to nothing */
    expect_error(f, config, MESSAGE("\x00\x05\x00\xfa\xfe\x48"), HL_WS_EDATA);     /* a stored block of two lengths */
    expect_error(f, config, MESSAGE("\xf2\x48\xcd\xc9\xc9"), HL_WS_EDATA);         /* cut off */
    expect_error(f, config, MESSAGE("\x00\x05\x00\xfa\xff\x48\x65"), HL_WS_EDATA); /* cut off in a stored block */
    expect_error(f, config, MESSAGE("\xf3\x48\xcd\xc9\xc9\x07\x00\xff\xff"), HL_WS_EDATA); /* garbage behind */
    expect_error(f, config, MESSAGE("\xf2\x48\xcd\xc9\xc9\x07\x00\x00\xff"), HL_WS_EDATA);
    expect_error(f, config, MESSAGE("\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\x07"), HL_WS_EDATA);
}

/* ------------------------------------------------------------------ configs */

static void test_configs_within_bounds(void **state)
{
    (void)state;
    for (int v = -128; v < 256; v++) {
        int level = v == (int8_t)v ? hl_deflate_config_valid(&(hl_deflate_config){.level = (int8_t)v}) : 0;
        int memory = v == (int8_t)v ? hl_deflate_config_valid(&(hl_deflate_config){.mem_level = (int8_t)v}) : 0;
        assert_int_equal(level, v >= 0 && v <= 9);
        assert_int_equal(memory, v >= 0 && v <= 9);
        if (v < 0)
            continue;
        assert_int_equal(hl_deflate_config_valid(&(hl_deflate_config){.out_bits = (uint8_t)v}),
                         v == 0 || (v >= 9 && v <= 15));
        assert_int_equal(hl_deflate_config_valid(&(hl_deflate_config){.in_bits = (uint8_t)v}),
                         v == 0 || (v >= 8 && v <= 15));
        assert_int_equal(hl_deflate_config_valid(&(hl_deflate_config){.out_takeover = (uint8_t)v}), v <= 1);
        assert_int_equal(hl_deflate_config_valid(&(hl_deflate_config){.in_takeover = (uint8_t)v}), v <= 1);
    }
}

static void test_a_config_is_kept_with_its_defaults(void **state)
{
    fixture *f = *state;
    hl_deflate *d = connection(f, (hl_deflate_config){.out_takeover = 1, .threshold = 77});
    const hl_deflate_config *c = hl_deflate_config_of(d);
    assert_int_equal(c->level, 6);
    assert_int_equal(c->mem_level, 8);
    assert_int_equal(c->out_bits, 15);
    assert_int_equal(c->in_bits, 15);
    assert_int_equal(c->out_takeover, 1);
    assert_int_equal(c->in_takeover, 0);
    assert_int_equal(c->threshold, 77);
    hl_deflate_free(d);
}

/* A conversation with the config: what we send is read by a peer whose window is no larger than agreed upon, and what
 * such a peer sends is read by us. */
static void converse(const fixture *f, hl_deflate_config config, uint64_t *seed)
{
    static const size_t sizes[] = {5, 0, 300, 1, 70000, 4096, 0, 4097, 20000};
    z_stream from, to;
    int out_bits = config.out_bits ? config.out_bits : 15;
    int in_bits = config.in_bits ? config.in_bits : 15;
    hl_deflate *d = connection(f, config);
    peer_open(&from, 0, in_bits < 9 ? 9 : in_bits);
    peer_open(&to, 1, out_bits);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bytes message = i % 4 == 3 ? noise(seed, sizes[i]) : text(seed, sizes[i]);
        send_message(d, f->cache, &to, &message);
        if (!config.out_takeover)
            inflateReset(&to);
        if (in_bits >= 9) {
            bytes wire = peer_compress(&from, message.data, message.len);
            expect_message(d, wire.data, wire.len, message.data, message.len);
            free(wire.data);
            if (!config.in_takeover)
                deflateReset(&from);
        }
        free(message.data);
    }
    deflateEnd(&from);
    inflateEnd(&to);
    hl_deflate_free(d);
}

static void test_every_window(void **state)
{
    uint64_t seed = test_seed(7692);
    for (uint8_t bits = 9; bits <= 15; bits++)
        for (uint8_t takeover = 0; takeover < 4; takeover++)
            converse(*state,
                     (hl_deflate_config){.out_bits = bits,
                                         .in_bits = (uint8_t)(24 - bits),
                                         .out_takeover = takeover & 1,
                                         .in_takeover = takeover >> 1},
                     &seed);
}

static void test_every_level(void **state)
{
    uint64_t seed = test_seed(1951);
    for (int8_t level = 0; level <= 9; level++)
        for (int8_t memory = 0; memory <= 9; memory += 3)
            converse(*state, (hl_deflate_config){.level = level, .mem_level = memory, .out_takeover = 1}, &seed);
}

/* A window of 8 bits, which zlib does not produce: what it makes of short messages does not need more. */
static void test_the_smallest_window(void **state)
{
    fixture *f = *state;
    z_stream from;
    uint64_t seed = test_seed(8);
    hl_deflate *d = connection(f, (hl_deflate_config){.in_bits = 8});
    bytes message = text(&seed, 256), wire;
    peer_open(&from, 0, 9);
    wire = peer_compress(&from, message.data, message.len);
    expect_message(d, wire.data, wire.len, message.data, message.len);
    free(wire.data);
    free(message.data);
    deflateEnd(&from);
    hl_deflate_free(d);
}

/* What is agreed upon holds: a distance beyond the window is an error, and so is one into an earlier message when there
 * is no takeover. */
static void test_what_lies_beyond_the_window(void **state)
{
    fixture *f = *state;
    uint64_t seed = test_seed(9);
    bytes far = noise(&seed, 4096);
    memcpy(far.data + 2048, far.data, 1024);
    z_stream from;
    peer_open(&from, 0, 15);
    bytes wire = peer_compress(&from, far.data, far.len);
    expect_error(f, (hl_deflate_config){.in_bits = 9, .in_takeover = 1}, wire.data, wire.len, HL_WS_EDATA);
    hl_deflate *d = connection(f, (hl_deflate_config){.in_bits = 15});
    expect_message(d, wire.data, wire.len, far.data, far.len);
    free(wire.data);
    wire = peer_compress(&from, far.data, far.len); /* all of it lies in the window */
    assert_true(wire.len < 256);
    bytes got;
    assert_int_equal(expand(d, wire.data, wire.len, 64, 64, MOST, &got), HL_WS_EDATA);
    free(got.data);
    free(wire.data);
    free(far.data);
    deflateEnd(&from);
    hl_deflate_free(d);
}

/* ------------------------------------------------------------------ sending */

/* A message in fragments, cut everywhere: each can be expanded before the next has come, empty ones included. */
static void test_fragments(void **state)
{
    fixture *f = *state;
    uint64_t seed = test_seed(3);
    for (int takeover = 0; takeover <= 1; takeover++) {
        hl_deflate *d = connection(f, (hl_deflate_config){.out_takeover = (uint8_t)takeover});
        z_stream to;
        bytes message = text(&seed, 200);
        peer_open(&to, 1, 15);
        for (size_t cut = 0; cut <= message.len; cut++) {
            const size_t ends[] = {cut / 2, cut, cut, message.len};
            hl_deflate_out out = {0};
            uint8_t got[256];
            to.next_out = got;
            to.avail_out = sizeof got;
            for (size_t i = 0, from = 0; i < 4; from = ends[i++]) {
                size_t before = out.len;
                assert_int_equal(hl_deflate_compress(d, message.data + from, ends[i] - from, i == 3, &out), 0);
                to.next_in = hl_block_data(out.block) + before;
                to.avail_in = (uInt)(out.len - before);
                inflate(&to, Z_SYNC_FLUSH);
                if (i < 3)
                    assert_int_equal(sizeof got - to.avail_out, ends[i]);
            }
            to.next_in = (Bytef *)(uintptr_t) "\0\0\xff\xff";
            to.avail_in = 4;
            assert_int_equal(inflate(&to, Z_SYNC_FLUSH), Z_OK);
            assert_int_equal(to.data_type, 128);
            assert_int_equal(sizeof got - to.avail_out, message.len);
            assert_memory_equal(got, message.data, message.len);
            hl_cache_unref(f->cache, out.block);
            if (!takeover)
                inflateReset(&to);
        }
        free(message.data);
        inflateEnd(&to);
        hl_deflate_free(d);
    }
}

/* What comes goes behind what is there, in a block that grows. */
static void test_output_is_appended(void **state)
{
    fixture *f = *state;
    uint64_t seed = test_seed(4);
    hl_deflate *d = connection(f, (hl_deflate_config){0});
    bytes message = noise(&seed, 100000);
    hl_deflate_out out = {.block = hl_cache_get(f->cache, 128), .len = 14};
    memcpy(hl_block_data(out.block), "a frame header", 14);
    assert_int_equal(hl_deflate_compress(d, message.data, message.len, 1, &out), 0);
    assert_true(out.len > 14 + message.len && out.len < message.len + 200);
    assert_memory_equal(hl_block_data(out.block), "a frame header", 14);
    z_stream to;
    peer_open(&to, 1, 15);
    bytes got = peer_expand(&to, hl_block_data(out.block) + 14, out.len - 14);
    assert_int_equal(got.len, message.len);
    assert_memory_equal(got.data, message.data, got.len);
    free(got.data);
    free(message.data);
    inflateEnd(&to);
    hl_cache_unref(f->cache, out.block);
    hl_deflate_free(d);
}

static void test_takeover_makes_messages_shorter(void **state)
{
    fixture *f = *state;
    z_stream to;
    uint64_t seed = test_seed(5);
    bytes message = noise(&seed, 500);
    for (uint8_t takeover = 0; takeover <= 1; takeover++) {
        hl_deflate *d = connection(f, (hl_deflate_config){.out_takeover = takeover});
        peer_open(&to, 1, 15);
        assert_true(send_message(d, f->cache, &to, &message) > 500);
        size_t again = send_message(d, f->cache, &to, &message);
        assert_true(takeover ? again < 50 : again > 500);
        inflateEnd(&to);
        hl_deflate_free(d);
    }
    free(message.data);
}

/* The peer's window gets messages that were compressed elsewhere, each in its turn. */
static void test_messages_compressed_elsewhere(void **state)
{
    fixture *f = *state;
    z_stream to;
    uint64_t seed = test_seed(6);
    const hl_deflate_config config = {.out_takeover = 1, .out_bits = 10};
    hl_deflate *d = connection(f, config);
    peer_open(&to, 1, 10);
    for (int round = 0; round < 20; round++) {
        bytes message = text(&seed, 300 + 400 * (size_t)round);
        send_message(d, f->cache, &to, &message);
        hl_deflate_out out;
        assert_int_equal(hl_deflate_once(f->slab, &config, message.data, message.len, 10, &out), 0);
        assert_true(out.block->size < 2 * out.len || out.block->size == HL_SLAB_MIN);
        bytes got = peer_expand(&to, hl_block_data(out.block) + 10, out.len - 10);
        assert_int_equal(got.len, message.len);
        assert_memory_equal(got.data, message.data, got.len);
        hl_deflate_forget(d);
        hl_block_unref(out.block);
        free(got.data);
        free(message.data);
    }
    inflateEnd(&to);
    hl_deflate_free(d);
}

/* ------------------------------------------------------------------ receiving */

static void test_every_piece_and_room(void **state)
{
    fixture *f = *state;
    z_stream from;
    uint64_t seed = test_seed(10);
    bytes message = text(&seed, 1500);
    hl_deflate *d = connection(f, (hl_deflate_config){.in_takeover = 1});
    peer_open(&from, 0, 15);
    for (size_t piece = 1; piece < 700; piece += piece < 20 ? 1 : 97)
        for (size_t room = 1; room < 1600; room += room < 20 ? 1 : 211) {
            bytes wire = peer_compress(&from, message.data, message.len), got;
            assert_int_equal(expand(d, wire.data, wire.len, piece, room, MOST, &got), HL_DEFLATE_DONE);
            assert_int_equal(got.len, message.len);
            assert_memory_equal(got.data, message.data, got.len);
            free(got.data);
            free(wire.data);
        }
    free(message.data);
    deflateEnd(&from);
    hl_deflate_free(d);
}

/* The limit is met exactly: a message as long as it passes, and not one byte more comes out of a longer one. */
static void test_the_limit(void **state)
{
    fixture *f = *state;
    uint64_t seed = test_seed(11);
    for (size_t len = 1; len < 3000; len += 1 + len / 7) {
        z_stream from;
        bytes message = len % 2 ? text(&seed, len) : noise(&seed, len), got;
        peer_open(&from, 0, 15);
        bytes wire = peer_compress(&from, message.data, message.len);
        for (size_t piece = 1; piece <= wire.len; piece += wire.len - (wire.len > 1)) {
            hl_deflate *d = connection(f, (hl_deflate_config){0});
            assert_int_equal(expand(d, wire.data, wire.len, piece, 100, len, &got), HL_DEFLATE_DONE);
            assert_int_equal(got.len, len);
            free(got.data);
            assert_int_equal(expand(d, wire.data, wire.len, piece, 100, len - 1, &got), HL_WS_ETOOBIG);
            assert_int_equal(got.len, len - 1);
            assert_memory_equal(got.data, message.data, got.len);
            free(got.data);
            hl_deflate_free(d);
        }
        free(wire.data);
        free(message.data);
        deflateEnd(&from);
    }
}

/* 256 MiB of zeros in 260 KB: memory is what the limit allows and what the expander itself needs, whoever sends. */
static void test_a_bomb(void **state)
{
    fixture *f = *state;
    z_stream from;
    uint8_t *zeros = calloc(1, 1 << 20);
    uint8_t *bomb = malloc(1 << 20);
    enum { ROUNDS = 256, ROOM = 65536 };
    peer_open(&from, 0, 15);
    from.next_out = bomb;
    from.avail_out = 1 << 20;
    for (int i = 0; i < ROUNDS; i++) {
        from.next_in = zeros;
        from.avail_in = 1 << 20;
        deflate(&from, Z_NO_FLUSH);
    }
    deflate(&from, Z_SYNC_FLUSH);
    hl_deflate *d = connection(f, (hl_deflate_config){0});
    hl_deflate_io io = {.in = bomb, .in_len = (1u << 20) - from.avail_out};
    uint64_t before = in_use(f), out = 0;
    assert_true(io.in_len < 300000);
    while (out < ROUNDS * UINT64_C(1 << 20) / 2) { /* a reader in pieces goes as far as it likes, */
        io.out = zeros;
        io.out_len = ROOM;
        assert_int_equal(hl_deflate_expand(d, &io, 0), HL_DEFLATE_ROOM);
        out += ROOM;
        assert_true(in_use(f) - before <= hl_deflate_cost(&(hl_deflate_config){.in_takeover = 1}));
    }
    size_t left = io.in_len;
    io.out_len = 0; /* and stops where it wants */
    assert_int_equal(hl_deflate_expand(d, &io, 0), HL_WS_ETOOBIG);
    assert_true(left > 100000 && left - io.in_len < 16);
    free(zeros);
    free(bomb);
    deflateEnd(&from);
    hl_deflate_free(d);
}

/* ------------------------------------------------------------------ memory */

static void exchange(const fixture *f, hl_deflate *d, size_t len)
{
    uint64_t seed = 12;
    bytes message = text(&seed, len);
    hl_deflate_out out = {0};
    assert_int_equal(hl_deflate_compress(d, message.data, message.len, 1, &out), 0);
    expect_message(d, hl_block_data(out.block), out.len, message.data, message.len);
    hl_cache_unref(f->cache, out.block);
    free(message.data);
}

/* What hl_deflate_cost says is what is taken, but for what zlib's own structs have less than a power of two. */
static void test_the_cost_of_a_connection(void **state)
{
    fixture *f = *state;
    if (strstr(zlibVersion(), "ng") != NULL)
        skip();
    for (uint8_t bits = 9; bits <= 15; bits++)
        for (int8_t memory = 1; memory <= 9; memory++)
            for (uint8_t takeover = 0; takeover < 4; takeover++) {
                hl_deflate_config config = {.out_bits = bits,
                                            .in_bits = bits,
                                            .mem_level = memory,
                                            .out_takeover = takeover & 1,
                                            .in_takeover = takeover >> 1};
                uint64_t before = in_use(f), cost = hl_deflate_cost(&config);
                hl_deflate *d = connection(f, config);
                assert_true(in_use(f) - before < 256); /* nothing is taken in advance */
                exchange(f, d, 100000);
                hl_deflate_pool_trim(f->pool);
                assert_in_range(in_use(f) - before, cost - cost / 8, cost);
                hl_deflate_free(d);
                hl_deflate_pool_trim(f->pool);
                assert_int_equal(in_use(f), before);
            }
}

/* A thousand connections without takeover that have all sent and received cost what one does. */
static void test_connections_without_takeover_share(void **state)
{
    fixture *f = *state;
    enum { CONNECTIONS = 1000 };
    hl_deflate *all[CONNECTIONS];
    uint64_t one = 0, before = in_use(f);
    for (int i = 0; i < CONNECTIONS; i++) {
        all[i] = connection(f, (hl_deflate_config){0});
        exchange(f, all[i], 1000);
        if (i == 0)
            one = in_use(f) - before;
    }
    assert_int_equal(in_use(f) - before, one + (CONNECTIONS - 1) * (HL_SLAB_MIN + sizeof(hl_block)));
    for (int i = 0; i < CONNECTIONS; i++)
        hl_deflate_free(all[i]);
}

/* The pool keeps IDLE of each, those used last, and finds one by its parameters. */
static void test_the_pool_is_bounded(void **state)
{
    fixture *f = *state;
    enum { CONNECTIONS = IDLE + 3 };
    hl_deflate *all[CONNECTIONS];
    hl_deflate_config config = {.out_takeover = 1, .in_takeover = 1, .mem_level = 1};
    uint64_t before = in_use(f);
    hl_deflate_pool_trim(f->pool);
    for (int i = 0; i < CONNECTIONS; i++) {
        config.in_bits = config.out_bits = (uint8_t)(9 + i);
        all[i] = connection(f, config);
        exchange(f, all[i], 1000);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        hl_deflate_free(all[i]);
    uint64_t kept = in_use(f) - before, expected = 0;
    for (int i = CONNECTIONS - IDLE; i < CONNECTIONS; i++) {
        config.in_bits = config.out_bits = (uint8_t)(9 + i);
        expected += hl_deflate_cost(&config) - (HL_SLAB_MIN + sizeof(hl_block));
    }
    if (strstr(zlibVersion(), "ng") == NULL)
        assert_in_range(kept, expected - expected / 4, expected);
    config.in_bits = config.out_bits = 15;
    hl_deflate *d = connection(f, config);
    exchange(f, d, 1000);
    assert_int_equal(in_use(f) - before, kept + HL_SLAB_MIN + sizeof(hl_block)); /* both were there */
    hl_deflate_free(d);
    hl_deflate_pool_trim(f->pool);
    assert_int_equal(in_use(f), before);
}

static void test_a_pool_that_keeps_nothing(void **state)
{
    fixture *f = *state;
    hl_deflate_pool *pool = hl_deflate_pool_new(f->cache, 0);
    uint64_t before = in_use(f);
    hl_deflate *d = hl_deflate_new(pool, &(hl_deflate_config){0});
    exchange(f, d, 1000);
    assert_int_equal(in_use(f) - before, HL_SLAB_MIN + sizeof(hl_block));
    hl_deflate_free(d);
    hl_deflate_pool_free(pool);
    hl_deflate_pool_free(NULL);
    hl_deflate_free(NULL);
}

/* Freed in the middle of messages, nothing is lost, and who borrows next starts anew. */
static void test_freed_within_a_message(void **state)
{
    fixture *f = *state;
    for (uint8_t takeover = 0; takeover <= 1; takeover++) {
        hl_deflate_config config = {.out_takeover = takeover, .in_takeover = takeover};
        hl_deflate *d = connection(f, config);
        hl_deflate_out out = {0};
        uint8_t room[64];
        assert_int_equal(hl_deflate_compress(d, (const uint8_t *)"half a message", 14, 0, &out), 0);
        hl_deflate_io io = {hl_block_data(out.block), out.len - 5, room, sizeof room};
        assert_int_equal(hl_deflate_expand(d, &io, 0), HL_DEFLATE_DONE);
        hl_cache_unref(f->cache, out.block);
        hl_deflate_free(d);
        d = connection(f, config);
        exchange(f, d, 1000);
        hl_deflate_free(d);
    }
}

/* However little memory there is, what cannot be had is an error and nothing else. */
static void test_short_of_memory(void **state)
{
    fixture *f = *state;
    const hl_deflate_config config = {.mem_level = 1, .out_bits = 9, .in_takeover = 1, .out_takeover = 1};
    int failed = 0, succeeded = 0;
    hl_block *taken[64];
    int count = 0;
    hl_slab *slab = one_node_slab(24 << 20);
    hl_cache *cache = hl_cache_new(slab);
    hl_deflate_pool *pool = hl_deflate_pool_new(cache, 0);
    hl_deflate *d = hl_deflate_new(pool, &config);
    while (count < 64 && (taken[count] = hl_slab_get(slab, 1 << 20)) != NULL)
        count++;
    assert_in_range(count, 1, 63);
    for (; count >= 0; count--) { /* with ever more memory left, until there is enough */
        hl_deflate_out out = {0};
        hl_deflate_io io = {.in = (const uint8_t *)"\xf2\x48\xcd\xc9\xc9\x07\x00", .in_len = 7};
        uint8_t room[8];
        io.out = room;
        io.out_len = sizeof room;
        int r = hl_deflate_compress(d, (const uint8_t *)"Hello", 5, 1, &out);
        int e = hl_deflate_expand(d, &io, 1);
        int o = hl_deflate_once(slab, &config, (const uint8_t *)"Hello", 5, 0, &(hl_deflate_out){0});
        hl_cache_unref(cache, out.block);
        hl_deflate_free(d);
        for (int i = 0; i < 3; i++) {
            int result = (int[]){r, e, o}[i];
            assert_true(result == 0 || result == HL_WS_ENOMEM);
            failed += result != 0;
            succeeded += result == 0;
        }
        if (count > 0)
            hl_block_unref(taken[count - 1]);
        hl_slab_trim(slab);
        d = hl_deflate_new(pool, &config);
        assert_non_null(d);
    }
    assert_true(failed > 0 && succeeded > 0);
    hl_deflate_free(d);
    hl_deflate_pool_free(pool);
    hl_cache_free(cache);
    hl_slab_free(slab); /* what hl_deflate_once made is still in it */
    (void)f;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_examples_of_the_rfc, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blocks_that_end_a_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_deflate, set_up, tear_down),
        cmocka_unit_test(test_configs_within_bounds),
        cmocka_unit_test_setup_teardown(test_a_config_is_kept_with_its_defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_level, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_smallest_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_lies_beyond_the_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fragments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_output_is_appended, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_takeover_makes_messages_shorter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_messages_compressed_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_piece_and_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_bomb, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_cost_of_a_connection, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connections_without_takeover_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_pool_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_pool_that_keeps_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_freed_within_a_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_short_of_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
