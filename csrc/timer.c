/*
 * timer.c - the hierarchical timer wheel of hl_timer.h.
 *
 * Time is read as base-64 digits. A timer is filed at the highest digit in which its deadline differs from `now`, in
 * the slot which that digit names; the digits above are equal. The top level stands for all higher digits too: its
 * slots form a circle, and what lies more than a round ahead is filed again each time its slot is reached.
 *
 * Invariants, between calls
 *   1. A timer in a slot has deadline > now. Due timers are in `expired`, in the order of their deadlines as far as one
 *      call of hl_wheel_expire has collected them.
 *   2. Below the top level every occupied slot is ahead of the one that now's own digit names: timers of that one
 *      differ from now in a lower digit only, and are filed lower. On the top level now's own slot holds timers that
 *      are whole rounds ahead: it comes last.
 *   3. So every timer of a level starts before every slot of the levels above, and the first occupied slot of the
 *      lowest occupied level is the next one to look at.
 *   4. Bit s of occupied[l] is set exactly when slots[l][s] is not empty.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "hl_timer.h"

enum { DIGIT = 6, DIGIT_MASK = HL_WHEEL_SLOTS - 1, TOP = HL_WHEEL_LEVELS - 1, TOP_SHIFT = DIGIT * TOP };

_Static_assert(HL_WHEEL_SLOTS == 1 << DIGIT, "a level is one digit");

/* A slot, and the first millisecond it stands for. */
typedef struct place {
    unsigned level;
    unsigned slot;
    uint64_t start; /* ms */
} place;

void hl_wheel_init(hl_wheel *w, uint64_t now)
{
    *w = (hl_wheel){.now = now};
    w->expired_end = &w->expired;
}

static void link_timer(hl_timer **at, hl_timer *t)
{
    t->next = *at;
    t->prev_next = at;
    if (t->next != NULL) {
        t->next->prev_next = &t->next;
    }
    *at = t;
}

static void append_expired(hl_wheel *w, hl_timer *t)
{
    link_timer(w->expired_end, t);
    w->expired_end = &t->next;
}

/* Where a deadline later than now belongs. */
static place place_of(const hl_wheel *w, uint64_t deadline)
{
    unsigned level = (63u - (unsigned)__builtin_clzll(deadline ^ w->now)) / DIGIT;
    level = level < TOP ? level : TOP;
    return (place){.level = level, .slot = deadline >> (DIGIT * level) & DIGIT_MASK};
}

static void file_timer(hl_wheel *w, hl_timer *t)
{
    if (t->deadline <= w->now) {
        append_expired(w, t);
        return;
    }
    place p = place_of(w, t->deadline);
    link_timer(&w->slots[p.level][p.slot], t);
    w->occupied[p.level] |= UINT64_C(1) << p.slot;
}

/* The next slot to look at. 0 when all are empty. */
static int first_place(const hl_wheel *w, place *p)
{
    for (unsigned level = 0; level < TOP; level++) {
        if (w->occupied[level] != 0) {
            unsigned shift = DIGIT * level;
            unsigned slot = (unsigned)__builtin_ctzll(w->occupied[level]);
            uint64_t above = w->now >> shift >> DIGIT;
            *p = (place){.level = level, .slot = slot, .start = (above << DIGIT | slot) << shift};
            return 1;
        }
    }
    if (w->occupied[TOP] == 0) {
        return 0;
    }
    uint64_t after = (w->now >> TOP_SHIFT) + 1;
    unsigned turn = after & DIGIT_MASK;
    uint64_t ahead = w->occupied[TOP] >> turn | w->occupied[TOP] << (-turn & DIGIT_MASK);
    after += (unsigned)__builtin_ctzll(ahead);
    *p = (place){.level = TOP, .slot = after & DIGIT_MASK, .start = after << TOP_SHIFT};
    return 1;
}

/* Brings the wheel to `now`, slot by occupied slot. */
static void advance(hl_wheel *w, uint64_t now)
{
    place p;
    while (first_place(w, &p) && p.start <= now) {
        hl_timer *t = w->slots[p.level][p.slot];
        w->slots[p.level][p.slot] = NULL;
        w->occupied[p.level] &= ~(UINT64_C(1) << p.slot);
        w->now = p.start;
        while (t != NULL) {
            hl_timer *next = t->next;
            file_timer(w, t);
            t = next;
        }
    }
    w->now = now;
}

/* Takes a set timer out of whatever list it is in. */
static void unfile_timer(hl_wheel *w, hl_timer *t)
{
    *t->prev_next = t->next;
    if (t->next != NULL) {
        t->next->prev_next = t->prev_next;
    } else if (w->expired_end == &t->next) {
        w->expired_end = t->prev_next;
    } else {
        /* The last of a slot's list; when it was the first too, its prev_next lies in the array and names the slot. In
         * bytes, for pointers into different objects must not be compared. */
        uintptr_t at = ((uintptr_t)t->prev_next - (uintptr_t)w->slots) / sizeof(hl_timer *);
        if (at < HL_WHEEL_LEVELS * HL_WHEEL_SLOTS) {
            w->occupied[at / HL_WHEEL_SLOTS] &= ~(UINT64_C(1) << at % HL_WHEEL_SLOTS);
        }
    }
    t->next = NULL;
    t->prev_next = NULL;
}

void hl_timer_set(hl_wheel *w, hl_timer *t, uint64_t deadline)
{
    hl_timer_cancel(w, t);
    t->deadline = deadline;
    file_timer(w, t);
    w->count++;
}

int hl_timer_cancel(hl_wheel *w, hl_timer *t)
{
    if (!hl_timer_is_set(t)) {
        return 0;
    }
    unfile_timer(w, t);
    w->count--;
    return 1;
}

hl_timer *hl_wheel_expire(hl_wheel *w, uint64_t now)
{
    if (now > w->now) {
        advance(w, now);
    }
    hl_timer *t = w->expired;
    if (t != NULL) {
        hl_timer_cancel(w, t);
    }
    return t;
}

int64_t hl_wheel_next(const hl_wheel *w, uint64_t now)
{
    place p;
    if (w->expired != NULL) {
        return 0;
    }
    if (!first_place(w, &p)) {
        return -1;
    }
    if (p.start <= now) {
        return 0;
    }
    uint64_t wait = p.start - now;
    return wait <= INT64_MAX ? (int64_t)wait : INT64_MAX;
}
