/*
 * ws_decode.c - WebSocket frames to messages (RFC 6455, sections 5.2 to 5.6). Sections named below are of that RFC.
 *
 * A frame is first a header, then payload. A payload that lies whole in the input, and is all of its message, is
 * unmasked where it lies and returned from there. Everything else is unmasked on its way into a block: data frames into
 * `message`, control frames, which may come between the fragments of a message (5.4), into `control`. Either block
 * passes to the caller with the item that it holds. What is compressed is left to ws_inflate.c.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <string.h>

#include "hl_ws.h"
#include "ws_inflate.h"
#include "ws_mask.h"

_Static_assert(sizeof(hl_ws) <= 64, "one cache line for each idle connection");
_Static_assert(HL_WS_MAX_CONTROL <= HL_SLAB_MIN, "a control frame fits the smallest block");

enum { IN_HEADER, IN_PAYLOAD, CLOSED, FAILED }; /* hl_ws.state */

enum {
    FIN = 0x80,
    RESERVED = 0x70,
    COMPRESSED = 0x40, /* RSV1 (RFC 7692, section 6) */
    OPCODE = 0x0F,
    CONTROL = 0x08, /* the bit that tells control opcodes from data */
    MASKED = 0x80
};

#define FIRST_BLOCK 4096 /* bytes; what the first piece of a longer message gets at least */
#define ROOM_WORTH 4096  /* hl_ws_room leaves shorter rests to the shared receive buffer, */
#define ROOM_SPACE 1024  /* and grows a block with less space than this */
#define TEXT_PIECE 8192  /* text is unmasked and validated in pieces that stay in the first-level cache */

void hl_ws_init(hl_ws *ws, const hl_ws_config *config)
{
    memset(ws, 0, sizeof *ws);
    ws->max_message = config->max_message;
    ws->client = config->client & 1;
    ws->streamed = config->streamed & 1;
    ws->deflate = config->deflate;
}

static void drop_message(hl_ws *ws, hl_cache *cache)
{
    if (ws->message)
        hl_cache_unref(cache, ws->message);
    ws->message = NULL;
}

void hl_ws_fini(hl_ws *ws, hl_cache *cache)
{
    drop_message(ws, cache);
    if (ws->control)
        hl_cache_unref(cache, ws->control);
    ws->control = NULL;
    ws->state = CLOSED;
}

static int fail(hl_ws *ws, int error)
{
    ws->state = FAILED;
    ws->header_len = (uint8_t)-error; /* for later calls: a failed stream has no more headers */
    return error;
}

/* ------------------------------------------------------------------------------------------------- header, 5.2 --- */

static size_t header_size(uint8_t second)
{
    uint8_t len = second & 0x7F;
    return (len < 126 ? 2u : len == 126 ? 4u : 10u) + (second & MASKED ? 4u : 0u);
}

/* Checks what the first two bytes of a header tell. */
static int check_start(const hl_ws *ws, uint8_t first, uint8_t second)
{
    uint8_t opcode = first & OPCODE;
    int begins_message = opcode == HL_WS_TEXT || opcode == HL_WS_BINARY;
    if (first & RESERVED & ~(ws->deflate && begins_message ? COMPRESSED : 0)) /* not agreed upon */
        return HL_WS_EPROTO;
    if (!(second & MASKED) == !ws->client) /* 5.1: clients mask, servers do not */
        return HL_WS_EPROTO;
    if (opcode & CONTROL) { /* 5.5: whole, and short */
        if (opcode > HL_WS_PONG || !(first & FIN) || (second & 0x7F) > HL_WS_MAX_CONTROL)
            return HL_WS_EPROTO;
    } else { /* 5.4: continuations continue something, and nothing else may come before its end */
        if (opcode > HL_WS_BINARY || (opcode == HL_WS_CONTINUATION) != (ws->opcode != 0))
            return HL_WS_EPROTO;
    }
    return 0;
}

/* Reads the payload's length, which must be written in the fewest bytes possible and have its top bit clear. */
static int read_length(const uint8_t *header, uint64_t *len)
{
    *len = header[1] & 0x7F;
    if (*len < 126)
        return 0;
    size_t bytes = *len == 126 ? 2 : 8;
    *len = 0;
    for (size_t i = 0; i < bytes; i++)
        *len = *len << 8 | header[2 + i];
    return *len < (bytes == 2 ? 126u : 65536u) || *len >> 63 ? HL_WS_EPROTO : 0;
}

/* Begins the frame of a header that is complete and `size` bytes long. */
static int begin_frame(hl_ws *ws, const uint8_t *header, size_t size)
{
    uint64_t len;
    int error = check_start(ws, header[0], header[1]);
    if (!error)
        error = read_length(header, &len);
    if (error)
        return error;
    uint8_t opcode = header[0] & OPCODE;
    if (opcode == HL_WS_TEXT || opcode == HL_WS_BINARY) {
        ws->opcode = opcode;
        ws->compressed = (header[0] & COMPRESSED) != 0;
    }
    if (!(opcode & CONTROL) && !ws->compressed && len > ws->max_message - ws->length)
        return HL_WS_ETOOBIG;
    if (header[1] & MASKED) /* else the mask is 0 for good: a peer masks all its frames or none */
        memcpy(&ws->mask, header + size - 4, 4);
    ws->frame = header[0];
    ws->header_len = 0;
    ws->remaining = len; /* last: `header` may lie in the same place */
    ws->state = IN_PAYLOAD;
    return 0;
}

static inline int between_messages(const hl_ws *ws)
{
    return ws->state == IN_HEADER && ws->header_len == 0 && ws->opcode == 0;
}

static void consume(hl_ws_input *in, size_t n)
{
    in->data += n;
    in->len -= n;
}

/* Takes the header in pieces, just as far as it goes. Judges the first two bytes as soon as they are there. */
static int collect_header(hl_ws *ws, hl_ws_input *in)
{
    for (;;) {
        size_t size = ws->header_len < 2 ? 2 : header_size(ws->header[1]);
        while (ws->header_len < size) {
            if (in->len == 0)
                return 0;
            ws->header[ws->header_len++] = *in->data;
            consume(in, 1);
        }
        int error = check_start(ws, ws->header[0], ws->header[1]);
        if (error)
            return error;
        if (size == header_size(ws->header[1]))
            return begin_frame(ws, ws->header, size);
    }
}

static int read_header(hl_ws *ws, hl_ws_input *in)
{
    if (ws->header_len == 0 && in->len >= 2) {
        const uint8_t *header = in->data;
        size_t size = header_size(header[1]);
        if (in->len >= size) {
            consume(in, size);
            return begin_frame(ws, header, size);
        }
    }
    return collect_header(ws, in);
}

/* ------------------------------------------------------------------------------------------------------ payload --- */

/* Unmasks n bytes that have arrived, on their way from `from` to `to` if these differ. */
static void unmask(hl_ws *ws, uint8_t *to, const uint8_t *from, size_t n)
{
    hl__ws_unmask(to, from, n, ws->mask);
    ws->mask = hl__ws_mask_rotate(ws->mask, n);
}

/* The same for text, which is validated on the way (8.1). */
static int unmask_text(hl_ws *ws, uint8_t *to, const uint8_t *from, size_t n)
{
    for (size_t done = 0, piece; done < n; done += piece) {
        piece = n - done < TEXT_PIECE ? n - done : TEXT_PIECE; /* TEXT_PIECE is a multiple of 4: no rotation */
        int beyond_ascii = hl__ws_unmask(to + done, from + done, piece, ws->mask);
        if (beyond_ascii || ws->utf8 != HL_UTF8_ACCEPT) {
            ws->utf8 = hl_utf8(ws->utf8, to + done, piece);
            if (ws->utf8 == HL_UTF8_REJECT)
                return HL_WS_EUTF8;
        }
    }
    ws->mask = hl__ws_mask_rotate(ws->mask, n);
    return 0;
}

/*
 * Gives the message under way a block with space for n more bytes, which have arrived or are about to. The block is the
 * next larger power of two, so that it doubles as it grows and never exceeds twice what arrived, or FIRST_BLOCK. What a
 * header announces can only keep it smaller.
 */
static int make_space(hl_ws *ws, hl_cache *cache, size_t n)
{
    uint64_t need = ws->length + n;
    if (ws->message && need <= ws->message->size)
        return 0;
    uint64_t most = ws->frame & FIN ? ws->length + ws->remaining : ws->max_message;
    uint64_t size = FIRST_BLOCK;
    while (size <= need)
        size *= 2;
    if (size > most)
        size = most;
    if (size > SIZE_MAX / 2) /* where size_t has 32 bits */
        return HL_WS_ENOMEM;
    hl_block *block = ws->message ? hl_cache_grow(cache, ws->message, (size_t)ws->length, (size_t)size)
                                  : hl_cache_get(cache, (size_t)size);
    if (!block)
        return HL_WS_ENOMEM;
    ws->message = block;
    return 0;
}

/*
 * Takes n payload bytes of the current data frame in, from `from` to `to`, where they are to stay. When they complete
 * the message, *item is that; of a message that is streamed, it is these bytes.
 */
static int take_data(hl_ws *ws, uint8_t *to, const uint8_t *from, size_t n, hl_ws_item *item)
{
    if (ws->opcode == HL_WS_TEXT) {
        if (unmask_text(ws, to, from, n) < 0)
            return fail(ws, HL_WS_EUTF8);
    } else {
        unmask(ws, to, from, n);
    }
    ws->length += n;
    ws->remaining -= n;
    if (ws->remaining == 0)
        ws->state = IN_HEADER;
    int more = ws->remaining > 0 || !(ws->frame & FIN);
    *item = (hl_ws_item){.opcode = ws->opcode, .more = (uint8_t)more, .data = to, .len = n};
    if (more)
        return ws->streamed && n > 0 ? HL_WS_ITEM : HL_WS_MORE;
    if (ws->utf8 != HL_UTF8_ACCEPT)
        return fail(ws, HL_WS_EUTF8);
    if (ws->message)
        *item = (hl_ws_item){ws->opcode, .data = hl_block_data(ws->message), .len = ws->length, .block = ws->message};
    ws->message = NULL;
    ws->length = 0;
    ws->opcode = 0;
    return HL_WS_ITEM;
}

static int data_arrived(hl_ws *ws, hl_cache *cache, hl_ws_input *in, hl_ws_item *item)
{
    uint8_t *from = in->data;
    size_t n = in->len < ws->remaining ? in->len : (size_t)ws->remaining;
    int last = ws->frame & FIN && n == ws->remaining;
    if (ws->compressed) {
        int found = hl__ws_inflate(ws, cache, in, n, last, item);
        if (found >= 0 && ws->remaining == 0)
            ws->state = IN_HEADER;
        return found < 0 ? fail(ws, found) : found;
    }
    int whole = !ws->message && last;
    consume(in, n);
    if (whole || ws->streamed || n == 0) /* 0: an empty fragment, or a header at the input's end */
        return take_data(ws, from, from, n, item);
    int error = make_space(ws, cache, n);
    if (error)
        return fail(ws, error);
    return take_data(ws, hl_block_data(ws->message) + ws->length, from, n, item);
}

/* Reads the body of a close frame (5.5.1): nothing, or a code and a reason. */
static int read_close(hl_ws_item *item)
{
    item->code = 1005;
    if (item->len == 0)
        return 0;
    if (item->len == 1)
        return HL_WS_EPROTO;
    item->code = (uint16_t)(item->data[0] << 8 | item->data[1]);
    item->data += 2;
    item->len -= 2;
    if (!hl_ws_code_valid(item->code))
        return HL_WS_EPROTO;
    return hl_utf8(HL_UTF8_ACCEPT, item->data, item->len) == HL_UTF8_ACCEPT ? 0 : HL_WS_EUTF8;
}

/* A control frame is complete; it begins at `data`. */
static int end_control(hl_ws *ws, hl_cache *cache, uint8_t *data, hl_ws_item *item)
{
    *item = (hl_ws_item){.opcode = ws->frame & OPCODE, .data = data, .len = ws->control_len};
    if (item->opcode == HL_WS_CLOSE) {
        int error = read_close(item);
        if (error)
            return fail(ws, error);
        drop_message(ws, cache);
    }
    ws->state = item->opcode == HL_WS_CLOSE ? CLOSED : IN_HEADER;
    item->block = ws->control;
    ws->control = NULL;
    ws->control_len = 0;
    return HL_WS_ITEM;
}

static int control_arrived(hl_ws *ws, hl_cache *cache, hl_ws_input *in, hl_ws_item *item)
{
    uint8_t *start = in->data;
    size_t n = in->len < ws->remaining ? in->len : (size_t)ws->remaining;
    if (n == 0 && ws->remaining > 0)
        return HL_WS_MORE;
    uint8_t *to = start;
    if (ws->control || n < ws->remaining) {
        if (!ws->control)
            ws->control = hl_cache_get(cache, HL_WS_MAX_CONTROL);
        if (!ws->control)
            return fail(ws, HL_WS_ENOMEM);
        start = hl_block_data(ws->control);
        to = start + ws->control_len;
    }
    unmask(ws, to, in->data, n);
    consume(in, n);
    ws->control_len += (uint8_t)n;
    ws->remaining -= n;
    return ws->remaining > 0 ? HL_WS_MORE : end_control(ws, cache, start, item);
}

/* Whatever the input holds. Out of line, for it is seldom needed: see take_whole. */
static __attribute__((noinline)) int next_item(hl_ws *ws, hl_cache *cache, hl_ws_input *in, hl_ws_item *item)
{
    int found = HL_WS_MORE;
    if (ws->state == FAILED)
        return -ws->header_len;
    if (ws->state == CLOSED)
        consume(in, in->len);
    while (found == HL_WS_MORE && in->len > 0) {
        if (ws->state == IN_HEADER) {
            int error = read_header(ws, in);
            if (error)
                return fail(ws, error);
            if (ws->state == IN_HEADER)
                return HL_WS_MORE;
        }
        found = ws->frame & CONTROL ? control_arrived(ws, cache, in, item) : data_arrived(ws, cache, in, item);
    }
    return found;
}

/* ------------------------------------------------------------------------------------------------- short cut --- */

/*
 * Takes a message that is one short frame and lies whole in the input, as most do, and leaves out ws, which would be
 * between messages again anyway. HL_WS_MORE: it is something else, or not what it should be, and nothing was touched.
 */
static int take_whole(hl_ws *ws, hl_ws_input *in, hl_ws_item *item)
{
    uint8_t *header = in->data;
    uint32_t mask = 0;
    size_t size = ws->client ? 2 : 2 + HL_WS_MASK_SIZE;
    if (in->len < size || !between_messages(ws))
        return HL_WS_MORE;
    uint8_t opcode = header[0] ^ FIN;                   /* no opcode if FIN is not set or anything else is */
    size_t len = header[1] ^ (ws->client ? 0 : MASKED); /* above 127 if it is masked and should not be, or reverse */
    if (opcode != HL_WS_TEXT && opcode != HL_WS_BINARY)
        return HL_WS_MORE;
    if (len >= 126) { /* longer ones are dear by themselves, and text goes in pieces */
        len = len == 126 && in->len >= 4 ? (size_t)(header[2] << 8 | header[3]) : 0;
        if (len < 126 || len > TEXT_PIECE)
            return HL_WS_MORE;
        size += 2;
    }
    if (size + len > in->len || len > ws->max_message)
        return HL_WS_MORE;
    if (!ws->client)
        memcpy(&mask, header + size - sizeof mask, sizeof mask);
    uint8_t *data = header + size;
    consume(in, size + len);
    int beyond_ascii = hl__ws_unmask(data, data, len, mask);
    if (beyond_ascii && opcode == HL_WS_TEXT && hl_utf8(HL_UTF8_ACCEPT, data, len) != HL_UTF8_ACCEPT)
        return fail(ws, HL_WS_EUTF8);
    *item = (hl_ws_item){.opcode = opcode, .data = data, .len = len};
    return HL_WS_ITEM;
}

/* --------------------------------------------------------------------------------------------- what others call --- */

int hl_ws_next(hl_ws *ws, hl_cache *cache, hl_ws_input *in, hl_ws_item *item)
{
    int found = take_whole(ws, in, item);
    return found != HL_WS_MORE ? found : next_item(ws, cache, in, item);
}

int hl_ws_idle(const hl_ws *ws)
{
    return between_messages(ws);
}

int64_t hl_ws_room(hl_ws *ws, hl_cache *cache, uint8_t **where)
{
    if (ws->state == FAILED)
        return -ws->header_len;
    if (ws->state != IN_PAYLOAD || !ws->message || ws->remaining < ROOM_WORTH) /* no control frame lacks that much */
        return 0;
    if (ws->compressed)
        return 0;
    if (ws->message->size - ws->length < ROOM_SPACE) {
        int error = make_space(ws, cache, ROOM_SPACE);
        if (error)
            return fail(ws, error);
    }
    uint64_t space = ws->message->size - ws->length;
    *where = hl_block_data(ws->message) + ws->length;
    return (int64_t)(space < ws->remaining ? space : ws->remaining);
}

int hl_ws_filled(hl_ws *ws, hl_cache *cache, size_t n, hl_ws_item *item)
{
    (void)cache; /* room was made before */
    if (ws->state == FAILED)
        return -ws->header_len;
    if (n == 0)
        return HL_WS_MORE;
    uint8_t *to = hl_block_data(ws->message) + ws->length;
    return take_data(ws, to, to, n, item);
}
