/*
 * Reading a histogram.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "histogram.h"

/* Largest value that falls into a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < 2 * HISTOGRAM_LINEAR)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_LINEAR - 1;
    uint64_t first = (uint64_t)(bucket - shift * HISTOGRAM_LINEAR) << shift;
    return first + ((uint64_t)1 << shift) - 1;
}

uint64_t histogram_quantile(const histogram *h, double fraction)
{
    if (h->total == 0)
        return 0;
    uint64_t rank = (uint64_t)(fraction * (double)h->total);
    if (rank >= h->total)
        rank = h->total - 1;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > rank)
            return bucket_end(i) < h->largest ? bucket_end(i) : h->largest;
    }
    return h->largest;
}
