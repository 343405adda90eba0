/*
 * fault_calls.c - the system calls that the core makes, and how each may fail according to its manual page.
 *
 * What is not to be had: a read, a write or a wait that is interrupted or for nothing does harm to nobody; an error of
 * a connection ends that connection. close(2) always closes, whatever it returns.
 *
 * Copyright 2026 momentics. Licensed under the Apache License, Version 2.0.
 */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* WRAP(result type, function, parameters, arguments, kinds...): defines the wrapper of a call that returns -1 and sets
 * errno. With WRAP_SHORT, `shortened` are the arguments with which it does less. */
#define WRAP_SHORT(type, function, parameters, arguments, shortened, ...)                                              \
    type __real_##function parameters;                                                                                 \
    type __wrap_##function parameters;                                                                                 \
    type __wrap_##function parameters                                                                                  \
    {                                                                                                                  \
        static fault_call call = {.name = #function, .kinds = {__VA_ARGS__}};                                          \
        const fault_kind *k = fault_at(&call);                                                                         \
        if (k == NULL)                                                                                                 \
            return __real_##function arguments;                                                                        \
        if (k->way == FAULT_SHORT)                                                                                     \
            return __real_##function shortened;                                                                        \
        errno = k->error;                                                                                              \
        return -1;                                                                                                     \
    }
#define WRAP(type, function, parameters, arguments, ...)                                                               \
    WRAP_SHORT(type, function, parameters, arguments, arguments, __VA_ARGS__)

/* ------------------------------------------------------------------ sockets */

WRAP_SHORT(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags), (fd, p, n > 0, flags), SHORT,
           HARMLESS(EINTR), HARMLESS(EAGAIN), ENDS_ONE(ECONNRESET), ENDS_ONE(ENOMEM), ENDS_ONE(ETIMEDOUT))

WRAP_SHORT(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n), (fd, v, 1), SHORT, HARMLESS(EINTR),
           HARMLESS(EAGAIN), ENDS_ONE(ECONNRESET), ENDS_ONE(ENOMEM))

WRAP(int, shutdown, (int fd, int how), (fd, how), ENDS_ONE(ENOTCONN))

#define SENDING                                                                                                        \
    SHORT, HARMLESS(EINTR), HARMLESS(EAGAIN), ENDS_ONE(ENOBUFS), ENDS_ONE(EPIPE), ENDS_ONE(ECONNRESET), ENDS_ONE(ENOMEM)

void fault_break(int fd, int error)
{
    if (error == EPIPE)
        __real_shutdown(fd, SHUT_WR);
    else if (error == ECONNRESET)
        __real_shutdown(fd, SHUT_RDWR);
}

static ssize_t refuse(int fd, int error)
{
    fault_break(fd, error);
    errno = error;
    return -1;
}

ssize_t __real_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags)
{
    static fault_call call = {.name = "send", .kinds = {SENDING}};
    const fault_kind *k = fault_at(&call);
    if (k != NULL && k->way == FAULT_ERROR)
        return refuse(fd, k->error);
    return __real_send(fd, p, k != NULL ? n > 0 : n, flags);
}

/* The short one ends a byte after the beginning of the second piece. */
ssize_t __real_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *m, int flags)
{
    static fault_call call = {.name = "sendmsg", .kinds = {SENDING}};
    const fault_kind *k = fault_at(&call);
    if (k == NULL)
        return __real_sendmsg(fd, m, flags);
    if (k->way == FAULT_ERROR)
        return refuse(fd, k->error);
    struct iovec pieces[2];
    struct msghdr less = *m;
    less.msg_iov = pieces;
    less.msg_iovlen = m->msg_iovlen < 2 ? m->msg_iovlen : 2;
    memcpy(pieces, m->msg_iov, less.msg_iovlen * sizeof *pieces);
    pieces[less.msg_iovlen - 1].iov_len = 1;
    return __real_sendmsg(fd, &less, flags);
}

WRAP(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags), HARMLESS(EINTR),
     HARMLESS(EAGAIN), HARMLESS(ECONNABORTED), HARMLESS(EMFILE), HARMLESS(ENFILE), HARMLESS(ENOBUFS), HARMLESS(ENOMEM),
     HARMLESS(EPERM))

WRAP(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), HARMLESS(ENOTCONN), HARMLESS(ENOBUFS))

WRAP(int, setsockopt, (int fd, int level, int name, const void *p, socklen_t n), (fd, level, name, p, n),
     HARMLESS(ENOMEM), HARMLESS(EINVAL))

WRAP(int, socketpair, (int family, int type, int protocol, int fd[2]), (family, type, protocol, fd), HARMLESS(EMFILE),
     HARMLESS(ENFILE), HARMLESS(ENOBUFS))

/* ------------------------------------------------------------------ descriptors */

WRAP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), HARMLESS(EINTR), HARMLESS(EAGAIN))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    static fault_call call = {.name = "open", .kinds = {HARMLESS(ENOENT), HARMLESS(EACCES), HARMLESS(EMFILE)}};
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    const fault_kind *k = fault_at(&call);
    if (k == NULL)
        return __real_open(path, flags, mode);
    errno = k->error;
    return -1;
}

WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), HARMLESS(EINTR))

WRAP(int, eventfd, (unsigned count, int flags), (count, flags), ENDS_ONE(EMFILE), ENDS_ONE(ENFILE), ENDS_ONE(ENOMEM))

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    static fault_call call = {.name = "close",
                              .kinds = {{"EINTR", EINTR, FAULT_AFTER, FAULT_HARMLESS},
                                        {"EIO", EIO, FAULT_AFTER, FAULT_HARMLESS}}};
    const fault_kind *k = fault_at(&call);
    int r = __real_close(fd);
    if (k == NULL)
        return r;
    errno = k->error;
    return -1;
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    static fault_call duplicate = {.name = "fcntl(F_DUPFD)", .kinds = {HARMLESS(EMFILE), HARMLESS(EINVAL)}};
    static fault_call get_flags = {.name = "fcntl(F_GETFL)", .kinds = {ENDS_ONE(EPERM)}}; /* a security module */
    static fault_call set_flags = {.name = "fcntl(F_SETFL)", .kinds = {ENDS_ONE(EPERM)}};
    fault_call *call = command == F_DUPFD_CLOEXEC ? &duplicate
                       : command == F_GETFL       ? &get_flags
                       : command == F_SETFL       ? &set_flags
                                                  : NULL;
    va_list more;
    va_start(more, command);
    long argument = va_arg(more, long);
    va_end(more);
    const fault_kind *k = call != NULL ? fault_at(call) : NULL;
    if (k == NULL)
        return __real_fcntl(fd, command, argument);
    errno = k->error;
    return -1;
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    static fault_call waiting = {.name = "ioctl(FIONREAD)", .kinds = {HARMLESS(EPERM)}}; /* a security module */
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    const fault_kind *k = request == FIONREAD ? fault_at(&waiting) : NULL;
    if (k == NULL)
        return __real_ioctl(fd, request, argument);
    errno = k->error;
    return -1;
}

/* ------------------------------------------------------------------ epoll */

WRAP(int, epoll_create1, (int flags), (flags), ENDS_ONE(EMFILE), ENDS_ONE(ENFILE), ENDS_ONE(ENOMEM))

int __real_epoll_ctl(int set, int op, int fd, struct epoll_event *e);
int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *e);
int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *e)
{
    static fault_call add = {.name = "epoll_ctl(ADD)", .kinds = {ENDS_ONE(ENOMEM), ENDS_ONE(ENOSPC)}};
    static fault_call mod = {.name = "epoll_ctl(MOD)", .kinds = {ENDS_ONE(ENOMEM)}};
    fault_call *call = op == EPOLL_CTL_ADD ? &add : op == EPOLL_CTL_MOD ? &mod : NULL; /* taking out needs no memory */
    const fault_kind *k = call != NULL ? fault_at(call) : NULL;
    if (k == NULL)
        return __real_epoll_ctl(set, op, fd, e);
    errno = k->error;
    return -1;
}

int __real_epoll_wait(int set, struct epoll_event *e, int n, int ms);
int __wrap_epoll_wait(int set, struct epoll_event *e, int n, int ms);
int __wrap_epoll_wait(int set, struct epoll_event *e, int n, int ms)
{
    static fault_call call = {.name = "epoll_wait", .kinds = {SHORT, HARMLESS(EINTR), ENDS_LOOP(EBADF)}};
    const fault_kind *k = fault_at(&call);
    if (k != NULL && k->way == FAULT_ERROR) {
        errno = k->error;
        return -1;
    }
    fault_begin_wait();
    int r = __real_epoll_wait(set, e, k != NULL ? 1 : n, ms);
    fault_end_wait();
    return r;
}

/* ------------------------------------------------------------------ memory */

void *__real_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    static fault_call call = {.name = "mmap", .kinds = {NO_MEMORY}};
    const fault_kind *k = fault_at(&call);
    if (k == NULL)
        return __real_mmap(at, n, protection, flags, fd, offset);
    errno = k->error;
    return MAP_FAILED;
}

void *__real_mremap(void *p, size_t from, size_t to, int flags, ...);
void *__wrap_mremap(void *p, size_t from, size_t to, int flags, ...);
void *__wrap_mremap(void *p, size_t from, size_t to, int flags, ...)
{
    static fault_call call = {.name = "mremap", .kinds = {NO_MEMORY}};
    va_list more;
    va_start(more, flags);
    void *there = flags & MREMAP_FIXED ? va_arg(more, void *) : NULL;
    va_end(more);
    const fault_kind *k = fault_at(&call);
    if (k == NULL)
        return __real_mremap(p, from, to, flags, there);
    errno = k->error;
    return MAP_FAILED;
}

/* Advice and placement are wishes: without them the pages are still there. */
WRAP(int, madvise, (void *p, size_t n, int advice), (p, n, advice), HARMLESS(EINVAL), HARMLESS(ENOMEM))

WRAP(long, mbind, (void *p, unsigned long n, int mode, const unsigned long *nodes, unsigned long most, unsigned flags),
     (p, n, mode, nodes, most, flags), HARMLESS(EPERM), HARMLESS(ENOMEM), HARMLESS(EINVAL))

WRAP(int, get_mempolicy, (int *mode, unsigned long *nodes, unsigned long most, void *p, unsigned flags),
     (mode, nodes, most, p, flags), HARMLESS(EPERM), HARMLESS(ENOSYS))

WRAP(long, move_pages, (int pid, unsigned long n, void **pages, const int *nodes, int *status, int flags),
     (pid, n, pages, nodes, status, flags), HARMLESS(EPERM), HARMLESS(ENOSYS))

WRAP(int, getcpu, (unsigned *cpu, unsigned *node), (cpu, node), HARMLESS(ENOSYS))

WRAP(int, numa_available, (void), (), {"none", 0, FAULT_ERROR, FAULT_HARMLESS})

int __real_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a);
int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a);
int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *a)
{
    static fault_call call = {.name = "pthread_mutex_init", .kinds = {ENDS_ONE(ENOMEM), ENDS_ONE(EAGAIN)}};
    const fault_kind *k = fault_at(&call);
    return k != NULL ? k->error : __real_pthread_mutex_init(m, a);
}
