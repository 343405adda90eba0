//go:build linux

package reactor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"
)

// panics are handlers of which one callback panics, and what provokes it.
func panics(t testing.TB, l *Loop, fail func(), closed func(*Socket)) map[string]func() {
	hook := func(*Socket) { fail() }
	drain := func(s *Socket, buffer []byte) { s.Read(buffer) }
	return map[string]func(){
		"OnReadable": func() {
			_, peer := connPair(t, l, &hooks{readable: func(*Socket, []byte) { fail() }, closed: closed})
			send(t, peer, "x")
		},
		"OnWritable": func() {
			token, _ := connPair(t, l, &hooks{readable: drain, writable: hook, closed: closed})
			l.Post(func() { l.sockets.named(token).Interest(true, true) })
		},
		"OnTimeout": func() {
			token, _ := connPair(t, l, &hooks{readable: drain, timeout: hook, closed: closed})
			setTimeout(t, l, token, time.Millisecond)
		},
		"OnClose": func() {
			token, _ := connPair(t, l, &hooks{closed: func(s *Socket) { closed(s); fail() }})
			if err := l.Remove(token); err != nil {
				t.Error(err)
			}
		},
		"low priority": func() {
			h := &heavy{hooks: hooks{readable: func(*Socket, []byte) { fail() }, closed: closed}}
			h.low.Store(true)
			_, peer := connPair(t, l, h)
			send(t, peer, "x")
		},
		"IsLowPriority": func() {
			_, peer := connPair(t, l, &undecided{hooks{closed: closed}, fail})
			send(t, peer, "x")
		},
	}
}

type undecided struct {
	hooks
	fail func()
}

func (h *undecided) IsLowPriority() bool { h.fail(); return false }

// A panic in any callback costs its socket, is reported once, and nothing else.
func TestPanicCostsItsSocket(t *testing.T) {
	var report bytes.Buffer
	l := newLoop(t, Options{Logger: slog.New(slog.NewTextHandler(&report, nil))})
	var errs []error
	fds := map[int]bool{}
	closed := func(s *Socket) { errs = append(errs, s.Err()); fds[s.FD()] = true }
	echoes := 0
	_, neighbour := connPair(t, l, &hooks{readable: func(s *Socket, buffer []byte) { echoes++; echo(s, buffer) }})
	for name, provoke := range panics(t, l, func() { panic("on purpose") }, closed) {
		report.Reset()
		errs = nil
		before := l.Stats().Panics
		provoke()
		pollUntil(t, l, name+" to panic and its socket to close", func() bool { return l.Stats().Sockets == 1 })
		if len(errs) != 1 {
			t.Fatalf("%s: %d calls of OnClose", name, len(errs))
		}
		var cause *PanicError
		if name != "OnClose" && (!errors.As(errs[0], &cause) || cause.Value != "on purpose" ||
			!strings.Contains(errs[0].Error(), "on purpose")) {
			t.Errorf("%s: Err is %v", name, errs[0])
		}
		if n := l.Stats().Panics - before; n != 1 {
			t.Errorf("%s: %d panics counted", name, n)
		}
		text := report.String()
		if strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "on purpose") ||
			!strings.Contains(text, "socket_guard_test.go") {
			t.Errorf("%s: report %q", name, text)
		}
		for fd := range fds {
			if isOpen(uintptr(fd)) {
				t.Errorf("%s: descriptor %d is still open", name, fd)
			}
			delete(fds, fd)
		}
		sofar := echoes
		send(t, neighbour, "x")
		pollUntil(t, l, "the neighbour", func() bool { return echoes > sofar })
	}
}

// runtime.Goexit in a callback ends the socket, and not Run.
func TestGoexitUnderRun(t *testing.T) {
	l := running(t, Options{})
	closed := make(chan error, 1)
	for name, provoke := range panics(t, l, runtime.Goexit, func(s *Socket) { closed <- s.Err() }) {
		provoke()
		err := await(t, name+" to exit and its socket to close", closed)
		var cause *PanicError
		if name != "OnClose" && (!errors.As(err, &cause) || cause.Value != nil || !strings.Contains(err.Error(), "Goexit")) {
			t.Errorf("%s: Err is %v", name, err)
		}
		on(t, l, func() {}) // OnClose has returned, or exited
		if n := l.Stats().Sockets; n != 0 {
			t.Errorf("%s: %d sockets left", name, n)
		}
	}
	if err := l.Post(runtime.Goexit); err != nil {
		t.Fatal(err)
	}
	on(t, l, func() {})
	if n := l.Stats().Panics; n != 7 {
		t.Errorf("%d panics counted, want 7", n)
	}
}

// Under PollOnce it ends the goroutine that polls, and another one may go on.
func TestGoexitUnderPollOnce(t *testing.T) {
	l := newLoop(t, Options{})
	closed := 0
	for name, provoke := range panics(t, l, runtime.Goexit, func(*Socket) { closed++ }) {
		before := closed
		provoke()
		exited := make(chan bool)
		go func() {
			returned := false
			defer func() { exited <- !returned }()
			for range 1000 {
				if err := l.PollOnce(patience); err != nil {
					t.Error(err)
				}
			}
			returned = true
		}()
		if !await(t, "the goroutine to end", exited) {
			t.Fatalf("%s: the goroutine went on", name)
		}
		for closed == before || l.Stats().Sockets > 0 {
			turn(t, l)
		}
	}
}

// A function that was posted and panics is reported; those behind it run.
func TestPanicInPostedFunction(t *testing.T) {
	var report bytes.Buffer
	l := newLoop(t, Options{Logger: slog.New(slog.NewTextHandler(&report, nil))})
	ran := false
	l.Post(func() { panic("posted on purpose") })
	l.Post(func() { ran = true })
	turn(t, l)
	if !ran || l.Stats().Panics != 1 || !strings.Contains(report.String(), "posted on purpose") {
		t.Errorf("the next one ran: %t; panics: %d; report: %s", ran, l.Stats().Panics, &report)
	}
}

// A handler that blocks holds the loop up, and nobody who talks to it from elsewhere.
func TestBlockingHandler(t *testing.T) {
	l := running(t, Options{})
	entered, leave := make(chan struct{}), make(chan struct{})
	_, peer := connPair(t, l, &hooks{readable: func(s *Socket, buffer []byte) {
		s.Read(buffer)
		close(entered)
		<-leave
	}})
	send(t, peer, "x")
	await(t, "the callback", entered)
	closed := make(chan Token, 100)
	var tokens []Token
	for range 100 {
		token, _ := connPair(t, l, &hooks{closed: func(s *Socket) { closed <- s.Token() }})
		setTimeout(t, l, token, time.Hour)
		tokens = append(tokens, token)
	}
	ln := listen(t, l, func(a *Accepted) { a.Add(&hooks{readable: echo}) })
	c := dialNet(t, ln.Addr())
	for _, token := range tokens {
		if err := l.Remove(token); err != nil {
			t.Error(err)
		}
	}
	if len(closed) > 0 {
		t.Error("OnClose while another callback is running")
	}
	close(leave)
	for range tokens {
		await(t, "OnClose", closed)
	}
	exchange(t, c, "all is well")
}

// Close while a handler blocks: the loop ends when it returns.
func TestCloseWhileAHandlerBlocks(t *testing.T) {
	l := newLoop(t, Options{})
	entered, leave, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	closed := 0
	h := &hooks{readable: func(*Socket, []byte) { close(entered); <-leave }, closed: func(*Socket) { closed++ }}
	_, peer := connPair(t, l, h)
	send(t, peer, "x")
	go func() { ended <- l.Run(context.Background()) }()
	await(t, "the callback", entered)
	l.Close()
	select {
	case <-l.Done():
		t.Error("done while a callback is running")
	default:
	}
	close(leave)
	if err := await(t, "Run", ended); !errors.Is(err, ErrClosed) {
		t.Errorf("Run: %v", err)
	}
	if closed != 1 {
		t.Errorf("OnClose was called %d times", closed)
	}
}
