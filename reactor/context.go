package reactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Context is a set of connections that share a [Factory], and the loops that serve them. Contexts know nothing of each
// other: a process has as many as it likes, each with its own kind of [Protocol].
//
// Its methods may be called by any goroutine, in callbacks too unless they say otherwise.
type Context struct {
	log      *slog.Logger
	factory  atomic.Pointer[Factory]
	handoffs atomic.Uint64
	limit    int
	done     chan struct{}

	closeTimeout time.Duration

	mu          sync.Mutex
	loops       []*Loop // those that run
	listeners   []*Listener
	connections map[int]*connection // by descriptor
	closing     bool                // nothing new is taken
	drained     chan struct{}       // made by Shutdown, closed when there are no connections any more
}

// ContextOptions says what a Context is made with. The zero value is useful.
type ContextOptions struct {
	Factory        Factory // may also be set later, with Context.SetFactory
	Loops          int     // 0: one
	MaxConnections int     // 0: as many as the loops take, Options.MaxSockets each
	Loop           Options // of each loop

	// CloseTimeout is how long a connection whose protocol has answered Close waits for its peer to close, too: its own
	// sending end is shut at once, and what arrives is dropped. 0: 5 s.
	CloseTimeout time.Duration
}

const (
	maxLoops            = 1024
	defaultCloseTimeout = 5 * time.Second
)

// NewContext makes a context and starts its loops, each on a goroutine of its own, which run until Close. The error is
// an ErrInvalid that names the option that is out of bounds, or the system's.
func NewContext(o ContextOptions) (*Context, error) {
	c := &Context{
		log:         o.Loop.Logger,
		limit:       o.MaxConnections,
		done:        make(chan struct{}),
		connections: make(map[int]*connection),

		closeTimeout: o.CloseTimeout,
	}
	if c.closeTimeout == 0 {
		c.closeTimeout = defaultCloseTimeout
	}
	if c.log == nil {
		c.log = slog.Default()
	}
	if o.Loops == 0 {
		o.Loops = 1
	}
	switch {
	case o.Loops < 0 || o.Loops > maxLoops:
		return nil, fmt.Errorf("reactor: new context: %w: ContextOptions.Loops is %d, not within 0 to %d", ErrInvalid,
			o.Loops, maxLoops)
	case o.MaxConnections < 0:
		return nil, fmt.Errorf("reactor: new context: %w: ContextOptions.MaxConnections is %d", ErrInvalid, o.MaxConnections)
	case o.CloseTimeout < 0:
		return nil, fmt.Errorf("reactor: new context: %w: ContextOptions.CloseTimeout is %v", ErrInvalid, o.CloseTimeout)
	}
	c.SetFactory(o.Factory)
	for len(c.loops) < o.Loops {
		l, err := NewLoop(o.Loop)
		if err != nil {
			for _, l := range c.loops {
				_ = l.Close()
			}
			return nil, fmt.Errorf("reactor: new context: %w", err)
		}
		c.loops = append(c.loops, l)
	}
	c.start()
	return c, nil
}

func (c *Context) start() {
	var running sync.WaitGroup
	for _, l := range c.loops {
		running.Add(1)
		go func() {
			defer running.Done()
			c.run(l)
		}()
	}
	go func() {
		running.Wait()
		close(c.done)
	}()
}

// run drives a loop until it is closed. A loop that breaks costs its connections, and gets no new ones.
func (c *Context) run(l *Loop) {
	err := l.Run(context.Background())
	if !errors.Is(err, ErrClosed) {
		c.log.Error("reactor: a loop of a context broke, its connections are closed", slog.Any("error", err))
	}
	<-l.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := make([]*Loop, 0, len(c.loops))
	for _, other := range c.loops {
		if other != l {
			kept = append(kept, other)
		}
	}
	c.loops = kept
}

// SetFactory says who makes the protocols of connections from now on; those that are there stay as they are.
func (c *Context) SetFactory(f Factory) { c.factory.Store(&f) }

// Protocol is the protocol of the connection with that descriptor, nil when the context has none. It is found from
// hand-off until ConnectionLost has returned.
func (c *Context) Protocol(fd int) Protocol {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn := c.connections[fd]; conn != nil {
		return conn.protocol
	}
	return nil
}

// Protocols are the protocols of all connections that the context has at this moment, in no order. What one does with
// them on another goroutine than their loop's is for [Base.Post] and its like.
func (c *Context) Protocols() []Protocol {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Protocol, 0, len(c.connections))
	for _, conn := range c.connections {
		all = append(all, conn.protocol)
	}
	return all
}

// Connections is how many connections the context has.
func (c *Context) Connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.connections)
}

// ContextStats are counters of a Context.
type ContextStats struct {
	Connections int     // that it has
	Handoffs    uint64  // connections that it has taken
	Loops       []Stats // of each loop that runs
}

// Stats returns the counters.
func (c *Context) Stats() ContextStats {
	c.mu.Lock()
	loops := c.loops
	stats := ContextStats{Connections: len(c.connections), Handoffs: c.handoffs.Load()}
	c.mu.Unlock()
	for _, l := range loops {
		stats.Loops = append(stats.Loops, l.Stats())
	}
	return stats
}

// Listen makes a listening socket whose connections are the context's; see Loop.Listen for networks, addresses and
// errors. A connection that the context does not take, for its limit say, is closed, which is reported.
func (c *Context) Listen(network, address string) (*Listener, error) {
	l := c.loop()
	if l == nil {
		return nil, fmt.Errorf("reactor: listen: %w", ErrClosed)
	}
	ln, err := l.Listen(network, address, c.take)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		_ = ln.Close() // fails when its loop has done that
		return nil, fmt.Errorf("reactor: listen: %w", ErrClosed)
	}
	over := func(ln *Listener) bool { return ln.closed.Load() }
	c.listeners = append(slices.DeleteFunc(c.listeners, over), ln)
	return ln, nil
}

// loop is the one to listen on, nil when the context takes nothing more.
func (c *Context) loop() *Loop {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || len(c.loops) == 0 {
		return nil
	}
	return c.idlest()
}

// take hands off what a listener has accepted.
func (c *Context) take(a *Accepted) {
	err := c.handoff(a.fd, clientAt(a.RemoteAddr()))
	if err == nil {
		a.Take()
	} else if !errors.Is(err, ErrClosed) {
		a.listener.report("reactor: a connection was accepted and closed", err)
	}
}

// Shutdown ends a context in an orderly way: it stops listening and takes nothing more, waits until the connections
// have ended by themselves, and closes the context. Protocols that are a ShutdownReceiver are told. When ctx is done
// first, the rest of them is closed as Close does it, and its error returned. Not for callbacks, which it waits for.
func (c *Context) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	first := !c.closing
	c.closing = true
	listeners := c.listeners
	c.listeners = nil
	connections := slices.Collect(maps.Values(c.connections))
	if c.drained == nil {
		c.drained = make(chan struct{})
		c.drainedIfEmpty()
	}
	drained := c.drained
	c.mu.Unlock()
	for _, ln := range listeners {
		_ = ln.Close() // fails when somebody has closed it before
	}
	if first {
		for _, conn := range connections {
			conn.shuttingDown()
		}
	}
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = fmt.Errorf("reactor: shutdown: %w", ctx.Err())
	}
	_ = c.Close()
	<-c.done
	return err
}

// Close closes the context, its listeners, and its connections as they are: each gets its ConnectionLost, with
// ErrClosed. It does not wait; Done tells when that is over. The first call and every other return nil.
func (c *Context) Close() error {
	c.mu.Lock()
	c.closing = true
	loops := c.loops
	c.mu.Unlock()
	for _, l := range loops {
		_ = l.Close()
	}
	return nil
}

// Done is closed when the context has been closed and holds nothing any more: each ConnectionLost has returned, each
// descriptor is closed.
func (c *Context) Done() <-chan struct{} { return c.done }

// room tells whether the context takes another connection, before a protocol is made for it.
func (c *Context) room() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusal()
}

func (c *Context) refusal() error {
	switch {
	case c.closing || len(c.loops) == 0:
		return ErrClosed
	case c.limit > 0 && len(c.connections) >= c.limit:
		return fmt.Errorf("%w: the context has %d connections", ErrTooManySockets, c.limit)
	}
	return nil
}

// enter makes a descriptor a connection's.
func (c *Context) enter(conn *connection) (*Loop, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.refusal(); err != nil {
		return nil, err
	}
	if c.connections[conn.fd] != nil {
		return nil, ErrRegistered
	}
	c.connections[conn.fd] = conn
	return c.idlest(), nil
}

// idlest is the loop with the fewest sockets: connections stay where they are, so that evens out what they leave
// behind.
func (c *Context) idlest() *Loop {
	best, fewest := c.loops[0], c.loops[0].sockets.count()
	for _, l := range c.loops[1:] {
		if n := l.sockets.count(); n < fewest {
			best, fewest = l, n
		}
	}
	return best
}

// leave forgets a connection, before its descriptor is closed or given away: then the number may come back at once.
func (c *Context) leave(conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connections[conn.fd] == conn {
		delete(c.connections, conn.fd)
	}
	c.drainedIfEmpty()
}

func (c *Context) drainedIfEmpty() {
	if c.drained != nil && len(c.connections) == 0 {
		select {
		case <-c.drained:
		default:
			close(c.drained)
		}
	}
}
