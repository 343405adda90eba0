/*
 * ws_stream.h - for tests of the WebSocket codec: writes streams of frames, feeds them to the decoder in pieces of any
 * sizes, and records what comes out as bytes that can be compared.
 *
 * Every piece of input is an allocation of exactly its size, so that sanitizers see the first byte read beyond it.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef WS_STREAM_H
#define WS_STREAM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hl_ws.h"

/* Stands for assert in the code that the fuzz target shares; a failure must stop release builds too. */
#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

typedef struct bytes {
    uint8_t *data;
    size_t len, capacity;
} bytes;

static inline uint8_t *bytes_extend(bytes *b, size_t n)
{
    if (b->len + n >= b->capacity) { /* even for n 0, so that what is returned is never NULL */
        b->capacity = 2 * (b->len + n) + 1;
        b->data = realloc(b->data, b->capacity);
        REQUIRE(b->data);
    }
    b->len += n;
    return b->data + b->len - n;
}

static inline void bytes_add(bytes *b, const void *from, size_t n)
{
    uint8_t *to = bytes_extend(b, n);
    if (n > 0)
        memcpy(to, from, n);
}

static inline void bytes_free(bytes *b)
{
    free(b->data);
    *b = (bytes){0};
}

/* Adds a frame. A client's frames are masked, each with a key of its own that depends on where it lies. */
static inline void add_frame(bytes *wire, int from_client, uint8_t first, const void *payload, size_t len)
{
    uint32_t noise = (uint32_t)(wire->len + 1) * 2654435761u;
    const uint8_t key[4] = {(uint8_t)noise, (uint8_t)(noise >> 8), (uint8_t)(noise >> 16), (uint8_t)(noise >> 24)};
    const uint8_t *mask = from_client ? key : NULL;
    uint8_t *header = bytes_extend(wire, hl_ws_header_size(len, from_client));
    hl_ws_header_write(header, first & 0x0F, first & 0x80, len, mask);
    header[0] = first; /* the reserved bits too, which hl_ws_header_write would not set */
    bytes_add(wire, payload, len);
    if (mask)
        hl_ws_mask_scalar(wire->data + wire->len - len, len, mask);
}

/* Records an item: opcode, code, length, payload. */
static inline void record(bytes *log, uint8_t opcode, uint16_t code, const void *data, uint64_t len)
{
    bytes_add(log, &opcode, sizeof opcode);
    bytes_add(log, &code, sizeof code);
    bytes_add(log, &len, sizeof len);
    bytes_add(log, data, (size_t)len);
}

/* Where a stream is cut into pieces: at these offsets, ascending, and after the last of them every `each` bytes. */
typedef struct cuts {
    const size_t *at;
    size_t count;
    size_t each; /* 0: not at all */
} cuts;

typedef struct outcome {
    int result;      /* HL_WS_MORE or an error */
    size_t consumed; /* bytes given to the decoder until then */
    size_t direct;   /* of these, received straight into a block */
} outcome;

/* Pieces of a message that is streamed are recorded together, when the last has come. */
static inline void record_item(bytes *log, bytes *pieces, hl_cache *cache, const hl_ws_item *item)
{
    REQUIRE(item->data);
    REQUIRE(!item->more || item->len > 0);
    if (item->more) {
        bytes_add(pieces, item->data, item->len);
    } else if (pieces->len > 0 && !(item->opcode & 8)) {
        bytes_add(pieces, item->data, item->len);
        record(log, item->opcode, item->code, pieces->data, pieces->len);
        pieces->len = 0;
    } else {
        record(log, item->opcode, item->code, item->data, item->len);
    }
    hl_cache_unref(cache, item->block);
}

static inline size_t end_of_piece(const cuts *c, size_t *used, size_t at, size_t len)
{
    while (*used < c->count && c->at[*used] <= at)
        ++*used;
    size_t end = *used < c->count ? c->at[*used] : c->each ? at + c->each : len;
    return end < len ? end : len;
}

static inline int feed_piece(hl_ws *ws, hl_cache *cache, const uint8_t *from, size_t n, bytes *log, bytes *pieces)
{
    uint8_t *piece = malloc(n);
    REQUIRE(piece);
    memcpy(piece, from, n);
    hl_ws_input in = {piece, n};
    hl_ws_item item;
    int result;
    while ((result = hl_ws_next(ws, cache, &in, &item)) == HL_WS_ITEM) {
        REQUIRE(in.data >= piece && in.data + in.len == piece + n);
        REQUIRE(!item.more || !item.block || ws->deflate);
        REQUIRE(item.block || (item.data >= piece && item.data + item.len <= in.data));
        record_item(log, pieces, cache, &item);
    }
    REQUIRE(result < 0 || in.len == 0);
    free(piece);
    return result;
}

/* Feeds a whole stream to a new decoder; with `direct`, into the room that the decoder offers whenever it does. */
static inline outcome feed(const hl_ws_config *config, hl_cache *cache, const bytes *wire, cuts c, int direct,
                           bytes *log)
{
    hl_ws ws;
    hl_ws_init(&ws, config);
    outcome o = {0};
    bytes pieces = {0};
    size_t used = 0;
    while (o.consumed < wire->len && o.result == HL_WS_MORE) {
        const uint8_t *from = wire->data + o.consumed;
        size_t n = end_of_piece(&c, &used, o.consumed, wire->len) - o.consumed;
        uint8_t *where = NULL;
        int64_t room = direct ? hl_ws_room(&ws, cache, &where) : 0;
        REQUIRE(room >= 0);
        if (room > 0) {
            hl_ws_item item;
            n = n < (uint64_t)room ? n : (size_t)room;
            memcpy(where, from, n);
            o.direct += n;
            o.result = hl_ws_filled(&ws, cache, n, &item);
            if (o.result == HL_WS_ITEM) {
                record_item(log, &pieces, cache, &item);
                o.result = HL_WS_MORE;
            }
        } else {
            o.result = feed_piece(&ws, cache, from, n, log, &pieces);
        }
        o.consumed += n;
    }
    if (o.result < 0) { /* final */
        hl_ws_input in = {wire->data, wire->len};
        hl_ws_item item;
        uint8_t *where;
        REQUIRE(hl_ws_next(&ws, cache, &in, &item) == o.result && in.len == wire->len);
        REQUIRE(hl_ws_room(&ws, cache, &where) == o.result);
        REQUIRE(hl_ws_filled(&ws, cache, 0, &item) == o.result);
    }
    hl_ws_fini(&ws, cache);
    bytes_free(&pieces);
    return o;
}

#endif /* WS_STREAM_H */
