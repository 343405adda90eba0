/*
 * A connection to the server: opening it, the WebSocket handshake, sending messages and taking replies. What it sends,
 * and when, is its mode's business (mode.h).
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_CONN_H
#define HL_BENCH_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct addrinfo;

typedef enum { CONN_CONNECTING, CONN_UPGRADING, CONN_OPEN } conn_stage;

typedef struct conn {
    int fd;
    conn_stage stage;
    wire_parser parser;
    size_t position;     /* in wire.frames, of the next byte to send */
    uint64_t owed;       /* bytes to send */
    unsigned sending;    /* variant of the message that is sent next, or is on its way out */
    uint64_t due;        /* messages that it was asked to send */
    uint64_t sent;       /* those that are wholly sent */
    uint64_t replies;    /* messages that have come in */
    struct conn *source; /* the connection whose messages come in here: itself, where a server echoes */
    uint64_t replied_at; /* when the last one came, in nanoseconds; survives the next conn_open */
    uint64_t opened_at;  /* when conn_open was called */
    uint64_t *sent_at;   /* its mode's: when messages were sent, or NULL */
    unsigned oldest;     /* its mode's: index in `sent_at` of the message whose reply comes next */
    char *answer;        /* handshake's answer so far; NULL when it is done */
    size_t answer_have;
} conn;

/* What all connections connect to, and the epoll that watches them: to be called first. */
void conn_setup(const struct addrinfo *target, int epoll_fd);

/* Begins to connect. The first message will be variant `first`. `replied_at` and `sent_at` stay what they were. */
void conn_open(conn *c, unsigned first);

/* Ends the connection with a reset, so that it leaves nothing behind, in the server or here. */
void conn_reset(conn *c);

/* Asks for `n` more messages to be sent; conn_send does it. */
void conn_queue(conn *c, unsigned n);

/* Sends what is owed, as far as the socket takes it now; the rest follows when it is writable. */
void conn_send(conn *c);

/*
 * Deals with what epoll says of the connection. Returns true when it has just opened. The mode is told of replies.
 */
bool conn_event(conn *c, uint32_t events);

#endif
