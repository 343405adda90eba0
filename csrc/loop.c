/*
 * loop.c - see hl_loop.h: a loop's birth and end, and its turn.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

void hl__clock(hl_loop *l)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    l->now = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------ birth */

static int in_bounds(uint64_t *value, uint64_t fallback, uint64_t least, uint64_t most)
{
    if (*value == 0)
        *value = fallback;
    return *value >= least && *value <= most;
}

static int in_bounds32(uint32_t *value, uint32_t fallback, uint32_t least, uint32_t most)
{
    uint64_t wide = *value;
    int ok = in_bounds(&wide, fallback, least, most);
    *value = (uint32_t)wide;
    return ok;
}

static int check(hl_loop_config *c)
{
    int ok = c->slab != NULL && c->ws.client == 0 && c->ws.streamed == 0 && c->backend <= HL_BACKEND_URING;
    ok &= in_bounds32(&c->ring, 1024, 64, 65536) && (c->ring & (c->ring - 1)) == 0;
    ok &= in_bounds32(&c->batch, 256, 1, 4096);
    ok &= in_bounds32(&c->recv_size, 65536, 512, 4u << 20);
    ok &= in_bounds32(&c->stage_size, 262144, 4096, 4u << 20);
    ok &= in_bounds32(&c->slots, 1u << 20, 1, HL__SLOTS_MAX);
    ok &= in_bounds32(&c->high_water, 1u << 20, 2, UINT32_MAX);
    ok &= in_bounds32(&c->low_water, c->high_water / 4 ? c->high_water / 4 : 1, 1, c->high_water - 1);
    ok &= in_bounds32(&c->close_ms, 5000, 1, INT32_MAX);
    ok &= c->one_thread <= 1 && c->home <= 1u << 16 && c->busy_poll_us <= 10000 && c->spin_us <= HL_SPIN_MAX;
    ok &= in_bounds(&c->ws.max_message, 16u << 20, 1, (uint64_t)1 << 62);
    return ok;
}

static int make_rings(hl_loop *l)
{
    uint32_t n = l->config.ring;
    int node = (int)l->config.home - 1;
    l->rings = hl_slab_get_on(l->config.slab, n * (sizeof(hl_op) + sizeof(hl_event)), node);
    l->pin_block = hl_slab_get_on(l->config.slab, n * sizeof(hl_block *), node);
    l->shared.stage = hl_slab_get_on(l->config.slab, l->config.stage_size, node);
    if (l->rings == NULL || l->pin_block == NULL || l->shared.stage == NULL)
        return -ENOMEM;
    l->shared.sq.entries = hl_block_data(l->rings);
    l->shared.cq.entries = hl_block_data(l->rings) + n * sizeof(hl_op);
    l->shared.sq.mask = l->shared.cq.mask = n - 1;
    l->pins = (hl_block **)hl_block_data(l->pin_block);
    l->pin_room = (uint32_t)(l->pin_block->size / sizeof(hl_block *));
    return 0;
}

/* Gives back what does not depend on the backend. */
static void free_memory(hl_loop *l)
{
    hl__unpin_all(l);
    hl__table_fini(&l->table);
    hl_block_unref(l->recv);
    hl_block_unref(l->shared.stage);
    hl_block_unref(l->pin_block);
    hl_block_unref(l->rings);
    hl__output_fini(l);
    hl_deflate_pool_free(l->deflate_pool);
    if (l->cache != NULL)
        hl_cache_free(l->cache);
    hl_block_unref(l->self);
}

#ifdef HL_NO_URING
static int open_uring(hl_loop *l)
{
    l->backend_step = "io_uring, not built in";
    return -ENOSYS;
}
#else
static int open_uring(hl_loop *l)
{
    l->backend = &hl__uring;
    return l->backend->open(l);
}
#endif

/* Opens the backend that is asked for, or epoll when that is not to be had. */
static int open_backend(hl_loop *l)
{
    if (l->config.backend == HL_BACKEND_URING) {
        l->backend_error = open_uring(l);
        if (l->backend_error == 0)
            return 0;
    }
    l->backend = &hl__epoll;
    return l->backend->open(l);
}

hl_loop *hl_loop_new(const hl_loop_config *config, int *error)
{
    hl_loop_config c = *config;
    if (!check(&c)) {
        *error = -EINVAL;
        return NULL;
    }
    *error = -ENOMEM;
    hl_block *self = hl_slab_get_on(c.slab, sizeof(hl_loop), (int)c.home - 1);
    if (self == NULL)
        return NULL;
    hl_loop *l = (hl_loop *)hl_block_data(self);
    memset(l, 0, sizeof *l);
    l->self = self;
    l->config = c;
    hl_mailbox_init(&l->shared.mailbox);
    hl__clock(l);
    hl_wheel_init(&l->wheel, l->now);
    hl__spin_init(l);
    l->cache = hl_cache_new_on(c.slab, (int)c.home - 1);
    if (l->cache != NULL && make_rings(l) == 0 &&
        hl__table_init(&l->table, c.slab, c.slots, (uint32_t)sizeof(hl_stream)) == 0)
        *error = open_backend(l);
    if (*error < 0) {
        free_memory(l);
        return NULL;
    }
    return l;
}

/* ------------------------------------------------------------------ the turn */

static void run_inputs(hl_loop *l)
{
    hl_slot *s;
    l->reserve = l->config.ring / 2; /* for what is ready: streams with much to say must not silence the others */
    hl_slot *last = l->lists[HL_LIST_INPUT].last; /* who is put behind it meanwhile comes next time */
    while (hl__room(l) > 0 && (s = hl__list_take(l, HL_LIST_INPUT)) != NULL) {
        hl__stream_input(l, (hl_stream *)s);
        if (s == last)
            break;
    }
    l->reserve = 0;
}

static void run_timers(hl_loop *l)
{
    hl_timer *t;
    if (l->behind > 0)
        return; /* who seems late may be among those that have not been heard yet */
    while ((t = hl_wheel_expire(&l->wheel, l->now)) != NULL) {
        hl_slot *s = (hl_slot *)((char *)t - offsetof(hl_slot, timer));
        if (s->kind == HL_KIND_STREAM)
            hl__stream_timer(l, (hl_stream *)s);
        else if (s->kind == HL_KIND_LISTENER)
            hl__listener_timer(l, s);
        else
            hl__notice(l, s, HL_NOTICE_TIMER);
    }
}

static uint32_t ready_events(const hl_loop *l)
{
    return l->shared.cq.tail - l->shared.cq.head;
}

int hl__has_work(const hl_loop *l)
{
    return ready_events(l) > 0 || l->lists[HL_LIST_INPUT].first != NULL || l->lists[HL_LIST_NOTICE].first != NULL ||
           l->behind > 0;
}

int hl__called(const hl_loop *l)
{
    /* relaxed: a hint that a loop which is awake takes; what it announces is taken by an acquiring exchange */
    return __atomic_load_n(&l->shared.mailbox.head, __ATOMIC_RELAXED) != NULL ||
           __atomic_load_n(&l->nudged, __ATOMIC_RELAXED);
}

int hl__may_wait(const hl_loop *l, int64_t asked)
{
    int64_t timer = hl_wheel_next(&l->wheel, l->now);
    if (timer >= 0 && (asked < 0 || timer < asked))
        asked = timer;
    return asked < 0 ? -1 : asked < INT_MAX ? (int)asked : INT_MAX;
}

/* How long there is nothing to do, at most `asked` ms; negative: without limit. */
static int idle_time(const hl_loop *l, int64_t asked)
{
    return asked == 0 || hl__has_work(l) ? 0 : hl__may_wait(l, asked);
}

/* Announces to other threads that they have to wake the loop from now on. 0: they already had something to say. */
static int fall_asleep(hl_loop *l)
{
    if (!hl_mailbox_sleep(&l->shared.mailbox))
        return 0;
    /* seq_cst, as in hl_loop_wake: either we see its `nudged`, or it sees that we sleep */
    if (__atomic_exchange_n(&l->nudged, 0, __ATOMIC_SEQ_CST)) {
        hl_mailbox_awake(&l->shared.mailbox);
        return 0;
    }
    HL_COUNT(l->stats.waits, 1);
    return 1;
}

/* Those who asked for the turn to end until now are served by its ending. */
static void serve_nudges(hl_loop *l)
{
    /* relaxed: one that is not seen yet is served by the next turn */
    if (__atomic_load_n(&l->nudged, __ATOMIC_RELAXED))
        __atomic_exchange_n(&l->nudged, 0, __ATOMIC_ACQ_REL); /* acquire: what they had done before */
}

/* What is kept while the loop sleeps is of no use to anybody. */
static void give_back(hl_loop *l)
{
    if (l->deflate_pool != NULL && hl_cache_asked(l->cache))
        hl_deflate_pool_trim(l->deflate_pool);
    hl_cache_heed(l->cache);
}

/* Receives, waiting for at most `asked` ms if there is nothing to do. Negative: the backend broke. */
static int await(hl_loop *l, int64_t asked)
{
    int idle = idle_time(l, asked);
    if (idle != 0) {
        int r = hl__spin(l);
        if (r > 0)
            serve_nudges(l);
        if (r != 0)
            return r < 0 ? r : 0;
        idle = idle_time(l, asked); /* spinning takes time */
    }
    if (idle == 0 || !fall_asleep(l))
        return l->backend->wait(l, 0);
    give_back(l);
    int r = l->backend->wait(l, idle);
    hl__spin_learn(l, hl__has_work(l) || hl__called(l));
    hl_mailbox_awake(&l->shared.mailbox);
    serve_nudges(l);
    return r;
}

static void finish_work(hl_loop *l)
{
    hl__output_flush_all(l);
    hl__send_notices(l);
}

/* The rest of a call in mid-turn, whose operations have been performed. */
static void make_room(hl_loop *l, uint32_t flags)
{
    HL_COUNT(l->stats.flushes, 1);
    if (flags & HL_ENTER_FLUSH || hl__output_abounds(l)) {
        hl__output_flush_all(l);
        if (l->backend->submit != NULL)
            l->backend->submit(l);
    }
    if (flags & HL_ENTER_FLUSH)
        hl__stage_restart(l);
}

int hl_loop_enter(hl_loop *l, int64_t timeout_ms, uint32_t flags)
{
    if (l->broken)
        return l->broken;
    hl__clock(l);
    hl__run_ops(l); /* before anything is unpinned: operations may point into this turn's events */
    if (flags != 0) {
        make_room(l, flags);
        return (int)ready_events(l);
    }
    HL_COUNT(l->stats.turns, 1);
    l->received = 0;
    if (ready_events(l) == 0)
        hl__unpin_all(l);
    hl__read_letters(l, hl_mailbox_take(&l->shared.mailbox));
    run_inputs(l);
    finish_work(l);
    hl__stage_restart(l);
    if (hl__room(l) > 0) {
        int r = await(l, timeout_ms);
        if (r < 0)
            return l->broken = r;
    }
    run_timers(l);
    hl__read_letters(l, hl_mailbox_take(&l->shared.mailbox));
    finish_work(l);
    return (int)ready_events(l);
}

/* ------------------------------------------------------------------ the rest of the interface */

hl_shared *hl_loop_shared(hl_loop *l)
{
    return &l->shared;
}

const char *hl_loop_backend(const hl_loop *l)
{
    return l->backend->name;
}

int hl_loop_backend_error(const hl_loop *l, const char **step)
{
    if (step != NULL)
        *step = l->backend_step;
    return l->backend_error;
}

uint32_t hl_loop_features(const hl_loop *l)
{
    return l->features;
}

hl_handle hl_loop_reserve(hl_loop *l)
{
    return hl__table_reserve(&l->table);
}

void hl_loop_cancel(hl_loop *l, hl_handle h)
{
    hl_slot *s = hl__slot(l, h);
    if (s != NULL)
        hl__table_release(&l->table, &s->head);
}

void hl_loop_wake(hl_loop *l)
{
    __atomic_store_n(&l->nudged, 1, __ATOMIC_SEQ_CST); /* for a loop that does not sleep yet: see fall_asleep */
    if (hl_mailbox_nudge(&l->shared.mailbox))
        l->backend->wake(l);
}

const hl_stream_stats *hl_loop_stream_stats(hl_loop *l, hl_handle h)
{
    hl_stream *s = hl__table_at(&l->table, hl_handle_index(h));
    return s ? &s->stats : NULL;
}

void hl_loop_stats_read(hl_loop *l, hl_loop_stats *out)
{
    /* counters only: each is read as it is, relaxed */
    const uint64_t *from = (const uint64_t *)&l->stats;
    uint64_t *to = (uint64_t *)out;
    for (size_t i = 0; i < sizeof *out / sizeof *to; i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    out->slots = __atomic_load_n(&l->table.alive, __ATOMIC_RELAXED);
}

int hl_fd_pollable(int fd)
{
    int set = fcntl(fd, F_GETFD) < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
    if (set < 0)
        return -errno;
    struct epoll_event e = {.events = 0};
    int r = epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
    close(set);
    return r;
}

void hl_loop_free(hl_loop *l)
{
    /* What was queued or posted still takes effect, so that the descriptors it carries are closed below. */
    hl__run_ops(l);
    hl__read_letters(l, hl_mailbox_take(&l->shared.mailbox));
    for (hl_ring *cq = &l->shared.cq; cq->head != cq->tail; cq->head++) {
        hl_event *e = (hl_event *)cq->entries + (cq->head & cq->mask);
        if (e->type == HL_EV_ACCEPT)
            close(e->result);
    }
    uint32_t used = __atomic_load_n(&l->table.fresh, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < used; i++) {
        hl_slot *s = hl__table_at(&l->table, i);
        if (s->kind == HL_KIND_NONE)
            continue;
        hl__end(l, s, 0);
        if (s->kind == HL_KIND_STREAM)
            hl_block_unref(((hl_stream *)s)->aside);
    }
    l->backend->close(l);
    free_memory(l);
}
