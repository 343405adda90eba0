/*
 * fuzz_inflate.c - libFuzzer target: any payload, cut any way and expanded into any room, must give the same bytes and
 * the same end, and leave nothing; and any message must come back from its compression.
 *
 * Input: a byte for the expander (WINDOW, TAKEOVER), one for the compressor (WINDOW, LEVEL), the length of the pieces
 * and of the room less one, how many times 16 bytes are the first message, and the bytes of two messages.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <string.h>

#include "fuzz.h"

enum { WINDOW = 7, TAKEOVER = 8, LEVEL_SHIFT = 3, HEADER = 5, LIMIT = 1 << 16 };

/* One piece of a message, in an allocation of exactly its size, into room of exactly its size. */
static int expand_piece(hl_deflate *d, const uint8_t *p, size_t n, int fin, size_t room, bytes *out)
{
    uint8_t *piece = malloc(n + (n == 0));
    uint8_t *to = malloc(room);
    REQUIRE(piece && to);
    if (n > 0)
        memcpy(piece, p, n);
    hl_deflate_io io = {.in = piece, .in_len = n};
    int r;
    do {
        size_t left = LIMIT - out->len;
        io.out = to;
        io.out_len = left < room ? left : room;
        r = hl_deflate_expand(d, &io, fin);
        REQUIRE(io.in + io.in_len == piece + n && io.out <= to + room);
        bytes_add(out, to, (size_t)(io.out - to));
        REQUIRE(out->len <= LIMIT && (r != HL_DEFLATE_DONE || io.in_len == 0));
    } while (r == HL_DEFLATE_ROOM);
    free(piece);
    free(to);
    return r;
}

static int expand(hl_deflate *d, const uint8_t *p, size_t n, size_t piece, size_t room, bytes *out)
{
    int r;
    do {
        size_t now = n < piece ? n : piece;
        r = expand_piece(d, p, now, now == n, room, out);
        p += now;
        n -= now;
    } while (r == HL_DEFLATE_DONE && n > 0);
    return r;
}

/* Both messages, one after the other, on a connection of their own. The result is that of the last that was read. */
static int read_both(const hl_deflate_config *config, const uint8_t *p, size_t first, size_t n, size_t piece,
                     size_t room, bytes *out)
{
    hl_deflate *d = hl_deflate_new(pool, config);
    REQUIRE(d);
    int r = expand(d, p, first, piece, room, out);
    if (r == HL_DEFLATE_DONE) {
        bytes second = {0};
        r = expand(d, p + first, n - first, piece, room, &second);
        bytes_add(out, second.data, second.len);
        bytes_free(&second);
    }
    hl_deflate_free(d);
    return r;
}

static void check_same_however_cut(const hl_deflate_config *config, const uint8_t *p, size_t first, size_t n,
                                   size_t piece, size_t room)
{
    bytes whole = {0}, cut = {0};
    int r = read_both(config, p, first, n, n + 1, LIMIT, &whole);
    int c = read_both(config, p, first, n, piece, room, &cut);
    REQUIRE(r == HL_DEFLATE_DONE || r == HL_WS_EDATA || r == HL_WS_ETOOBIG);
    REQUIRE(c == r || c == HL_WS_EDATA);
    if (config->in_bits == 15 || (c == r && r == HL_DEFLATE_DONE)) /* see hl_deflate_expand */
        REQUIRE(c == r && cut.len == whole.len && (cut.len == 0 || memcmp(cut.data, whole.data, cut.len) == 0));
    bytes_free(&whole);
    bytes_free(&cut);
}

static void check_round_trip(const hl_deflate_config *config, const uint8_t *p, size_t first, size_t n, size_t room)
{
    hl_deflate *d = hl_deflate_new(pool, config);
    REQUIRE(d);
    bytes back = {0};
    hl_deflate_out out = {0};
    REQUIRE(hl_deflate_compress(d, p, first, 0, &out) == 0); /* one message in two fragments, then another */
    REQUIRE(hl_deflate_compress(d, p + first, n - first, 1, &out) == 0);
    size_t end = out.len;
    REQUIRE(hl_deflate_compress(d, p, first, 1, &out) == 0);
    REQUIRE(expand(d, hl_block_data(out.block), end, room, room, &back) == HL_DEFLATE_DONE);
    REQUIRE(back.len == n && (n == 0 || memcmp(back.data, p, n) == 0));
    REQUIRE(expand(d, hl_block_data(out.block) + end, out.len - end, room, room, &back) == HL_DEFLATE_DONE);
    REQUIRE(back.len == n + first && (first == 0 || memcmp(back.data + n, p, first) == 0));
    bytes_free(&back);
    hl_cache_unref(cache, out.block);
    hl_deflate_free(d);
}

static void check_nothing_left(void)
{
    hl_slab_stats stats;
    hl_deflate_pool_trim(pool);
    hl_slab_stats_read(slab, &stats);
    for (int i = 0; i <= HL_SLAB_LARGE; i++)
        REQUIRE(stats.classes[i].in_use == (i == 0)); /* the pool itself */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEADER || size > LIMIT / 2)
        return 0;
    const uint8_t in = data[0], out = data[1];
    const hl_deflate_config config = {
        .in_bits = (uint8_t)(8 + (in & WINDOW)),
        .in_takeover = (in & TAKEOVER) != 0,
        .out_takeover = (in & TAKEOVER) != 0,
        .out_bits = (uint8_t)(8 + (out & WINDOW ? out & WINDOW : 1)),
        .level = (int8_t)((out >> LEVEL_SHIFT) % 10),
        .mem_level = 1,
    };
    const size_t piece = data[2] + 1u, room = data[3] + 1u, first = 16u * data[4];
    const uint8_t *p = data + HEADER;
    const size_t n = size - HEADER;
    check_same_however_cut(&config, p, first < n ? first : n, n, piece, room);
    hl_deflate_config same = config;
    same.in_bits = config.out_bits;
    check_round_trip(&same, p, first < n ? first : n, n, room);
    check_nothing_left();
    return 0;
}
