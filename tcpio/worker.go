package tcpio

import (
	"sync/atomic"

	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/internal/netfd"
)

// worker is one of a listener's loops with the connections on it.
type worker struct {
	listener *Listener
	loop     *loop.Loop
	count    atomic.Int64
	parked   parked
	limits   limits // time-outs that the loop does not know of
	timed    bool   // there are some
	drops    bool   // there is nobody who could want what arrives

	// The loop's:
	conns   map[session]struct{}
	scratch []byte // for input that nobody wants
}

// session is a *Conn or a *Stream.
type session interface {
	open() error // on the loop; on an error the descriptor is still the caller's
	drain()      // on the loop: lets it end in good order
}

const scratchSize = 64 << 10

func newWorker(l *Listener, pool *loop.Pool) (*worker, error) {
	turning, err := loop.New(l.options.loopConfig(pool))
	if err != nil {
		return nil, err
	}
	o := &l.options
	silence := o.limits()
	return &worker{
		listener: l,
		loop:     turning,
		limits:   silence,
		drops:    o.OnConnEvent == nil && o.OnData == nil && o.OnOpen == nil && o.Wrap == nil,
		timed:    silence != limits{},
		conns:    make(map[session]struct{}),
		scratch:  make([]byte, scratchSize),
	}, nil
}

// serve takes over a connected socket. Any goroutine.
func (w *worker) serve(fd int, at ends) {
	w.count.Add(1)
	if err := w.loop.Do(func() { w.open(fd, at) }); err != nil { // the loop has closed
		_ = netfd.Close(fd)
		w.gone()
	}
}

// open begins a connection. It and what follows run on the loop.
func (w *worker) open(fd int, at ends) {
	s := w.session(fd, at)
	w.conns[s] = struct{}{}
	if err := s.open(); err != nil {
		delete(w.conns, s)
		_ = netfd.Close(fd)
		w.gone()
		w.listener.report(at.opError("accept", err))
	}
}

func (w *worker) session(fd int, at ends) session {
	o := &w.listener.options
	if o.streams() {
		return &Stream{ends: at, worker: w, fd: fd}
	}
	c := &Conn{ends: at, worker: w, fd: fd}
	c.gate.open()
	if o.Wrap != nil {
		c.layer = &layer{base: c, gone: make(chan struct{}), ending: make(chan struct{})}
	}
	return c
}

// remove forgets a connection that has ended.
func (w *worker) remove(s session) {
	delete(w.conns, s)
	w.gone()
}

// gone counts a connection less.
func (w *worker) gone() {
	w.count.Add(-1)
	w.listener.left()
}

// drain lets all connections end in good order.
func (w *worker) drain() {
	for s := range w.conns {
		s.drain()
	}
}
