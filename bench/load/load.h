/*
 * What the load generator's files share: options, messages, connections, the time, and giving up.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_LOAD_H
#define HL_BENCH_LOAD_H

#include <stdint.h>
#include <time.h>

#include "conn.h"
#include "options.h"
#include "wire.h"

enum { STALL_MS = 10 * 1000 }; /* nothing comes for that long: the server has stopped */

extern options opt;   /* constant after main has read them */
extern wire messages; /* constant after main has made them */
extern conn *conns;   /* opt.connections of them */
extern uint64_t now;  /* nanoseconds, of CLOCK_MONOTONIC, read once a turn */

/* Says what failed on standard error, and ends the process with status 1. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Reads a clock, in nanoseconds; `whose` goes into the complaint. */
uint64_t read_clock(clockid_t clock, const char *whose);

#endif
