/*
 * Load generator for echo servers: many connections, each with a fixed number of messages in flight, driven by one
 * thread and epoll. It is made to be cheaper than any server: messages are prepared before the run, a batch of replies
 * is answered by one sendmsg, and the clock is read once a batch.
 *
 * A connection begins with `in_flight` messages and sends one for each that comes back. So this is a closed loop: it
 * measures what a server costs per message, and the latency at its full load.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"
#include "options.h"
#include "wire.h"

enum {
    RECEIVE_SIZE = 256 * 1024,
    EVENTS = 512,
    OPENING_MAX = 128,    /* connections in their handshake at a time: servers have short accept queues */
    ANSWER_SIZE = 4096,   /* longest answer to a WebSocket handshake */
    STALL_MS = 10 * 1000, /* nothing comes for that long: the server has stopped */
};

typedef enum { CONNECTING, UPGRADING, RUNNING } stage;

typedef struct {
    int fd;
    stage stage;
    wire_parser parser;
    size_t position;     /* in wire.frames, of the next byte to send */
    uint64_t owed;       /* bytes to send */
    unsigned oldest;     /* index in `sent_at` of the message whose reply comes next */
    uint64_t *sent_at;   /* ring of `in_flight` times, in nanoseconds, one for each message on its way */
    uint64_t replied_at; /* when the last reply came, in nanoseconds */
    char *answer;        /* handshake's answer so far; NULL when it is done */
    size_t answer_have;
} conn;

/* What is measured, and when. */
typedef struct {
    bool running;                 /* the warm-up is over */
    uint64_t messages;            /* that came back since then */
    uint64_t began;               /* nanoseconds */
    uint64_t ends;                /* nanoseconds; UINT64_MAX: when there are enough messages */
    uint64_t server_cpu, own_cpu; /* nanoseconds used before it began */
    histogram latency;
} measurement;

static options opt;
static wire messages;
static measurement measured;
static conn *conns;
static unsigned running; /* connections in stage RUNNING */
static unsigned opened;  /* connections begun */
static int epoll_fd;
static struct addrinfo *target;
static clockid_t server_clock;
static uint64_t now; /* nanoseconds, read once a batch of events */

static _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t read_clock(clockid_t clock, const char *whose)
{
    struct timespec t;
    if (clock_gettime(clock, &t) < 0)
        fail("%s: %s", whose, strerror(errno));
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---------------------------------------------------------------- sending */

/* Sends what is owed, as far as the socket takes it. */
static void send_owed(conn *c)
{
    const size_t ring = messages.variants * messages.frame_size;
    while (c->owed > 0) {
        size_t to_end = ring - c->position;
        size_t first = c->owed < to_end ? (size_t)c->owed : to_end;
        size_t second = c->owed - first < c->position ? (size_t)(c->owed - first) : c->position;
        struct iovec parts[2] = {{messages.frames + c->position, first}, {messages.frames, second}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = second > 0 ? 2 : 1};
        ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return; /* EPOLLOUT tells when to go on */
        if (n < 0)
            fail("send: %s", strerror(errno));
        c->owed -= (uint64_t)n;
        c->position = (c->position + (size_t)n) % ring;
    }
}

static void start_messages(conn *c)
{
    unsigned index = (unsigned)(c - conns);
    c->stage = RUNNING;
    running++;
    c->parser.variant = index % messages.variants;
    c->position = c->parser.variant * messages.frame_size;
    for (unsigned i = 0; i < opt.in_flight; i++)
        c->sent_at[i] = now;
    c->owed = opt.in_flight * (uint64_t)messages.frame_size;
    send_owed(c);
}

/* ---------------------------------------------------------------- receiving */

/* Notes `n` replies and sends as many messages. */
static void replied(conn *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (measured.running)
            histogram_add(&measured.latency, now - c->sent_at[c->oldest]);
        c->sent_at[c->oldest] = now;
        c->oldest = c->oldest + 1 == opt.in_flight ? 0 : c->oldest + 1;
    }
    if (n > 0)
        c->replied_at = now;
    measured.messages += n;
    c->owed += n * (uint64_t)messages.frame_size;
}

/*
 * Receives once. Returns false when there is nothing more to be had now. Edge-triggered epoll tells of bytes that come
 * after a receive that did not fill the buffer (epoll(7)), but not of an end that lay behind them already: when it has
 * told of an end or an error (`ending`), only EAGAIN means that there is nothing more.
 */
static bool receive(conn *c, bool ending)
{
    static uint8_t buffer[RECEIVE_SIZE];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n < 0)
        fail("receive: %s", strerror(errno));
    if (n == 0)
        fail("the server closed a connection");
    const char *error = NULL;
    int complete = wire_parse(&messages, &c->parser, buffer, (size_t)n, &error);
    if (complete < 0)
        fail("%s", error);
    uint64_t unsent = (c->owed + messages.frame_size - 1) / messages.frame_size;
    if ((uint64_t)complete > opt.in_flight - unsent)
        fail("more replies have come than messages were sent");
    replied(c, (unsigned)complete);
    return ending || (size_t)n == sizeof buffer;
}

/* ---------------------------------------------------------------- opening */

static void open_conn(conn *c)
{
    int on = 1;
    c->fd = socket(target->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        fail("socket: %s", strerror(errno));
    if (connect(c->fd, target->ai_addr, target->ai_addrlen) < 0 && errno != EINPROGRESS)
        fail("connect to %s: %s", opt.address, strerror(errno));
    c->sent_at = calloc(opt.in_flight, sizeof *c->sent_at);
    c->answer = opt.protocol == PROTOCOL_WS ? malloc(ANSWER_SIZE + 1) : NULL;
    if (!c->sent_at || (opt.protocol == PROTOCOL_WS && !c->answer))
        fail("no memory for %u connections", opt.connections);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        fail("epoll_ctl: %s", strerror(errno));
    opened++;
}

static void connected(conn *c)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error)
        fail("connect to %s: %s", opt.address, strerror(error ? error : errno));
    if (opt.protocol == PROTOCOL_TCP) {
        start_messages(c);
        return;
    }
    char request[512];
    int n = snprintf(request, sizeof request, wire_handshake_format, opt.address);
    if (n >= (int)sizeof request || send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
        fail("the WebSocket handshake could not be sent");
    c->stage = UPGRADING;
}

/* Takes a part of the answer to the handshake. Returns false when there is nothing more to be had now. */
static bool receive_answer(conn *c)
{
    ssize_t n = recv(c->fd, c->answer + c->answer_have, ANSWER_SIZE - c->answer_have, 0);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        fail("WebSocket handshake: %s", n < 0 ? strerror(errno) : "the server closed the connection");
    c->answer_have += (size_t)n;
    c->answer[c->answer_have] = 0;
    const char *error = NULL;
    int end = wire_handshake_answer(c->answer, c->answer_have, &error);
    if (end < 0)
        fail("%s", error);
    if (end == 0 && c->answer_have == ANSWER_SIZE)
        fail("the answer to the WebSocket handshake is longer than %d bytes", ANSWER_SIZE);
    if (end == 0)
        return true;
    if ((size_t)end != c->answer_have)
        fail("the server sent something before it was asked to");
    free(c->answer);
    c->answer = NULL;
    start_messages(c);
    return false;
}

/* ---------------------------------------------------------------- running */

static void on_event(conn *c, uint32_t happened)
{
    if (c->stage == CONNECTING) {
        connected(c);
    } else if (c->stage == UPGRADING) {
        while (receive_answer(c)) {
        }
    }
    if (c->stage != RUNNING)
        return;
    bool ending = happened & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    while (receive(c, ending)) {
    }
    send_owed(c);
}

/* Waits for events and deals with them. */
static void turn(void)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll_fd, events, EVENTS, STALL_MS);
    if (n < 0 && errno != EINTR)
        fail("epoll_wait: %s", strerror(errno));
    if (n == 0)
        fail("nothing has come for %d seconds (%u of %u connections were open)", STALL_MS / 1000, running,
             opt.connections);
    now = read_clock(CLOCK_MONOTONIC, "clock");
    for (int i = 0; i < n; i++)
        on_event(events[i].data.ptr, events[i].events);
}

static void open_all(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files); /* when it is still too low, socket() says so */
    }
    uint64_t progress = read_clock(CLOCK_MONOTONIC, "clock");
    while (running < opt.connections) {
        while (opened < opt.connections && opened - running < OPENING_MAX)
            open_conn(&conns[opened]);
        unsigned before = running;
        turn();
        if (running > before)
            progress = now;
        else if (now - progress > STALL_MS * 1000000ull) /* those that are open keep turn() from noticing */
            fail("only %u of %u connections could be opened", running, opt.connections);
    }
}

static void begin_measurement(void)
{
    now = read_clock(CLOCK_MONOTONIC, "clock");
    measured.messages = 0;
    measured.running = true;
    measured.server_cpu = opt.server ? read_clock(server_clock, "CPU time of the server") : 0;
    measured.own_cpu = read_clock(CLOCK_PROCESS_CPUTIME_ID, "CPU time");
    measured.began = now;
    measured.ends = opt.messages ? UINT64_MAX : now + (uint64_t)(opt.seconds * 1e9);
}

/* Connections that no reply has reached since the measurement began. */
static unsigned count_silent(void)
{
    unsigned silent = 0;
    for (unsigned i = 0; i < opt.connections; i++)
        silent += conns[i].replied_at < measured.began;
    return silent;
}

static void report(void)
{
    double server_cpu = 0, own_cpu = (double)(read_clock(CLOCK_PROCESS_CPUTIME_ID, "CPU time") - measured.own_cpu);
    if (opt.server)
        server_cpu = (double)(read_clock(server_clock, "CPU time of the server") - measured.server_cpu);
    double elapsed = (double)(read_clock(CLOCK_MONOTONIC, "clock") - measured.began), n = (double)measured.messages;
    if (measured.messages == 0)
        fail("not one message came back in %.3f seconds", elapsed / 1e9);
    printf("protocol=%s connections=%u size=%zu in_flight=%u seconds=%.3f messages=%llu rate=%.0f",
           opt.protocol == PROTOCOL_WS ? "ws" : "tcp", opt.connections, opt.size, opt.in_flight, elapsed / 1e9,
           (unsigned long long)measured.messages, n / elapsed * 1e9);
    printf(" p50_us=%.1f p99_us=%.1f p999_us=%.1f max_us=%.1f",
           (double)histogram_quantile(&measured.latency, 0.5) / 1e3,
           (double)histogram_quantile(&measured.latency, 0.99) / 1e3,
           (double)histogram_quantile(&measured.latency, 0.999) / 1e3, (double)measured.latency.largest / 1e3);
    printf(" silent=%u load_cpu_us=%.4f", count_silent(), own_cpu / n / 1e3);
    if (opt.server)
        printf(" server_cpu_us=%.4f server_busy=%.3f", server_cpu / n / 1e3, server_cpu / elapsed);
    printf("\n");
}

static void resolve(void)
{
    static char host[256];
    const char *colon = strrchr(opt.address, ':');
    if (!colon || (size_t)(colon - opt.address) >= sizeof host)
        fail("%s: not HOST:PORT", opt.address);
    memcpy(host, opt.address, (size_t)(colon - opt.address));
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int error = getaddrinfo(host, colon + 1, &hints, &target);
    if (error)
        fail("%s: %s", opt.address, gai_strerror(error));
}

int main(int argc, char **argv)
{
    options_read(&opt, argc, argv);
    resolve();
    if (opt.server && clock_getcpuclockid(opt.server, &server_clock) != 0)
        fail("no process %d", (int)opt.server);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    conns = calloc(opt.connections, sizeof *conns);
    if (epoll_fd < 0 || !conns || !wire_init(&messages, opt.protocol, opt.size, opt.verify))
        fail("no memory for %u connections with messages of %zu bytes", opt.connections, opt.size);

    open_all();
    uint64_t warm = read_clock(CLOCK_MONOTONIC, "clock") + (uint64_t)(opt.warm_up * 1e9);
    do {
        turn();
    } while (now < warm);
    begin_measurement();
    do {
        turn();
    } while (now < measured.ends && (!opt.messages || measured.messages < opt.messages));
    report();

    for (unsigned i = 0; i < opt.connections; i++)
        free(conns[i].sent_at);
    free(conns);
    wire_free(&messages);
    freeaddrinfo(target);
    return 0;
}
