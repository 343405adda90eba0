/*
 * queue_history.h - what several threads did to a queue, and whether it was one.
 *
 * Every push and pop of a distinct value is noted with the times at which it began and ended. Such a history is that of
 * a linearizable queue exactly when (Henzinger, Sezgin, Vafeiadis, "Aspect-Oriented Linearizability Proofs", CONCUR
 * 2013, for histories without a pop that found nothing):
 *   - every value popped was pushed, once, and its pop did not end before its push began;
 *   - no value is popped twice, and when all is done none is left;
 *   - if the push of a ended before the push of b began, the pop of b did not end before the pop of a began.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef QUEUE_HISTORY_H
#define QUEUE_HISTORY_H

#include "test_support.h"

#include <string.h>
#include <time.h>

typedef struct span {
    uint64_t began, ended; /* ns; 0: did not happen */
} span;

typedef struct value_history {
    span push, pop;
    uint32_t pops;
} value_history;

static inline uint64_t moment(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int by_push_end(const void *a, const void *b)
{
    const value_history *x = a, *y = b;
    return x->push.ended < y->push.ended ? -1 : x->push.ended > y->push.ended;
}

static int by_push_begin(const void *a, const void *b)
{
    const value_history *x = a, *y = b;
    return x->push.began < y->push.began ? -1 : x->push.began > y->push.began;
}

/* What is wrong with the histories of n values, or NULL. Sorts them. */
static inline const char *queue_history_flaw(value_history *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (values[i].pops != 1)
            return values[i].pops == 0 ? "a value was lost" : "a value came twice";
        if (values[i].pop.ended < values[i].push.began)
            return "a value came before it was pushed";
    }
    value_history *begins = malloc(n * sizeof *begins);
    assert_non_null(begins);
    memcpy(begins, values, n * sizeof *begins);
    qsort(values, n, sizeof *values, by_push_end);
    qsort(begins, n, sizeof *begins, by_push_begin);
    /* For each b, the latest pop among all a whose push ended before that of b began. */
    uint64_t latest = 0;
    const char *flaw = NULL;
    for (size_t a = 0, b = 0; b < n && flaw == NULL; b++) {
        for (; a < n && values[a].push.ended < begins[b].push.began; a++)
            if (values[a].pop.began > latest)
                latest = values[a].pop.began;
        if (begins[b].pop.ended < latest)
            flaw = "a value overtook an older one";
    }
    free(begins);
    return flaw;
}

#endif /* QUEUE_HISTORY_H */
