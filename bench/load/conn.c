/*
 * Connections.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "conn.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "handshake.h"
#include "load.h"
#include "mode.h"

enum {
    RECEIVE_SIZE = 256 * 1024,
    ANSWER_SIZE = 4096, /* longest answer to a WebSocket handshake */
};

static const struct addrinfo *target;
static int epoll_fd;

/* ---------------------------------------------------------------- sending */

void conn_queue(conn *c, unsigned n)
{
    unsigned first = (unsigned)((c->sending + (c->due - c->sent)) % messages.variants);
    c->owed += wire_bytes(&messages, first, n);
    c->due += n;
}

/* Notes that `n` bytes were sent. */
static void account(conn *c, size_t n)
{
    const size_t ring = wire_ring(&messages);
    c->owed -= n;
    c->position += n;
    while (c->position >= messages.ends[c->sending]) {
        c->sent++;
        if (++c->sending < messages.variants)
            continue;
        c->sending = 0;
        c->position -= ring;
    }
}

void conn_send(conn *c)
{
    const size_t ring = wire_ring(&messages);
    while (c->owed > 0) {
        size_t to_end = ring - c->position;
        size_t first = c->owed < to_end ? (size_t)c->owed : to_end;
        size_t second = c->owed - first < c->position ? (size_t)(c->owed - first) : c->position;
        struct iovec parts[2] = {{messages.frames + c->position, first}, {messages.frames, second}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = second > 0 ? 2 : 1};
        ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return; /* EPOLLOUT tells when to go on */
        if (n < 0)
            fail("send: %s", strerror(errno));
        account(c, (size_t)n);
    }
}

/* ---------------------------------------------------------------- receiving */

/*
 * Receives once. Returns false when there is nothing more to be had now. Edge-triggered epoll tells of bytes that come
 * after a receive that did not fill the buffer (epoll(7)), but not of an end that lay behind them already: when it has
 * told of an end or an error (`ending`), only EAGAIN means that there is nothing more.
 */
static bool receive(conn *c, bool ending)
{
    static uint8_t buffer[RECEIVE_SIZE];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n < 0)
        fail("receive: %s", strerror(errno));
    if (n == 0)
        fail("the server closed a connection");
    const char *error = NULL;
    int complete = wire_parse(&messages, &c->parser, buffer, (size_t)n, &error);
    if (complete < 0)
        fail("%s", error);
    if (complete > 0) {
        c->replies += (unsigned)complete;
        if (c->replies > c->source->sent)
            fail("more replies have come than messages were sent");
        c->replied_at = now;
        if (!opt.mode->replied(c, (unsigned)complete))
            return false; /* it is another connection now */
    }
    return ending || (size_t)n == sizeof buffer;
}

/* ---------------------------------------------------------------- opening */

void conn_setup(const struct addrinfo *to, int epoll)
{
    target = to;
    epoll_fd = epoll;
}

void conn_open(conn *c, unsigned first)
{
    int on = 1;
    *c = (conn){.sent_at = c->sent_at, .replied_at = c->replied_at, .source = c, .opened_at = now};
    c->sending = c->parser.variant = first;
    c->position = first > 0 ? messages.ends[first - 1] : 0;
    c->fd = socket(target->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        fail("socket: %s", strerror(errno));
    if (connect(c->fd, target->ai_addr, target->ai_addrlen) < 0 && errno != EINPROGRESS)
        fail("connect to %s: %s", opt.address, strerror(errno));
    c->answer = opt.protocol == PROTOCOL_WS ? malloc(ANSWER_SIZE + 1) : NULL;
    if (opt.protocol == PROTOCOL_WS && !c->answer)
        fail("no memory for %u connections", opt.connections);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        fail("epoll_ctl: %s", strerror(errno));
}

void conn_reset(conn *c)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none); /* where it fails, the port rests for a minute */
    close(c->fd);
    wire_parser_free(&c->parser);
    free(c->answer);
    c->answer = NULL;
}

static void connected(conn *c)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error)
        fail("connect to %s: %s", opt.address, strerror(error ? error : errno));
    if (opt.protocol == PROTOCOL_TCP) {
        c->stage = CONN_OPEN;
        return;
    }
    char request[512];
    int n = snprintf(request, sizeof request, handshake_format, opt.address, messages.deflate ? handshake_deflate : "");
    if (n >= (int)sizeof request || send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
        fail("the WebSocket handshake could not be sent");
    c->stage = CONN_UPGRADING;
}

/* Takes a part of the answer to the handshake. Returns false when there is nothing more to be had now. */
static bool receive_answer(conn *c)
{
    ssize_t n = recv(c->fd, c->answer + c->answer_have, ANSWER_SIZE - c->answer_have, 0);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        fail("WebSocket handshake: %s", n < 0 ? strerror(errno) : "the server closed the connection");
    c->answer_have += (size_t)n;
    c->answer[c->answer_have] = 0;
    const char *error = NULL;
    int end = handshake_answer(messages.deflate, c->answer, c->answer_have, &error);
    if (end < 0)
        fail("%s", error);
    if (end == 0 && c->answer_have == ANSWER_SIZE)
        fail("the answer to the WebSocket handshake is longer than %d bytes", ANSWER_SIZE);
    if (end == 0)
        return true;
    if ((size_t)end != c->answer_have)
        fail("the server sent something before it was asked to");
    free(c->answer);
    c->answer = NULL;
    c->stage = CONN_OPEN;
    return false;
}

bool conn_event(conn *c, uint32_t events)
{
    bool was_open = c->stage == CONN_OPEN;
    if (c->stage == CONN_CONNECTING) {
        connected(c);
    } else if (c->stage == CONN_UPGRADING) {
        while (receive_answer(c)) {
        }
    }
    if (c->stage != CONN_OPEN)
        return false;
    bool ending = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    while (receive(c, ending)) {
    }
    if (c->stage == CONN_OPEN)
        conn_send(c);
    return !was_open;
}
