/*
 * micro.h - what the micro-benchmarks share: how two things are compared, and the table that comes of it.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef MICRO_H
#define MICRO_H

#include <stddef.h>
#include <stdint.h>

/* Runs something many times and returns nanoseconds for one. */
typedef double measured(void);

typedef struct comparison {
    const char *what;
    measured *ours;
    const char *beside; /* what stands beside it; NULL: nothing */
    measured *theirs;
    double target; /* ours may take at most this many times as long; 0: no target */
    size_t bytes;  /* of one; speeds are shown instead of times. 0: times */
} comparison;

/* Measures both in turns, so that both meet the same machine, and prints a line with the medians. */
void compare(comparison c);
/* The line above all, and the one below, which counts targets that were missed. */
void head(void);
void foot(void);

double now(void); /* nanoseconds */

/* Has the calling thread run on the n-th processor that the process may use, the last when there are fewer. */
void stay_on(unsigned n);

/* What is measured, each with a file of its own. */
void compare_rings(void);
void compare_memory(void);
void compare_codec(void);
void compare_timers(void);
void compare_turns(void);

#endif /* MICRO_H */
