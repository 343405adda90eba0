/*
 * Modes that are about connections, not messages: connect and idle.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "load.h"
#include "measure.h"
#include "mode.h"

enum { AT_A_TIME = 64 };

/* ---------------------------------------------------------------- connect */

static void send_one(conn *c)
{
    conn_queue(c, 1);
    conn_send(c);
}

static void start_connect(void)
{
    for (unsigned i = 0; i < opt.connections; i++)
        send_one(&conns[i]);
}

static bool replied_connect(conn *c, unsigned n)
{
    measure_latency(now - c->opened_at);
    measure_messages(n);
    conn_reset(c);
    conn_open(c, (unsigned)(c - conns) % messages.variants);
    return false;
}

const mode mode_connect = {.name = "connect", .start = start_connect, .opened = send_one, .replied = replied_connect};

/* ---------------------------------------------------------------- idle */

/* Each connection first has a message echoed, so that the server has had its use of it, a few at a time. */
static unsigned asked, answered;
static uint64_t answered_at; /* when the last answer came */

static void ask_next(void)
{
    if (asked < opt.connections)
        send_one(&conns[asked++]);
}

static void start_idle(void)
{
    answered_at = now;
    for (unsigned i = 0; i < AT_A_TIME; i++)
        ask_next();
}

static bool replied_idle(conn *c, unsigned n)
{
    (void)c;
    (void)n;
    ask_next();
    answered_at = now;
    if (++answered == opt.connections) {
        printf("open=%u\n", opt.connections);
        fflush(stdout);
    }
    return true;
}

static bool finished_idle(void)
{
    char dropped[256];
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (answered < opt.connections && now - answered_at > STALL_MS * 1000000ull)
        fail("only %u of %u connections had a reply", answered, opt.connections);
    while (poll(&input, 1, 0) > 0) {
        ssize_t n = read(STDIN_FILENO, dropped, sizeof dropped);
        if (n == 0 || (n < 0 && errno != EINTR))
            return true;
    }
    return false;
}

const mode mode_idle = {.name = "idle", .start = start_idle, .replied = replied_idle, .finished = finished_idle};
