package tcpio

import (
	"context"
	"errors"
)

// errInCallback: Shutdown would wait for the callback that it was called in.
var errInCallback = errors.New("tcpio: Shutdown called in a callback, which it would wait for: use another goroutine")

// Shutdown ends the listener in good order. It stops accepting; each connection's input then ends behind what had
// reached the machine by that moment: OnConnEvent and OnData get to see that much, a Read after it returns io.EOF. A
// connection is closed when OnConnEvent has seen that end and returns, or with OnData when everything before it was
// handled (and OnEnd, if there is one, has closed it); those that belong to goroutines are closed by these. What
// was written is sent, and the peer may read it and close its end, for up to CloseTimeout.
//
// It returns when all connections have ended, with nil. When ctx is over before, or somebody calls Close, the rest are
// closed at once, and it returns ctx.Err() or ErrListenerClosed. Not to be called in a callback, which it would wait
// for: on amd64 and arm64 that is an error, but not beneath a Wrap.
func (l *Listener) Shutdown(ctx context.Context) error {
	for _, w := range l.workers {
		if w.loop.OnLoop() {
			return errInCallback
		}
	}
	l.mu.Lock()
	if !l.started {
		l.mu.Unlock()
		return l.Close()
	}
	first := !l.draining
	l.draining = true
	l.mu.Unlock()
	if first {
		_ = l.tcp.Close() // fails when it has been closed already
	}
	err := l.drain(ctx, first)
	l.end()
	if err != nil {
		return err
	}
	select {
	case <-l.done:
		return nil
	case <-ctx.Done(): // an OnClose takes its time
		return ctx.Err()
	}
}

// drain has all connections end, unless another call does, and waits until they have.
func (l *Listener) drain(ctx context.Context, first bool) error {
	select {
	case <-l.deaf:
	case <-ctx.Done():
		return ctx.Err()
	}
	if first {
		l.live.Add(1) // so that left finds somebody until all have been told
		l.awaited.Store(true)
		for _, w := range l.workers {
			w.parked.end((*Conn).endInput, false)
			_ = w.loop.Do(w.drain) // fails when the loop has closed, and all connections with it
		}
		l.left()
	}
	select {
	case <-l.drained:
	case <-l.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.isEnding() {
		return ErrListenerClosed
	}
	return nil
}

// left counts a connection less.
func (l *Listener) left() {
	if l.live.Add(-1) == 0 && l.awaited.CompareAndSwap(true, false) {
		close(l.drained)
	}
}

func (l *Listener) isEnding() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ending
}

func (l *Listener) isDraining() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.draining
}
