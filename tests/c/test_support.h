/*
 * test_support.h - what the C tests share: cmocka with the headers it wants, a seeded generator, a scale.
 *
 *   HL_TEST_SEED   start of the pseudo-random tests; printed by those that use it
 *   HL_TEST_SCALE  multiplies the rounds of the long tests (1)
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static inline uint64_t test_env(const char *name, uint64_t otherwise)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? strtoull(value, NULL, 0) : otherwise;
}

static inline uint32_t test_rounds(uint32_t n)
{
    return n * (uint32_t)test_env("HL_TEST_SCALE", 1);
}

/* xorshift64* (Marsaglia 2003, Vigna 2016). */
static inline uint64_t test_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545F4914F6CDD1D);
}

static inline uint64_t test_seed(uint64_t otherwise)
{
    uint64_t seed = test_env("HL_TEST_SEED", otherwise);
    printf("HL_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed != 0 ? seed : 1; /* the generator would stay at 0 */
}

#endif /* TEST_SUPPORT_H */
