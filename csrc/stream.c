/*
 * stream.c - the life of a stream: how it begins, and the ways it ends.
 *
 *            HL_OP_CLOSE             peer's goodbye            all sent                peer's end
 *   OPEN ──────────────▶ CLOSING ──────────────▶ FLUSHING ──────────────▶ LINGERING ──────────────▶ ended
 *     └──── raw stream, error, peer was first ──────▲    └── peer has ended: no lingering ────────────▲
 *
 * Any error of the connection, HL_OP_ABORT and a deadline lead straight to "ended" (hl__end).
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define IDLE_STREAMS 4 /* compressors, and as many expanders, that a loop keeps for the next who needs one */

int hl__set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0))
        return -errno;
    return 0;
}

void hl__attach(hl_loop *l, hl_stream *s, const hl_op *op)
{
    s->slot.kind = HL_KIND_STREAM;
    s->slot.fd = op->arg;
    s->slot.user = op->user;
    s->codec = HL_CODEC_RAW;
    s->oneshot = (op->flags & HL_ONESHOT) != 0;
    s->last_received = s->last_sent = (uint32_t)l->now;
    for (uint64_t *count = (uint64_t *)&s->stats; count < (uint64_t *)(&s->stats + 1); count++)
        __atomic_store_n(count, 0, __ATOMIC_RELAXED); /* counts: see HL_COUNT */
    int on = 1;
    setsockopt(op->arg, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* we gather by ourselves; not every socket is TCP */
    int r = hl__set_nonblocking(op->arg);
    if (r == 0)
        r = l->backend->attach(l, &s->slot, HL_READABLE);
    if (r < 0)
        hl__end(l, &s->slot, r);
}

/* Reads the config of permessage-deflate off the front of what the operation carries. Negative errno. */
static int agree_on_deflate(hl_loop *l, hl_stream *s, hl_op *op)
{
    hl_deflate_config config;
    if (op->len < sizeof config)
        return -EINVAL;
    memcpy(&config, op->data, sizeof config);
    op->data = (uint8_t *)op->data + sizeof config;
    op->len -= sizeof config;
    if (!hl_deflate_config_valid(&config))
        return -EINVAL;
    if (l->deflate_pool == NULL)
        l->deflate_pool = hl_deflate_pool_new(l->cache, IDLE_STREAMS);
    if (l->deflate_pool != NULL)
        s->deflate = hl_deflate_new(l->deflate_pool, &config);
    return s->deflate != NULL ? 0 : -ENOMEM;
}

void hl__upgrade(hl_loop *l, hl_stream *s, const hl_op *with)
{
    hl_op op = *with;
    if (s->codec != HL_CODEC_RAW || s->state != HL_OPEN)
        return;
    s->codec = HL_CODEC_WS;
    s->deflate = NULL;
    int r = op.kind & HL_WS_DEFLATE ? agree_on_deflate(l, s, &op) : 0;
    if (r == 0)
        r = hl__prepend_input(l, s, &op);
    if (r < 0) {
        if (r == -ENOMEM)
            HL_COUNT(l->stats.nomem, 1);
        hl__end(l, &s->slot, r);
        return;
    }
    s->oneshot = 0;
    s->end_told = 0; /* an end that the raw stream has told of is one of the WebSocket, too */
    s->max_message = op.user ? op.user : l->config.ws.max_message;
    s->client = (op.kind & HL_WS_CLIENT) != 0;
    s->streamed = (op.kind & HL_WS_STREAMED) != 0;
    hl__resume(l, s, HL_PAUSE_USER);
    if (s->in_len > 0 || s->pauses & HL_PAUSE_END)
        hl__list_add(l, &s->slot, HL_LIST_INPUT);
}

/* ------------------------------------------------------------------ ending */

static void begin_close(hl_loop *l, hl_stream *s)
{
    s->quiescing = HL_QUIESCE_NONE;
    if (s->goodbye != HL_GOODBYE_BOTH)
        hl__goodbye(l, s, HL_GOODBYE_BOTH);
    else
        hl__rearm(l, s);
}

/* Reading serves only to see the peer's goodbye or end from now on. */
static void read_to_the_end(hl_loop *l, hl_stream *s)
{
    hl__resume(l, s, HL_PAUSE_USER | HL_PAUSE_OUTPUT | HL_PAUSE_QUIET | HL_PAUSE_FAILED);
}

void hl__stream_close(hl_loop *l, hl_stream *s, int32_t code, const void *reason, size_t len)
{
    if (s->state != HL_OPEN)
        return;
    int await = hl__codec(s)->close(l, s, code, reason, len);
    if (s->slot.ended)
        return;
    if (!await) {
        hl__stream_finish(l, s);
        return;
    }
    s->state = HL_CLOSING;
    begin_close(l, s);
    read_to_the_end(l, s);
}

void hl__stream_finish(hl_loop *l, hl_stream *s)
{
    s->state = HL_FLUSHING;
    hl__drop_input(l, s);
    if (s->in_end != 0) {
        s->in_end = 0;
        hl__pause(s, HL_PAUSE_END); /* it had come behind what is dropped */
    }
    begin_close(l, s);
    read_to_the_end(l, s);
    if (s->pauses == 0)
        l->backend->resume(l, s); /* dropping the input may have been what it waited for */
    if (s->out_last == NULL)
        hl__stream_flushed(l, s);
}

void hl__stream_flushed(hl_loop *l, hl_stream *s)
{
    if (s->state != HL_FLUSHING || s->slot.ended)
        return;
    /* After the goodbyes of both sides, or the peer's end, nothing can arrive that a close would answer with a reset.
     */
    int over = s->pauses & HL_PAUSE_END || (s->close_code != 0 && !s->patient);
    if (over || (s->close_code == 0 && shutdown(s->slot.fd, SHUT_WR) < 0)) {
        hl__end(l, &s->slot, 0);
        return;
    }
    s->state = HL_LINGERING;
    s->close_from = (uint32_t)l->now; /* however long the flushing took */
    hl__rearm(l, s);
    l->backend->resume(l, s);
}

void hl__output_failed(hl_loop *l, hl_stream *s, int error)
{
    s->deaf = 1;
    s->lost = 1;
    s->slot.result = error;
    hl__output_drop(l, s);
    if (s->state != HL_OPEN || (error != -EPIPE && error != -ECONNRESET)) {
        hl__end(l, &s->slot, error);
        return;
    }
    if (s->drain_due)
        hl__notice(l, &s->slot, HL_NOTICE_DRAIN); /* who waits for that would wait for ever */
    s->drain_due = 0;
    hl__resume(l, s, HL_PAUSE_OUTPUT); /* what the peer sent before it went away is still to be read */
}

void hl__stream_release(hl_loop *l, hl_stream *s)
{
    if (s->stats.queued > 0)
        s->lost = 1;
    hl__output_drop(l, s);
    hl__drop_input(l, s);
    if (hl__codec(s)->fini != NULL)
        hl__codec(s)->fini(l, s);
}
