package tcpio

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/internal/netfd"
)

const (
	soon = 20 * time.Millisecond
	late = time.Hour
)

// modes are the ways in which a connection may be served.
var modes = map[string]ListenerOptions{
	"OnConnEvent":          {OnConnEvent: echo},
	"OnData":               {OnData: echoData},
	"OnConnEvent and Wrap": {OnConnEvent: echo, Wrap: func(conn net.Conn) (net.Conn, error) { return conn, nil }},
	"OnData and Wrap":      {OnData: echoData, Wrap: func(conn net.Conn) (net.Conn, error) { return conn, nil }},
}

// Each time-out closes the connection that has earned it, once, and says why.
func TestTimeouts(t *testing.T) {
	for mode, options := range modes {
		t.Run(mode, func(t *testing.T) {
			for name, test := range map[string]struct {
				set  func(o *ListenerOptions)
				want error
			}{
				"handshake": {func(o *ListenerOptions) { o.HandshakeTimeout, o.IdleTimeout = soon, late }, ErrHandshakeTimeout},
				"read":      {func(o *ListenerOptions) { o.ReadTimeout, o.HandshakeTimeout = soon, late }, ErrReadTimeout},
				"idle":      {func(o *ListenerOptions) { o.IdleTimeout, o.ReadTimeout = soon, late }, ErrIdleTimeout},
			} {
				if options.Wrap != nil && name == "handshake" {
					continue // for which Wrap has to take its time: TestWrapTakesTooLong
				}
				t.Run(name, func(t *testing.T) {
					timed := options
					test.set(&timed)
					var opened atomic.Bool
					timed.OnOpen = func(net.Conn) error { opened.Store(true); return nil }
					s := serve(t, timed)
					expectEnd(t, s.dial())
					err := s.failed()
					for !opened.Load() { // so slow a machine that not even Wrap had returned: there is no OnClose
						expectEnd(t, s.dial())
						err = s.failed()
					}
					is(t, err, test.want, os.ErrDeadlineExceeded)
					var timeout net.Error
					if !errors.As(err, &timeout) || !timeout.Timeout() {
						t.Errorf("%v is no time-out", err)
					}
					is(t, wait(t, "OnClose", s.closes), test.want)
					if len(s.errs) > 0 {
						t.Errorf("OnErrorEvent was also told %v", <-s.errs)
					}
				})
			}
		})
	}
}

func TestOverdue(t *testing.T) {
	const ms = time.Millisecond
	all := limits{handshake: 10 * ms, read: 20 * ms, idle: 30 * ms}
	for _, test := range []struct {
		limits               limits
		begun                bool
		received, sent, time time.Duration
		want                 error
		next                 time.Duration
	}{
		{limits{}, false, 0, 0, late, nil, 0},
		{all, false, 0, 0, 9 * ms, nil, 10 * ms},
		{all, false, 0, 0, 10 * ms, ErrHandshakeTimeout, 0},
		{all, true, 0, 0, 10 * ms, nil, 20 * ms},
		{all, true, 5 * ms, 0, 24 * ms, nil, 25 * ms},
		{all, true, 5 * ms, 0, 25 * ms, ErrReadTimeout, 0},
		{all, true, 5 * ms, 24 * ms, 25 * ms, ErrReadTimeout, 0},
		{limits{idle: 30 * ms}, true, 5 * ms, 0, 34 * ms, nil, 35 * ms},
		{limits{idle: 30 * ms}, true, 5 * ms, 0, 35 * ms, ErrIdleTimeout, 0},
		{limits{idle: 30 * ms}, true, 5 * ms, 7 * ms, 35 * ms, nil, 37 * ms},
	} {
		var a activity
		a.begun.Store(test.begun)
		a.received.Store(test.received)
		a.sent.Store(test.sent)
		if next, err := a.overdue(test.limits, test.time); next != test.next || err != test.want {
			t.Errorf("%+v: next %v, %v", test, next, err)
		}
	}
}

// What moves on a connection is noted, so that those that are in use are spared.
func TestActivityIsNoted(t *testing.T) {
	for mode, options := range modes {
		if options.Wrap != nil {
			continue // what lies beneath is a Conn
		}
		t.Run(mode, func(t *testing.T) {
			options.HandshakeTimeout, options.ReadTimeout, options.IdleTimeout = late, late, late
			var noted *activity
			options.OnOpen = func(conn net.Conn) error {
				switch conn := conn.(type) {
				case *Conn:
					noted = &conn.activity
				case *Stream:
					noted = &conn.activity
				}
				noted.received.Store(-late)
				noted.sent.Store(-late)
				return nil
			}
			s := serve(t, options)
			client := s.dial()
			send(t, client, "x")
			expect(t, client, "x")
			ok := make(chan bool)
			_ = s.workers[0].loop.Do(func() { // behind the callback
				ok <- noted.begun.Load() && noted.received.Load() > 0 && noted.sent.Load() > 0
			})
			if !wait(t, "the loop", ok) {
				t.Errorf("%+v", noted)
			}
		})
	}
}

// The loop cannot look at the time while it is in a callback: ReadTimeout ends the wait itself.
func TestReadTimeoutInCallback(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) (net.Conn, error){
		"bare":    nil,
		"wrapped": func(conn net.Conn) (net.Conn, error) { return conn, nil },
	} {
		t.Run(name, func(t *testing.T) {
			results := make(chan error, 1)
			s := serve(t, ListenerOptions{ReadTimeout: late, Wrap: wrap, OnConnEvent: func(conn net.Conn) error {
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					return err
				}
				base, ok := conn.(*Conn)
				if !ok {
					base = conn.(interface{ NetConn() net.Conn }).NetConn().(*Conn)
				}
				base.activity.received.Store(now() - late + soon) // it has been silent for almost too long
				_, err := conn.Read(make([]byte, 1))
				results <- err
				return err
			}})
			client := s.dial()
			send(t, client, "x")
			err := wait(t, "Read to return", results)
			is(t, err, ErrReadTimeout, os.ErrDeadlineExceeded)
			if told := s.failed(); told != err {
				t.Errorf("OnErrorEvent was told %v", told)
			}
			expectEnd(t, client)
			client.Close()
			wait(t, "OnClose", s.closes)
			if len(s.errs) > 0 {
				t.Errorf("OnErrorEvent was also told %v", <-s.errs)
			}
		})
	}
}

// A time-out that a callback has returned is not told of again when the loop sees it, too.
func TestTimeoutIsToldOnce(t *testing.T) {
	conns := make(chan net.Conn, 1)
	s := serve(t, ListenerOptions{OnOpen: func(conn net.Conn) error {
		conns <- conn
		return nil
	}})
	s.dial()
	conn := wait(t, "OnOpen", conns).(*Conn)
	conn.tell(ErrReadTimeout)
	conn.end(ErrReadTimeout, abrupt)
	is(t, wait(t, "OnClose", s.closes), ErrReadTimeout) // behind which nothing comes
	if n := len(s.errs); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestWriteTimeout(t *testing.T) {
	big := make([]byte, 64<<20)
	for _, way := range writers {
		t.Run("OnConnEvent, "+way, func(t *testing.T) {
			results := make(chan error, 1)
			s := serve(t, ListenerOptions{WriteTimeout: soon, OnConnEvent: func(conn net.Conn) error {
				results <- waits[way](conn.(*Conn))
				return nil
			}})
			client := s.dial()
			send(t, client, "x")
			is(t, wait(t, "Write to return", results), ErrWriteTimeout, os.ErrDeadlineExceeded)
			is(t, s.failed(), ErrWriteTimeout)
			is(t, wait(t, "OnClose", s.closes), ErrWriteTimeout)
		})
	}
	t.Run("OnData", func(t *testing.T) {
		s := serve(t, ListenerOptions{WriteTimeout: soon, MaxUnsent: len(big), OnData: func(conn net.Conn, _ []byte) error {
			_, err := conn.Write(big)
			return err
		}})
		client := s.dial()
		send(t, client, "x")
		is(t, s.failed(), ErrWriteTimeout)
		is(t, wait(t, "OnClose", s.closes), ErrWriteTimeout)
	})
	t.Run("progress", func(t *testing.T) {
		conn, client := pair(t, ListenerOptions{WriteTimeout: late})
		conn.moved = -late
		if _, err := conn.bound(&conn.out); err != ErrWriteTimeout {
			t.Errorf("without progress: %v", err)
		}
		send(t, conn, "x")
		expect(t, client, "x")
		if next, err := conn.bound(&conn.out); err != nil || next < late {
			t.Errorf("after progress: %v, %v", next, err)
		}
	})
}

// overdue calls look on the loop, when nothing has been noted on a connection for too long.
func overdue(t testing.TB, w *worker, a *activity, look func()) {
	t.Helper()
	onLoop(t, w, func() {
		a.received.Store(-late)
		a.sent.Store(-late)
		look()
	})
}

// A Stream whose peer takes what was written, bit by bit, is not idle; one whose peer takes nothing is.
func TestSendingIsNotSilence(t *testing.T) {
	s, conn, client := streams(t, ListenerOptions{IdleTimeout: late})
	narrow(t, conn.fd, client)
	send(t, conn, text(1<<20))
	for range 3 {
		if n, err := io.CopyN(io.Discard, client, 1<<18); err != nil { // more than the kernel holds
			t.Fatal(n, err)
		}
		overdue(t, conn.worker, &conn.activity, conn.checkTimeouts)
		if conn.closed.Load() {
			t.Fatalf("closed while it was sending: %v", s.failed())
		}
	}
	overdue(t, conn.worker, &conn.activity, func() {
		conn.checkTimeouts() // knows now what was sent
		conn.activity.sent.Store(-late)
		conn.checkTimeouts()
	})
	is(t, wait(t, "OnClose", s.closes), ErrIdleTimeout)
}

// Nor is one whose input the program leaves in the kernel.
func TestPausedStreamIsNotSilent(t *testing.T) {
	data := make(chan struct{}, 100)
	s, conn, client := streams(t, ListenerOptions{IdleTimeout: late, OnData: func(conn net.Conn, _ []byte) error {
		data <- struct{}{}
		return conn.(*Stream).SetReading(false)
	}})
	send(t, client, "x")
	wait(t, "data", data)
	until(t, "input is left", func() bool {
		send(t, client, "more")
		left := 0
		for range 2 { // the first turn ends what io_uring has been asked to receive
			onLoop(t, conn.worker, func() { left = netfd.Unread(conn.fd) })
		}
		return left > 0
	})
	overdue(t, conn.worker, &conn.activity, conn.checkTimeouts)
	if conn.closed.Load() {
		t.Fatalf("closed while it was paused: %v", s.failed())
	}
	if err := conn.SetReading(true); err != nil {
		t.Error(err)
	}
	wait(t, "data", data)
}

// A peer that has ended its half sends nothing more, and is waited for no longer; being idle is something else.
func TestHalfClosedConnectionHasNoReadTimeout(t *testing.T) {
	for mode, options := range modes {
		t.Run(mode, func(t *testing.T) {
			var told atomic.Bool
			end := func(net.Conn) error {
				told.Store(true)
				return nil
			}
			if options.OnData != nil {
				options.OnEnd = end
			} else {
				options.OnConnEvent = func(conn net.Conn) error {
					if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
						return err
					}
					return end(conn)
				}
			}
			options.ReadTimeout, options.IdleTimeout = soon, 5*soon
			s := serve(t, options)
			for {
				client := s.dial()
				client.CloseWrite()
				expectEnd(t, client)
				err := s.failed()
				if told.Load() { // else it is a slow machine, where ReadTimeout came first
					is(t, err, ErrIdleTimeout)
					break
				}
			}
		})
	}
}

// A connection that is not read is not silent.
func TestUnreadInputIsNotSilence(t *testing.T) {
	conns := make(chan net.Conn, 10)
	s := serve(t, ListenerOptions{ReadTimeout: late, EdgeTriggered: true, OnConnEvent: func(conn net.Conn) error {
		conns <- conn
		return nil
	}})
	client := s.dial()
	send(t, client, "x")
	conn := wait(t, "an event", conns).(*Conn)
	overdue(t, conn.worker, &conn.activity, conn.checkTimeouts)
	if err := conn.why(); err != nil {
		t.Errorf("closed because of %v", err)
	}
	if n, err := conn.TryRead(make([]byte, 10)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	overdue(t, conn.worker, &conn.activity, conn.checkTimeouts)
	is(t, conn.why(), ErrReadTimeout)
}
