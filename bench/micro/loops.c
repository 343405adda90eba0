/*
 * loops.c - timers, with few and with many armed; a turn of a loop that has nothing to do.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_loop.h"
#include "hl_timer.h"
#include "micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { FEW = 1000, MANY = 1000000, SETS = 200000, TURNS = 20000 };

static hl_wheel few, many;

/* Arms n timers over the next hour. */
static hl_timer *arm(hl_wheel *w, size_t n)
{
    hl_timer *timers = calloc(n, sizeof *timers);
    if (timers == NULL)
        abort();
    hl_wheel_init(w, 1000);
    for (size_t i = 0; i < n; i++)
        hl_timer_set(w, &timers[i], 1000 + (i * 7919) % 3600000);
    return timers;
}

/* Sets another one, over the same hour, and cancels it. */
static double set_and_cancel(hl_wheel *w)
{
    static hl_timer t;
    double start = now();
    for (uint64_t i = 0; i < SETS; i++) {
        hl_timer_set(w, &t, 1000 + (i * 104729) % 3600000);
        hl_timer_cancel(w, &t);
    }
    return (now() - start) / SETS;
}

static double among_few(void)
{
    return set_and_cancel(&few);
}

static double among_many(void)
{
    return set_and_cancel(&many);
}

void compare_timers(void)
{
    hl_timer *a = arm(&few, FEW), *b = arm(&many, MANY);
    compare(
        (comparison){"timer set and cancelled, 1,000,000 armed", among_many, "1,000 armed", among_few, .target = 1.5});
    free(a);
    free(b);
}

static hl_loop *loop;
static int epoll_fd;

static double turn(void)
{
    double start = now();
    for (int i = 0; i < TURNS; i++)
        hl_loop_enter(loop, 0, 0);
    return (now() - start) / TURNS;
}

static double bare_call(void)
{
    struct epoll_event e;
    double start = now();
    for (int i = 0; i < TURNS; i++)
        epoll_wait(epoll_fd, &e, 1, 0);
    return (now() - start) / TURNS;
}

static void compare_turn(const char *what, hl_slab *slab, uint32_t backend, uint32_t one_thread)
{
    int error;
    loop = hl_loop_new(&(hl_loop_config){.slab = slab, .backend = backend, .one_thread = one_thread}, &error);
    if (loop == NULL)
        abort();
    if (hl_loop_backend_error(loop, NULL) == 0)
        compare((comparison){what, turn, "epoll_wait", bare_call, .target = 0});
    else
        printf("%-40s not to be had here\n", what);
    hl_loop_free(loop);
}

void compare_turns(void)
{
    hl_slab *slab = hl_slab_new(0);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    compare_turn("empty turn, epoll", slab, HL_BACKEND_EPOLL, 0);
    compare_turn("empty turn, io_uring", slab, HL_BACKEND_URING, 0);
    compare_turn("empty turn, io_uring of one thread", slab, HL_BACKEND_URING, 1);
    close(epoll_fd);
    hl_slab_free(slab);
}
