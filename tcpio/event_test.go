package tcpio

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/netfd"
)

func TestEventPerReadiness(t *testing.T) {
	events := make(chan string, 100)
	s := serve(t, ListenerOptions{OnConnEvent: func(conn net.Conn) error {
		buf := make([]byte, 3)
		n, err := conn.Read(buf)
		events <- string(buf[:n])
		return err
	}})
	client := s.dial()
	until(t, "it is accepted", func() bool { return s.Stats().Conns == 1 })
	select {
	case got := <-events:
		t.Fatalf("called with %q at accept", got)
	default:
	}
	send(t, client, "abcdefgh") // three events, for as long as something is unread
	for _, want := range []string{"abc", "def", "gh"} {
		if got := wait(t, "an event", events); got != want {
			t.Fatalf("read %q, want %q", got, want)
		}
	}
	client.CloseWrite()
	if got := wait(t, "an event", events); got != "" {
		t.Fatalf("read %q at the end of the stream", got)
	}
	if err := s.failed(); err != io.EOF {
		t.Fatalf("OnErrorEvent was told %v, want io.EOF itself", err)
	}
	expectEnd(t, client)
	if len(events) > 0 {
		t.Errorf("%d events more", len(events))
	}
}

func TestReturnedErrorClosesAndArrivesUnchanged(t *testing.T) {
	type oddError struct{ error } // not even comparable with ==, had it a slice; told apart by its address
	mine := &oddError{errors.New("mine")}
	s := serve(t, ListenerOptions{OnConnEvent: func(conn net.Conn) error { return mine }})
	client := s.dial()
	send(t, client, "x")
	if err := s.failed(); err != error(mine) {
		t.Errorf("OnErrorEvent was told %v", err)
	}
	expectEnd(t, client)
	client.Close()
	if err := wait(t, "OnClose", s.closes); err != error(mine) {
		t.Errorf("OnClose was told %v", err)
	}
	if len(s.errs) > 0 {
		t.Errorf("OnErrorEvent was also told %v", <-s.errs)
	}
}

func TestNilCallbacks(t *testing.T) {
	ended := make(chan struct{})
	l, err := Listen(&ListenerOptions{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	go func() { defer close(ended); l.Start() }()
	client, err := net.Dial("tcp", l.GetListener().Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	send(t, client, strings.Repeat("dropped", 1<<20)) // more than buffers hold
	client.(*net.TCPConn).CloseWrite()
	expectEnd(t, client)

	failing, err := Listen(&ListenerOptions{Addr: "127.0.0.1:0",
		OnConnEvent: func(net.Conn) error { return io.ErrUnexpectedEOF }})
	if err != nil {
		t.Fatal(err)
	}
	go failing.Start()
	defer failing.Close()
	other, err := net.Dial("tcp", failing.GetListener().Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	send(t, other, "x")
	expectEnd(t, other)

	l.Close()
	wait(t, "Start to return", ended)
}

// Who has read io.EOF and returns nil keeps the connection, and is not asked again.
func TestHalfClosedConnectionLives(t *testing.T) {
	for mode, options := range modes {
		if options.OnConnEvent == nil {
			continue // for which there is OnEnd
		}
		t.Run(mode, func(t *testing.T) { keepsHalf(t, options) })
	}
}

func keepsHalf(t *testing.T, options ListenerOptions) {
	var calls atomic.Int32
	conns := make(chan net.Conn, 1)
	options.OnConnEvent = func(conn net.Conn) error {
		calls.Add(1)
		if _, err := conn.Read(make([]byte, 10)); err != io.EOF {
			t.Errorf("Read: %v", err)
		}
		conns <- conn
		return nil
	}
	s := serve(t, options)
	client := s.dial()
	client.CloseWrite()
	conn := wait(t, "the end", conns)
	other := s.dial() // its end comes behind what the loop might have to say about the first
	other.CloseWrite()
	wait(t, "the other end", conns).Close()
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls for two ends", n)
	}
	send(t, conn, "an answer")
	conn.Close()
	expect(t, client, "an answer")
	expectEnd(t, client)
}

func TestReadInCallbackWaits(t *testing.T) {
	conns := make(chan net.Conn, 10)
	results := make(chan error, 10)
	s := serve(t, ListenerOptions{OnConnEvent: func(conn net.Conn) error {
		buf := make([]byte, 1)
		if _, err := io.ReadFull(conn, buf); err != nil {
			return err
		}
		switch buf[0] {
		case 'd':
			conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		case 'p':
			conn.SetReadDeadline(time.Now().Add(-time.Second))
		case 'f':
			conn.SetReadDeadline(time.Now().Add(time.Hour))
		}
		conns <- conn
		_, err := io.ReadFull(conn, buf)
		results <- err
		conn.SetReadDeadline(time.Time{})
		return nil
	}})
	client := s.dial()
	check := func(wants ...error) {
		t.Helper()
		err := wait(t, "Read to return", results)
		if len(wants) == 0 && err != nil {
			t.Errorf("Read: %v", err)
		}
		is(t, err, wants...)
	}

	send(t, client, "w")
	wait(t, "the callback", conns)
	send(t, client, "x") // what it waits for
	check()
	send(t, client, "d")
	wait(t, "the callback", conns)
	check(os.ErrDeadlineExceeded)
	send(t, client, "p")
	wait(t, "the callback", conns)
	check(os.ErrDeadlineExceeded)
	send(t, client, "f")
	wait(t, "the callback", conns).SetReadDeadline(time.Now()) // from elsewhere
	check(os.ErrDeadlineExceeded)
	send(t, client, "w")
	wait(t, "the callback", conns).Close()
	check(net.ErrClosed)
	expectEnd(t, client)

	other := s.dial() // the loop is well
	send(t, other, "ww")
	check()
}

func TestWriteInCallbackWaits(t *testing.T) {
	results := make(chan error, 10)
	big := make([]byte, 64<<20)
	s := serve(t, ListenerOptions{OnConnEvent: func(conn net.Conn) error {
		buf := make([]byte, 1)
		if _, err := conn.Read(buf); err != nil {
			return err
		}
		if buf[0] == 'd' {
			conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		}
		n, err := conn.Write(big)
		if (n == len(big)) != (err == nil) {
			t.Errorf("Write: %d, %v", n, err)
		}
		results <- err
		return err
	}})
	reads, stalls := s.dial(), s.dial()
	send(t, reads, "w")
	if n, err := io.CopyN(io.Discard, reads, int64(len(big))); err != nil {
		t.Fatal(n, err)
	}
	if err := wait(t, "Write to return", results); err != nil {
		t.Error(err)
	}
	send(t, stalls, "d")
	is(t, wait(t, "Write to return", results), os.ErrDeadlineExceeded)
}

// Callbacks on two loops that each wait for what only the other's peer can bring about: a wait that needed either loop
// would never end.
func TestLoopsDoNotWaitForEachOther(t *testing.T) {
	conns := make(chan net.Conn, 2)
	var other [2]net.Conn
	inside, both := make(chan struct{}, 2), make(chan struct{})
	s := serve(t, ListenerOptions{Loops: 2,
		OnOpen: func(conn net.Conn) error {
			conns <- conn
			return nil
		},
		OnConnEvent: func(conn net.Conn) error {
			buf := make([]byte, 1)
			if _, err := conn.Read(buf); err != nil {
				return err
			}
			conn.(*Conn).SetReading(false) // the rest is the other callback's
			inside <- struct{}{}
			<-both
			peer := other[0]
			if peer == conn {
				peer = other[1]
			}
			_, err := peer.Read(buf)
			if err == nil {
				_, err = conn.Write(buf)
			}
			return err
		}})
	clients := []*net.TCPConn{s.dial(), s.dial()}
	byAddr := map[string]int{}
	for i, c := range clients {
		byAddr[c.LocalAddr().String()] = i
	}
	for range clients {
		conn := wait(t, "OnOpen", conns)
		other[byAddr[conn.RemoteAddr().String()]] = conn
	}
	if p := s.Stats().PerLoop; p[0] != 1 || p[1] != 1 {
		t.Fatalf("connections per loop: %v", p)
	}
	send(t, clients[0], "x")
	send(t, clients[1], "x")
	wait(t, "both callbacks", inside)
	wait(t, "both callbacks", inside)
	close(both)
	send(t, clients[0], "0") // read by the other one's callback
	send(t, clients[1], "1")
	expect(t, clients[0], "1")
	expect(t, clients[1], "0")
}

// A peer that has sent more than is read gets the last words all the same: no reset overtakes them.
func TestLastWordsArrive(t *testing.T) {
	enough := errors.New("enough")
	for range 100 {
		s := serve(t, ListenerOptions{OnConnEvent: func(conn net.Conn) error {
			conn.Read(make([]byte, 1))
			conn.Write([]byte("last words"))
			return enough
		}})
		client := s.dial()
		send(t, client, strings.Repeat("unread", 1000))
		if err := s.failed(); err != enough {
			t.Fatal(err)
		}
		send(t, client, "and more that nobody reads")
		expect(t, client, "last words")
		expectEnd(t, client)
		client.Close()
		wait(t, "OnClose", s.closes)
		s.Close()
	}
}

// A peer that does not close its end is not waited for longer than CloseTimeout.
func TestCloseTimeout(t *testing.T) {
	s := serve(t, ListenerOptions{CloseTimeout: 10 * time.Millisecond,
		OnConnEvent: func(net.Conn) error { return io.ErrUnexpectedEOF }})
	client := s.dial()
	send(t, client, "x")
	wait(t, "OnClose", s.closes)
	until(t, "the connection is reset", func() bool {
		_, err := client.Write([]byte("x"))
		return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	})
}

func TestEdgeTriggered(t *testing.T) {
	calls := make(chan net.Conn, 100)
	s := serve(t, ListenerOptions{EdgeTriggered: true, OnConnEvent: func(conn net.Conn) error {
		calls <- conn
		return nil
	}})
	client, other := s.dial(), s.dial()
	// marker makes sure that the loop has been around, and with it that there was no call in between.
	marker := func() {
		t.Helper()
		send(t, other, "m")
		for {
			conn := wait(t, "an event", calls)
			if conn.RemoteAddr().String() != other.LocalAddr().String() {
				t.Fatal("an event more")
			}
			if n, err := conn.(*Conn).TryRead(make([]byte, 10)); n == 1 && err == nil {
				return
			}
		}
	}
	send(t, client, "abcd")
	conn := wait(t, "an event", calls).(*Conn)
	marker()
	marker()
	buf := make([]byte, 3)
	if n, err := conn.TryRead(buf); n != 3 || err != nil { // one byte is left
		t.Fatal(n, err)
	}
	send(t, client, "ef")
	received(t, conn.fd, 3)
	marker()
	if n, err := conn.TryRead(make([]byte, 10)); n != 3 || err != nil { // less than was asked for: nothing is left
		t.Fatal(n, err)
	}
	if n, err := conn.TryRead(buf); n != 0 || err != ErrWouldBlock || !errors.Is(err, syscall.EAGAIN) {
		t.Fatal(n, err)
	}
	send(t, client, "g")
	if wait(t, "an event", calls) != net.Conn(conn) {
		t.Fatal("an event of another connection")
	}
	if n, err := conn.Read(buf); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	client.CloseWrite()
	wait(t, "an event", calls)
	if n, err := conn.TryRead(buf); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	marker()
}

// rawRead reads with the system call, which package tcpio hears of only afterwards.
func rawRead(conn *Conn, p []byte) (n int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	if err := raw.Read(func(fd uintptr) bool {
		n, failed = netfd.Read(int(fd), p)
		return failed != syscall.EAGAIN
	}); err != nil {
		return 0, err
	}
	if n == 0 && failed == nil {
		return 0, io.EOF
	}
	return n, failed
}

// A Read that has taken exactly what was there, so that it cannot see that nothing is left, is followed by another
// call when more comes, and by one for the end.
func TestEdgeTriggeredExactRead(t *testing.T) {
	for name, read := range map[string]func(conn *Conn, p []byte) (int, error){
		"Read":     (*Conn).Read,
		"TryRead":  (*Conn).TryRead,
		"raw Read": rawRead,
	} {
		t.Run(name, func(t *testing.T) {
			events := make(chan string, 10)
			s := serve(t, ListenerOptions{EdgeTriggered: true, OnConnEvent: func(conn net.Conn) error {
				buf := make([]byte, 4)
				n, err := read(conn.(*Conn), buf)
				events <- string(buf[:n])
				return err
			}})
			client := s.dial()
			for _, text := range []string{"abcd", "efgh"} {
				send(t, client, text)
				if got := wait(t, "an event", events); got != text {
					t.Fatalf("read %q, want %q", got, text)
				}
			}
			client.CloseWrite()
			if got := wait(t, "the event of the end", events); got != "" {
				t.Fatalf("read %q at the end of the stream", got)
			}
			if err := s.failed(); err != io.EOF {
				t.Errorf("OnErrorEvent was told %v", err)
			}
			expectEnd(t, client)
		})
	}
}

// What lies in the completion ring when another goroutine pauses a connection, has read its end, or closes it, is not
// called for any more.
func TestLateEventsAreNotCalledFor(t *testing.T) {
	for name, late := range map[string]func(c *Conn){
		"paused": func(c *Conn) { c.SetReading(false) },
		"ended":  func(c *Conn) { c.ended.Store(true) },
		"closed": func(c *Conn) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			opened := make(chan net.Conn, 1)
			s := serve(t, ListenerOptions{
				OnOpen:      func(conn net.Conn) error { opened <- conn; return nil },
				OnConnEvent: func(net.Conn) error { t.Error("called"); return nil },
			})
			s.dial()
			conn := wait(t, "OnOpen", opened).(*Conn)
			_ = conn.worker.loop.Do(func() {
				late(conn)
				(*connTarget)(conn).HandleEvent(&csrc.Event{Type: csrc.EvReady, Flags: csrc.Readable})
			})
			s.Close()
			wait(t, "Start to return", s.ended)
		})
	}
}

func TestSetReading(t *testing.T) {
	events := make(chan net.Conn, 1000)
	s := serve(t, ListenerOptions{OnConnEvent: func(conn net.Conn) error {
		events <- conn
		if err := conn.(*Conn).SetReading(false); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		return nil // without having read
	}})
	client, other := s.dial(), s.dial()
	send(t, client, "x")
	conn := wait(t, "an event", events).(*Conn)
	send(t, other, "x")
	wait(t, "an event of the other", events)
	if len(events) > 0 {
		t.Error("called while it was paused")
	}
	if err := conn.SetReading(true); err != nil {
		t.Error(err)
	}
	if got := wait(t, "an event", events); got != net.Conn(conn) {
		t.Error("called for another connection")
	}
	conn.Close()
	is(t, conn.SetReading(true), net.ErrClosed)
}
