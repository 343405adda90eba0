/*
 * poll_epoll_linux.c - the epoll backend: readiness turned into completions.
 *
 * Level-triggered: one read per ready stream and turn, none to learn that there is nothing more, and no stream can
 * starve the others. epoll_ctl is called as late as possible: a stream that stops reading stays registered until an
 * event proves that the kernel has something for it; writability is asked for only while the kernel takes no more.
 *
 * An epoll set can hold entries that nobody can take out any more: a watched descriptor that was closed while a
 * duplicate of it lives (epoll(7), "Questions and answers", 6). Their events carry a void handle. When one arrives that
 * cannot be left over from the current batch, the whole set is made anew.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define IOVS 64
#define TURN_RECEIVES (128u << 10) /* bytes enough for a turn: they are handled and answered while in the cache */

typedef struct epoll_state {
    int fd;
    int wake_fd;
    int spare_fd;        /* given up for a new set when descriptors are short; -1: it has been */
    uint32_t wait_no;    /* number of the last epoll_wait */
    uint32_t pos, count; /* entries of `ready` not yet looked at */
    int rebuild;
    hl_block *block; /* holds this */
    struct epoll_event ready[];
} epoll_state;

/* ------------------------------------------------------------------ the set */

static int set_mask(hl_loop *l, hl_slot *s, uint32_t mask)
{
    epoll_state *p = l->poll;
    if (mask == s->poll_mask)
        return 0;
    struct epoll_event e = {.events = mask, .data.u64 = hl__handle(s)};
    int op = s->poll_mask == 0 ? EPOLL_CTL_ADD : mask == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (epoll_ctl(p->fd, op, s->fd, &e) < 0)
        return -errno;
    s->poll_mask = mask;
    return 0;
}

/* As set_mask; a stream that cannot be polled any more is ended. */
static void stream_mask(hl_loop *l, hl_stream *s, uint32_t mask)
{
    int r = set_mask(l, &s->slot, mask);
    if (r < 0)
        hl__end(l, &s->slot, r);
}

static int new_set(int wake_fd)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0};
    if (epoll_ctl(fd, EPOLL_CTL_ADD, wake_fd, &e) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/* Registers every live slot in a new set. */
static void rebuild(hl_loop *l)
{
    epoll_state *p = l->poll;
    p->rebuild = 0;
    int fd = new_set(p->wake_fd);
    if (fd < 0 && p->spare_fd >= 0) {
        close(p->spare_fd);
        fd = new_set(p->wake_fd);
        p->spare_fd = -1;
    }
    if (fd < 0)
        return;
    close(p->fd);
    p->fd = fd;
    if (p->spare_fd < 0)
        p->spare_fd = fcntl(p->wake_fd, F_DUPFD_CLOEXEC, 0);
    uint32_t used = __atomic_load_n(&l->table.fresh, __ATOMIC_RELAXED); /* later slots are not registered yet */
    for (uint32_t i = 0; i < used; i++) {
        hl_slot *s = hl__table_at(&l->table, i);
        if (s->kind == HL_KIND_NONE || s->poll_mask == 0)
            continue;
        uint32_t mask = s->poll_mask;
        s->poll_mask = 0;
        int r = set_mask(l, s, mask);
        if (r < 0)
            hl__end(l, s, r); /* a watched descriptor that its owner has closed */
    }
}

static int epoll_open(hl_loop *l)
{
    hl_block *b = hl_slab_get(l->config.slab, sizeof(epoll_state) + l->config.batch * sizeof(struct epoll_event));
    if (b == NULL)
        return -ENOMEM;
    epoll_state *p = (epoll_state *)hl_block_data(b);
    *p = (epoll_state){.block = b};
    p->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    p->fd = p->wake_fd < 0 ? -errno : new_set(p->wake_fd);
    if (p->fd < 0) {
        int r = p->fd;
        if (p->wake_fd >= 0)
            close(p->wake_fd);
        hl_block_unref(b);
        return r;
    }
    p->spare_fd = fcntl(p->wake_fd, F_DUPFD_CLOEXEC, 0);
    l->poll = p;
    return 0;
}

static void epoll_close(hl_loop *l)
{
    epoll_state *p = l->poll;
    close(p->fd);
    close(p->wake_fd);
    if (p->spare_fd >= 0)
        close(p->spare_fd);
    hl_block_unref(p->block);
    l->poll = NULL;
}

static uint32_t readiness_mask(uint32_t readiness)
{
    return (readiness & HL_READABLE ? EPOLLIN : 0u) | (readiness & HL_WRITABLE ? EPOLLOUT : 0u) |
           (readiness & HL_TROUBLE ? EPOLLERR | EPOLLHUP : 0u);
}

static int epoll_attach(hl_loop *l, hl_slot *s, uint32_t readiness)
{
    return set_mask(l, s, readiness_mask(readiness));
}

static void epoll_detach(hl_loop *l, hl_slot *s)
{
    epoll_state *p = l->poll;
    set_mask(l, s, 0); /* fails harmlessly when the owner of a watched descriptor has closed it */
    s->poll_mask = 0;
    s->head.mark = p->wait_no;
}

static void epoll_wake(hl_loop *l)
{
    epoll_state *p = l->poll;
    uint64_t one = 1;
    while (write(p->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* ------------------------------------------------------------------ streams */

static int reads(const hl_stream *s)
{
    return s->pauses == 0 && !hl__input_waits(s);
}

static void epoll_resume(hl_loop *l, hl_stream *s)
{
    if (reads(s))
        stream_mask(l, s, s->slot.poll_mask | EPOLLIN);
}

static void receive(hl_loop *l, hl_stream *s)
{
    struct iovec iov[2];
    size_t direct;
    int pieces = hl__stream_where(l, s, iov, &direct);
    if (pieces == 0)
        return;
    ssize_t n = pieces == 1 ? recv(s->slot.fd, iov[0].iov_base, iov[0].iov_len, 0) : readv(s->slot.fd, iov, pieces);
    if (n > 0)
        hl__stream_received(l, s, iov, direct, (size_t)n);
    else if (n == 0)
        hl__stream_ended(l, s);
    else if (errno == EAGAIN)
        hl__stream_empty(l, s);
    else if (errno != EINTR) /* after EINTR the set still says that it is readable */
        hl__receive_failed(l, s, -errno);
}

static ssize_t send_pieces(int fd, struct iovec *iov, int count)
{
    if (count == 1)
        return send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

static void epoll_send(hl_loop *l, hl_stream *s)
{
    while (s->out_last != NULL && !s->slot.ended) {
        struct iovec iov[IOVS];
        int count = hl__output_gather(s, iov, IOVS);
        size_t all = 0;
        for (int i = 0; i < count; i++)
            all += iov[i].iov_len;
        ssize_t n = send_pieces(s->slot.fd, iov, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            hl__output_failed(l, s, -errno);
            return;
        }
        if (n > 0)
            hl__output_sent(l, s, (size_t)n);
        if (n < (ssize_t)all && !s->slot.ended) {
            hl__output_stalled(l, s);
            stream_mask(l, s, s->slot.poll_mask | EPOLLOUT);
            return;
        }
    }
}

static void stream_event(hl_loop *l, hl_stream *s, uint32_t events)
{
    uint32_t trouble = events & (EPOLLERR | EPOLLHUP);
    if (s->stalled && (events & EPOLLOUT || trouble)) {
        s->stalled = 0;
        epoll_send(l, s);
        if (s->slot.ended)
            return;
    }
    if (!s->stalled && s->slot.poll_mask & EPOLLOUT)
        stream_mask(l, s, s->slot.poll_mask & ~(uint32_t)EPOLLOUT);
    if (s->slot.ended || !(events & EPOLLIN || trouble))
        return;
    if (reads(s))
        receive(l, s);
    else /* error and hang-up cannot be masked: with them a stream that does not read leaves the set until it does */
        stream_mask(l, s, trouble ? 0 : s->slot.poll_mask & ~(uint32_t)EPOLLIN);
}

/* ------------------------------------------------------------------ waiting */

static void watch_event(hl_loop *l, hl_slot *s, uint32_t events)
{
    if (s->poll_mask == 0)
        return; /* muted since it was fetched */
    events &= s->poll_mask | EPOLLERR | EPOLLHUP;
    hl__ready(l, s,
              (uint16_t)((events & EPOLLIN ? HL_READABLE : 0) | (events & EPOLLOUT ? HL_WRITABLE : 0) |
                         (events & (EPOLLERR | EPOLLHUP) ? HL_TROUBLE : 0)));
}

static void woken(hl_loop *l)
{
    epoll_state *p = l->poll;
    uint64_t count;
    while (read(p->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    HL_COUNT(l->stats.wakeups, 1);
}

static void dispatch(hl_loop *l, const struct epoll_event *e)
{
    epoll_state *p = l->poll;
    if (e->data.u64 == 0) {
        woken(l);
        return;
    }
    hl_slot *s = hl__slot(l, e->data.u64);
    if (s == NULL || s->ended) {
        HL_COUNT(l->stats.stale_events, 1);
        hl_slot *now = hl__table_at(&l->table, hl_handle_index(e->data.u64));
        if (now->head.mark != p->wait_no)
            p->rebuild = 1; /* it ended before this wait began: the set holds an entry that should be gone */
        return;
    }
    if (s->kind == HL_KIND_STREAM)
        stream_event(l, (hl_stream *)s, e->events);
    else if (s->kind == HL_KIND_LISTENER)
        hl__accept(l, s);
    else
        watch_event(l, s, e->events);
}

static int epoll_wait_turn(hl_loop *l, int timeout_ms)
{
    epoll_state *p = l->poll;
    if (p->pos == p->count) {
        if (p->rebuild)
            rebuild(l);
        int n = epoll_wait(p->fd, p->ready, (int)l->config.batch, timeout_ms);
        if (n < 0 && errno != EINTR)
            return -errno;
        p->wait_no++;
        p->pos = 0;
        p->count = n > 0 ? (uint32_t)n : 0;
        hl__clock(l);
    }
    while (p->pos < p->count && l->received < TURN_RECEIVES && hl__room(l) > 0)
        dispatch(l, &p->ready[p->pos++]);
    l->behind = p->count - p->pos;
    return 0;
}

const hl_backend hl__epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .attach = epoll_attach,
    .change = epoll_attach,
    .detach = epoll_detach,
    .resume = epoll_resume,
    .send = epoll_send,
    .wait = epoll_wait_turn,
    .wake = epoll_wake,
};
