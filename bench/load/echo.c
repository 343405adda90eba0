/*
 * Modes in which each connection gets back what it has sent: closed and rate.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <stdlib.h>

#include "load.h"
#include "measure.h"
#include "mode.h"

/* ---------------------------------------------------------------- closed */

static void start_closed(void)
{
    for (unsigned i = 0; i < opt.connections; i++) {
        conn *c = &conns[i];
        c->sent_at = malloc(opt.in_flight * sizeof *c->sent_at);
        if (!c->sent_at)
            fail("no memory for %u connections", opt.connections);
        for (unsigned k = 0; k < opt.in_flight; k++)
            c->sent_at[k] = now;
        conn_queue(c, opt.in_flight);
        conn_send(c);
    }
}

static bool replied_closed(conn *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        measure_latency(now - c->sent_at[c->oldest]);
        c->sent_at[c->oldest] = now;
        c->oldest = c->oldest + 1 == opt.in_flight ? 0 : c->oldest + 1;
    }
    measure_messages(n);
    conn_queue(c, n);
    return true;
}

const mode mode_closed = {.name = "closed", .pipelined = true, .start = start_closed, .replied = replied_closed};

/* ---------------------------------------------------------------- rate */

/* Message m of all is to be sent at began + m / rate, by connection m % connections. */
static uint64_t began, next;

static uint64_t due_at(uint64_t message)
{
    return began + (uint64_t)((double)message * 1e9 / opt.rate);
}

static void start_rate(void)
{
    began = now;
}

static void turn_rate(void)
{
    while (due_at(next) <= now) {
        conn *c = &conns[next++ % opt.connections];
        conn_queue(c, 1);
        conn_send(c);
    }
}

/* Counts how late a message is. */
static void late(uint64_t due)
{
    if (due >= measured.began) /* the others belong to the warm-up */
        measure_latency(now - due);
}

static bool replied_rate(conn *c, unsigned n)
{
    uint64_t first = c->replies - n, index = (uint64_t)(c - conns);
    for (uint64_t k = first; k < c->replies; k++)
        late(due_at(k * opt.connections + index));
    measure_messages(n);
    return true;
}

/* Those that wait for a reply at the end are the slowest: without them, a stall that lasts till then would not show. */
static void ended_rate(void)
{
    for (uint64_t index = 0; index < opt.connections; index++)
        for (uint64_t k = conns[index].replies; k < conns[index].due; k++)
            late(due_at(k * opt.connections + index));
}

const mode mode_rate = {.name = "rate",
                        .awake = true,
                        .start = start_rate,
                        .turn = turn_rate,
                        .replied = replied_rate,
                        .ended = ended_rate};
