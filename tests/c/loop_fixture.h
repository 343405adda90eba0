/*
 * loop_fixture.h - what the tests of the loop share: a loop, its owner's side of the rings, a peer's side of sockets.
 *
 * Every test runs in a fixture of its own and ends by checking that no block and no descriptor is left behind.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_LOOP_FIXTURE_H
#define HL_LOOP_FIXTURE_H

#include "hl_loop.h"
#include "test_support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct fixture {
    hl_slab *slab;
    hl_loop *loop;
    hl_shared *sh;
    int descriptors; /* open when the test began */
} fixture;

static inline int count_descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static inline fixture *open_fixture(const hl_loop_config *with)
{
    fixture *f = calloc(1, sizeof *f);
    f->descriptors = count_descriptors();
    f->slab = hl_slab_new(0);
    assert_non_null(f->slab);
    hl_loop_config c = with ? *with : (hl_loop_config){0};
    c.slab = f->slab;
    const char *backend = getenv("HL_TEST_BACKEND"); /* "epoll", "io_uring": the same bodies run on each */
    if (backend != NULL)
        c.backend = strcmp(backend, "io_uring") == 0 ? HL_BACKEND_URING : HL_BACKEND_EPOLL;
    if (getenv("HL_TEST_ONE_THREAD") != NULL)
        c.one_thread = 1;
    int error = 1;
    f->loop = hl_loop_new(&c, &error);
    assert_int_equal(error, 0);
    f->sh = hl_loop_shared(f->loop);
    if (backend != NULL && strcmp(hl_loop_backend(f->loop), backend) != 0)
        fail_msg("backend %s: error %d", backend, hl_loop_backend_error(f->loop, NULL));
    return f;
}

static inline void close_fixture(fixture *f)
{
    hl_loop_free(f->loop);
    assert_int_equal(hl_slab_free(f->slab), 0);
    assert_int_equal(count_descriptors(), f->descriptors);
    free(f);
}

/* Bytes of the slab that are given out. */
static inline uint64_t bytes_in_use(fixture *f)
{
    hl_slab_stats stats;
    hl_slab_stats_read(f->slab, &stats);
    uint64_t n = 0;
    for (int i = 0; i <= HL_SLAB_CLASSES; i++)
        n += stats.classes[i].in_use * stats.classes[i].size;
    return n;
}

/* ------------------------------------------------------------------ the owner's side */

static inline void push(fixture *f, hl_op op)
{
    hl_ring *sq = &f->sh->sq;
    assert_true(sq->tail - sq->head <= sq->mask);
    ((hl_op *)sq->entries)[sq->tail & sq->mask] = op;
    sq->tail++;
}

/* Copies bytes to the staging area, after `headroom` bytes. */
static inline void *stage(fixture *f, const void *p, size_t n, size_t headroom)
{
    assert_true(f->sh->stage_used + headroom + n <= f->sh->stage->size);
    uint8_t *to = hl_block_data(f->sh->stage) + f->sh->stage_used + headroom;
    if (n > 0)
        memcpy(to, p, n);
    f->sh->stage_used += headroom + n;
    return to;
}

static inline void push_send(fixture *f, hl_handle h, const void *p, size_t n)
{
    push(f, (hl_op){.code = HL_OP_SEND, .handle = h, .data = stage(f, p, n, 0), .len = n});
}

static inline void push_frame(fixture *f, hl_handle h, uint8_t kind, const void *p, size_t n)
{
    void *at = stage(f, p, n, hl_ws_header_size(n, 0));
    push(f, (hl_op){.code = HL_OP_SEND, .handle = h, .kind = kind, .flags = HL_HEADROOM, .data = at, .len = n});
}

static inline void push_code(fixture *f, hl_handle h, uint8_t code, int32_t arg)
{
    push(f, (hl_op){.code = code, .handle = h, .arg = arg});
}

static inline hl_handle attach(fixture *f, int fd, uint16_t flags)
{
    hl_handle h = hl_loop_reserve(f->loop);
    assert_int_not_equal(h, 0);
    push(f, (hl_op){.code = HL_OP_ATTACH, .handle = h, .arg = fd, .flags = flags, .user = 0xfeed});
    return h;
}

/* The next event without turning the loop, or one of type 0. */
static inline hl_event pop(fixture *f)
{
    hl_ring *cq = &f->sh->cq;
    if (cq->head == cq->tail)
        return (hl_event){0};
    hl_event e = ((hl_event *)cq->entries)[cq->head & cq->mask];
    cq->head++;
    return e;
}

/* Turns until an event comes; fails the test when none does for 10 s. */
static inline hl_event next(fixture *f)
{
    for (int i = 0; i < 1000; i++) {
        hl_event e = pop(f);
        if (e.type != 0)
            return e;
        assert_true(hl_loop_enter(f->loop, 10, 0) >= 0);
    }
    fail_msg("no event within 10 s");
    return (hl_event){0};
}

static inline hl_event expect(fixture *f, uint8_t type, hl_handle h)
{
    hl_event e = next(f);
    if (e.type != type || e.handle != h)
        fail_msg("event type %d result %d flags %d, expected type %d", e.type, e.result, e.flags, type);
    return e;
}

static inline void turn(fixture *f)
{
    assert_true(hl_loop_enter(f->loop, 0, 0) >= 0);
}

static inline hl_loop_stats loop_stats(fixture *f)
{
    hl_loop_stats st;
    hl_loop_stats_read(f->loop, &st);
    return st;
}

static inline uint64_t queued(fixture *f, hl_handle h)
{
    return hl_loop_stream_stats(f->loop, h)->queued;
}

/* ------------------------------------------------------------------ the peer's side */

/* A connected pair; [0] is for the loop, [1] the peer's, which is non-blocking. */
static inline void make_pair(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

static inline void peer_write(int fd, const void *p, size_t n)
{
    assert_int_equal(send(fd, p, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Reads what is there; -1: nothing, 0: end. */
static inline ssize_t peer_read(int fd, void *p, size_t n)
{
    return recv(fd, p, n, MSG_DONTWAIT);
}

/* Turns the loop until the peer has received exactly n bytes. */
static inline void peer_read_all(fixture *f, int fd, void *p, size_t n)
{
    size_t have = 0;
    for (int idle = 0; have < n && idle < 10000; idle++) {
        ssize_t r = peer_read(fd, (uint8_t *)p + have, n - have);
        if (r == 0)
            fail_msg("end of stream after %zu of %zu bytes", have, n);
        if (r > 0) {
            have += (size_t)r;
            idle = 0;
        } else {
            assert_true(hl_loop_enter(f->loop, 1, 0) >= 0);
        }
    }
    assert_int_equal(have, n);
}

static inline void peer_expect(fixture *f, int fd, const void *want, size_t n)
{
    uint8_t *got = malloc(n ? n : 1);
    peer_read_all(f, fd, got, n);
    assert_memory_equal(got, want, n);
    free(got);
}

/* Turns the loop until the peer sees the end of the stream. */
static inline void peer_expect_end(fixture *f, int fd)
{
    for (int i = 0; i < 10000; i++) {
        char c;
        ssize_t r = peer_read(fd, &c, 1);
        if (r == 0)
            return;
        if (r > 0)
            fail_msg("a byte (%d) where the end was expected", c);
        assert_true(hl_loop_enter(f->loop, 1, 0) >= 0);
    }
    fail_msg("no end of stream within 10 s");
}

static inline int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

#endif /* HL_LOOP_FIXTURE_H */
