package tcpio

import "github.com/momentics/hioload-ws/internal/loop"

// Stats are a listener's counters.
type Stats struct {
	Conns        int    // connections that are open now, those that are being closed included
	PerLoop      []int  // of these, on each loop
	Accepted     uint64 // connections ever
	Refused      uint64 // turned away: MaxConns, or no descriptor was to be had
	Panics       uint64 // callbacks that panicked or called runtime.Goexit
	Backend      string // how the loops talk to the kernel: "epoll" or "io_uring"; empty when they have ended
	BackendError error  // why that is not the one that was asked for; nil when it is
}

// Stats returns the counters.
func (l *Listener) Stats() Stats {
	telling := l.telling()
	s := Stats{
		PerLoop:      make([]int, len(l.workers)),
		Accepted:     l.accepted.Load(),
		Refused:      l.refused.Load(),
		Panics:       l.panics.Load(),
		Backend:      telling.Backend(),
		BackendError: telling.BackendError(),
	}
	for i, w := range l.workers {
		s.PerLoop[i] = int(w.count.Load())
		s.Conns += s.PerLoop[i]
	}
	return s
}

// telling is the loop that tells about the backend: one that has not got what was asked for, if there is one.
func (l *Listener) telling() *loop.Loop {
	for _, w := range l.workers {
		if w.loop.BackendError() != nil {
			return w.loop
		}
	}
	return l.workers[0].loop
}
