/*
 * Load generator: many connections driven by one thread and epoll. It is made to be cheaper than any server: messages
 * are prepared before the run, a batch of replies is answered by one sendmsg, and the clock is read once a turn.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "load.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measure.h"
#include "mode.h"

enum {
    EVENTS = 512,
    OPENING_MAX = 128, /* connections in their handshake at a time: servers have short accept queues */
    LOOK_MS = 50,      /* how often a mode is asked whether it is over, if nothing else happens */
};

options opt;
wire messages;
conn *conns;
uint64_t now;

static int epoll_fd;
static unsigned open_now; /* connections that are open, before the mode has started */
static bool started;
static uint64_t progress; /* when something has last happened */

_Noreturn void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

uint64_t read_clock(clockid_t clock, const char *whose)
{
    struct timespec t;
    if (clock_gettime(clock, &t) < 0)
        fail("%s: %s", whose, strerror(errno));
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* How long to wait for events, in milliseconds. */
static int patience(void)
{
    if (!started)
        return STALL_MS;
    return opt.mode->awake ? 0 : opt.mode->finished ? LOOK_MS : STALL_MS;
}

/* Waits for events and deals with them. */
static void turn(void)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll_fd, events, EVENTS, patience());
    if (n < 0 && errno != EINTR)
        fail("epoll_wait: %s", strerror(errno));
    now = read_clock(CLOCK_MONOTONIC, "clock");
    for (int i = 0; i < n; i++) {
        conn *c = events[i].data.ptr;
        if (!conn_event(c, events[i].events))
            continue;
        if (!started)
            open_now++;
        else if (opt.mode->opened)
            opt.mode->opened(c);
    }
    if (n > 0)
        progress = now;
    else if (started && !opt.mode->finished && now - progress > STALL_MS * 1000000ull)
        fail("nothing has come for %d seconds", STALL_MS / 1000);
    if (started && opt.mode->turn)
        opt.mode->turn();
}

static void open_all(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files); /* when it is still too low, socket() says so */
    }
    now = progress = read_clock(CLOCK_MONOTONIC, "clock");
    for (unsigned begun = 0; open_now < opt.connections;) {
        for (; begun < opt.connections && begun - open_now < OPENING_MAX; begun++)
            conn_open(&conns[begun], opt.mode->in_step ? 0 : begun % messages.variants);
        turn();
        if (now - progress > STALL_MS * 1000000ull)
            fail("only %u of %u connections could be opened", open_now, opt.connections);
    }
}

static struct addrinfo *resolve(void)
{
    static char host[256];
    const char *colon = strrchr(opt.address, ':');
    if (!colon || (size_t)(colon - opt.address) >= sizeof host)
        fail("%s: not HOST:PORT", opt.address);
    memcpy(host, opt.address, (size_t)(colon - opt.address));
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(host, colon + 1, &hints, &found);
    if (error)
        fail("%s: %s", opt.address, gai_strerror(error));
    return found;
}

/* Runs the mode, which has started, to its end. */
static void run(void)
{
    if (opt.mode->finished) {
        while (!opt.mode->finished())
            turn();
        return;
    }
    uint64_t warm = now + (uint64_t)(opt.warm_up * 1e9);
    do {
        turn();
    } while (now < warm);
    measure_begin();
    do {
        turn();
    } while (!measure_over());
    if (opt.mode->ended)
        opt.mode->ended();
    measure_report();
}

int main(int argc, char **argv)
{
    options_read(&opt, argc, argv);
    struct addrinfo *target = resolve();
    measure_setup();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    conns = calloc(opt.connections, sizeof *conns);
    if (epoll_fd < 0 || !conns || !wire_init(&messages, &opt))
        fail("no memory for %u connections with messages of up to %zu bytes", opt.connections, opt.largest);
    conn_setup(target, epoll_fd);
    open_all();
    started = true;
    opt.mode->start();
    run();

    for (unsigned i = 0; i < opt.connections; i++) {
        conn_reset(&conns[i]);
        free(conns[i].sent_at);
    }
    free(conns);
    wire_free(&messages);
    freeaddrinfo(target);
    return 0;
}
