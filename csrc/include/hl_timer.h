/*
 * hl_timer.h - a hierarchical timer wheel with intrusive timers.
 *
 * Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7: HL_WHEEL_LEVELS wheels of 64
 * slots, each 64 times coarser than the one below; the lowest has one slot a millisecond. Setting and cancelling are
 * O(1); a timer moves down at most HL_WHEEL_LEVELS-1 times before it fires. A 64-bit map of occupied slots per level
 * tells the next slot to look at without walking empty ones. The horizon is 64^6 ms, over two years; later deadlines
 * are looked at once per horizon and filed again.
 *
 * A timer never fires early: it is returned by hl_wheel_expire(now) only when its deadline <= now. Timers that fall due
 * in one call come out in the order of their deadlines, those of one deadline in no promised order. A wheel and its
 * timers belong to one thread; a wheel in use does not move.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_TIMER_H
#define HL_TIMER_H

#include "hl.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HL_WHEEL_LEVELS 6
#define HL_WHEEL_SLOTS 64

/* Embed it in what it times. All zero is a valid idle timer. Fields are the wheel's. */
typedef struct hl_timer {
    struct hl_timer *next;
    struct hl_timer **prev_next; /* what points at this timer; NULL while idle */
    uint64_t deadline;           /* ms */
} hl_timer;

typedef struct hl_wheel {
    uint64_t now;                           /* all slots before this time are done */
    uint64_t count;                         /* timers set */
    uint64_t occupied[HL_WHEEL_LEVELS];     /* bit s: slot s of that level is not empty */
    hl_timer *slots[HL_WHEEL_LEVELS][HL_WHEEL_SLOTS];
    hl_timer *expired;                      /* due, not yet handed out */
    hl_timer **expired_end;                 /* the NULL that ends that list: the next due timer goes there */
} hl_wheel;

void hl_wheel_init(hl_wheel *w, uint64_t now);

/* Sets or resets t to fire at `deadline`; one in the past fires at the next hl_wheel_expire. */
void hl_timer_set(hl_wheel *w, hl_timer *t, uint64_t deadline);

/* Returns 1 when t was set, 0 when it was idle already. */
int hl_timer_cancel(hl_wheel *w, hl_timer *t);

static inline int hl_timer_is_set(const hl_timer *t) { return t->prev_next != NULL; }

/* Advances to `now` and returns one due timer, idle again, or NULL when none is left. A time that runs backwards is
 * taken as the time of the last call. Callers may set and cancel timers between calls, and may stop before NULL. */
hl_timer *hl_wheel_expire(hl_wheel *w, uint64_t now);

/* Milliseconds from `now` until hl_wheel_expire should be called again: never later than the next deadline, possibly
 * earlier (when a coarse slot has to be filed down); 0 when one is due; -1 when no timer is set. */
int64_t hl_wheel_next(const hl_wheel *w, uint64_t now);

#ifdef __cplusplus
}
#endif
#endif /* HL_TIMER_H */
