package tcpio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/internal/report"
)

// Listener accepts TCP connections and calls back when something happens on them. All methods are safe from any
// goroutine, and from callbacks unless they say otherwise.
type Listener struct {
	options ListenerOptions
	tcp     *net.TCPListener
	pool    *loop.Pool
	workers []*worker
	start   sync.Once
	layers  sync.WaitGroup // goroutines of Wrap
	limiter report.Limiter // of reports about accepting

	live     atomic.Int64 // connections
	accepted atomic.Uint64
	refused  atomic.Uint64
	panics   atomic.Uint64

	mu       sync.Mutex
	started  bool
	draining bool // Shutdown was called: connections end by themselves
	ending   bool // they are closed now

	awaited atomic.Bool   // the last connection to go closes drained
	drained chan struct{} // see Shutdown
	deaf    chan struct{} // closed when no connection is accepted any more
	done    chan struct{} // closed when everything has ended
}

// Listen binds the address and returns a listener whose loops wait for [Listener.Start]; until then clients wait in
// the kernel's queue. It has to be followed by Start or by [Listener.Close]. The error tells what is wrong with the
// options, or is what net.Listen or the system has said.
func Listen(options *ListenerOptions) (*Listener, error) {
	if options == nil {
		return nil, errors.New("tcpio: Listen: nil options")
	}
	l := &Listener{options: *options, drained: make(chan struct{}), deaf: make(chan struct{}),
		done: make(chan struct{})}
	if err := l.options.check(); err != nil {
		return nil, fmt.Errorf("tcpio: Listen: %w", err)
	}
	if err := l.build(); err != nil {
		l.dismantle()
		return nil, fmt.Errorf("tcpio: Listen: %w", err)
	}
	if s := l.Stats(); s.BackendError != nil {
		l.options.Logger.Warn("tcpio: io_uring is not to be had", "addr", l.tcp.Addr().String(),
			"backend", s.Backend, "error", s.BackendError)
	}
	return l, nil
}

// build makes what a listener consists of. What it has made when it fails is for dismantle.
func (l *Listener) build() (err error) {
	if l.pool, err = loop.NewPool(loop.PoolConfig{}); err != nil {
		return err
	}
	for len(l.workers) < l.options.Loops {
		w, err := newWorker(l, l.pool)
		if err != nil {
			return err
		}
		l.workers = append(l.workers, w)
	}
	config := l.options.listenConfig()
	listener, err := config.Listen(context.Background(), "tcp", l.options.Addr)
	if err != nil {
		return err
	}
	l.tcp = listener.(*net.TCPListener)
	return nil
}

// GetListener returns the listening socket. Its Addr tells where; closing it ends Start, as Close does; a deadline set
// on it pauses accepting once it has passed, until it is changed, and OnErrorEvent is told so. Connections taken with
// its Accept are the caller's own.
func (l *Listener) GetListener() *net.TCPListener { return l.tcp }

// Start accepts connections and runs the loops. It returns when the listener has been closed, in whatever way, and all
// its connections with it. A second call waits for the same. Not to be called in a callback.
func (l *Listener) Start() {
	l.start.Do(func() {
		if !l.begin() {
			return // closed before
		}
		var loops sync.WaitGroup
		for _, w := range l.workers {
			loops.Add(1)
			go func() {
				defer loops.Done()
				if err := w.loop.Run(); err != nil && !errors.Is(err, loop.ErrLoopClosed) {
					l.report(fmt.Errorf("tcpio: event loop: %w", err))
					_ = l.Close() // one loop less is no state to go on in
				}
			}()
		}
		l.accept()
		close(l.deaf)
		if !l.isDraining() {
			l.end()
		}
		loops.Wait()
		l.layers.Wait()
		l.dismantle()
	})
	<-l.done
}

// begin marks the listener as started, unless it was closed before.
func (l *Listener) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started = !l.ending
	return l.started
}

// end closes the loops, and all connections with them.
func (l *Listener) end() {
	l.mu.Lock()
	l.ending = true
	l.mu.Unlock()
	for _, w := range l.workers {
		w.parked.end(func(c *Conn) { c.end(ErrListenerClosed, abrupt) }, true)
		w.loop.Close()
	}
}

// dismantle frees what is left. No loop is running any more.
func (l *Listener) dismantle() {
	if l.tcp != nil {
		_ = l.tcp.Close()
	}
	for _, w := range l.workers {
		w.loop.Close()
	}
	if l.pool != nil {
		l.pool.Close()
	}
	close(l.done)
}

// Close closes the listening socket and all connections, at once, and has Start return. A second Close is
// net.ErrClosed.
func (l *Listener) Close() error {
	err := l.tcp.Close()
	l.mu.Lock()
	first := !l.ending
	l.ending = true
	started := l.started
	l.mu.Unlock()
	if started {
		l.end()
	} else if first {
		l.dismantle()
	}
	if first && errors.Is(err, net.ErrClosed) {
		return nil // it was closed by way of GetListener or Shutdown
	}
	return err
}

// report hands an error to OnErrorEvent.
func (l *Listener) report(err error) {
	if l.options.OnErrorEvent == nil {
		return
	}
	returned := false
	defer func() {
		if !returned {
			l.panicked(recover())
		}
	}()
	l.options.OnErrorEvent(err)
	returned = true
}

// closed calls OnClose.
func (l *Listener) closed(conn net.Conn, cause error) {
	if l.options.OnClose == nil {
		return
	}
	returned := false
	defer func() {
		if !returned {
			l.report(l.panicked(recover()))
		}
	}()
	l.options.OnClose(conn, cause)
	returned = true
}

// panicked logs what a callback has panicked with, nil for runtime.Goexit, and returns it as an error.
func (l *Listener) panicked(v any) error {
	if v == nil {
		v = "runtime.Goexit was called"
	}
	l.panics.Add(1)
	err := &PanicError{Value: v, Stack: debug.Stack()}
	l.options.Logger.Error("tcpio: a callback panicked", slog.Any("panic", v), slog.String("stack", string(err.Stack)))
	return err
}
