/*
 * The mode in which one connection's messages go to all.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <stdlib.h>

#include "load.h"
#include "measure.h"
#include "mode.h"

/* Rings of `in_flight` entries; message k is entry k % in_flight. */
static uint64_t *sent_at;
static unsigned *missing; /* connections that a message has not reached yet */

static void publish(void)
{
    unsigned slot = (unsigned)(conns[0].due % opt.in_flight);
    sent_at[slot] = now;
    missing[slot] = opt.connections;
    conn_queue(&conns[0], 1);
}

static void start(void)
{
    sent_at = calloc(opt.in_flight, sizeof *sent_at);
    missing = calloc(opt.in_flight, sizeof *missing);
    if (!sent_at || !missing)
        fail("no memory for %u messages", opt.in_flight);
    for (unsigned i = 0; i < opt.connections; i++)
        conns[i].source = &conns[0];
    for (unsigned k = 0; k < opt.in_flight; k++)
        publish();
    conn_send(&conns[0]);
}

static bool replied(conn *c, unsigned n)
{
    measure_messages(n);
    for (uint64_t k = c->replies - n; k < c->replies; k++) {
        unsigned slot = (unsigned)(k % opt.in_flight);
        measure_latency(now - sent_at[slot]);
        if (--missing[slot] > 0)
            continue;
        publish();
        conn_send(&conns[0]);
    }
    return true;
}

const mode mode_fanout = {.name = "fanout", .in_step = true, .pipelined = true, .start = start, .replied = replied};
