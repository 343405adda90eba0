/*
 * hl_stack.h - a lock-free stack for any number of threads that pushes and pops whole runs.
 *
 * R. K. Treiber, "Systems Programming: Coping with Parallelism" (IBM RJ 5118, 1986). Its head carries a count of
 * changes beside the reference, after "IBM System/370 Extended Architecture, Principles of Operation" (1983, appendix
 * A, on free-pool lists), so that a head which is A again after it has been B is not mistaken for one that was A all
 * the time.
 *
 * The elements are the caller's and have numbers from 1 (0: none). Numbers in place of addresses leave 32 bits of a
 * 64-bit word for the count, without a 128-bit compare-and-swap. The link of each element is a uint32_t in the caller's
 * memory, found by a function of the caller's, which the compiler inlines. It need not lie in the element, and had
 * better not: popping then touches no element at all.
 *
 * Invariants
 *   1. Every successful compare-and-swap on `head` adds one to the count. So if one succeeds, nothing was pushed or
 *      popped since its head was read (unless exactly a multiple of 2^32 changes fell in between), the elements below
 *      that head were on the stack all the time, and the links read on the way are the stack's: a whole run may be
 *      popped at once.
 *   2. Links stay readable while the stack is in use, those of elements that are off it included. So the link of an
 *      element that another thread has popped meanwhile may be read; what it says is then discarded with the failed
 *      compare-and-swap. The memory of the elements themselves may go as soon as they are popped.
 *   3. A link holds 0 or the number of an element that had been pushed. So even a discarded link leads to a link (2).
 *   4. A number travels through release-acquire pairs only (head, link). What its first pusher knew, such as where its
 *      link lies, is known to whoever comes across it, by a stale link too.
 *   5. Elements that are off the stack belong to whoever popped them, and so do their links, until they are pushed.
 *
 * Every operation is lock-free; none waits.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_STACK_H
#define HL_STACK_H

#include "hl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All zeros: empty. */
typedef struct hl_stack {
    uint64_t head; /* atomic: count of changes << 32 | number of the first element, or 0 */
} hl_stack;

/* The link of element `number`, 1 or above, among `elements`, which is what the caller gave the stack's function. */
typedef uint32_t *hl_stack_link(const void *elements, uint32_t number);

static inline uint64_t hl__stack_next(uint64_t head, uint32_t first)
{
    return ((head >> 32) + 1) << 32 | first; /* the count wraps */
}

/* True when there was nothing on the stack a moment ago. Any thread. */
static inline int hl_stack_empty(const hl_stack *s)
{
    /* relaxed: a hint; whoever acts on it pops, or pushes */
    return (uint32_t)__atomic_load_n(&s->head, __ATOMIC_RELAXED) == 0;
}

/* Lays `below` (or 0) under `number`. Both are the caller's (5). */
static inline void hl_stack_join(hl_stack_link *link, const void *elements, uint32_t number, uint32_t below)
{
    /* release: publishes what we know of `below` to a pop that reads this link when it is none of its business (4) */
    __atomic_store_n(link(elements, number), below, __ATOMIC_RELEASE);
}

/* What lies under `number`, which is the caller's, or 0. */
static inline uint32_t hl_stack_below(hl_stack_link *link, const void *elements, uint32_t number)
{
    /* acquire: for whoever follows a run that hl_stack_take gave it (4) */
    return __atomic_load_n(link(elements, number), __ATOMIC_ACQUIRE);
}

/* Pushes the run of the caller's elements from `first` down to `last`, joined before (one element: first == last). Any
 * thread. */
static inline void hl_stack_push(hl_stack *s, hl_stack_link *link, const void *elements, uint32_t first, uint32_t last)
{
    /* acquire, also on failure below: who passes a number on in a link has to know it (4) */
    uint64_t head = __atomic_load_n(&s->head, __ATOMIC_ACQUIRE);
    int pushed;
    do {
        hl_stack_join(link, elements, last, (uint32_t)head);
        /* release: publishes the run's links and our last accesses to its elements to the acquire of who pops them. All
         * changes of head are read-modify-writes, so it reaches them through later changes too. */
        pushed = __atomic_compare_exchange_n(&s->head, &head, hl__stack_next(head, first), 1, __ATOMIC_RELEASE,
                                             __ATOMIC_ACQUIRE);
    } while (!pushed);
}

/* Pops up to `want` elements into `out`, the first first. Returns how many; 0: there was none. Any thread. */
static inline uint32_t hl_stack_pop(hl_stack *s, hl_stack_link *link, const void *elements, uint32_t *out,
                                    uint32_t want)
{
    /* acquire, also on failure below: the links of all that lies on the stack are written (4) */
    uint64_t head = __atomic_load_n(&s->head, __ATOMIC_ACQUIRE);
    for (;;) {
        uint32_t n = 0, number = (uint32_t)head;
        while (n < want && number != 0) {
            out[n++] = number;
            number = hl_stack_below(link, elements, number); /* perhaps of an element that is gone (2, 3) */
        }
        /* acquire: the elements are ours together with what their last users left in them */
        if (n == 0 || __atomic_compare_exchange_n(&s->head, &head, hl__stack_next(head, number), 1, __ATOMIC_ACQUIRE,
                                                  __ATOMIC_ACQUIRE)) {
            return n;
        }
    }
}

/* Pops everything. Returns the first element, or 0; hl_stack_below leads to the others. Any thread. */
static inline uint32_t hl_stack_take(hl_stack *s)
{
    /* relaxed: nothing is read before the compare-and-swap */
    uint64_t head = __atomic_load_n(&s->head, __ATOMIC_RELAXED);
    /* not an exchange: the count has to go on (1). acquire: as in hl_stack_pop */
    while ((uint32_t)head != 0 && !__atomic_compare_exchange_n(&s->head, &head, hl__stack_next(head, 0), 1,
                                                               __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
    }
    return (uint32_t)head;
}

#ifdef __cplusplus
}
#endif
#endif /* HL_STACK_H */
