/*
 * Modes: what the load does.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_MODE_H
#define HL_BENCH_MODE_H

#include <stdbool.h>

#include "conn.h"

typedef struct mode {
    const char *name;
    bool awake;     /* the load never sleeps: what it has to do next does not depend on the server */
    bool in_step;   /* all connections begin with the same variant of messages */
    bool pipelined; /* it knows the option for messages in flight */

    void (*start)(void);                  /* all connections are open; may be called once */
    void (*opened)(conn *c);              /* after start, another one has opened; NULL where that can't be */
    bool (*replied)(conn *c, unsigned n); /* n messages have come; false when it has reset or reopened the connection */
    void (*turn)(void);                   /* called each turn, after start; NULL: there is nothing to do */
    bool (*finished)(void);               /* whether it is over; NULL: after so many seconds or messages */
    void (*ended)(void);                  /* it is over, and about to be reported; NULL: there is nothing to add */
} mode;

/* Each connection begins with so many messages, and sends one for each that comes back: what a server can do. */
extern const mode mode_closed;

/*
 * So many messages a second, all connections together, at times that are fixed beforehand. Latency counts from when a
 * message was to be sent: a server that stalls is late for all that should have been sent meanwhile, which a load that
 * waits with it would omit. A message that has no reply at the end counts as late as it is then.
 */
extern const mode mode_rate;

/* The first connection sends, and the server passes each message on to all. Counted are the messages that come in. */
extern const mode mode_fanout;

/* Each connection is opened, sends a message, gets it back, is reset, and opened anew. Counted are connections. */
extern const mode mode_connect;

/* Connections are opened, serve one message each, and are held until standard input ends. */
extern const mode mode_idle;

#endif
