/*
 * fault.c - see fault.h: positions, the sweep, the table.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault.h"

#include "hl_loop.h"

#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all of the following */
static fault_call *calls;                                /* those that have been made, by name */
static int armed;
static uint32_t position;               /* of the last call in this run */
static uint32_t wanted_at, wanted_kind; /* position 0: no fault */
static uint32_t kinds_there;            /* how many kinds of failure the call at wanted_at has; 0: not reached */
static const fault_kind *injected;      /* in this run */
static const char *injected_call;
static int lasts;   /* it does: calls like it fail from then on */
static int running; /* a run has begun and not ended: if the test is over, it failed */

static __thread int core_depth;

void fault_enter_core(void)
{
    core_depth++;
}

void fault_leave_core(void)
{
    core_depth--;
}

int fault_in_core(void)
{
    return core_depth > 0;
}

static int waits; /* atomic */

void fault_begin_wait(void)
{
    __atomic_add_fetch(&waits, 1, __ATOMIC_RELEASE); /* after all that this thread has counted */
}

void fault_end_wait(void)
{
    __atomic_sub_fetch(&waits, 1, __ATOMIC_RELEASE);
}

int fault_in_wait(void)
{
    return __atomic_load_n(&waits, __ATOMIC_ACQUIRE) > 0;
}

/* ------------------------------------------------------------------ injecting */

static uint32_t count_kinds(const fault_call *c)
{
    uint32_t n = 0;
    while (n < FAULT_KINDS && c->kinds[n].name != NULL)
        n++;
    return n;
}

static void remember(fault_call *c)
{
    fault_call **at = &calls;
    while (*at != NULL && strcmp((*at)->name, c->name) < 0)
        at = &(*at)->next;
    if (*at == c)
        return;
    c->next = *at;
    *at = c;
}

static const fault_kind *lasting(const fault_call *c)
{
    for (uint32_t i = 0; i < FAULT_KINDS; i++)
        if (c->kinds[i].way == FAULT_LASTING)
            return &c->kinds[i]; /* not counted: the fault is the one that began it */
    return NULL;
}

static const fault_kind *next_call(fault_call *c)
{
    if (c->calls++ == 0)
        remember(c);
    if (++position != wanted_at)
        return lasts ? lasting(c) : NULL;
    kinds_there = count_kinds(c);
    if (wanted_kind >= kinds_there)
        return NULL;
    injected = &c->kinds[wanted_kind];
    injected_call = c->name;
    c->injected[wanted_kind]++;
    lasts = injected->way == FAULT_LASTING;
    return injected;
}

const fault_kind *fault_at(fault_call *c)
{
    const fault_kind *k = NULL;
    if (core_depth == 0)
        return NULL;
    pthread_mutex_lock(&lock);
    if (armed)
        k = next_call(c);
    pthread_mutex_unlock(&lock);
    return k;
}

static void set_armed(int on)
{
    pthread_mutex_lock(&lock);
    armed = on;
    pthread_mutex_unlock(&lock);
}

void fault_arm(void)
{
    set_armed(1);
}

void fault_disarm(void)
{
    set_armed(0);
}

int fault_relent(void)
{
    pthread_mutex_lock(&lock);
    int did = lasts;
    lasts = 0;
    pthread_mutex_unlock(&lock);
    return did;
}

const fault_kind *fault_injected(void)
{
    pthread_mutex_lock(&lock);
    const fault_kind *k = injected;
    pthread_mutex_unlock(&lock);
    return k;
}

fault_harm fault_harm_done(void)
{
    const fault_kind *k = fault_injected();
    return k != NULL ? k->harm : FAULT_HARMLESS;
}

/* ------------------------------------------------------------------ sweeping */

static void run(void (*scenario)(void), uint32_t at, uint32_t kind)
{
    position = 0;
    wanted_at = at;
    wanted_kind = kind;
    kinds_there = 0;
    injected = NULL;
    injected_call = NULL;
    lasts = 0;
    core_depth = 0;
    running = 1;
    scenario();
    fault_disarm();
    running = 0;
}

void fault_sweep(void (*scenario)(void))
{
    unsigned at, kind;
    const char *one = getenv("HL_FAULT");
    if (one != NULL) {
        assert_int_equal(sscanf(one, "%u.%u", &at, &kind), 2);
        run(scenario, at, kind);
        return;
    }
    run(scenario, 0, 0);
    uint32_t usual = position; /* timing may make a run longer or shorter, and put another call at the same position */
    for (at = 1;; at++) {
        uint32_t kinds = 1;
        for (kind = 0; kind < kinds; kind++) {
            run(scenario, at, kind);
            kinds = kinds_there > kinds ? kinds_there : kinds;
        }
        if (kinds_there == 0 && at > usual)
            return;
    }
}

/* ------------------------------------------------------------------ the program */

static int after_each(void **state)
{
    (void)state;
    if (running) {
        fault_disarm();
        printf("fault  HL_FAULT=%u.%u: %s %s\n", wanted_at, wanted_kind, injected_call ? injected_call : "no fault",
               injected ? injected->name : "injected");
    }
    running = 0;
    return 0;
}

static uint64_t injections(const fault_call *c)
{
    uint64_t n = 0;
    for (int i = 0; i < FAULT_KINDS; i++)
        n += c->injected[i];
    return n;
}

static void print_table(const char *name)
{
    uint64_t all = 0;
    for (const fault_call *c = calls; c != NULL; c = c->next) {
        const char *separator = ":";
        if (injections(c) == 0)
            continue; /* a call that is made after another has failed */
        printf("fault  %-26s %-28s %8llu", name, c->name, (unsigned long long)injections(c));
        for (int i = 0; i < FAULT_KINDS && c->kinds[i].name != NULL; i++) {
            printf("%s %s %llu", separator, c->kinds[i].name, (unsigned long long)c->injected[i]);
            separator = ",";
        }
        printf("\n");
        all += injections(c);
    }
    printf("fault  %-26s %-28s %8llu\n", name, "all, survived", (unsigned long long)all);
}

static void forget_counts(void)
{
    for (fault_call *c = calls; c != NULL; c = c->next) {
        c->calls = 0;
        memset(c->injected, 0, sizeof c->injected);
    }
    calls = NULL;
}

static void require(const char *names)
{
    char name[64];
    for (int used; names != NULL && sscanf(names, " %63s%n", name, &used) == 1; names += used) {
        const fault_call *c = calls;
        while (c != NULL && strcmp(c->name, name) != 0)
            c = c->next;
        if (c == NULL || injections(c) == 0)
            fail_msg("%s never failed", name);
    }
}

static void every_call_has_failed(void **state)
{
    const fault_program *p = *state;
    if (getenv("HL_FAULT") != NULL)
        return;
    require(p->must);
    require(strcmp(getenv("HL_TEST_BACKEND"), "epoll") == 0 ? p->must_epoll : p->must_uring);
}

/* `mode`: "epoll", "io_uring", or "one_thread", which is io_uring with a ring that belongs to one thread. */
static int run_on(const fault_program *p, const char *mode)
{
    char name[64];
    snprintf(name, sizeof name, "%s, %s", p->name, mode);
    int one_thread = strcmp(mode, "one_thread") == 0;
    setenv("HL_TEST_BACKEND", one_thread ? "io_uring" : mode, 1);
    if (one_thread)
        setenv("HL_TEST_ONE_THREAD", "1", 1);
    struct CMUnitTest *tests = calloc(p->count + 1, sizeof *tests);
    memcpy(tests, p->tests, p->count * sizeof *tests);
    for (size_t i = 0; i < p->count; i++)
        tests[i].teardown_func = after_each;
    tests[p->count] = (struct CMUnitTest)cmocka_unit_test_prestate(every_call_has_failed, (void *)p);
    forget_counts();
    int failed = _cmocka_run_group_tests(name, tests, p->count + 1, NULL, NULL);
    if (failed == 0)
        print_table(name);
    free(tests);
    return failed;
}

/* A container may forbid it, a kernel lack it. */
static int has_uring(void)
{
    hl_slab *slab = hl_slab_new(0);
    int error;
    hl_loop *l = hl_loop_new(&(hl_loop_config){.slab = slab, .backend = HL_BACKEND_URING}, &error);
    int has = l != NULL && strcmp(hl_loop_backend(l), "io_uring") == 0;
    if (l != NULL)
        hl_loop_free(l);
    hl_slab_free(slab);
    return has;
}

int fault_main(const fault_program *p)
{
    const char *only = getenv("HL_TEST_BACKEND");
    if (only != NULL)
        return run_on(p, strcmp(only, "epoll") != 0 && getenv("HL_TEST_ONE_THREAD") ? "one_thread" : only);
    int failed = run_on(p, "epoll");
    if (!has_uring()) {
        printf("fault  %s: no io_uring here\n", p->name);
        return failed;
    }
    failed += run_on(p, "io_uring");
    return failed + run_on(p, "one_thread");
}
