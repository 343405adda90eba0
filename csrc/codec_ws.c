/*
 * codec_ws.c - WebSocket on a stream: the codec of hl_ws.h joined to events and output; pongs and the closing handshake
 * (RFC 6455 sections 5.5 and 7).
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <string.h>

/* Queues a control frame. Failing for want of memory ends the stream. */
static void send_control(hl_loop *l, hl_stream *s, uint8_t opcode, const void *payload, size_t len)
{
    uint8_t frame[2 + HL_WS_MAX_CONTROL];
    size_t header = hl_ws_header_write(frame, opcode, 1, len, NULL);
    if (len > 0)
        memcpy(frame + header, payload, len);
    HL_COUNT(s->stats.frames_sent, 1);
    if (hl__output_copy(l, s, frame, header + len) < 0) {
        HL_COUNT(l->stats.nomem, 1);
        hl__end(l, &s->slot, -ENOMEM);
    }
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
    s->reason = b;
}

/* Tells the owner that the peer sends no more, and gives it close_ms to answer. */
static void tell_end(hl_loop *l, hl_stream *s, uint16_t code)
{
    s->end_told = 1;
    hl__event(l, &s->slot, HL_EV_END)->flags = code;
    s->close_by = l->now + l->config.close_ms;
    s->close_cap = s->close_by;
    hl__rearm(l, s);
}

static void peer_closed(hl_loop *l, hl_stream *s, const hl_ws_item *item)
{
    s->close_code = item->code;
    keep_reason(l, s, item);
    if (s->state == HL_CLOSING) {
        hl__stream_finish(l, s);
        return;
    }
    hl__pause(s, HL_PAUSE_END);
    tell_end(l, s, item->code);
}

static void message(hl_loop *l, hl_stream *s, const hl_ws_item *item)
{
    if (s->state != HL_OPEN) {
        hl_cache_unref(l->cache, item->block); /* we have said goodbye: discarded (7.1.1) */
        return;
    }
    hl_event *e = hl__event(l, &s->slot, HL_EV_MESSAGE);
    e->kind = item->opcode;
    e->data = item->data;
    e->len = item->len;
    e->block = item->block ? item->block : s->in_block;
    if (item->block != NULL)
        hl__pin(l, item->block);
}

static void take(hl_loop *l, hl_stream *s, const hl_ws_item *item)
{
    HL_COUNT(s->stats.frames_received, 1);
    switch (item->opcode) {
    case HL_WS_PING:
        if (s->state == HL_OPEN)
            send_control(l, s, HL_WS_PONG, item->data, item->len);
        break;
    case HL_WS_PONG: break;
    case HL_WS_CLOSE: peer_closed(l, s, item); break;
    default: message(l, s, item); return;
    }
    hl_cache_unref(l->cache, item->block);
}

/* The peer has broken the protocol. To the owner that is the end of its input: replies to what came before are still
 * sent, then comes the close frame that says why. */
static void fail(hl_loop *l, hl_stream *s, int error)
{
    static const int32_t results[] = {
        [-HL_WS_EPROTO] = -EPROTO, [-HL_WS_EUTF8] = -EILSEQ, [-HL_WS_ETOOBIG] = -EMSGSIZE, [-HL_WS_ENOMEM] = -ENOMEM};
    if (error == HL_WS_ENOMEM)
        HL_COUNT(l->stats.nomem, 1);
    s->slot.result = results[-error];
    s->in_len = 0;
    if (s->state != HL_OPEN) {
        hl__stream_finish(l, s);
        return;
    }
    s->fail_code = hl_ws_close_code(error);
    hl__pause(s, HL_PAUSE_FAILED);
    tell_end(l, s, 1006);
}

static void input(hl_loop *l, hl_stream *s)
{
    while (s->in_len > 0 && !(s->pauses & (uint8_t)~HL_PAUSE_END) && s->close_code == 0 && s->state <= HL_CLOSING) {
        if (hl__room(l) == 0)
            return;
        hl_ws_input in = {s->in_data, s->in_len};
        hl_ws_item item;
        int r = hl_ws_next(&s->ws, l->cache, &in, &item);
        s->in_data = in.data;
        s->in_len = in.len;
        if (r == HL_WS_ITEM)
            take(l, s, &item);
        else if (r < 0)
            fail(l, s, r);
        if (s->slot.ended)
            return;
    }
    if (s->close_code != 0)
        s->in_len = 0; /* bytes behind a close frame are ignored (5.5.1) */
    if (s->in_len == 0 && s->pauses & HL_PAUSE_END && s->state == HL_OPEN && !s->end_told && hl__room(l) > 0)
        tell_end(l, s, 1006);
}

static int64_t room(hl_loop *l, hl_stream *s, uint8_t **where, hl_block **block)
{
    int64_t n = hl_ws_room(&s->ws, l->cache, where);
    *block = s->ws.message;
    return n;
}

static void filled(hl_loop *l, hl_stream *s, size_t n)
{
    hl_ws_item item;
    int r = hl_ws_filled(&s->ws, l->cache, n, &item);
    if (r == HL_WS_ITEM)
        take(l, s, &item);
    else if (r < 0)
        fail(l, s, r);
}

static void send(hl_loop *l, hl_stream *s, const hl_op *op)
{
    uint8_t header[HL_WS_MAX_HEADER];
    uint8_t *to = header;
    uint8_t *data = op->data;
    uint64_t len = op->len;
    size_t size = hl_ws_header_size(len, 0);
    if (op->flags & HL_HEADROOM)
        to = data - size;
    hl_ws_header_write(to, op->kind & 0x0f, !(op->kind & HL_SEND_PARTIAL), len, NULL);
    if (to != header) {
        data = to;
        len += size;
        size = 0;
    }
    HL_COUNT(s->stats.frames_sent, 1);
    if (hl__output_add(l, s, op->block, data, len, header, (uint8_t)size) < 0) {
        HL_COUNT(l->stats.nomem, 1);
        hl__end(l, &s->slot, -ENOMEM);
    }
}

static int close_frame(hl_loop *l, hl_stream *s, int32_t code, const void *reason, size_t len)
{
    uint8_t payload[HL_WS_MAX_CONTROL];
    int ended_without = s->pauses & HL_PAUSE_END && s->close_code == 0;
    if (code < 0 || ended_without)
        return 0;
    if (s->fail_code != 0) {
        code = s->fail_code;
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
    return s->close_code == 0 && s->fail_code == 0;
}

static void fini(hl_loop *l, hl_stream *s)
{
    hl_ws_fini(&s->ws, l->cache);
}

const hl_codec hl__codec_ws = {
    .name = "websocket",
    .input = input,
    .room = room,
    .filled = filled,
    .send = send,
    .close = close_frame,
    .fini = fini,
};
