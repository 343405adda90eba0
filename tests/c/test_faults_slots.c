/*
 * test_faults_slots.c - every call fails once around what is not a stream: accepting, watched descriptors, timers.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault_echo.h"

#include <netinet/in.h>

/* ------------------------------------------------------------------ accepting */

static int listen_on_loopback(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static client connect_to(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)at, sizeof *at), 0);
    return (client){.fd = fd,
                    .say = (const uint8_t *)"hello",
                    .say_len = 5,
                    .hear = (const uint8_t *)"hello",
                    .hear_len = 5,
                    .shuts = 1};
}

static uint16_t port_of(int fd, int (*name)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    assert_int_equal(name(fd, (struct sockaddr *)&at, &len), 0);
    return at.sin_port;
}

/* The address comes with the event, unless it could not be had. */
static void admit(world *w, const hl_event *e)
{
    uint16_t port = port_of(e->result, getpeername);
    client *c = NULL;
    for (int i = 0; i < w->count; i++)
        if (w->clients[i].fd >= 0 && port_of(w->clients[i].fd, getsockname) == port)
            c = &w->clients[i];
    assert_non_null(c);
    assert_int_equal(c->stream, 0); /* nobody is accepted twice */
    if (e->data != NULL)
        assert_int_equal(((struct sockaddr_in *)e->data)->sin_port, port);
    else
        assert_non_null(fault_injected());
    c->stream = reserve(w);
    if (c->stream != 0) {
        push(w->f, (hl_op){.code = HL_OP_ATTACH, .handle = c->stream, .arg = e->result});
    } else {
        close(e->result);
        c->ended = 1;
        c->heard = c->hear_len; /* the error has been counted */
    }
}

static void accepting(void)
{
    world w = {.f = open_armed_fixture(NULL), .count = 2};
    struct sockaddr_in at;
    int fd = listen_on_loopback(&at), listening = 1, quota = 0;
    for (int i = 0; i < w.count; i++)
        w.clients[i] = connect_to(&at);
    hl_handle listener = reserve(&w);
    if (listener == 0) {
        close(fd);
        for (int i = 0; i < w.count; i++)
            close(w.clients[i].fd);
        finish_run(w.f, 1, 0);
        return;
    }
    push(w.f, (hl_op){.code = HL_OP_LISTEN, .handle = listener, .arg = fd});
    for (int turns = 0; listening && w.broken == 0; turns++) {
        if (turns > 50)
            fault_relent();
        assert_true(turns < 4000);
        play_clients(&w);
        int r = hl_loop_enter(w.f->loop, turns % 2, 0);
        w.broken = r < 0 ? r : 0;
        for (hl_event e = pop(w.f); e.type != 0; e = pop(w.f)) {
            if (e.handle != listener) {
                serve(&w, &e);
            } else if (e.type == HL_EV_ACCEPT) {
                admit(&w, &e);
            } else if (e.type == HL_EV_ACCEPT_ERROR) {
                assert_int_equal(e.result, -fault_injected()->error);
                quota++;
            } else {
                assert_int_equal(e.type, HL_EV_CLOSED);
                assert_int_equal(listening, 1);
                listening = 0;
                w.errors += e.result != 0;
            }
        }
        if (all_ended(&w) && w.count < 3 && w.broken == 0)
            w.clients[w.count++] = connect_to(&at); /* whatever went wrong, it accepts on */
        else if (all_ended(&w))
            push_code(w.f, listener, HL_OP_CLOSE, 0);
    }
    assert_true(quota <= 1);
    for (int i = 0; i < w.count; i++)
        if (!w.clients[i].ended && w.broken == 0) { /* the listener ended before it was admitted */
            assert_true(w.errors > 0);
            w.clients[i].heard = w.clients[i].hear_len;
        }
    finish_world(&w);
}

/* ------------------------------------------------------------------ watching, timers */

typedef struct watcher {
    fixture *f;
    hl_handle watch, timer;
    int fd;
    int reads, shots, ends, errors, broken;
} watcher;

static void observe(watcher *w, const hl_event *e)
{
    char c;
    switch (e->type) {
    case HL_EV_READY:
        assert_int_equal(e->handle, w->watch);
        if (read(w->fd, &c, 1) == 1 && ++w->reads < 3)
            break;
        push(w->f, (hl_op){.code = HL_OP_REWATCH, .handle = w->watch, .flags = HL_WRITABLE});
        push_code(w->f, w->watch, HL_OP_CLOSE, 0);
        break;
    case HL_EV_TIMEOUT:
        assert_int_equal(e->handle, w->timer);
        if (++w->shots == 1)
            push(w->f, (hl_op){.code = HL_OP_TIMER, .handle = w->timer, .len = 1});
        else
            push_code(w->f, w->timer, HL_OP_CLOSE, 0);
        break;
    default:
        assert_int_equal(e->type, HL_EV_CLOSED);
        w->ends++;
        w->errors += e->result != 0;
    }
}

/* Three bytes are reported one by one, a timer that is set twice fires twice. */
static void watching(void)
{
    watcher w = {.f = open_fixture(NULL)};
    int fd[2], slots = 0;
    make_pair(fd);
    w.fd = fd[0];
    fault_arm(); /* the first wait and what it gets included */
    w.watch = hl_loop_reserve(w.f->loop);
    w.timer = hl_loop_reserve(w.f->loop);
    if (w.watch != 0)
        push(w.f, (hl_op){.code = HL_OP_WATCH, .handle = w.watch, .arg = fd[0], .flags = HL_READABLE});
    if (w.timer != 0)
        push(w.f, (hl_op){.code = HL_OP_TIMER, .handle = w.timer, .len = 1});
    slots = (w.watch != 0) + (w.timer != 0);
    w.errors = 2 - slots;
    peer_write(fd[1], "abc", 3);
    for (int turns = 0; w.ends < slots && w.broken == 0; turns++) {
        assert_true(turns < 4000);
        int r = hl_loop_enter(w.f->loop, turns % 2, 0);
        w.broken = r < 0 ? r : 0;
        for (hl_event e = pop(w.f); e.type != 0; e = pop(w.f))
            observe(&w, &e);
    }
    if (w.broken == 0 && w.errors == 0) {
        assert_int_equal(w.reads, 3);
        assert_int_equal(w.shots, 2);
    }
    assert_true(is_open(fd[0]));
    close(fd[0]);
    close(fd[1]);
    finish_run(w.f, w.errors, w.broken);
}

static void accepting_survives_every_fault(void **state)
{
    (void)state;
    fault_sweep(accepting);
}

static void watching_survives_every_fault(void **state)
{
    (void)state;
    fault_sweep(watching);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepting_survives_every_fault),
        cmocka_unit_test(watching_survives_every_fault),
    };
    return fault_main(&(fault_program){
        .name = "faults_slots",
        .tests = tests,
        .count = sizeof tests / sizeof tests[0],
        .must = "close fcntl(F_GETFL) fcntl(F_SETFL)",
        .must_epoll = "accept4 epoll_wait epoll_ctl(ADD) epoll_ctl(MOD)",
        .must_uring = "request(accept) request(poll) getpeername epoll_create1 epoll_ctl(ADD) io_uring_enter(submit) "
                      "io_uring_enter(wait)",
    });
}
