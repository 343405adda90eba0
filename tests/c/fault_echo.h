/*
 * fault_echo.h - an echo server and its clients, played by one thread, for the sweeps of faults.
 *
 * The world turns until every stream has ended. What a client hears is compared with what it is to hear byte by byte as
 * it comes: nothing may be lost, doubled or reordered whatever failed, even if the end comes early. At the end the
 * streams that ended with an error are as many as the fault allows, the others have heard all, and a new connection is
 * served as if nothing had happened.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_TEST_FAULT_ECHO_H
#define HL_TEST_FAULT_ECHO_H

#include "fault.h"
#include "loop_fixture.h"

enum { CLIENTS = 4, PATIENCE = 4 };

typedef struct client {
    int fd; /* non-blocking; -1: closed */
    hl_handle stream;
    const uint8_t *say, *hear;
    size_t say_len, said, hear_len, heard;
    size_t pace;        /* bytes that it says in every other turn; 0: all it can at any time */
    uint8_t rests;      /* in this turn */
    size_t answer_from; /* what it says from here on waits until it has heard all; 0: nothing waits */
    uint64_t echoed;    /* bytes or messages that the server has answered */
    uint64_t closed_at; /* the server closes when it has answered so many; 0: it waits for the client's end */
    uint8_t ws;         /* it speaks WebSocket */
    const hl_deflate_config *deflate; /* ... compressed; NULL: not */
    uint8_t aborted;                  /* the server ends the stream in the turn that it begins in */
    uint8_t yields;                   /* it reads also when it has found for a while that it cannot write */
    uint8_t stuck;                    /* how often it has found so */
    uint8_t shuts; /* it ends the stream when it has heard all; 0: the server does, or what it says does */
    uint8_t shut;
    uint8_t refused; /* it got a close frame 1011: the server ran out of memory */
    uint8_t reset;   /* the end came as an error */
    uint8_t ended;   /* HL_EV_CLOSED came */
    uint8_t lost;    /* ... and said so */
    int32_t result;
} client;

typedef struct world {
    fixture *f;
    client clients[CLIENTS];
    int count;
    int broken; /* negative: hl_loop_enter failed */
    int errors; /* calls of the core's that returned one */
} world;

/* ------------------------------------------------------------------ clients */

/* Up to where it may say what it has to say. */
static inline size_t to_say(const client *c)
{
    return c->answer_from > 0 && c->heard < c->hear_len ? c->answer_from : c->say_len;
}

/* They write and read as much as goes without waiting, and read only when they have said what they have to, and not at
 * once: so that the server's output has to wait. Return whether anything happened. */
static inline int speak(client *c)
{
    int moved = 0;
    c->rests = c->pace > 0 && !c->rests;
    while (c->said < to_say(c) && !c->rests) {
        size_t most = to_say(c) - c->said;
        if (c->pace > 0 && c->pace < most)
            most = c->pace;
        ssize_t n = send(c->fd, c->say + c->said, most, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            c->said = c->say_len; /* nobody listens any more */
            return 1;
        }
        c->said += (size_t)n;
        moved = 1;
        if (c->pace > 0)
            break;
    }
    c->stuck = moved ? 0 : c->stuck + (c->stuck < PATIENCE);
    return moved;
}

/* What it hears is what it was to hear, and nothing else but that the server has run out of memory. */
static inline void hear(client *c, const uint8_t *got, size_t n)
{
    static const uint8_t refusal[] = {0x88, 2, 1011 >> 8, 1011 & 255};
    if (c->ws && n >= 4 && memcmp(got + n - 4, refusal, 4) == 0 && fault_harm_done() != FAULT_HARMLESS) {
        c->refused = 1;
        n -= 4;
    }
    if (c->heard + n > c->hear_len || memcmp(got, c->hear + c->heard, n) != 0)
        fail_msg("after %zu of %zu bytes came %zu others", c->heard, c->hear_len, n);
    c->heard += n;
}

static inline int listen_to_server(client *c)
{
    int moved = 0;
    while (c->fd >= 0 && c->stuck == PATIENCE && (c->yields || c->said >= to_say(c))) {
        uint8_t got[16384];
        ssize_t n = recv(c->fd, got, sizeof got, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        moved = 1;
        if (n > 0) {
            hear(c, got, (size_t)n);
            continue;
        }
        c->reset = n < 0;
        close(c->fd);
        c->fd = -1;
    }
    if (c->fd >= 0 && !c->shut && (c->refused || (c->shuts && c->heard == c->hear_len))) {
        c->shut = 1;
        shutdown(c->fd, SHUT_WR);
        moved = 1;
    }
    return moved;
}

static inline int play_clients(world *w)
{
    int moved = 0;
    for (int i = 0; i < w->count; i++)
        if (w->clients[i].fd >= 0)
            moved |= speak(&w->clients[i]) | listen_to_server(&w->clients[i]);
    return moved;
}

/* ------------------------------------------------------------------ the server */

static inline client *client_of(world *w, hl_handle h)
{
    for (int i = 0; i < w->count; i++)
        if (w->clients[i].stream == h)
            return &w->clients[i];
    return NULL;
}

/* Sends bytes of an event from where they lie. */
static inline void send_kept(world *w, const hl_event *e, size_t from, size_t to)
{
    push(w->f, (hl_op){.code = HL_OP_SEND,
                       .handle = e->handle,
                       .kind = e->kind,
                       .data = (uint8_t *)e->data + from,
                       .len = to - from,
                       .block = e->block,
                       .flags = HL_KEEP});
}

/* Sends back what came: raw bytes in two pieces that lie apart, small messages by way of the staging area, large ones
 * from where they lie. */
static inline void echo(world *w, client *c, const hl_event *e)
{
    if (e->type == HL_EV_MESSAGE && e->len <= 64) {
        push_frame(w->f, e->handle, e->kind, e->data, e->len);
    } else if (e->type == HL_EV_MESSAGE) {
        send_kept(w, e, 0, e->len);
    } else {
        size_t half = e->len > 64 ? e->len / 2 : 0;
        if (half > 0)
            send_kept(w, e, 0, half);
        push_send(w->f, e->handle, (uint8_t *)e->data + half, e->len - half);
    }
    c->echoed += e->type == HL_EV_MESSAGE ? 1 : e->len;
    if (c->echoed == c->closed_at)
        push_code(w->f, e->handle, HL_OP_CLOSE, 0);
}

static inline void serve(world *w, const hl_event *e)
{
    client *c = client_of(w, e->handle);
    assert_non_null(c);
    assert_false(c->ended);
    switch (e->type) {
    case HL_EV_DATA:
    case HL_EV_MESSAGE: echo(w, c, e); break;
    case HL_EV_END: push_code(w->f, e->handle, HL_OP_CLOSE, 0); break;
    case HL_EV_DRAIN: break;
    case HL_EV_CLOSED:
        c->ended = 1;
        c->lost = e->kind;
        c->result = e->result;
        break;
    default: fail_msg("event of type %d", e->type);
    }
}

/* ------------------------------------------------------------------ the world */

/* A loop that has everything it needs at all times (the first wait gets that), and faults from here on. */
static inline fixture *open_armed_fixture(const hl_loop_config *with)
{
    fixture *f = open_fixture(with);
    turn(f);
    fault_arm();
    return f;
}

/* A handle for a new slot; 0, which counts as an error, when there is none. */
static inline hl_handle reserve(world *w)
{
    hl_handle h = hl_loop_reserve(w->f->loop);
    w->errors += h == 0;
    return h;
}

static inline void connect_client(world *w, client c)
{
    int fd[2], room = 8192;
    c.stream = reserve(w);
    if (c.stream == 0)
        return;
    make_pair(fd);
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room); /* small, so that output has to wait soon */
    if (!c.ws)
        setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    push(w->f, (hl_op){.code = HL_OP_ATTACH, .handle = c.stream, .arg = fd[0], .flags = c.ws ? HL_ONESHOT : 0});
    if (c.ws)
        push(w->f, (hl_op){.code = HL_OP_UPGRADE,
                           .handle = c.stream,
                           .kind = c.deflate ? HL_WS_DEFLATE : 0,
                           .data = stage(w->f, c.deflate, c.deflate ? sizeof *c.deflate : 0, 0),
                           .len = c.deflate ? sizeof *c.deflate : 0});
    if (c.aborted)
        push_code(w->f, c.stream, HL_OP_ABORT, 0);
    c.fd = fd[1];
    c.rests = 1; /* before it begins */
    w->clients[w->count++] = c;
}

static inline int all_ended(const world *w)
{
    for (int i = 0; i < w->count; i++)
        if (!w->clients[i].ended || w->clients[i].fd >= 0)
            return 0;
    return 1;
}

/* Turns, waiting for a moment in every fourth idle turn, until all streams have ended and all clients have seen it. */
static inline void play(world *w)
{
    for (int idle = 0; !all_ended(w) && w->broken == 0; idle++) {
        if (idle > 50 && fault_relent())
            idle = 0; /* it was waiting for memory */
        if (idle > 2000)
            fail_msg("nothing happens any more");
        if (play_clients(w))
            idle = 0;
        int r = hl_loop_enter(w->f->loop, idle % 4 == 3, 0);
        if (r < 0)
            w->broken = r;
        for (hl_event e = pop(w->f); e.type != 0; e = pop(w->f)) {
            idle = 0;
            serve(w, &e);
        }
    }
}

/* No fault is armed any more: whatever happened, the loop goes on as if it had not. */
static inline void expect_a_healthy_loop(fixture *f)
{
    int fd[2];
    make_pair(fd);
    hl_handle h = attach(f, fd[0], 0);
    for (int i = 0; i < 3; i++) {
        peer_write(fd[1], "still well", 10);
        hl_event e = expect(f, HL_EV_DATA, h);
        push_send(f, h, e.data, e.len);
        peer_expect(f, fd[1], "still well", 10);
    }
    push_code(f, h, HL_OP_CLOSE, 0);
    peer_expect_end(f, fd[1]);
    close(fd[1]);
    assert_int_equal(expect(f, HL_EV_CLOSED, h).result, 0);
    assert_int_equal(loop_stats(f).slots, 0);
}

/* Ends a run in which `harmed` parties were told of an error, and the loop broke with `broken` (0: it did not). */
static inline void finish_run(fixture *f, int harmed, int broken)
{
    fault_disarm();
    fault_harm harm = fault_harm_done();
    if (harm == FAULT_ENDS_LOOP && broken != 0) {
        assert_int_equal(broken, -fault_injected()->error);
        assert_int_equal(hl_loop_enter(f->loop, 0, 0), broken);
    } else {
        assert_int_equal(broken, 0);
        assert_true(harmed <= (harm == FAULT_HARMLESS || harm == FAULT_ENDS_LOOP ? 0
                               : harm == FAULT_ENDS_ONE                          ? 1
                                                                                 : 1000));
        expect_a_healthy_loop(f);
    }
    close_fixture(f);
}

static inline void finish_world(world *w)
{
    int harmed = w->errors;
    for (int i = 0; i < w->count; i++) {
        client *c = &w->clients[i];
        if (c->result != 0 && fault_harm_done() == FAULT_ENDS_ONE)
            assert_int_equal(c->result, -fault_injected()->error);
        if (w->broken == 0 && (c->result != 0 || c->lost || c->reset || c->refused || c->heard != c->hear_len))
            harmed++;
        if (c->fd >= 0)
            close(c->fd);
    }
    finish_run(w->f, harmed, w->broken);
}

#endif /* HL_TEST_FAULT_ECHO_H */
