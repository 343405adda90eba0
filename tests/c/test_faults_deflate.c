/*
 * test_faults_deflate.c - every call of a WebSocket echo of compressed messages fails once, with and without context
 * takeover: what zlib asks for, blocks that grow as messages come out, frames that are sent.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault_echo.h"

#include "deflate_peer.h"

enum { RSV1 = 0x40, LARGE = 60000 };

static const hl_deflate_config kept = {
    .in_takeover = 1, .out_takeover = 1, .out_bits = 12, .in_bits = 12, .mem_level = 4};
static const hl_deflate_config borrowed = {.out_bits = 9, .in_bits = 9, .mem_level = 1, .threshold = 5};

/* What a client says and hears. */
typedef struct script {
    const hl_deflate_config *config;
    z_stream say, hear;
    bytes said, heard;
} script;

static script long_talk = {.config = &kept}, short_talk = {.config = &borrowed};

static void begin(script *t)
{
    peer_deflate_open(&t->say, 9, t->config->in_bits, 8);
    peer_deflate_open(&t->hear, 6, t->config->out_bits, t->config->mem_level); /* what ours makes, byte by byte */
}

static void frame(bytes *wire, z_stream *z, int from_client, uint8_t first, const void *p, size_t n, int takeover)
{
    bytes payload = peer_deflate(z, p, n, first & 0x80);
    add_frame(wire, from_client, first, payload.data, payload.len);
    if (first & 0x80 && !takeover)
        deflateReset(z);
    bytes_free(&payload);
}

static void message(script *t, const void *p, size_t n)
{
    frame(&t->said, &t->say, 1, 0x82 | RSV1, p, n, t->config->in_takeover);
    if (n >= t->config->threshold)
        frame(&t->heard, &t->hear, 0, 0x82 | RSV1, p, n, t->config->out_takeover);
    else
        add_frame(&t->heard, 0, 0x82, p, n);
}

static void end(script *t)
{
    add_frame(&t->said, 1, 0x88, "\x03\xe8", 2);
    add_frame(&t->heard, 0, 0x88, "\x03\xe8", 2);
    deflateEnd(&t->say);
    deflateEnd(&t->hear);
}

static void write_the_play(void)
{
    static uint8_t large[LARGE];
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (uint8_t)(i * i >> 9 ^ i % 5);
    begin(&long_talk);
    message(&long_talk, "text", 4);
    frame(&long_talk.said, &long_talk.say, 1, 0x01 | RSV1, "two ", 4, 1);
    frame(&long_talk.said, &long_talk.say, 1, 0x80, "fragments", 9, 1);
    frame(&long_talk.heard, &long_talk.hear, 0, 0x81 | RSV1, "two fragments", 13, 1);
    message(&long_talk, large, 3000);
    message(&long_talk, large, LARGE);
    message(&long_talk, large, 3000);
    end(&long_talk);
    begin(&short_talk);
    message(&short_talk, "one", 3);
    message(&short_talk, "two two two", 11);
    message(&short_talk, large, 1500);
    end(&short_talk);
}

static void echo_of_messages(void)
{
    world w = {.f = open_armed_fixture(&(hl_loop_config){.recv_size = 20000})};
    for (int i = 0; i < 3; i++) { /* two that share what they compress with */
        const script *t = i == 1 ? &long_talk : &short_talk;
        connect_client(&w, (client){
                               .ws = 1,
                               .deflate = t->config,
                               .say = t->said.data,
                               .say_len = t->said.len,
                               .pace = i == 2 ? 100 : 0,
                               .hear = t->heard.data,
                               .hear_len = t->heard.len,
                           });
    }
    play(&w);
    finish_world(&w);
}

static void an_echo_of_compressed_messages_survives_every_fault(void **state)
{
    (void)state;
    fault_sweep(echo_of_messages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_echo_of_compressed_messages_survives_every_fault),
    };
    write_the_play();
    int failed = fault_main(&(fault_program){
        .name = "faults_deflate",
        .tests = tests,
        .count = sizeof tests / sizeof tests[0],
        .must = "close setsockopt hl_cache_get hl_cache_grow",
        .must_epoll = "recv send epoll_wait epoll_ctl(ADD) epoll_ctl(MOD)",
        .must_uring = "request(recv) request(send) io_uring_enter(submit) io_uring_enter(wait)",
    });
    for (script *t = &long_talk;; t = &short_talk) {
        bytes_free(&t->said);
        bytes_free(&t->heard);
        if (t == &short_talk)
            break;
    }
    return failed;
}
