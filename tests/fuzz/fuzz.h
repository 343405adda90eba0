/*
 * fuzz.h - what the fuzz targets share: the memory that they work with, made once.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "../c/ws_stream.h"
#include "hl_deflate.h"

static hl_slab *slab;
static hl_cache *cache;
static hl_deflate_pool *pool;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    slab = hl_slab_new(256 << 20);
    REQUIRE(slab);
    cache = hl_cache_new(slab);
    REQUIRE(cache);
    pool = hl_deflate_pool_new(cache, 1);
    REQUIRE(pool);
    return 0;
}

#endif /* FUZZ_H */
