/*
 * test_faults_ws.c - every call of a WebSocket echo fails once: pongs, fragments, messages that are put together and
 * sent back when the buffers have room, closing handshakes begun by either side.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault_echo.h"
#include "ws_stream.h"

enum { LARGE = 100000 };

static bytes talk, echoed, short_talk, short_echoed;

static void write_the_play(void)
{
    static uint8_t large[LARGE];
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)(i * 31 + (i >> 8) * 7);
    add_frame(&talk, 1, 0x89, "ping", 4);
    add_frame(&talk, 1, 0x81, "text", 4);
    add_frame(&talk, 1, 0x01, "two ", 4);
    add_frame(&talk, 1, 0x80, "fragments", 9);
    add_frame(&talk, 1, 0x82, large, 3000);
    add_frame(&talk, 1, 0x82, large, LARGE);
    add_frame(&talk, 1, 0x88, "\x03\xe8", 2);
    add_frame(&echoed, 0, 0x8a, "ping", 4);
    add_frame(&echoed, 0, 0x81, "text", 4);
    add_frame(&echoed, 0, 0x81, "two fragments", 13);
    add_frame(&echoed, 0, 0x82, large, 3000);
    add_frame(&echoed, 0, 0x82, large, LARGE);
    add_frame(&echoed, 0, 0x88, "\x03\xe8", 2);
    add_frame(&short_talk, 1, 0x81, "one", 3);
    add_frame(&short_talk, 1, 0x88, "\x03\xe8", 2);
    add_frame(&short_echoed, 0, 0x81, "one", 3);
    add_frame(&short_echoed, 0, 0x88, "\x03\xe8", 2);
}

/* The first client closes when it has said all, the second is closed by the server after one message. */
static void echo_of_messages(void)
{
    world w = {.f = open_armed_fixture(&(hl_loop_config){.recv_size = 20000})};
    connect_client(&w, (client){
                           .ws = 1,
                           .say = talk.data,
                           .say_len = talk.len,
                           .pace = 20000, /* a full buffer at a time, so that io_uring receives straight into LARGE */
                           .hear = echoed.data,
                           .hear_len = echoed.len,
                       });
    connect_client(&w, (client){
                           .ws = 1,
                           .say = short_talk.data,
                           .say_len = short_talk.len,
                           .answer_from = short_talk.len - 8, /* its close frame */
                           .hear = short_echoed.data,
                           .hear_len = short_echoed.len,
                           .closed_at = 1,
                       });
    play(&w);
    finish_world(&w);
}

static void a_websocket_echo_survives_every_fault(void **state)
{
    (void)state;
    fault_sweep(echo_of_messages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_websocket_echo_survives_every_fault),
    };
    write_the_play();
    int failed = fault_main(&(fault_program){
        .name = "faults_ws",
        .tests = tests,
        .count = sizeof tests / sizeof tests[0],
        .must = "close fcntl(F_GETFL) setsockopt hl_cache_get hl_cache_grow",
        .must_epoll = "recv readv send sendmsg epoll_wait epoll_ctl(ADD) epoll_ctl(MOD)",
        .must_uring =
            "request(recv) request(recv_straight) request(send) request(sendmsg) request(poll) io_uring_enter(submit) "
            "io_uring_enter(wait)",
    });
    bytes_free(&talk);
    bytes_free(&echoed);
    bytes_free(&short_talk);
    bytes_free(&short_echoed);
    return failed;
}
