/*
 * test_faults_letters.c - every call fails once while another thread posts letters to a loop that sleeps, and wakes it.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault_echo.h"

#include <pthread.h>
#include <sched.h>

/* The other thread: it is the stream's peer, too. */
typedef struct writer {
    fixture *f;
    hl_handle stream;
    int fd;
    int ended;   /* atomic: the loop's thread has seen the end of the stream or of the loop: nobody will sleep */
    int done;    /* atomic: this thread has seen the end, too */
    int refused; /* letters that could not be posted */
    int wrong;   /* bytes that should not have come */
} writer;

/* Posts when the loop sleeps, so that it has to be woken; when nobody waits for it any more, at once. What is refused
 * for want of memory is posted again. Returns whether it was taken. */
static int post(writer *w, const hl_op *op)
{
    while (!fault_in_wait() && !__atomic_load_n(&w->ended, __ATOMIC_ACQUIRE)) /* what led to the end */
        sched_yield();
    for (int tries = 0; tries < 3; tries++) {
        if (hl_loop_post(w->f->loop, op) == 0)
            return 1;
        w->refused++;
    }
    return 0;
}

static void *write_letters(void *arg)
{
    static const char text[] = "letters";
    writer *w = arg;
    char c;
    size_t heard = 0;
    while (
        heard < sizeof text &&
        post(w, &(hl_op){.code = HL_OP_SEND, .handle = w->stream, .data = (void *)(uintptr_t)&text[heard], .len = 1}) &&
        recv(w->fd, &c, 1, 0) == 1)
        w->wrong += c != text[heard++];
    if (post(w, &(hl_op){.code = HL_OP_CLOSE, .handle = w->stream}))
        w->wrong += recv(w->fd, &c, 1, 0) > 0;
    shutdown(w->fd, SHUT_RDWR);
    fault_relent();                                  /* to hear of this end may take memory */
    __atomic_store_n(&w->done, 1, __ATOMIC_RELEASE); /* what it has found, to the loop's thread */
    hl_loop_wake(w->f->loop);
    return NULL;
}

static void letters(void)
{
    fixture *f = open_fixture(NULL);
    int fd[2], broken = 0, errors = 0;
    pthread_t thread;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    writer w = {.f = f, .stream = attach(f, fd[0], 0), .fd = fd[1]};
    fault_arm(); /* the first wait included, which asks to be woken */
    assert_int_equal(pthread_create(&thread, NULL, write_letters, &w), 0);
    for (int turns = 0; broken == 0 && !(w.ended && __atomic_load_n(&w.done, __ATOMIC_ACQUIRE)); turns++) {
        assert_true(turns < 1000);
        int r = hl_loop_enter(f->loop, 10000, 0); /* a wake-up that is lost shows as a test that takes for ever */
        broken = r < 0 ? r : 0;
        for (hl_event e = pop(f); e.type != 0; e = pop(f)) {
            if (e.type == HL_EV_CLOSED) {
                __atomic_store_n(&w.ended, 1, __ATOMIC_RELEASE);
                errors += e.result != 0 || e.kind != 0;
            } else {
                assert_int_equal(e.type, HL_EV_END);
                push_code(f, e.handle, HL_OP_CLOSE, 0);
            }
        }
    }
    __atomic_store_n(&w.ended, 1, __ATOMIC_RELEASE);
    if (broken != 0)
        shutdown(w.fd, SHUT_RDWR); /* nobody serves the writer any more */
    pthread_join(thread, NULL);
    close(w.fd);
    assert_int_equal(w.wrong, 0);
    finish_run(f, errors + w.refused, broken);
}

static void letters_survive_every_fault(void **state)
{
    (void)state;
    fault_sweep(letters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_survive_every_fault),
    };
    return fault_main(&(fault_program){
        .name = "faults_letters",
        .tests = tests,
        .count = sizeof tests / sizeof tests[0],
        .must = "read write hl_slab_get",
        .must_epoll = "send epoll_wait",
        .must_uring = "request(send) io_uring_enter(submit)",
    });
}
