// Package netfd is the system calls that the readiness API makes on non-blocking descriptors: reading, writing,
// connecting, and addresses as the kernel writes them.
//
// Calls return the kernel's own answer: n bytes, or a syscall.Errno as error, which can be compared with == and costs
// no allocation. EINTR is dealt with here.
//
// Nothing waits on a descriptor in non-blocking mode, and other ones do not belong here: calls that only look or
// receive do not tell Go's scheduler about themselves. Those that send or connect do, because over loopback they do the
// receiver's work as well, and the kernel may give their thread's processor to the one whom they have woken: measured
// with 64 connections within one process on two processors, a message then costs a third.
package netfd
