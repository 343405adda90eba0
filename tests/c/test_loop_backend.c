/*
 * test_loop_backend.c - which backend a loop gets, and what it says when that is not the one asked for.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "loop_fixture.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static hl_loop *open_with(hl_slab *slab, uint32_t backend, int *error)
{
    return hl_loop_new(&(hl_loop_config){.slab = slab, .backend = backend}, error);
}

static void epoll_is_there(void **state)
{
    (void)state;
    hl_slab *slab = hl_slab_new(0);
    int error;
    hl_loop *l = open_with(slab, HL_BACKEND_EPOLL, &error);
    assert_non_null(l);
    assert_string_equal(hl_loop_backend(l), "epoll");
    assert_int_equal(hl_loop_backend_error(l, NULL), 0);
    hl_loop_free(l);
    assert_null(open_with(slab, HL_BACKEND_URING + 1, &error));
    assert_int_equal(error, -EINVAL);
    assert_int_equal(hl_slab_free(slab), 0);
}

static void io_uring_or_the_reason_why_not(void **state)
{
    (void)state;
    hl_slab *slab = hl_slab_new(0);
    int error;
    hl_loop *l = open_with(slab, HL_BACKEND_URING, &error);
    assert_non_null(l);
    if (hl_loop_backend_error(l, NULL) == 0)
        assert_string_equal(hl_loop_backend(l), "io_uring");
    else
        assert_string_equal(hl_loop_backend(l), "epoll");
    hl_loop_free(l);
    assert_int_equal(hl_slab_free(slab), 0);
}

/* As containers do it: io_uring_setup fails with EPERM. */
static void forbid_io_uring(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(2);
}

static int falls_back(void)
{
    forbid_io_uring();
    hl_slab *slab = hl_slab_new(0);
    int error, fd[2];
    hl_loop *l = open_with(slab, HL_BACKEND_URING, &error);
    if (l == NULL || strcmp(hl_loop_backend(l), "epoll") != 0)
        return 3;
    int reason = hl_loop_backend_error(l, NULL);
    if (reason != -EPERM && reason != -ENOSYS)
        return 4;
    hl_shared *sh = hl_loop_shared(l);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) != 0 || write(fd[1], "x", 1) != 1)
        return 5;
    ((hl_op *)sh->sq.entries)[0] = (hl_op){.code = HL_OP_ATTACH, .handle = hl_loop_reserve(l), .arg = fd[0]};
    sh->sq.tail++;
    if (hl_loop_enter(l, 1000, 0) != 1 || ((hl_event *)sh->cq.entries)[0].type != HL_EV_DATA)
        return 6;
    hl_loop_free(l);
    return hl_slab_free(slab) == 0 ? 0 : 7;
}

static void a_forbidden_io_uring_falls_back_to_epoll(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(falls_back());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* A loop that is freed lets go of its sockets there and then, although requests on them were under way. */
static void freeing_closes_at_once(void **state)
{
    (void)state;
    int fd[20][2];
    for (int i = 0; i < 20; i++)
        make_pair(fd[i]);
    fixture *f = open_fixture(NULL);
    for (int i = 0; i < 20; i++)
        attach(f, fd[i][0], 0);
    turn(f);
    hl_loop_free(f->loop);
    assert_int_equal(hl_slab_free(f->slab), 0);
    free(f);
    for (int i = 0; i < 20; i++) {
        char c;
        assert_int_equal(peer_read(fd[i][1], &c, 1), 0);
        close(fd[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(epoll_is_there),
        cmocka_unit_test(io_uring_or_the_reason_why_not),
        cmocka_unit_test(a_forbidden_io_uring_falls_back_to_epoll),
        cmocka_unit_test(freeing_closes_at_once),
    };
    return cmocka_run_group_tests_name("loop_backend", tests, NULL, NULL);
}
