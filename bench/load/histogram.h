/*
 * A log-linear histogram of durations: a fixed number of buckets for each power of two, as in HdrHistogram
 * (Gil Tene, hdrhistogram.org), so that every value is known to better than 1 % however large it is.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_HISTOGRAM_H
#define HL_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS 7 /* 128 buckets for each power of two: a bucket is 1/128 of its values wide */
#define HISTOGRAM_LINEAR (1u << HISTOGRAM_BITS)
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_BITS + 1) * HISTOGRAM_LINEAR)

typedef struct {
    uint64_t total; /* values counted */
    uint64_t largest;
    uint64_t counts[HISTOGRAM_BUCKETS];
} histogram;

/* Bucket of a value. Values below HISTOGRAM_LINEAR have one each. */
static inline unsigned histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_LINEAR)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
    return shift * HISTOGRAM_LINEAR + (unsigned)(value >> shift);
}

/* Counts one value, in nanoseconds. */
static inline void histogram_add(histogram *h, uint64_t value)
{
    h->counts[histogram_bucket(value)]++;
    h->total++;
    if (value > h->largest)
        h->largest = value;
}

/* The value, in nanoseconds, that `fraction` (0 to 1) of all counted values do not exceed; 0 when there are none. */
uint64_t histogram_quantile(const histogram *h, double fraction);

#endif
