package server

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"syscall"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/protocol"
)

// Run serves until Shutdown and then returns nil. h handles what happens, inside all middleware; with a nil h only
// middleware sees open and close events, and messages wait for RecvZeroCopy. ErrAlreadyRunning when another Run is under
// way, ErrServerClosed after Shutdown, any other error when the server could not start, or broke.
func (s *Server) Run(h api.Handler) error {
	if err := s.start(h); err != nil {
		return err
	}
	<-s.stopped
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// start makes everything and lets it run.
func (s *Server) start(h api.Handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case phaseRunning:
		return ErrAlreadyRunning
	case phaseEnding:
		return ErrServerClosed
	}
	err := s.build()
	if err == nil {
		s.handler = h
		s.routes.own = &webSocket{s, s.endpoint.Route()}
		s.routes.handles.Store(h != nil)
		s.setHandler()
		s.spin()
		err = s.listen()
	}
	if err != nil {
		s.phase = phaseEnding
		s.unlisten()
		s.dismantle()
		close(s.stopped)
		return err
	}
	s.phase = phaseRunning
	s.backend.report(s.address(), &s.config)
	slog.Info("serving WebSocket", "addr", s.address(), "loops", len(s.loops), "backend", s.backend.name,
		"workers", s.workers)
	return nil
}

// build makes the loops and what runs on them. What it has made when it fails is for dismantle.
func (s *Server) build() error {
	loops := runtime.GOMAXPROCS(0)
	if s.workers == 0 {
		s.workers = s.config.workers()
		loops = s.config.loops()
	}
	places, err := s.places(loops)
	if err != nil {
		return fmt.Errorf("server: binding to processors: %w", err)
	}
	endpoint := protocol.EndpointConfig{
		QueueLimit:       s.config.ChannelCapacity,
		HandshakeTimeout: s.config.HandshakeTimeout,
		ReadTimeout:      s.config.ReadTimeout,
		WriteTimeout:     s.config.WriteTimeout,
		PingInterval:     s.config.PingInterval,
		SlowConsumer:     s.config.SlowConsumer,
		MaxConnections:   int64(s.config.MaxConnections),
		MaxHandshakes:    s.config.MaxHandshakes,
		HandshakeRate:    s.config.HandshakeRate,
		HandshakeBurst:   s.config.HandshakeBurst,
		MaxPerClient:     s.config.MaxConnectionsPerIP,
		Topics:           s.config.Topics,
		Route:            s.config.routeConfig(),
		Match:            s.match,
		TakeOver:         s.web.takeOver,
	}
	if s.workers > 0 {
		// Each connection asks for one worker at a time, so connections bound the queue.
		s.executor = adapters.NewBoundedExecutor(s.workers, s.config.NUMANode, math.MaxInt)
		endpoint.Executor = s.executor
	}
	s.endpoint = protocol.NewEndpoint(endpoint)
	for _, cpus := range places {
		l, err := loop.New(loop.Config{
			Ring:         s.config.ring(),
			Batch:        uint32(s.config.BatchSize),
			RecvSize:     uint32(s.config.IOBufferSize),
			CloseTimeout: min(s.config.CloseTimeout, s.config.ShutdownTimeout),
			MaxMessage:   uint64(s.config.MaxMessageSize),
			QueueLimit:   uint64(s.config.SendLimit),
			HighWater:    uint32(s.config.HighWater),
			LowWater:     uint32(s.config.LowWater),
			Pool:         s.pool,
			CPUs:         cpus,
			Backend:      s.config.Backend,
			Spin:         s.config.Spin,
			BusyPoll:     s.config.BusyPoll,
			RunOnly:      true,
		})
		if err != nil {
			return fmt.Errorf("server: %w", err)
		}
		s.loops = append(s.loops, l)
		s.endpoint.AddShard(l)
	}
	s.backend = backendOf(s.loops)
	return s.buildTopics()
}

// spin lets each loop run on its goroutine.
func (s *Server) spin() {
	for _, l := range s.loops {
		go func() {
			if err := l.Run(); err != nil {
				s.fail(fmt.Errorf("server: %w", err))
			}
		}()
	}
}

// listen hands the listening socket, if there is one, to the first loop.
func (s *Server) listen() error {
	if s.listener == nil {
		return nil
	}
	fd, err := s.takeSocket()
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	s.acceptor = &acceptor{server: s, closed: make(chan struct{})}
	if err := s.loops[0].Listen(&s.acceptor.conn, s.acceptor, fd); err != nil {
		_ = syscall.Close(fd)
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

// takeSocket returns the listening socket as a descriptor that only the caller owns.
func (s *Server) takeSocket() (fd int, err error) {
	raw, err := s.listener.SyscallConn()
	if err != nil {
		return -1, err
	}
	var errno syscall.Errno
	err = raw.Control(func(original uintptr) {
		var r uintptr
		r, _, errno = syscall.Syscall(syscall.SYS_FCNTL, original, syscall.F_DUPFD_CLOEXEC, 0)
		fd = int(r)
	})
	if err == nil && errno != 0 {
		err = fmt.Errorf("duplicating the listening socket: %w", errno)
	}
	if err != nil {
		return -1, err
	}
	return fd, s.listener.Close() // the duplicate keeps the port
}

// unlisten gives the address up before a loop has taken it over.
func (s *Server) unlisten() {
	if s.listener != nil {
		_ = s.listener.Close()
	}
}

// fail shuts the server down because of err.
func (s *Server) fail(err error) {
	s.mu.Lock()
	if s.err == nil && s.phase != phaseEnding {
		s.err = err
	}
	s.mu.Unlock()
	go s.Shutdown()
}

// Shutdown ends the server in good order and returns when that is done: it stops accepting, handles what has been
// received, flushes what handlers have sent, closes every connection with status code 1001, and waits for the peers'
// answers. Config.ShutdownTimeout bounds it, after which connections are aborted; handlers that have not returned a second
// later are left behind. All calls return at the same time, and Run with them. A call from within a handler only begins it:
// on a loop Shutdown knows, except in builds for other processors than amd64 and arm64; there, and on a worker, write
// go srv.Shutdown().
func (s *Server) Shutdown() {
	s.mu.Lock()
	before := s.phase
	s.phase = phaseEnding
	s.mu.Unlock()
	for _, l := range s.loops {
		if l.OnLoop() {
			if before == phaseRunning {
				go s.end()
			}
			return
		}
	}
	switch before {
	case phaseNew:
		s.unlisten()
		s.dismantle()
		close(s.stopped)
	case phaseRunning:
		s.end()
	}
	<-s.stopped
}

// Close is Shutdown as an io.Closer; it returns nil.
func (s *Server) Close() error {
	s.Shutdown()
	return nil
}

// end is Shutdown's work.
func (s *Server) end() {
	defer close(s.stopped)
	ctx, cancel := context.WithTimeout(context.Background(), s.config.ShutdownTimeout)
	defer cancel()
	inTime := true
	if s.acceptor != nil {
		_ = s.acceptor.conn.Close(0, "") // fails when the listener has closed by itself
		inTime = wait(ctx, s.acceptor.closed)
	}
	requests := s.web.shutdown(ctx)
	drained := s.endpoint.Drain()
	if !inTime || !wait(ctx, drained) {
		stats := s.endpoint.Stats()
		slog.Warn("shutdown takes too long: aborting connections", "timeout", s.config.ShutdownTimeout,
			"connections", stats.Active, "http", stats.Plain)
		s.endpoint.Abort()
		s.web.abort()
		grace, cancel := context.WithTimeout(context.Background(), abortTimeout)
		defer cancel()
		wait(grace, drained)
	}
	cancel()
	<-requests
	s.dismantle()
}

// wait returns true when done is closed, false when ctx is done before.
func wait(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// dismantle frees everything. Handlers that do not return keep their loop or executor; there is no way to end them.
func (s *Server) dismantle() {
	if s.leaveBroker != nil {
		s.leaveBroker()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var all sync.WaitGroup
		for _, l := range s.loops {
			l.Close()
			all.Add(1)
			go func() {
				defer all.Done()
				<-l.Done()
			}()
		}
		all.Wait()
		if s.executor != nil {
			s.executor.Close()
		}
		if s.endpoint != nil { // nil: Run has never come
			<-s.endpoint.Drain()
		}
		s.pool.Close() // handlers have been working on its memory until now
	}()
	grace, cancel := context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	if !wait(grace, ended) {
		slog.Error("shutdown leaves handlers behind that have not returned", "addr", s.address())
	}
	if s.affinity != nil {
		if err := s.affinity.Unpin(); err != nil {
			slog.Warn("the process stays bound", "error", err)
		}
	}
}
