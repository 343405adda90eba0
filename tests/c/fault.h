/*
 * fault.h - a layer between the core and the system that makes calls fail, one at a time, at each position in turn.
 *
 * The test programs test_faults_* are linked with the list fault.wrap, which sends the core's system calls, its calls
 * of liburing, and its requests for blocks to the wrappers in fault_calls.c, fault_uring.c and fault_memory.c. What the
 * core calls while faults are armed is counted, in every thread; the call at the chosen position fails in the chosen
 * way. Calls that the test itself makes pass: only what happens inside the core's public functions counts, which
 * fault_entry.c knows.
 *
 * A sweep runs a scenario once without a fault and then once for each position and each way in which the call there
 * may fail (its manual page says which), until there is no call left to fail.
 *
 *   HL_FAULT=POSITION.KIND  only this one, of each sweep: how a failure that the sweep has found is looked at
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#ifndef HL_TEST_FAULT_H
#define HL_TEST_FAULT_H

#include "test_support.h"

/* The most that a fault may do to those who had nothing to do with it. */
typedef enum fault_harm {
    FAULT_HARMLESS,  /* nothing is lost, nobody is told */
    FAULT_ENDS_ONE,  /* one slot ends with an error, or one call of the core's interface returns one */
    FAULT_ENDS_MANY, /* any number of them */
    FAULT_ENDS_LOOP  /* hl_loop_enter returns the error for good; what is left to do is hl_loop_free */
} fault_harm;

/* How a call fails. */
typedef enum fault_way {
    FAULT_ERROR,  /* nothing is done; `error` is the reason */
    FAULT_SHORT,  /* it does less than it was asked to */
    FAULT_AFTER,  /* it is done, and then the error is returned (close) */
    FAULT_LASTING /* as FAULT_ERROR, and so does every other call that has a lasting fault, until fault_relent */
} fault_way;

typedef struct fault_kind {
    const char *name;
    int error; /* errno */
    fault_way way;
    fault_harm harm;
} fault_kind;

enum { FAULT_KINDS = 8 };

/* A kind of call, with what may happen to it. One constant-initialised object per wrapper. */
typedef struct fault_call {
    const char *name;
    fault_kind kinds[FAULT_KINDS]; /* up to the first without a name */
    uint64_t calls, injected[FAULT_KINDS];
    struct fault_call *next;
} fault_call;

/* ------------------------------------------------------------------ for scenarios */

/* Runs the scenario again and again. It calls fault_arm and fault_disarm around what is to be swept. */
void fault_sweep(void (*scenario)(void));
void fault_arm(void);
void fault_disarm(void);

/* What this run's fault is, once it has been injected; NULL before, and in runs without one. */
const fault_kind *fault_injected(void);
fault_harm fault_harm_done(void);

/* Ends a lasting fault: memory is there again. Returns whether there was one to end. */
int fault_relent(void);

/* True while a thread waits in the kernel on the core's behalf: everything that it called before has been counted. For
 * another thread of the scenario that wants its own calls to come at the same position in each run. */
int fault_in_wait(void);

/* What a program sweeps: its tests run on epoll, then, where the kernel has it, on io_uring, with a ring for all
 * threads and with one that belongs to one thread (HL_TEST_BACKEND and HL_TEST_ONE_THREAD choose one of the three), and
 * each time the calls that `must` names, separated by blanks, have to have failed at least once. Prints the table of
 * injected faults. Returns main's result. */
typedef struct fault_program {
    const char *name;
    const struct CMUnitTest *tests;
    size_t count;
    const char *must, *must_epoll, *must_uring;
} fault_program;
int fault_main(const fault_program *p);

/* ------------------------------------------------------------------ for wrappers */

/* clang-format off */
#define HARMLESS(error) {#error, error, FAULT_ERROR, FAULT_HARMLESS}
#define ENDS_ONE(error) {#error, error, FAULT_ERROR, FAULT_ENDS_ONE}
#define ENDS_LOOP(error) {#error, error, FAULT_ERROR, FAULT_ENDS_LOOP}
#define NO_MEMORY ENDS_ONE(ENOMEM), {"lasting", ENOMEM, FAULT_LASTING, FAULT_ENDS_MANY}
#define SHORT {"short", 0, FAULT_SHORT, FAULT_HARMLESS}
/* clang-format on */

/* Counts a call. Returns how it has to fail, or NULL: then it does not. */
const fault_kind *fault_at(fault_call *call);

/* The calling thread enters and leaves the core. */
void fault_enter_core(void);
void fault_leave_core(void);
int fault_in_core(void);

/* Around a call that waits. */
void fault_begin_wait(void);
void fault_end_wait(void);

/* Makes true what an error of sending says: after EPIPE and ECONNRESET the connection is in fact of no use. */
void fault_break(int fd, int error);

#endif /* HL_TEST_FAULT_H */
