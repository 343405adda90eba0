/*
 * A floor: a TCP echo server that makes the system calls of epoll and nothing else. No framework can spend less than
 * this with the same calls, so everything above it is what a framework costs.
 *
 *     floor_epoll HOST:PORT       prints "port N" when it listens; port 0 picks a free one
 *
 * One thread, level-triggered, one buffer for all connections. What a peer does not take at once is kept until it does;
 * meanwhile nothing more is read from it.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"

enum { BUFFER_SIZE = 64 * 1024, BATCH = 256 };

typedef struct {
    int fd;
    size_t unsent; /* bytes at `rest` that wait to be sent */
    char *rest;    /* NULL: nothing waits */
} conn;

static int epoll_fd;

static void watch(int operation, int fd, conn *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, operation, fd, &ev) < 0)
        fail("epoll_ctl", strerror(errno));
}

static void accept_all(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd < 0)
            fail("accept", strerror(errno));
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails when the peer has gone: read finds out */
        conn *c = calloc(1, sizeof *c);
        if (!c)
            fail("accept", "no memory");
        c->fd = fd;
        watch(EPOLL_CTL_ADD, fd, c, EPOLLIN);
    }
}

static void close_conn(conn *c)
{
    close(c->fd);
    free(c->rest);
    free(c);
}

/* Sends `n` bytes and keeps what the peer does not take. */
static void echo(conn *c, const char *data, size_t n)
{
    ssize_t sent = send(c->fd, data, n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        close_conn(c);
        return;
    }
    size_t taken = sent < 0 ? 0 : (size_t)sent;
    if (taken == n)
        return;
    c->unsent = n - taken;
    c->rest = malloc(c->unsent);
    if (!c->rest)
        fail("echo", "no memory");
    memcpy(c->rest, data + taken, c->unsent);
    watch(EPOLL_CTL_MOD, c->fd, c, EPOLLOUT);
}

static void on_readable(conn *c)
{
    static char buffer[BUFFER_SIZE];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n > 0)
        echo(c, buffer, (size_t)n);
    else if (n == 0 || errno != EAGAIN)
        close_conn(c);
}

static void on_writable(conn *c)
{
    ssize_t sent = send(c->fd, c->rest, c->unsent, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            close_conn(c);
        return;
    }
    c->unsent -= (size_t)sent;
    if (c->unsent > 0) {
        memmove(c->rest, c->rest + sent, c->unsent);
        return;
    }
    free(c->rest);
    c->rest = NULL;
    watch(EPOLL_CTL_MOD, c->fd, c, EPOLLIN);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: floor_epoll HOST:PORT\n");
        return 2;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        fail("epoll_create1", strerror(errno));
    int listener = listen_at(argv[1], SOCK_NONBLOCK);
    watch(EPOLL_CTL_ADD, listener, NULL, EPOLLIN);
    for (;;) {
        struct epoll_event events[BATCH];
        int n = epoll_wait(epoll_fd, events, BATCH, -1);
        if (n < 0 && errno != EINTR)
            fail("epoll_wait", strerror(errno));
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (!c)
                accept_all(listener);
            else if (c->rest)
                on_writable(c);
            else
                on_readable(c);
        }
    }
}
