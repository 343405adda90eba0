/*
 * codec_raw.c - bytes as they are.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>

static void input(hl_loop *l, hl_stream *s)
{
    if (s->in_len > 0 && hl__room(l) > 0) {
        hl_event *e = hl__event(l, &s->slot, HL_EV_DATA);
        e->data = hl__in_data(s);
        e->len = s->in_len;
        e->block = s->in_block;
        s->in_len = 0;
        HL_COUNT(s->stats.frames_received, 1);
        if (s->oneshot)
            hl__pause(s, HL_PAUSE_USER);
    }
    if (s->in_len == 0 && s->pauses & HL_PAUSE_END && !s->end_told && hl__room(l) > 0) {
        s->end_told = 1;
        hl__event(l, &s->slot, HL_EV_END);
    }
}

static void send(hl_loop *l, hl_stream *s, const hl_op *op)
{
    if (op->len == 0)
        return;
    HL_COUNT(s->stats.frames_sent, hl__sends(op));
    if (hl__output_add(l, s, op->block, op->data, op->len, NULL, 0) < 0) {
        HL_COUNT(l->stats.nomem, 1);
        hl__end(l, &s->slot, -ENOMEM);
    }
}

static int close_nothing(hl_loop *l, hl_stream *s, int32_t code, const void *reason, size_t len)
{
    (void)l, (void)s, (void)code, (void)reason, (void)len;
    return 0;
}

const hl_codec hl__codec_raw = {.name = "raw", .input = input, .send = send, .close = close_nothing};
