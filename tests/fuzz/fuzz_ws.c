/*
 * fuzz_ws.c - libFuzzer target: any bytes, cut any way, must give the same items and the same end, and leave nothing.
 *
 * Input: a byte of switches (CLIENT, DIRECT, two bits of LIMIT, DEFLATE), the number of cuts (low four bits), for each
 * the length of the piece before it less one, and the stream. Messages come whole, and in the end streamed.
 *
 *   clang -g -O1 -std=c11 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -Icsrc/include -Icsrc \
 *         tests/fuzz/fuzz_ws.c csrc/ws_*.c csrc/deflate*.c and the slab's files, -lz
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fuzz.h"

enum { CLIENT = 1, DIRECT = 2, LIMIT_SHIFT = 2, DEFLATE = 16, MOST_CUTS = 15 };

static const uint64_t limits[] = {1 << 20, 0, 64, UINT64_MAX};

static int is_text(const uint8_t *p, uint64_t n)
{
    uint8_t state = HL_UTF8_ACCEPT;
    for (uint64_t i = 0; i < n; i++) /* byte by byte, unlike the decoder */
        state = hl_utf8(state, p + i, 1);
    return state == HL_UTF8_ACCEPT;
}

/* What holds for items whatever came in. */
static void check_items(const bytes *log, uint64_t max_message)
{
    for (const uint8_t *p = log->data, *end = p ? p + log->len : p; p < end;) {
        uint8_t opcode = *p++;
        uint16_t code;
        uint64_t len;
        memcpy(&code, p, sizeof code);
        memcpy(&len, p + sizeof code, sizeof len);
        p += sizeof code + sizeof len;
        switch (opcode) {
        case HL_WS_TEXT:
            REQUIRE(is_text(p, len));
            /* fall through */
        case HL_WS_BINARY: REQUIRE(len <= max_message && code == 0); break;
        case HL_WS_PING:
        case HL_WS_PONG: REQUIRE(len <= HL_WS_MAX_CONTROL && code == 0); break;
        default:
            REQUIRE(opcode == HL_WS_CLOSE && p + len == end); /* nothing comes after it */
            REQUIRE(hl_ws_code_valid(code) ? len <= HL_WS_MAX_CONTROL - 2 : code == 1005 && len == 0);
            REQUIRE(is_text(p, len));
        }
        p += len;
    }
}

static void check_nothing_left(void)
{
    hl_slab_stats stats;
    hl_deflate_pool_trim(pool);
    hl_slab_stats_read(slab, &stats);
    for (int i = 0; i <= HL_SLAB_LARGE; i++)
        REQUIRE(stats.classes[i].in_use == (i == 0)); /* the pool itself */
}

/* Feeds the stream to a new decoder, with an expander of its own where it has one. */
static int decode(hl_ws_config config, int deflate, const bytes *wire, cuts c, int direct, bytes *log)
{
    if (deflate) {
        config.deflate = hl_deflate_new(pool, &(hl_deflate_config){.in_takeover = 1});
        REQUIRE(config.deflate);
    }
    outcome o = feed(&config, cache, wire, c, direct, log);
    hl_deflate_free(config.deflate);
    check_nothing_left();
    return o.result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size < 2u + (data[1] & MOST_CUTS))
        return 0;
    const uint8_t switches = data[0];
    hl_ws_config config = {.max_message = limits[switches >> LIMIT_SHIFT & 3], .client = switches & CLIENT};
    const int deflate = switches & DEFLATE, direct = switches & DIRECT;
    size_t at[MOST_CUTS], count = data[1] & MOST_CUTS, last = 0;
    for (size_t i = 0; i < count; i++)
        at[i] = last += 1u + data[2 + i];
    bytes wire = {0}, log = {0};
    bytes_add(&wire, data + 2 + count, size - 2 - count);

    int result = decode(config, deflate, &wire, (cuts){0}, 0, &log);
    check_items(&log, config.max_message);
    for (int i = 0; i < 3; i++) {
        bytes other = {0};
        config.streamed = i == 2;
        cuts c = {.at = at, .count = count, .each = i > 0};
        REQUIRE(decode(config, deflate, &wire, c, i == 1 ? !direct : direct, &other) == result);
        REQUIRE(other.len == log.len && (log.len == 0 || memcmp(other.data, log.data, log.len) == 0));
        bytes_free(&other);
    }
    bytes_free(&wire);
    bytes_free(&log);
    return 0;
}
