/*
 * What is measured, from measure_begin on, and the line that tells it.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_MEASURE_H
#define HL_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"

typedef struct {
    bool running;      /* the warm-up is over */
    uint64_t messages; /* that came in since then */
    uint64_t began;    /* nanoseconds; UINT64_MAX before */
    uint64_t ends;     /* nanoseconds; UINT64_MAX: when there are enough messages */
    histogram latency;
} measurement;

extern measurement measured;

/* Looks the server's process up, if its CPU time is asked for. */
void measure_setup(void);

void measure_begin(void);

/* Whether there are enough messages, or seconds. */
bool measure_over(void);

/* Prints the line. */
void measure_report(void);

/* Counts messages; during the warm-up, too, since measure_begin starts anew. */
static inline void measure_messages(unsigned n)
{
    measured.messages += n;
}

/* Counts a latency in nanoseconds, if the warm-up is over. */
static inline void measure_latency(uint64_t nanoseconds)
{
    if (measured.running)
        histogram_add(&measured.latency, nanoseconds);
}

#endif
