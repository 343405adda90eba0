/*
 * spin.c - see spin.h.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "core.h"

#include <time.h>

static uint64_t microseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* More budget. One that was 0 starts at an eighth: it takes three gains in a row to spin in full again. */
static void grow(hl_loop *l)
{
    uint32_t most = l->config.spin_us, more = l->spin.budget > 0 ? l->spin.budget * 2 : (most + 7) / 8;
    l->spin.budget = more < most ? more : most;
}

void hl__spin_init(hl_loop *l)
{
    l->spin.budget = l->config.spin_us;
}

int hl__spin(hl_loop *l)
{
    if (l->config.spin_us == 0)
        return 0;
    l->spin.began = microseconds();
    if (l->spin.budget == 0)
        return 0;
    HL_COUNT(l->stats.spins, 1);
    do {
        int r = l->backend->wait(l, 0);
        if (r < 0)
            return r;
        if (hl__has_work(l) || hl__called(l)) {
            HL_COUNT(l->stats.spin_hits, 1);
            grow(l);
            return 1;
        }
    } while (microseconds() - l->spin.began < l->spin.budget);
    return 0;
}

void hl__spin_learn(hl_loop *l, int found)
{
    if (l->config.spin_us == 0)
        return;
    if (found && microseconds() - l->spin.began < l->config.spin_us)
        grow(l);
    else
        l->spin.budget /= 2;
}
