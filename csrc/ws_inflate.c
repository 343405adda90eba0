/*
 * ws_inflate.c - compressed messages (RFC 7692, section 7.2.2), as their payload arrives. It is unmasked where it lies
 * and expanded into ws->message: a block that grows until it holds the whole message or, of one that is streamed, a
 * block for each piece.
 *
 * A few bytes can stand for very many. What a stream may take at a time is bounded by max_message, and of a message
 * that is streamed by PIECE: what would not fit stays in the input, not yet expanded. For that its last byte is held
 * back until all before it is out. It, with the end of the message, stands for less than 8 KiB, for which the block
 * grows: so nothing is ever left inside zlib that no further input would bring out.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "ws_inflate.h"

#include "hl_deflate.h"
#include "ws_mask.h"

enum {
    PIECE = 16384,     /* bytes; the most that a piece of a message that is streamed has, but for the last byte's */
    FIRST_BLOCK = 512, /* bytes; the least that a message gets to begin with, */
    USUAL_RATIO = 4    /* or so many times what has arrived */
};

/* Gives ws->message, of which `used` bytes are in use, more space, but no more than `most` bytes. */
static int make_space(hl_ws *ws, hl_cache *cache, size_t used, size_t first, uint64_t most)
{
    uint64_t size = ws->message ? 2 * ws->message->size : first;
    if (size > most)
        size = most;
    if (size > SIZE_MAX / 2) /* where size_t has 32 bits */
        return HL_WS_ENOMEM;
    hl_block *block =
        ws->message ? hl_cache_grow(cache, ws->message, used, (size_t)size) : hl_cache_get(cache, (size_t)size);
    if (!block)
        return HL_WS_ENOMEM;
    ws->message = block;
    return 0;
}

/* The size of the first block for what n bytes stand for. */
static size_t first_size(const hl_ws *ws, size_t n)
{
    size_t size = n * USUAL_RATIO > FIRST_BLOCK ? n * USUAL_RATIO : FIRST_BLOCK;
    return ws->streamed && size > PIECE ? PIECE : size;
}

/*
 * Expands n bytes of the input behind the ws->length - `before` bytes that lie in ws->message. HL_DEFLATE_DONE, an
 * error, or when the block is full and has grown to `cap` bytes HL_DEFLATE_ROOM.
 */
static int expand(hl_ws *ws, hl_cache *cache, hl_ws_input *in, size_t n, int last, uint64_t before, uint64_t cap)
{
    const uint8_t *end = in->data + n;
    for (;;) {
        size_t used = (size_t)(ws->length - before);
        uint64_t allowed = ws->max_message - ws->length;
        int full = !ws->message || used == ws->message->size;
        if (full && ws->message && ws->message->size >= cap)
            return HL_DEFLATE_ROOM;
        if (full && (allowed > 0 || !ws->message)) {
            int error = make_space(ws, cache, used, first_size(ws, n), ws->max_message - before);
            if (error)
                return error;
        }
        size_t room = ws->message->size - used;
        uint8_t *to = hl_block_data(ws->message) + used;
        hl_deflate_io io = {in->data, (size_t)(end - in->data), to, room < allowed ? room : (size_t)allowed};
        int r = hl_deflate_expand(ws->deflate, &io, last);
        size_t taken = (size_t)(io.in - in->data), made = (size_t)(io.out - to);
        in->data += taken;
        in->len -= taken;
        ws->remaining -= taken;
        ws->mask = hl__ws_mask_rotate(ws->mask, taken);
        ws->length += made;
        if (ws->opcode == HL_WS_TEXT) {
            ws->utf8 = hl_utf8(ws->utf8, to, made);
            if (ws->utf8 == HL_UTF8_REJECT)
                return HL_WS_EUTF8;
        }
        if (r != HL_DEFLATE_ROOM)
            return r;
    }
}

/* Makes an item of what lies in ws->message, the end of the message unless `more`. */
static int give(hl_ws *ws, uint64_t before, int more, hl_ws_item *item)
{
    if (!more && ws->utf8 != HL_UTF8_ACCEPT)
        return HL_WS_EUTF8;
    *item = (hl_ws_item){
        .opcode = ws->opcode,
        .more = (uint8_t)more,
        .data = hl_block_data(ws->message),
        .len = (size_t)(ws->length - before),
        .block = ws->message,
    };
    ws->message = NULL;
    if (!more) {
        ws->length = 0;
        ws->opcode = 0;
    }
    return HL_WS_ITEM;
}

int hl__ws_inflate(hl_ws *ws, hl_cache *cache, hl_ws_input *in, size_t n, int last, hl_ws_item *item)
{
    if (n == 0 && !last)
        return HL_WS_MORE;
    const size_t held = ws->streamed && n > 0;
    const uint64_t before = ws->streamed ? ws->length : 0;
    const uint8_t *end = in->data + n;
    hl__ws_unmask(in->data, in->data, n, ws->mask);
    int r = HL_DEFLATE_DONE;
    if (n > held)
        r = expand(ws, cache, in, n - held, last && !held, before, ws->streamed ? PIECE : UINT64_MAX);
    if (r == HL_DEFLATE_DONE && (held || n == 0))
        r = expand(ws, cache, in, held, last, before, UINT64_MAX);
    if (r < 0)
        return r;
    if (in->data < end) /* it is unmasked when its turn comes */
        hl__ws_unmask(in->data, in->data, (size_t)(end - in->data), ws->mask);
    if (last && r == HL_DEFLATE_DONE)
        return give(ws, before, 0, item);
    if (!ws->streamed)
        return HL_WS_MORE;
    if (ws->length > before)
        return give(ws, before, 1, item);
    hl_cache_unref(cache, ws->message);
    ws->message = NULL;
    return HL_WS_MORE;
}
