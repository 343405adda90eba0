package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
)

// load is what to do, and what came of it.
type load struct {
	url                         string
	connections, messages, size int

	mu    sync.Mutex
	times []time.Duration // of all connections
}

// run opens all connections, has them send, and returns how long the sending took.
func (l *load) run(ctx context.Context) (time.Duration, error) {
	if l.connections < 1 || l.messages < 1 || l.size < 1 {
		return 0, fmt.Errorf("%d connections with %d messages of %d bytes: at least 1 of each",
			l.connections, l.messages, l.size)
	}
	sessions := make([]*session, l.connections)
	for i := range sessions {
		s := &session{load: l, payload: bytes.Repeat([]byte{byte('a' + i%26)}, l.size), done: make(chan error, 1)}
		conn, _, err := client.Dial(ctx, l.url, &client.Options{Handler: s.events()})
		if err != nil {
			return 0, fmt.Errorf("connection %d: %w", i+1, err)
		}
		s.conn, sessions[i] = conn, s
	}
	began := time.Now()
	for _, s := range sessions {
		s.send(s.conn)
	}
	for i, s := range sessions {
		select {
		case err := <-s.done:
			if err != nil {
				return 0, fmt.Errorf("connection %d: %w", i+1, err)
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("connection %d: %w", i+1, ctx.Err())
		}
	}
	took := time.Since(began)
	for _, s := range sessions {
		_ = s.conn.Close() // it has nothing more to say
	}
	for _, s := range sessions {
		select {
		case <-s.conn.Done():
		case <-ctx.Done():
			return 0, fmt.Errorf("closing: %w", ctx.Err())
		}
	}
	return took, nil
}

// report is the result in words.
func (l *load) report(took time.Duration) string {
	slices.Sort(l.times)
	at := func(share float64) time.Duration { return l.times[int(share*float64(len(l.times)-1))] }
	return fmt.Sprintf("%d messages in %v: %.0f a second; p50 %v, p99 %v, longest %v",
		len(l.times), took.Round(time.Millisecond), float64(len(l.times))/took.Seconds(),
		at(0.5), at(0.99), at(1))
}

// session is one connection. Its callbacks run on a loop, one at a time.
type session struct {
	load    *load
	conn    *protocol.WSConnection
	payload []byte
	sent    atomic.Int64 // when the last message was, in nanoseconds since epoch
	times   []time.Duration
	done    chan error // gets one value
}

var (
	errEcho  = errors.New("what came back is not what was sent")
	errEnded = errors.New("the server has closed the connection")
)

func (s *session) events() protocol.Events {
	return protocol.Events{
		OnMessage: s.answered,
		OnClose:   func(*protocol.WSConnection, int, string) { s.end(errEnded) },
	}
}

// epoch is what times are counted from.
var epoch = time.Now()

// send sends the next message.
func (s *session) send(c *protocol.WSConnection) {
	s.sent.Store(int64(time.Since(epoch)))
	if err := c.Send(protocol.OpcodeBinary, s.payload); err != nil {
		s.end(err)
	}
}

// answered notes how long an answer took.
func (s *session) answered(c *protocol.WSConnection, _ byte, data []byte) {
	s.times = append(s.times, time.Since(epoch)-time.Duration(s.sent.Load()))
	switch {
	case !bytes.Equal(data, s.payload):
		s.end(errEcho)
	case len(s.times) < s.load.messages:
		s.send(c)
	default:
		s.load.mu.Lock()
		s.load.times = append(s.load.times, s.times...)
		s.load.mu.Unlock()
		s.end(nil)
	}
}

// end tells how it went; only the first time counts.
func (s *session) end(err error) {
	select {
	case s.done <- err:
	default:
	}
}
