/*
 * hl.h - what every part of the hioload core shares: errors, handles, versions.
 *
 * Conventions that hold in all headers of this folder
 *
 *   errors    A function that can fail returns 0 or a positive result, or a negative errno value (-ENOMEM ...). None
 *             aborts, none prints.
 *   threads   Each function says who may call it: "owner" is the one thread that drives the object at that time, "any
 *             thread" is safe concurrently with everything but the destruction of the object.
 *   time      Milliseconds on CLOCK_MONOTONIC, as uint64_t; durations as uint32_t or int64_t milliseconds.
 *   memory    Comes from a slab (hl_slab.h) and is counted there.
 *   guests    The core starts no thread, installs no signal handler, keeps no global mutable state; every system call
 *             expects EINTR; every descriptor it opens is close-on-exec.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_H
#define HL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * hl_handle names one slot of one loop: index in the low 32 bits, generation in the high 32. Slots are reused,
 * generations are not (they wrap after 2^31 reuses of one slot), so a late operation or event on a recycled slot is
 * recognised and dropped. 0 is never a valid handle: generations in use are odd.
 */
typedef uint64_t hl_handle;

static inline uint32_t hl_handle_index(hl_handle h)
{
    return (uint32_t)h;
}
static inline uint32_t hl_handle_generation(hl_handle h)
{
    return (uint32_t)(h >> 32);
}
static inline hl_handle hl_handle_make(uint32_t index, uint32_t generation)
{
    return (uint64_t)generation << 32 | index;
}

#define HL_CACHE_LINE 64

#ifdef __cplusplus
}
#endif
#endif /* HL_H */
