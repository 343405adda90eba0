package tcpio

import (
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// handle returns options that hand each message to answer, whatever the mode: whole, for it is short.
func handle(options ListenerOptions, answer func(conn net.Conn, message string) error) ListenerOptions {
	if options.OnData != nil {
		options.OnData = func(conn net.Conn, data []byte) error { return answer(conn, string(data)) }
		return options
	}
	options.OnConnEvent = func(conn net.Conn) error {
		buf := make([]byte, 100)
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		return answer(conn, string(buf[:n]))
	}
	return options
}

// A callback that blocks holds up the connections of its loop, but neither another loop nor accepting, and they are
// served when it returns.
func TestBlockingCallback(t *testing.T) {
	for mode, options := range modes {
		t.Run(mode, func(t *testing.T) {
			inside, returning := make(chan struct{}), make(chan struct{})
			options = handle(options, func(conn net.Conn, message string) error {
				if message == "block" {
					close(inside)
					<-returning
				}
				_, err := io.WriteString(conn, message)
				return err
			})
			options.Loops = 2
			s := serve(t, options)
			blocked, other, neighbour := s.dial(), s.dial(), s.dial() // the third is on the loop of the first
			send(t, blocked, "block")
			wait(t, "the callback", inside)
			send(t, neighbour, "hello")
			for _, client := range []*net.TCPConn{other, s.dial()} {
				send(t, client, "hello")
				expect(t, client, "hello")
			}
			close(returning)
			expect(t, blocked, "block")
			expect(t, neighbour, "hello")
		})
	}
}

// A connection that another goroutine closes while its callback runs ends, and nothing else.
func TestCloseDuringCallback(t *testing.T) {
	for mode, options := range modes {
		t.Run(mode, func(t *testing.T) {
			inside, closed := make(chan net.Conn), make(chan struct{})
			s := serve(t, handle(options, func(conn net.Conn, message string) error {
				if message == "close" {
					inside <- conn
					<-closed
					_, err := io.WriteString(conn, "too late")
					is(t, err, net.ErrClosed)
					return nil
				}
				_, err := io.WriteString(conn, message)
				return err
			}))
			client, other := s.dial(), s.dial()
			send(t, client, "close")
			if err := wait(t, "the callback", inside).Close(); err != nil {
				t.Error(err)
			}
			close(closed)
			expectEnd(t, client)
			client.Close()
			if err := wait(t, "OnClose", s.closes); err != nil {
				t.Errorf("OnClose was told %v", err)
			}
			send(t, other, "hello")
			expect(t, other, "hello")
			if len(s.errs)+len(s.closes) > 0 {
				t.Error("there is more to be told of")
			}
		})
	}
}

// Thousands of connections need no goroutine each.
func TestThousandsOfConnections(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := min(3000, int(limit.Cur)/2-200) // both ends are here
	for mode, options := range modes {
		if options.Wrap != nil {
			continue // which has one each
		}
		t.Run(mode, func(t *testing.T) {
			s := serve(t, options)
			warm := s.dial()
			send(t, warm, "x")
			expect(t, warm, "x")
			before := runtime.NumGoroutine()
			clients := make([]*net.TCPConn, n)
			for i := range clients {
				clients[i] = s.dial()
				send(t, clients[i], "x")
				expect(t, clients[i], "x")
			}
			if more := runtime.NumGoroutine() - before; more > n/100 {
				t.Errorf("%d goroutines more for %d connections", more, n)
			}
			if conns := s.Stats().Conns; conns != n+1 {
				t.Errorf("%d connections of %d", conns, n+1)
			}
			for _, client := range clients {
				send(t, client, "y")
				expect(t, client, "y")
			}
		})
	}
}

// Connections that nobody is asked about any more do not keep the loop busy, in whatever state the peer has left them.
func TestSilentConnectionsCostNothing(t *testing.T) {
	handled := make(chan struct{}, 10)
	s := serve(t, ListenerOptions{OnConnEvent: func(conn net.Conn) error {
		buf := make([]byte, 1)
		n, err := conn.Read(buf)
		switch {
		case err == io.EOF: // keeps its half of the connection
			handled <- struct{}{}
			return nil
		case err != nil:
			return err
		case buf[0] == 'p':
			handled <- struct{}{}
			return conn.(*Conn).SetReading(false)
		}
		_, err = conn.Write(buf[:n])
		return err
	}})
	ended, paused, reset, endedReset := s.dial(), s.dial(), s.dial(), s.dial()
	ended.CloseWrite()
	endedReset.CloseWrite()
	send(t, paused, "paused, and this is unread")
	send(t, reset, "p")
	for range 4 {
		wait(t, "an event", handled)
	}
	for _, client := range []*net.TCPConn{reset, endedReset} {
		client.SetLinger(0)
		client.Close()
	}
	const messages = 1000
	fd := descriptor(t, s.dial())
	exchange(t, fd, []byte("x"), make([]byte, 1))
	before := runtime.NumCgoCall()
	for range messages {
		exchange(t, fd, []byte("x"), make([]byte, 1))
	}
	if calls := runtime.NumCgoCall() - before; calls > 2*messages {
		t.Errorf("%d calls of C for %d messages", calls, messages)
	}
}

// A listener that is closed while it starts leaves nothing behind, whoever is first.
func TestCloseWhileStarting(t *testing.T) {
	before := descriptors(t)
	for range 100 {
		l, err := Listen(&ListenerOptions{Addr: "127.0.0.1:0", Loops: 2, OnConnEvent: echo})
		if err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		both.Add(2)
		go func() {
			defer both.Done()
			l.Start()
		}()
		go func() {
			defer both.Done()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
		both.Wait()
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are left", after-before)
	}
}
