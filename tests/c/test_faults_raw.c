/*
 * test_faults_raw.c - every call of a raw echo fails once: streams given to the loop, bytes both ways, output that has
 * to wait, orderly ends from both sides, quiescing.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault_echo.h"

enum { LARGE = 100000 };
static uint8_t large[LARGE];

/* The first client ends by itself, the second is ended by the server, the third says more than the buffers hold, the
 * fourth is gone before it has come. */
static void echo_of_several_sizes(void)
{
    world w = {.f = open_armed_fixture(&(hl_loop_config){.recv_size = 16384})};
    connect_client(&w, (client){.say = large, .say_len = 5, .hear = large, .hear_len = 5, .shuts = 1});
    connect_client(&w, (client){.say = large, .say_len = 3000, .hear = large, .hear_len = 3000, .closed_at = 3000});
    connect_client(&w, (client){.say = large, .say_len = LARGE, .hear = large, .hear_len = LARGE, .shuts = 1});
    connect_client(&w, (client){.hear = large, .aborted = 1});
    play(&w);
    finish_world(&w);
}

/* What the server still has to send grows above high_water again and again, and it stops reading until it has sent. */
static void echo_that_pauses(void)
{
    world w = {.f = open_armed_fixture(&(hl_loop_config){.recv_size = 16384, .high_water = 8000, .low_water = 1000})};
    connect_client(&w,
                   (client){.say = large, .say_len = LARGE, .hear = large, .hear_len = LARGE, .yields = 1, .shuts = 1});
    play(&w);
    assert_true(w.broken || fault_harm_done() != FAULT_HARMLESS || loop_stats(w.f).read_pauses > 0);
    finish_world(&w);
}

/* Quiescing delivers what the kernel holds, once, and is answered once. An answer that comes early, because a receive
 * found nothing, leaves the rest in the kernel: nothing is lost, but the end of the stream drops it. */
static void quiet(void)
{
    fixture *f = open_armed_fixture(&(hl_loop_config){.recv_size = 1024});
    int fd[2], quiets = 0, closed = 0, harmed = 0, broken = 0;
    size_t got = 0;
    make_pair(fd);
    hl_handle h = hl_loop_reserve(f->loop);
    if (h == 0) {
        close(fd[0]);
        close(fd[1]);
        finish_run(f, 1, 0);
        return;
    }
    push(f, (hl_op){.code = HL_OP_ATTACH, .handle = h, .arg = fd[0]});
    peer_write(fd[1], large, 5000);
    push_code(f, h, HL_OP_QUIESCE, 0);
    for (int turns = 0; closed == 0 && broken == 0; turns++) {
        if (turns > 50)
            fault_relent();
        assert_true(turns < 2000);
        broken = hl_loop_enter(f->loop, turns % 2, 0);
        broken = broken < 0 ? broken : 0;
        for (hl_event e = pop(f); e.type != 0; e = pop(f)) {
            assert_int_equal(e.handle, h);
            assert_int_equal(closed, 0);
            if (e.type == HL_EV_DATA) {
                assert_int_equal(quiets, 0);
                assert_true(got + e.len <= 5000);
                assert_memory_equal(e.data, large + got, e.len);
                got += e.len;
            } else if (e.type == HL_EV_QUIET) {
                quiets++;
                push_code(f, h, HL_OP_CLOSE, 0);
                close(fd[1]);
                fd[1] = -1;
            } else {
                assert_int_equal(e.type, HL_EV_CLOSED);
                closed = 1;
                harmed += e.result != 0;
            }
        }
    }
    if (fd[1] >= 0)
        close(fd[1]);
    if (broken == 0 && harmed == 0) {
        assert_int_equal(quiets, 1);
        const fault_kind *k = fault_injected();
        assert_true(got == 5000 || k->error == EAGAIN || k->error == EPERM);
    }
    finish_run(f, harmed, broken);
}

static void an_echo_survives_every_fault(void **state)
{
    (void)state;
    fault_sweep(echo_of_several_sizes);
}

static void pausing_survives_every_fault(void **state)
{
    (void)state;
    fault_sweep(echo_that_pauses);
}

static void quiescing_survives_every_fault(void **state)
{
    (void)state;
    fault_sweep(quiet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_echo_survives_every_fault),
        cmocka_unit_test(pausing_survives_every_fault),
        cmocka_unit_test(quiescing_survives_every_fault),
    };
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)(i * 31 + (i >> 8) * 7);
    return fault_main(&(fault_program){
        .name = "faults_raw",
        .tests = tests,
        .count = sizeof tests / sizeof tests[0],
        .must = "close fcntl(F_GETFL) setsockopt shutdown ioctl(FIONREAD) hl_cache_get",
        .must_epoll = "recv send sendmsg epoll_wait epoll_ctl(ADD) epoll_ctl(MOD)",
        .must_uring = "request(recv) request(send) request(sendmsg) request(poll) io_uring_enter(submit) "
                      "io_uring_enter(wait)",
    });
}
