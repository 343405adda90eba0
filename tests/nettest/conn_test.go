// Package nettest has golang.org/x/net/nettest judge the connections of tcpio, and WebSockets as net.Conns. It is a module
// of its own because the root module requires no other.
package nettest

import (
	"net"
	"testing"

	"github.com/momentics/hioload-ws/tcpio"
	"golang.org/x/net/nettest"
)

// pipe connects a client of package net to a listener. take gets each connection of the listener's, in a callback of
// which it may keep the loop until release is closed.
func pipe(options tcpio.ListenerOptions, accepted <-chan net.Conn, release func()) nettest.MakePipe {
	return func() (c1, c2 net.Conn, stop func(), err error) {
		options.Addr = "127.0.0.1:0"
		l, err := tcpio.Listen(&options)
		if err != nil {
			return nil, nil, nil, err
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			l.Start()
		}()
		client, err := net.Dial("tcp", l.GetListener().Addr().String())
		if err != nil {
			l.Close()
			return nil, nil, nil, err
		}
		server := <-accepted
		return server, client, func() {
			client.Close()
			server.Close()
			release()
			l.Close()
			<-ended
		}, nil
	}
}

// Connections that belong to goroutines: the loop has nothing to do but to keep them.
func TestConn(t *testing.T) {
	accepted := make(chan net.Conn)
	nettest.TestConn(t, pipe(tcpio.ListenerOptions{
		OnOpen: func(conn net.Conn) error {
			accepted <- conn
			return nil
		},
	}, accepted, func() {}))
}

// Connections that the loop watches all the time, while goroutines use them.
func TestWatchedConn(t *testing.T) {
	accepted := make(chan net.Conn)
	nettest.TestConn(t, pipe(tcpio.ListenerOptions{
		EdgeTriggered: true,
		OnOpen: func(conn net.Conn) error {
			accepted <- conn
			return nil
		},
		OnConnEvent: func(net.Conn) error { return nil },
	}, accepted, func() {}))
}

// Connections whose loop is in a callback all the time: nothing that their methods do waits for it.
func TestConnInCallback(t *testing.T) {
	accepted := make(chan net.Conn)
	returning := make(chan struct{})
	nettest.TestConn(t, pipe(tcpio.ListenerOptions{
		OnOpen: func(conn net.Conn) error {
			accepted <- conn
			<-returning
			return nil
		},
	}, accepted, func() { returning <- struct{}{} }))
}

// What is said on a connection goes to one layer more, which may not get in its way.
func TestWrappedConn(t *testing.T) {
	accepted := make(chan net.Conn)
	nettest.TestConn(t, pipe(tcpio.ListenerOptions{
		Wrap: func(conn net.Conn) (net.Conn, error) { return struct{ net.Conn }{conn}, nil },
		OnOpen: func(conn net.Conn) error {
			accepted <- conn
			return nil
		},
	}, accepted, func() {}))
}
