// Package client opens WebSocket connections (RFC 6455) to servers.
//
//	conn, _, err := client.Dial(ctx, "wss://example.com/chat", nil)
//	...
//	err = conn.Send(protocol.OpcodeText, []byte("hello"))
//	messages, err := conn.RecvZeroCopy()
//
// # Connections and loops
//
// A [Conn] is the same *protocol.WSConnection that a server's handlers get, and has the same methods. Many
// connections share the few threads of a [Loops], each an event loop of the C core: no goroutine waits for a
// connection, so one process holds ten thousand of them. Without [Options.Loops] it is a Loops that the process
// starts when it dials for the first time and never ends; the environment variable HIOLOAD_BACKEND chooses epoll or
// io_uring for it.
//
// With [Options.Handler] messages are given to a handler on the loop, as a server does it, protocol.Events for
// instance; without, they wait for RecvZeroCopy.
//
// # What Dial does
//
// It connects with package net, through an HTTP proxy if there is one, with crypto/tls for wss, writes the request
// and reads the answer with net/http, checks it, and hands the socket to a loop. Everything happens on the caller's
// goroutine and ends with its context. Redirects are not followed: they are refusals, and the answer tells where to.
//
// A connection by TLS, or of a kind that only [Options.NetDial] knows, has no socket that a loop could read. It is
// joined to one end of a pair of Unix sockets whose other end the loop gets, by two goroutines that copy
// (internal/bridge). That costs some microseconds per message and some KiB per connection, and nothing else differs.
//
// # Reconnecting
//
// [Reconnector] dials again when a connection has ended, after a random time that grows with every failure.
package client
