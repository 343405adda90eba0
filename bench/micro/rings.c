/*
 * rings.c - the SPSC and the MPMC ring beside Concurrency Kit's (ck_ring), same sizes, same values.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_mpmc.h"
#include "hl_spsc.h"
#include "micro.h"

#include <ck_ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#define INLINE static inline __attribute__((always_inline)) /* so that every ring is compiled into its own loops */

enum { SIZE = 1024, BURST = SIZE / 2, TRANSFERS = BURST * 800 };

typedef int push(uint64_t);
typedef int pop(uint64_t *);

static hl_spsc spsc;
static hl_mpmc mpmc;
static ck_ring_t ck;
static uint64_t spsc_entries[SIZE];
static hl_mpmc_cell mpmc_cells[SIZE];
static ck_ring_buffer_t ck_buffer[SIZE];

INLINE int spsc_push(uint64_t v)
{
    return hl_spsc_push(&spsc, v);
}

INLINE int spsc_pop(uint64_t *v)
{
    return hl_spsc_pop(&spsc, v);
}

INLINE int mpmc_push(uint64_t v)
{
    return hl_mpmc_push(&mpmc, v);
}

INLINE int mpmc_pop(uint64_t *v)
{
    return hl_mpmc_pop(&mpmc, v);
}

INLINE int ck_spsc_push(uint64_t v)
{
    return ck_ring_enqueue_spsc(&ck, ck_buffer, (void *)(uintptr_t)v);
}

INLINE int ck_spsc_pop(uint64_t *v)
{
    return ck_ring_dequeue_spsc(&ck, ck_buffer, (void **)v);
}

INLINE int ck_mpmc_push(uint64_t v)
{
    return ck_ring_enqueue_mpmc(&ck, ck_buffer, (void *)(uintptr_t)v);
}

INLINE int ck_mpmc_pop(uint64_t *v)
{
    return ck_ring_dequeue_mpmc(&ck, ck_buffer, (void **)v);
}

static void empty_all(void)
{
    hl_spsc_init(&spsc, spsc_entries, SIZE);
    hl_mpmc_init(&mpmc, mpmc_cells, SIZE);
    ck_ring_init(&ck, SIZE);
}

/* A ring that loses values has no speed. */
static void check(uint64_t sum, uint64_t threads)
{
    if (sum != threads * ((uint64_t)TRANSFERS * (TRANSFERS + 1) / 2))
        abort();
}

INLINE void push_all(push *put)
{
    for (uint64_t i = 1; i <= TRANSFERS; i++)
        while (!put(i))
            sched_yield();
}

INLINE uint64_t pop_all(pop *get)
{
    uint64_t v, sum = 0;
    for (int i = 0; i < TRANSFERS; i++) {
        while (!get(&v))
            sched_yield();
        sum += v;
    }
    return sum;
}

INLINE uint64_t push_and_pop_all(push *put, pop *get)
{
    uint64_t v, sum = 0;
    for (uint64_t i = 1; i <= TRANSFERS; i++) {
        while (!put(i))
            sched_yield();
        while (!get(&v))
            sched_yield();
        sum += v;
    }
    return sum;
}

/* A push and a pop on one thread, in bursts that fill half of the ring. */
INLINE double alone(push *put, pop *get)
{
    uint64_t v = 0, sum = 0, next = 1;
    empty_all();
    double start = now();
    while (next <= TRANSFERS) {
        for (int i = 0; i < BURST; i++)
            put(next++);
        for (int i = 0; i < BURST; i++) {
            get(&v);
            sum += v;
        }
    }
    double spent = now() - start;
    check(sum, 1);
    return spent / TRANSFERS;
}

/* One value from a thread to another, the ring full or empty as it comes. */
INLINE double across(void *(*pusher)(void *), pop *get)
{
    pthread_t t;
    empty_all();
    double start = now();
    pthread_create(&t, NULL, pusher, NULL);
    uint64_t sum = pop_all(get);
    double spent = now() - start;
    pthread_join(t, NULL);
    check(sum, 1);
    return spent / TRANSFERS;
}

/* A push and a pop while another thread does the same. */
INLINE double contended(void *(*other)(void *), push *put, pop *get)
{
    pthread_t t;
    uint64_t its_sum = 0;
    empty_all();
    double start = now();
    pthread_create(&t, NULL, other, &its_sum);
    uint64_t sum = push_and_pop_all(put, get);
    pthread_join(t, NULL);
    double spent = now() - start;
    check(sum + its_sum, 2);
    return spent / TRANSFERS;
}

/* What is measured of each ring. */
#define MEASURE(ring)                                                                                                  \
    static void *ring##_pusher(void *arg)                                                                              \
    {                                                                                                                  \
        stay_on(1);                                                                                                    \
        push_all(ring##_push);                                                                                         \
        return arg;                                                                                                    \
    }                                                                                                                  \
    static double ring##_across(void)                                                                                  \
    {                                                                                                                  \
        return across(ring##_pusher, ring##_pop);                                                                      \
    }                                                                                                                  \
    static double ring##_alone(void)                                                                                   \
    {                                                                                                                  \
        return alone(ring##_push, ring##_pop);                                                                         \
    }
#define MEASURE_CONTENDED(ring)                                                                                        \
    static void *ring##_other(void *sum)                                                                               \
    {                                                                                                                  \
        stay_on(1);                                                                                                    \
        *(uint64_t *)sum = push_and_pop_all(ring##_push, ring##_pop);                                                  \
        return NULL;                                                                                                   \
    }                                                                                                                  \
    static double ring##_contended(void)                                                                               \
    {                                                                                                                  \
        return contended(ring##_other, ring##_push, ring##_pop);                                                       \
    }

MEASURE(spsc)
MEASURE(ck_spsc)
MEASURE(mpmc)
MEASURE(ck_mpmc)
MEASURE_CONTENDED(mpmc)
MEASURE_CONTENDED(ck_mpmc)

static void beside_ck(const char *what, measured *ours, measured *theirs)
{
    compare((comparison){what, ours, "Concurrency Kit", theirs, .target = 1.2});
}

void compare_rings(void)
{
    stay_on(0);
    beside_ck("SPSC ring, thread to thread", spsc_across, ck_spsc_across);
    beside_ck("SPSC ring, one thread, bursts of 512", spsc_alone, ck_spsc_alone);
    beside_ck("MPMC ring, thread to thread", mpmc_across, ck_mpmc_across);
    beside_ck("MPMC ring, two threads push and pop", mpmc_contended, ck_mpmc_contended);
    beside_ck("MPMC ring, one thread, bursts of 512", mpmc_alone, ck_mpmc_alone);
}
