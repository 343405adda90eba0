package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/bridge"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/internal/netfd"
	"github.com/momentics/hioload-ws/protocol"
)

// Loops are event loops, each a thread, that connections live on: one with the fewest gets the next. They have to be
// closed. All methods are safe from any goroutine.
type Loops struct {
	endpoint *protocol.Endpoint
	loops    []*loop.Loop
	closing  sync.Once
	closed   chan struct{}
}

const (
	defaultReceiveQueue = 1024
	// mostProcessLoops is how many loops the process's own Loops have at most: one carries thousands of connections.
	mostProcessLoops = 4
	maxLoops         = 1024
)

// NewLoops starts n loops; 0: as many as GOMAXPROCS.
func NewLoops(n int, options ...LoopsOption) (*Loops, error) {
	if n < 0 || n > maxLoops {
		return nil, fmt.Errorf("client: NewLoops(%d): not from 0 to %d: %w", n, maxLoops, api.ErrInvalidArgument)
	}
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	config := loopsConfig{
		loop:     loop.Config{RunOnly: true},
		endpoint: protocol.EndpointConfig{QueueLimit: defaultReceiveQueue},
	}
	for _, option := range options {
		option(&config)
	}
	if config.err != nil {
		return nil, config.err
	}
	pool, err := loop.NewPool(loop.PoolConfig{})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	defer pool.Close() // the loops and their buffers remain its users
	config.loop.Pool = pool
	l := &Loops{endpoint: protocol.NewEndpoint(config.endpoint), closed: make(chan struct{})}
	for range n {
		one, err := loop.New(config.loop)
		if err != nil {
			for _, made := range l.loops {
				made.Close()
			}
			return nil, fmt.Errorf("client: %w", err)
		}
		l.loops = append(l.loops, one)
		l.endpoint.AddShard(one)
	}
	for _, one := range l.loops {
		go l.spin(one)
	}
	return l, nil
}

// spin runs a loop. When one breaks, its connections end with it, and the others go on.
func (l *Loops) spin(one *loop.Loop) {
	if err := one.Run(); err != nil && !errors.Is(err, loop.ErrLoopClosed) {
		slog.Error("hioload: an event loop of the client has ended", "error", err)
	}
}

// Len returns how many connections there are.
func (l *Loops) Len() int64 {
	var n int64
	for _, s := range l.endpoint.Shards() {
		n += s.Len()
	}
	return n
}

// Shutdown closes all connections with 1001 once what they have received is handled and what was sent is on its way,
// waits for the servers' answers, and ends the loops. When ctx ends before, it closes what is left and returns
// ctx.Err(). Not for handlers: they would wait for themselves.
func (l *Loops) Shutdown(ctx context.Context) error {
	var err error
	select {
	case <-l.endpoint.Drain():
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.Close()
	return err
}

// Close aborts all connections and ends the loops. A Dial under way fails with [ErrLoopsClosed]. It returns when no
// handler runs any more, unless a handler calls it: then it only begins, except in builds for other processors than
// amd64 and arm64, which do not know their goroutines; there, write go loops.Close(). Closing twice is harmless.
func (l *Loops) Close() {
	for _, one := range l.loops {
		if one.OnLoop() {
			go l.Close()
			return
		}
	}
	l.closing.Do(func() {
		defer close(l.closed)
		for _, one := range l.loops {
			one.Close()
		}
		for _, one := range l.loops {
			<-one.Done()
		}
	})
	<-l.closed
}

// adopt makes conn a WebSocket on one of the loops. conn is gone in any case.
func (l *Loops) adopt(conn net.Conn, a protocol.Adoption) (*Conn, error) {
	fd, err := descriptor(conn)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("client: %w", err)
	}
	c, err := l.endpoint.Quietest().Adopt(fd, a)
	if errors.Is(err, api.ErrTransportClosed) {
		return nil, ErrLoopsClosed
	}
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return c, nil
}

// descriptor turns a connection into a descriptor for a loop. Only what is certain to be a bare socket gives its own:
// a type that embeds one may do more than it.
func descriptor(conn net.Conn) (int, error) {
	var fd int
	var err error
	switch conn := conn.(type) {
	case *net.TCPConn:
		fd, err = netfd.DupConn(conn)
	case *net.UnixConn:
		fd, err = netfd.DupConn(conn)
	default:
		return bridge.FD(conn)
	}
	if err == nil {
		_ = conn.Close()
	}
	return fd, err
}

// ofProcess are the process's own loops.
var ofProcess struct {
	sync.Mutex
	*Loops
}

// processLoops returns the process's own loops, which start with the first Dial that needs them.
func processLoops() (*Loops, error) {
	ofProcess.Lock()
	defer ofProcess.Unlock()
	if ofProcess.Loops == nil {
		l, err := NewLoops(min(runtime.GOMAXPROCS(0), mostProcessLoops))
		if err != nil {
			return nil, err
		}
		ofProcess.Loops = l
	}
	return ofProcess.Loops, nil
}
