/*
 * The command line of the load generator.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_BENCH_OPTIONS_H
#define HL_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mode.h"
#include "payload.h"
#include "wire.h"

typedef struct options {
    const char *address; /* HOST:PORT */
    wire_protocol protocol;
    const mode *mode;
    unsigned connections;
    unsigned in_flight;       /* messages of one connection that are on their way at a time */
    size_t smallest, largest; /* bytes of a message */
    payload_kind kind;
    bool deflate;      /* compress messages */
    double rate;       /* messages a second, all connections together; 0: not that mode */
    double seconds;    /* to measure; 0: until `messages` have come back */
    uint64_t messages; /* to measure; 0: for `seconds` */
    double warm_up;    /* seconds before */
    bool verify;
    pid_t server; /* whose CPU time to read; 0: none */
} options;

/* Reads the command line. What is wrong with it goes to standard error, and the process ends with status 2. */
void options_read(options *o, int argc, char **argv);

#endif
