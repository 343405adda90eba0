/*
 * Measuring.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "measure.h"

#include <stdio.h>
#include <time.h>

#include "load.h"
#include "mode.h"

measurement measured = {.began = UINT64_MAX};

static clockid_t server_clock;
static uint64_t server_cpu, own_cpu;             /* nanoseconds used before it began */
static unsigned long long user_ticks, sys_ticks; /* of the server, before it began */

void measure_setup(void)
{
    if (opt.server && clock_getcpuclockid(opt.server, &server_clock) != 0)
        fail("no process %d", (int)opt.server);
}

/* Reads how much of the server's time was its own and how much the kernel's (proc(5): utime and stime). */
static void read_ticks(unsigned long long *user, unsigned long long *sys)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)opt.server);
    FILE *f = fopen(path, "r");
    /* The second field, in brackets, may hold blanks; no other holds a bracket. */
    if (!f || fscanf(f, "%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", user, sys) != 2)
        fail("%s: unreadable", path);
    fclose(f);
}

void measure_begin(void)
{
    now = read_clock(CLOCK_MONOTONIC, "clock");
    measured.messages = 0;
    measured.running = true;
    if (opt.server) {
        read_ticks(&user_ticks, &sys_ticks);
        server_cpu = read_clock(server_clock, "CPU time of the server");
    }
    own_cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID, "CPU time");
    measured.began = now;
    measured.ends = opt.messages ? UINT64_MAX : now + (uint64_t)(opt.seconds * 1e9);
}

bool measure_over(void)
{
    return now >= measured.ends || (opt.messages && measured.messages >= opt.messages);
}

/* Connections that wait for a reply, and none has reached them since the measurement began. */
static unsigned count_silent(void)
{
    unsigned silent = 0;
    for (unsigned i = 0; i < opt.connections; i++)
        silent += conns[i].replied_at < measured.began && conns[i].source->due > conns[i].replies;
    return silent;
}

/* Messages whose replies have not come. */
static unsigned long long count_unanswered(void)
{
    unsigned long long n = 0;
    for (unsigned i = 0; i < opt.connections; i++)
        n += conns[i].source->due - conns[i].replies;
    return n;
}

void measure_report(void)
{
    double server = opt.server ? (double)(read_clock(server_clock, "CPU time of the server") - server_cpu) : 0;
    double own = (double)(read_clock(CLOCK_PROCESS_CPUTIME_ID, "CPU time") - own_cpu);
    double elapsed = (double)(read_clock(CLOCK_MONOTONIC, "clock") - measured.began), n = (double)measured.messages;
    if (measured.messages == 0)
        fail("not one message came back in %.3f seconds", elapsed / 1e9);
    printf("protocol=%s mode=%s connections=%u size=%zu in_flight=%u seconds=%.3f messages=%llu rate=%.0f",
           opt.protocol == PROTOCOL_WS ? "ws" : "tcp", opt.mode->name, opt.connections, wire_mean(&messages),
           opt.in_flight, elapsed / 1e9, (unsigned long long)measured.messages, n / elapsed * 1e9);
    printf(" p50_us=%.1f p99_us=%.1f p999_us=%.1f max_us=%.1f",
           (double)histogram_quantile(&measured.latency, 0.5) / 1e3,
           (double)histogram_quantile(&measured.latency, 0.99) / 1e3,
           (double)histogram_quantile(&measured.latency, 0.999) / 1e3, (double)measured.latency.largest / 1e3);
    printf(" silent=%u unanswered=%llu load_cpu_us=%.4f", count_silent(), count_unanswered(), own / n / 1e3);
    if (opt.server) {
        unsigned long long user, sys;
        read_ticks(&user, &sys);
        user -= user_ticks;
        sys -= sys_ticks;
        printf(" server_cpu_us=%.4f server_busy=%.3f server_kernel=%.2f", server / n / 1e3, server / elapsed,
               user + sys > 0 ? (double)sys / (double)(user + sys) : 0);
    }
    printf("\n");
}
