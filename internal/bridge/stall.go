package bridge

import (
	"sync"
	"time"
)

// stall is a bridge's way to its conn. It watches over writes that take long: while the descriptor's owner is there,
// how long is the owner's affair; when it has gone, nobody else would end them.
type stall struct {
	bridge   *bridge
	patience time.Duration
	timer    *time.Timer

	mu    sync.Mutex
	since time.Time // when the write under way has begun; zero: there is none
}

func (s *stall) init(b *bridge, patience time.Duration) {
	s.bridge, s.patience = b, patience
	s.timer = time.AfterFunc(patience, s.check)
	s.timer.Stop()
}

// Write writes p to conn.
func (s *stall) Write(p []byte) (int, error) {
	s.set(time.Now())
	s.timer.Reset(s.patience)
	n, err := s.bridge.conn.Write(p)
	s.set(time.Time{})
	s.timer.Stop()
	return n, err
}

func (s *stall) set(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = since
}

// check is called when a write may be taking long.
func (s *stall) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.since.IsZero():
	case time.Since(s.since) >= s.patience && s.bridge.hungUp():
		s.bridge.close()
	default:
		s.timer.Reset(s.patience)
	}
}

// stop is called when the bridge is over.
func (s *stall) stop() { s.timer.Stop() }
