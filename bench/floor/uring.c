/*
 * A floor: a TCP echo server that makes the system calls of io_uring and nothing else, the way the kernel is fastest:
 * one multishot receive for each connection, which takes its memory from a ring of buffers that all share; what came is
 * sent from where it lies; everything that a turn has to say goes to the kernel with the call that waits for the next.
 *
 *     floor_uring HOST:PORT       prints "port N" when it listens; port 0 picks a free one
 *
 * One send of a connection is under way at a time, or the kernel might mix them up. Needs Linux 6.1.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listen.h"

enum {
    SUBMISSIONS = 4096,
    COMPLETIONS = 4 * SUBMISSIONS,
    BUFFERS = 2048, /* a power of two */
    BUFFER_SIZE = 16 * 1024,
    GROUP = 0,
    NONE = -1,
};

/* What a completion is of: the low bits of its user_data; the others are the connection's address. */
enum { RECEIVE = 0, SEND = 1, ACCEPT = 2, KINDS = 3 };

typedef struct conn {
    int fd;
    bool receiving, sending; /* the kernel has such an operation of this connection */
    bool ended;              /* nothing more comes from the peer, or goes to it */
    int first, last;         /* queue of buffers to send; `first` is being sent */
    unsigned sent;           /* bytes of `first` */
    bool starving;           /* it found no buffer, and is in the list of those */
    struct conn *starved;    /* the next in that list */
} conn;

static struct io_uring ring;
static struct io_uring_buf_ring *free_buffers;
static char *memory;
static int next_buffer[BUFFERS]; /* in its connection's queue */
static unsigned length[BUFFERS];
static conn *starved;

static struct io_uring_sqe *submission(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (!sqe) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    if (!sqe)
        fail("io_uring", "no room for a submission");
    return sqe;
}

static void tag(struct io_uring_sqe *sqe, conn *c, uintptr_t kind)
{
    io_uring_sqe_set_data64(sqe, (uintptr_t)c | kind);
}

static char *buffer(int id)
{
    return memory + (size_t)id * BUFFER_SIZE;
}

static void start_accepting(int listener)
{
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    tag(sqe, NULL, ACCEPT);
}

static void start_receiving(conn *c)
{
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
    tag(sqe, c, RECEIVE);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    c->receiving = true;
}

static void start_sending(conn *c)
{
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_send(sqe, c->fd, buffer(c->first) + c->sent, length[c->first] - c->sent, MSG_NOSIGNAL | MSG_WAITALL);
    tag(sqe, c, SEND);
    c->sending = true;
}

static void free_buffer(int id)
{
    io_uring_buf_ring_add(free_buffers, buffer(id), BUFFER_SIZE, (unsigned short)id, BUFFERS - 1, 0);
    io_uring_buf_ring_advance(free_buffers, 1);
    if (starved) {
        conn *c = starved;
        starved = c->starved;
        c->starving = false;
        start_receiving(c);
    }
}

/* Drops the buffer at the head of the queue. */
static void shift(conn *c)
{
    int id = c->first;
    c->first = id == c->last ? NONE : next_buffer[id];
    c->sent = 0;
    free_buffer(id);
}

static void close_when_done(conn *c)
{
    if (!c->ended || c->receiving || c->sending || c->starving)
        return;
    while (c->first != NONE)
        shift(c);
    close(c->fd);
    free(c);
}

static void on_accepted(int listener, int fd, bool more)
{
    if (!more)
        start_accepting(listener);
    if (fd == -ECONNABORTED || fd == -EINTR)
        return;
    if (fd < 0)
        fail("accept", strerror(-fd));
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails when the peer has gone: a receive finds out */
    conn *c = malloc(sizeof *c);
    if (!c)
        fail("accept", "no memory");
    *c = (conn){.fd = fd, .first = NONE, .last = NONE};
    start_receiving(c);
}

static void on_received(conn *c, int n, unsigned flags)
{
    c->receiving = flags & IORING_CQE_F_MORE;
    if (n > 0) {
        int id = (int)(flags >> IORING_CQE_BUFFER_SHIFT);
        length[id] = (unsigned)n;
        if (c->first == NONE)
            c->first = id;
        else
            next_buffer[c->last] = id;
        c->last = id;
        if (!c->sending && !c->ended)
            start_sending(c);
    }
    if (n == -ENOBUFS && !c->ended) {
        c->starving = true;
        c->starved = starved;
        starved = c;
        return;
    }
    if (n <= 0)
        c->ended = true;
    else if (!c->receiving && !c->ended)
        start_receiving(c);
    close_when_done(c);
}

static void on_sent(conn *c, int n)
{
    c->sending = false;
    if (n < 0) {
        c->ended = true;
        shutdown(c->fd, SHUT_RDWR); /* ends the receive */
    } else {
        c->sent += (unsigned)n;
        if (c->sent == length[c->first])
            shift(c);
        if (c->first != NONE)
            start_sending(c);
    }
    close_when_done(c);
}

static void set_up(void)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    int err = io_uring_queue_init_params(SUBMISSIONS, &ring, &params);
    if (err < 0)
        fail("io_uring", strerror(-err));
    io_uring_register_ring_fd(&ring); /* where it fails, calls are a little slower */
    memory = malloc((size_t)BUFFERS * BUFFER_SIZE);
    free_buffers = aligned_alloc((size_t)sysconf(_SC_PAGESIZE), BUFFERS * sizeof(struct io_uring_buf));
    if (!memory || !free_buffers)
        fail("buffers", "no memory");
    io_uring_buf_ring_init(free_buffers);
    struct io_uring_buf_reg group = {.ring_addr = (uintptr_t)free_buffers, .ring_entries = BUFFERS, .bgid = GROUP};
    err = io_uring_register_buf_ring(&ring, &group, 0);
    if (err < 0)
        fail("buffers", strerror(-err));
    for (int id = 0; id < BUFFERS; id++)
        io_uring_buf_ring_add(free_buffers, buffer(id), BUFFER_SIZE, (unsigned short)id, BUFFERS - 1, id);
    io_uring_buf_ring_advance(free_buffers, BUFFERS);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: floor_uring HOST:PORT\n");
        return 2;
    }
    set_up();
    int listener = listen_at(argv[1], 0);
    start_accepting(listener);
    for (;;) {
        int err = io_uring_submit_and_wait(&ring, 1);
        if (err < 0 && err != -EINTR)
            fail("io_uring", strerror(-err));
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            conn *c = (conn *)(cqe->user_data & ~(uint64_t)KINDS);
            switch (cqe->user_data & KINDS) {
            case ACCEPT: on_accepted(listener, cqe->res, cqe->flags & IORING_CQE_F_MORE); break;
            case RECEIVE: on_received(c, cqe->res, cqe->flags); break;
            default: on_sent(c, cqe->res); break;
            }
            n++;
        }
        io_uring_cq_advance(&ring, n);
    }
}
