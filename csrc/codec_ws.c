/*
 * codec_ws.c - WebSocket on a stream: the codec of hl_ws.h joined to events and output; pings, pongs and the closing
 * handshake (RFC 6455 sections 5.5 and 7). What a client sends is masked here (5.3), and what is to be compressed is
 * (RFC 7692).
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define COMPRESSED 0x40 /* RSV1 in the first byte of a frame */
#define CONTROL 0x08 /* the bit that tells control opcodes from data */
#define SHARE (1u << 20) /* bytes of messages; a stream whose input stands for more goes on in the next turn */
#define COPY_WORTH 1024 /* bytes; compressed frames up to this are gathered with what is queued already */

static void no_memory(hl_loop *l, hl_stream *s)
{
    HL_COUNT(l->stats.nomem, 1);
    hl__end(l, &s->slot, -ENOMEM);
}

/* A mask that nobody can foresee (10.3): nobody can make a client send chosen bytes then. NULL: there is none, and the
 * stream has been ended. */
static const uint8_t *new_mask(hl_loop *l, hl_stream *s)
{
    if (l->masks_left == 0) {
        ssize_t n = getrandom(l->masks, sizeof l->masks, 0); /* so few bytes come whole, or not at all */
        if (n != sizeof l->masks) {
            hl__end(l, &s->slot, n < 0 ? -errno : -EIO);
            return NULL;
        }
        l->masks_left = sizeof l->masks / sizeof l->masks[0];
    }
    return l->masks[--l->masks_left];
}

/* Queues a control frame. Failing for want of memory ends the stream. */
static void send_control(hl_loop *l, hl_stream *s, uint8_t opcode, const void *payload, size_t len)
{
    uint8_t frame[2 + HL_WS_MASK_SIZE + HL_WS_MAX_CONTROL];
    const uint8_t *mask = NULL;
    if (s->client && (mask = new_mask(l, s)) == NULL)
        return;
    size_t header = hl_ws_header_write(frame, opcode, 1, len, mask);
    if (len > 0)
        memcpy(frame + header, payload, len);
    if (mask != NULL)
        hl_ws_mask(frame + header, len, mask);
    HL_COUNT(s->stats.frames_sent, 1);
    if (hl__output_copy(l, s, frame, header + len) < 0)
        no_memory(l, s);
}

static hl_ws *put_aside(const hl_stream *s)
{
    return (hl_ws *)hl_block_data(s->aside);
}

/* Gives up the decoder that was put aside, with what it holds. Behind the peer's close frame there is none. */
static void forget(hl_loop *l, hl_stream *s)
{
    if (s->aside == NULL || s->close_code != 0)
        return;
    hl_ws_fini(put_aside(s), l->cache);
    hl_cache_unref(l->cache, s->aside);
    s->aside = NULL;
}

static void keep_reason(hl_loop *l, hl_stream *s, const hl_ws_item *item)
{
    if (item->len == 0)
        return;
    hl_block *b = hl_cache_get(l->cache, sizeof(uint64_t) + item->len);
    if (b == NULL)
        return; /* a reason is a comfort */
    *(uint64_t *)hl_block_data(b) = item->len;
    memcpy(hl_block_data(b) + sizeof(uint64_t), item->data, item->len);
    s->aside = b;
}

/* Tells the owner that the peer sends no more, and gives it close_ms to answer. */
static void tell_end(hl_loop *l, hl_stream *s, uint16_t code)
{
    s->end_told = 1;
    hl__event(l, &s->slot, HL_EV_END)->flags = code;
    hl__goodbye(l, s, HL_GOODBYE_OWNER);
}

static void peer_closed(hl_loop *l, hl_stream *s, const hl_ws_item *item)
{
    forget(l, s);
    s->close_code = item->code;
    keep_reason(l, s, item);
    if (s->state == HL_CLOSING) {
        hl__stream_finish(l, s);
        return;
    }
    hl__pause(s, HL_PAUSE_END);
    tell_end(l, s, item->code);
}

/* Makes an event of the item. */
static inline void deliver(hl_loop *l, hl_stream *s, uint8_t type, const hl_ws_item *item)
{
    if (s->state != HL_OPEN) {
        hl_cache_unref(l->cache, item->block); /* we have said goodbye: discarded (7.1.1) */
        return;
    }
    if (type == HL_EV_MESSAGE && !item->more)
        HL_COUNT(l->stats.messages, 1);
    hl_event *e = hl__event(l, &s->slot, type);
    e->kind = item->opcode;
    e->flags = item->more ? HL_MORE : 0;
    e->data = item->data;
    e->len = item->len;
    e->block = item->block ? item->block : s->in_block;
    if (item->block != NULL)
        hl__pin(l, item->block);
}

/* Out of line: taking messages, which is done more often, needs to save few registers without it. */
static __attribute__((noinline)) void take_control(hl_loop *l, hl_stream *s, const hl_ws_item *item)
{
    switch (item->opcode) {
    case HL_WS_PING:
        if (s->state == HL_OPEN)
            send_control(l, s, HL_WS_PONG, item->data, item->len);
        break;
    case HL_WS_PONG:
        if (item->len == 0)
            break; /* the answer to a ping of the loop's own */
        deliver(l, s, HL_EV_PONG, item);
        return;
    default: peer_closed(l, s, item);
    }
    hl_cache_unref(l->cache, item->block);
}

static inline void take(hl_loop *l, hl_stream *s, const hl_ws_item *item)
{
    if (!item->more)
        HL_COUNT(s->stats.frames_received, 1);
    if (item->opcode & CONTROL)
        take_control(l, s, item);
    else
        deliver(l, s, HL_EV_MESSAGE, item);
}

/* The peer has broken the protocol. To the owner that is the end of its input: replies to what came before are still
 * sent, then comes the close frame that says why. */
static void fail(hl_loop *l, hl_stream *s, int error)
{
    static const int32_t results[] = {[-HL_WS_EPROTO] = -EPROTO,
                                      [-HL_WS_EUTF8] = -EILSEQ,
                                      [-HL_WS_ETOOBIG] = -EMSGSIZE,
                                      [-HL_WS_ENOMEM] = -ENOMEM,
                                      [-HL_WS_EDATA] = -EBADMSG};
    if (error == HL_WS_ENOMEM)
        HL_COUNT(l->stats.nomem, 1);
    s->slot.result = results[-error];
    s->in_len = 0;
    if (s->state != HL_OPEN) {
        hl__stream_finish(l, s);
        return;
    }
    if (hl__room(l) == 0) { /* a decoder that could not be put aside behind the last event that the ring could take */
        hl__end(l, &s->slot, results[-error]);
        return;
    }
    s->failed = (uint8_t)-error;
    hl__pause(s, HL_PAUSE_FAILED);
    tell_end(l, s, 1006);
}

/* The decoder for what comes next: the one put aside in the middle of something, else the loop's own, as new. */
static hl_ws *decoder(hl_loop *l, hl_stream *s)
{
    if (s->aside != NULL)
        return put_aside(s);
    hl_ws_init(&l->ws, &(hl_ws_config){s->max_message, s->client, s->streamed, s->deflate});
    return &l->ws;
}

/* Puts the loop's decoder aside when it is in the middle of something. HL_WS_ENOMEM. */
static int keep(hl_loop *l, hl_stream *s)
{
    if (hl_ws_idle(&l->ws))
        return 0;
    s->aside = hl_cache_get(l->cache, sizeof(hl_ws));
    if (s->aside == NULL)
        return HL_WS_ENOMEM;
    *put_aside(s) = l->ws;
    return 0;
}

/* After decoding, which ended in `r`: the decoder is kept if it is needed any more. */
static void settle(hl_loop *l, hl_stream *s, hl_ws *ws, int r)
{
    int over = r < 0 || s->slot.ended || s->close_code != 0;
    if (ws == &l->ws) {
        if (!over)
            r = keep(l, s);
        if (over || r < 0)
            hl_ws_fini(ws, l->cache);
    } else if (r < 0 || (!over && hl_ws_idle(ws))) {
        forget(l, s);
    }
    if (r < 0)
        fail(l, s, r);
}

static int wants_input(const hl_stream *s)
{
    return s->in_len > 0 && !(s->pauses & (uint8_t)~HL_PAUSE_END) && s->close_code == 0 && s->state <= HL_CLOSING &&
           !s->slot.ended;
}

static void decode(hl_loop *l, hl_stream *s)
{
    hl_ws *ws = decoder(l, s);
    uint64_t made = 0;
    int r;
    do {
        hl_ws_input in = {hl__in_data(s), s->in_len};
        hl_ws_item item;
        r = hl_ws_next(ws, l->cache, &in, &item);
        s->in_at += s->in_len - (uint32_t)in.len;
        s->in_len = (uint32_t)in.len;
        if (r == HL_WS_ITEM) {
            made += item.len;
            take(l, s, &item);
        }
    } while (r >= 0 && made < SHARE && wants_input(s) && hl__room(l) > 0);
    settle(l, s, ws, r);
}

static void input(hl_loop *l, hl_stream *s)
{
    if (wants_input(s) && hl__room(l) > 0)
        decode(l, s);
    if (s->slot.ended)
        return;
    if (s->close_code != 0)
        s->in_len = 0; /* bytes behind a close frame are ignored (5.5.1) */
    if (s->in_len == 0 && s->pauses & HL_PAUSE_END && s->state == HL_OPEN && !s->end_told && hl__room(l) > 0)
        tell_end(l, s, 1006);
}

static int64_t room(hl_loop *l, hl_stream *s, uint8_t **where, hl_block **block)
{
    if (s->aside == NULL || s->close_code != 0)
        return 0;
    hl_ws *ws = put_aside(s);
    int64_t n = hl_ws_room(ws, l->cache, where);
    *block = ws->message;
    return n;
}

static void filled(hl_loop *l, hl_stream *s, size_t n)
{
    hl_ws *ws = put_aside(s); /* room() has found it */
    hl_ws_item item;
    int r = hl_ws_filled(ws, l->cache, n, &item);
    if (r == HL_WS_ITEM)
        take(l, s, &item);
    settle(l, s, ws, r);
}

/* Queues one frame with the payload of op, which is masked already if it has to be. */
static int send_frame(hl_loop *l, hl_stream *s, const hl_op *op, uint8_t kind, const uint8_t *mask)
{
    uint8_t header[HL_WS_MAX_HEADER];
    size_t size = hl_ws_header_size(op->len, mask != NULL);
    uint8_t *data = op->data;
    uint8_t *to = op->flags & HL_HEADROOM ? data - size : header;
    hl_ws_header_write(to, kind & 0x0f, !(kind & HL_SEND_PARTIAL), op->len, mask);
    if (to != header)
        return hl__output_add(l, s, op->block, to, op->len + size, NULL, 0);
    return hl__output_add(l, s, op->block, data, op->len, header, (uint8_t)size);
}

/* Bytes that nobody else looks at may be masked where they lie: those with headroom, and those that were given. */
static int ours_to_change(const hl_op *op)
{
    return op->flags & HL_HEADROOM || (op->flags & HL_GIVE && hl_block_sole(op->block));
}

/* The same as a client has to send it: the payload is masked, or a copy of it. */
static int send_masked(hl_loop *l, hl_stream *s, const hl_op *op, uint8_t kind)
{
    const uint8_t *mask = new_mask(l, s);
    if (mask == NULL)
        return 0;
    if (ours_to_change(op)) {
        hl_ws_mask(op->data, op->len, mask);
        return send_frame(l, s, op, kind, mask);
    }
    size_t size = hl_ws_header_size(op->len, 1);
    hl_block *copy = hl_cache_get(l->cache, size + op->len);
    if (copy == NULL)
        return -ENOMEM;
    hl_op masked = {.data = hl_block_data(copy) + size, .len = op->len, .block = copy, .flags = HL_HEADROOM};
    if (op->len > 0)
        memcpy(masked.data, op->data, op->len);
    hl_ws_mask(masked.data, op->len, mask);
    int r = send_frame(l, s, &masked, kind, mask);
    hl_cache_unref(l->cache, copy);
    return r;
}

static int to_be_compressed(const hl_stream *s, const hl_op *op)
{
    if (s->deflate == NULL || op->kind & CONTROL)
        return 0;
    if (op->kind & HL_SEND_CONTINUATION)
        return hl_deflate_midway(s->deflate); /* as the message was begun */
    return op->kind & HL_SEND_PARTIAL || op->len >= hl_deflate_config_of(s->deflate)->threshold;
}

/* Only the first frame of a message says that it is compressed (RFC 7692, section 6). */
static int send_compressed(hl_loop *l, hl_stream *s, const hl_op *op)
{
    const uint8_t *mask = NULL;
    int fin = !(op->kind & HL_SEND_PARTIAL);
    if (s->client && (mask = new_mask(l, s)) == NULL)
        return 0;
    hl_deflate_out out = {.len = HL_WS_MAX_HEADER};
    int r = hl_deflate_compress(s->deflate, op->data, op->len, fin, &out);
    if (r == 0) {
        uint8_t *payload = hl_block_data(out.block) + HL_WS_MAX_HEADER;
        size_t len = out.len - HL_WS_MAX_HEADER;
        uint8_t *frame = payload - hl_ws_header_size(len, mask != NULL);
        if (mask != NULL)
            hl_ws_mask(payload, len, mask);
        len += hl_ws_header_write(frame, op->kind & 0x0f, fin, len, mask);
        frame[0] |= op->kind & HL_SEND_CONTINUATION ? 0 : COMPRESSED;
        r = len <= COPY_WORTH ? hl__output_copy(l, s, frame, len)
                              : hl__output_add(l, s, out.block, frame, len, NULL, 0);
    }
    hl_cache_unref(l->cache, out.block);
    return r;
}

static int send_encoded(hl_loop *l, hl_stream *s, const hl_op *op)
{
    if (s->deflate != NULL && op->len > 0 && *(const uint8_t *)op->data & COMPRESSED)
        hl_deflate_forget(s->deflate);
    return hl__output_add(l, s, op->block, op->data, op->len, NULL, 0);
}

static void send(hl_loop *l, hl_stream *s, const hl_op *op)
{
    int r;
    if (op->flags & HL_ENCODED)
        r = send_encoded(l, s, op);
    else if (to_be_compressed(s, op))
        r = send_compressed(l, s, op);
    else if (s->client)
        r = send_masked(l, s, op, op->kind);
    else
        r = send_frame(l, s, op, op->kind, NULL);
    HL_COUNT(s->stats.frames_sent, op->flags & HL_ENCODED ? hl__sends(op) : 1);
    if (r < 0)
        no_memory(l, s);
}

static void ping(hl_loop *l, hl_stream *s)
{
    send_control(l, s, HL_WS_PING, NULL, 0);
}

static int close_frame(hl_loop *l, hl_stream *s, int32_t code, const void *reason, size_t len)
{
    uint8_t payload[HL_WS_MAX_CONTROL];
    /* One that broke the protocol and then ended its side is still told what was wrong: it may read yet. */
    int ended_without = s->pauses & HL_PAUSE_END && s->close_code == 0 && s->failed == 0;
    if (code < 0 || ended_without)
        return 0;
    if (s->failed != 0) {
        code = hl_ws_close_code(-s->failed);
        len = 0;
    } else if (code == 0) {
        code = s->close_code ? s->close_code : 1000;
    } else if (code > UINT16_MAX || (code != 1005 && !hl_ws_code_valid((uint16_t)code))) {
        code = 1000; /* 7.4: it must not be on the wire */
    }
    size_t size = 0;
    if (code != 1005) { /* 7.4.1: never on the wire; it stands for a close frame without a code */
        payload[0] = (uint8_t)(code >> 8);
        payload[1] = (uint8_t)code;
        size = 2;
        if (len > sizeof payload - 2)
            len = sizeof payload - 2;
        if (len > 0)
            memcpy(payload + 2, reason, len);
        size += len;
    }
    send_control(l, s, HL_WS_CLOSE, payload, size);
    if (s->client) { /* the server closes the connection first (7.1.1) */
        s->patient = 1;
        if (s->close_code != 0)
            s->pauses &= (uint8_t)~HL_PAUSE_END;
    }
    return s->close_code == 0 && s->failed == 0;
}

static void fini(hl_loop *l, hl_stream *s)
{
    forget(l, s);
    hl_deflate_free(s->deflate);
    s->deflate = NULL;
}

const hl_codec hl__codec_ws = {
    .name = "websocket",
    .input = input,
    .room = room,
    .filled = filled,
    .send = send,
    .close = close_frame,
    .ping = ping,
    .fini = fini,
};
