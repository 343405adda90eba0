package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

func TestBackoffBound(t *testing.T) {
	for _, c := range []struct {
		backoff Backoff
		want    []time.Duration // after 1, 2, 3... failures
	}{
		{Backoff{Initial: 100, Max: 1000}, []time.Duration{100, 200, 400, 800, 1000, 1000}},
		{Backoff{Initial: 100, Max: 800}, []time.Duration{100, 200, 400, 800, 800}},
		{Backoff{Initial: 100, Max: 100}, []time.Duration{100, 100}},
		{Backoff{Initial: 1 << 61, Max: 1<<63 - 1}, []time.Duration{1 << 61, 1 << 62, 1<<63 - 1, 1<<63 - 1}},
		{Backoff{}, []time.Duration{defaultInitial, 2 * defaultInitial}},
		{Backoff{Initial: time.Hour}, []time.Duration{time.Hour, time.Hour}},
	} {
		b, err := c.backoff.complete()
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if got := b.bound(i + 1); got != want {
				t.Errorf("%+v: %v after %d failures, want %v", c.backoff, got, i+1, want)
			}
		}
		if got := b.bound(1 << 30); got != b.Max {
			t.Errorf("%+v: %v after very many", c.backoff, got)
		}
	}
	for _, bad := range []Backoff{{Initial: -1}, {Max: -1}, {Attempts: -1}, {ResetAfter: -1}, {Initial: 2, Max: 1}} {
		r := Reconnector{URL: "ws://127.0.0.1:1", Backoff: bad}
		if err := r.Run(context.Background()); !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// The random wait is anything from nothing to its bound.
func TestJitter(t *testing.T) {
	var seen [4]bool
	for i := 0; i < 10_000 && slices.Contains(seen[:], false); i++ {
		wait := realClock.random(3)
		if wait < 0 || wait > 3 {
			t.Fatal(wait)
		}
		seen[wait] = true
	}
	if slices.Contains(seen[:], false) {
		t.Errorf("of 0 to 3 these came: %v", seen)
	}
	if realClock.random(0) != 0 {
		t.Error("a wait within 0")
	}
}

// script is a clock that takes no time, with dials that fail as a test wants them to.
type script struct {
	time  time.Time
	waits []time.Duration
	dial  func(attempt int) error
	tried int
}

func (s *script) clock() clock {
	return clock{
		now:    func() time.Time { return s.time },
		sleep:  func(_ context.Context, d time.Duration) { s.time = s.time.Add(d) },
		random: func(bound time.Duration) time.Duration { s.waits = append(s.waits, bound); return bound },
		dial: func(context.Context, string, *Options) (*Conn, *http.Response, error) {
			s.tried++
			return nil, nil, s.dial(s.tried)
		},
	}
}

func TestGivingUp(t *testing.T) {
	torn := errors.New("torn")
	refusal := func(status int) error {
		return &HandshakeError{Response: &http.Response{StatusCode: status}, Reason: torn}
	}
	for _, c := range []struct {
		name     string
		attempts int
		retry    func(error) bool
		err      error
		tried    int
	}{
		{"after so many", 4, nil, torn, 4},
		{"after one", 1, nil, torn, 1},
		{"a refusal for now", 3, nil, refusal(503), 3},
		{"too many requests", 3, nil, refusal(429), 3},
		{"a bad answer", 3, nil, refusal(101), 3},
		{"a refusal for good", 3, nil, refusal(403), 1},
		{"a bad option", 3, nil, badOption("x"), 1},
		{"closed loops", 3, nil, ErrLoopsClosed, 1},
		{"as the user says", 3, func(err error) bool { return err != torn }, torn, 1},
		{"as the user says, the other way", 3, func(error) bool { return true }, ErrLoopsClosed, 3},
	} {
		s := &script{dial: func(int) error { return c.err }}
		var retried []error
		r := Reconnector{
			Backoff: Backoff{Initial: 1, Max: 1000, Attempts: c.attempts}, Retry: c.retry, clock: s.clock(),
			OnRetry: func(err error, _ time.Duration) { retried = append(retried, err) },
		}
		err := r.Run(context.Background())
		if !errors.Is(err, c.err) || s.tried != c.tried || len(retried) != c.tried-1 {
			t.Errorf("%s: %v after %d attempts, %d retries", c.name, err, s.tried, len(retried))
		}
		if want := []time.Duration{1, 2, 4}[:c.tried-1]; !slices.Equal(s.waits, want) {
			t.Errorf("%s: waited at most %v", c.name, s.waits)
		}
	}
}

// The context ends while it dials, and while it waits.
func TestReconnectorCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &script{dial: func(attempt int) error {
		if attempt == 3 {
			cancel()
		}
		return io.EOF
	}}
	r := Reconnector{clock: s.clock()}
	if err := r.Run(ctx); err != context.Canceled || s.tried != 3 || len(s.waits) != 2 {
		t.Errorf("%v after %d attempts and %d waits", err, s.tried, len(s.waits))
	}
	ctx, cancel = context.WithCancel(context.Background())
	s = &script{dial: func(int) error { return io.EOF }}
	r = Reconnector{clock: s.clock(), OnRetry: func(error, time.Duration) { cancel() }}
	r.clock.sleep = realClock.sleep // for an hour
	r.clock.random = func(time.Duration) time.Duration { return time.Hour }
	if err := r.Run(ctx); err != context.Canceled || s.tried != 1 {
		t.Errorf("%v after %d attempts", err, s.tried)
	}
}

// A server that ends connections: each is replaced; those that have held reset the waits, those that have not do not.
func TestReconnects(t *testing.T) {
	leaks(t)
	address := serve(t, api.HandlerFunc(func(data any) error {
		message, ok := data.(api.Buffer)
		if !ok {
			return nil
		}
		defer message.Release()
		payload := append([]byte{0x0f, 0xa1}, message.Bytes()...) // 4001
		return api.FromContext(api.ContextFromData(data)).(*Conn).SendFrame(&protocol.WSFrame{
			IsFinal: true, Opcode: protocol.OpcodeClose, Payload: payload})
	}))
	s := new(script)
	held := []time.Duration{0, 5, 10, 0, 1000, 0}
	var ends []error
	connected := 0
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	r := &Reconnector{
		URL: "ws://" + address, Options: direct(t), clock: s.clock(),
		Backoff: Backoff{Initial: 1, Max: 100, ResetAfter: 10},
		OnRetry: func(err error, _ time.Duration) { ends = append(ends, err) },
	}
	r.clock.dial = Dial
	r.OnConnect = func(c *Conn, response *http.Response) {
		if r.Conn() != c || response.StatusCode != http.StatusSwitchingProtocols {
			t.Errorf("%p is the connection, not %p; %s", r.Conn(), c, response.Status)
		}
		if connected == len(held) {
			cancel()
			return
		}
		s.time = s.time.Add(held[connected])
		connected++
		frame := &protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText, Payload: []byte("bye")}
		if err := c.SendFrame(frame); err != nil {
			t.Error(err)
		}
	}
	if err := r.Run(ctx); err != context.Canceled {
		t.Error(err)
	}
	if want := []time.Duration{1, 2, 1, 2, 1, 2}; !slices.Equal(s.waits, want) {
		t.Errorf("waited at most %v, want %v", s.waits, want)
	}
	for _, err := range ends {
		var end *protocol.CloseError
		if !errors.As(err, &end) || end.Code != 4001 || end.Reason != "bye" {
			t.Errorf("ended with %v", err)
		}
	}
	if r.Conn() != nil {
		t.Error("a connection after the end")
	}
}

// OnConnect may use the connection until it ends, and the context ends it.
func TestReconnectorReads(t *testing.T) {
	leaks(t)
	address := serve(t, nil)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	r := &Reconnector{URL: "ws://" + address, Options: direct(t)}
	r.OnConnect = func(c *Conn, _ *http.Response) {
		frame := &protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText, Payload: []byte("hello")}
		for err := c.SendFrame(frame); err == nil; {
			var messages []api.Buffer
			messages, err = c.RecvZeroCopy()
			for _, m := range messages {
				if !bytes.Equal(m.Bytes(), frame.Payload) {
					t.Errorf("got %q", m.Bytes())
				}
				m.Release()
				cancel()
			}
		}
	}
	if err := r.Run(ctx); err != context.Canceled {
		t.Error(err)
	}
}

// A panic in OnConnect is the caller's to deal with; the connection does not stay.
func TestReconnectorPanic(t *testing.T) {
	leaks(t)
	address := serve(t, nil)
	var c *Conn
	r := &Reconnector{URL: "ws://" + address, Options: direct(t)}
	r.OnConnect = func(opened *Conn, _ *http.Response) {
		c = opened
		panic("on purpose")
	}
	func() {
		defer func() {
			if recover() != "on purpose" {
				t.Error("no panic")
			}
		}()
		_ = r.Run(within(t))
	}()
	await(t, "the end", c.Done())
}
