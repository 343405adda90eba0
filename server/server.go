package server

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/protocol"
)

var (
	// ErrAlreadyRunning is returned by a Run while another is under way.
	ErrAlreadyRunning = errors.New("server: already running")

	// ErrServerClosed is returned by a Run that comes after Shutdown. net.ErrClosed matches it.
	ErrServerClosed = fmt.Errorf("server: has been shut down: %w", net.ErrClosed)

	// ErrNotRunning is returned by what needs Run to have been called.
	ErrNotRunning = errors.New("server: is not running yet")
)

// abortTimeout is how long Shutdown waits for what it has aborted.
const abortTimeout = time.Second

// phase is where a server is in its life, which only goes forward.
type phase int

const (
	phaseNew phase = iota
	phaseRunning
	phaseEnding
)

// Server is a WebSocket server. It listens from NewServer on, serves from Run on, and has to be ended with Shutdown. All
// methods are safe from any goroutine.
type Server struct {
	config  Config
	workers int      // WithExecutorWorkers
	addr    net.Addr // nil: it does not listen
	control *adapters.ControlAdapter
	pool    *loop.Pool
	stopped chan struct{} // closed when Shutdown is done
	routes  routes
	web     *web

	// Set before Run serves, constant from then on.
	endpoint *protocol.Endpoint
	executor *adapters.ExecutorAdapter // nil: handlers run on the loops
	loops    []*loop.Loop
	backend  backend
	cpus     []int                     // what the loops are bound to, in ascending order
	acceptor *acceptor                 // nil: it does not listen
	affinity *adapters.AffinityAdapter // nil: the process is not bound

	leaveBroker func() // nil: there is no broker

	mu         sync.Mutex
	policies   map[string]protocol.TopicPolicy // SetTopicPolicy before Run
	phase      phase
	listener   *net.TCPListener // until a loop has taken it over; nil: it does not listen
	middleware []Middleware
	handler    api.Handler // given to Run; nil: messages wait for RecvZeroCopy
	err        error       // why the server ended by itself
}

// NewServer returns a server that listens on cfg.ListenAddr; clients that connect wait until Run. A nil cfg means
// DefaultConfig; it is copied. A value out of bounds is an error that names its field and matches api.ErrInvalidArgument.
func NewServer(cfg *Config, opts ...ServerOption) (*Server, error) {
	s, err := newServer(cfg, opts)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", s.config.ListenAddr)
	if err != nil {
		s.pool.Close()
		return nil, fmt.Errorf("server: %w", err)
	}
	s.listener, s.addr = listener.(*net.TCPListener), listener.Addr()
	return s, nil
}

// NewUpgrader returns a server that does not listen: it gets its connections from net/http, by way of WebSocket and
// Upgrade. It serves from the start, Run is not called, and its Addr is nil. cfg and opts are as for NewServer, and it has
// to be ended with Shutdown, too: before the http.Server is shut down, say, which does not wait for WebSockets.
func NewUpgrader(cfg *Config, opts ...ServerOption) (*Server, error) {
	s, err := newServer(cfg, opts)
	if err != nil {
		return nil, err
	}
	if err := s.start(nil); err != nil {
		return nil, err
	}
	return s, nil
}

// newServer returns a server with all it needs but an address.
func newServer(cfg *Config, opts []ServerOption) (*Server, error) {
	if cfg == nil {
		cfg = DefaultConfig()
	}
	s := &Server{
		config:  *cfg,
		control: adapters.NewControlAdapter().(*adapters.ControlAdapter),
		stopped: make(chan struct{}),
	}
	for _, option := range opts {
		option(s)
	}
	s.config.complete()
	if err := s.config.validate(); err != nil {
		return nil, err
	}
	if s.workers < 0 || s.workers > maxWorkers {
		return nil, fmt.Errorf("server: WithExecutorWorkers(%d): %w", s.workers, api.ErrInvalidArgument)
	}
	if err := s.control.SetConfig(s.config.settings()); err != nil {
		return nil, err
	}
	pool, err := loop.NewPool(loop.PoolConfig{HugePages: s.config.HugePages})
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s.pool = pool
	s.routes.fallback = s.config.HTTP
	s.routes.any.Store(s.config.HTTP != nil)
	s.web = newWeb(&s.config, &s.routes)
	s.control.AddSource(s.addStats)
	return s, nil
}

// Addr returns the address that the server listens on; nil of one made by NewUpgrader.
func (s *Server) Addr() net.Addr { return s.addr }

// GetControl returns the server's control surface. It shows the configuration under keys that begin with "config." and
// the counters listed in the package's documentation. Changing the configuration through it runs the reload hooks and has
// no other effect.
func (s *Server) GetControl() api.Control { return s.control }

// GetBufferPool returns the pool that messages lie in. A buffer may outlive the server.
func (s *Server) GetBufferPool() api.BufferPool { return bufferPool{s.pool} }

// GetActiveConnections returns the number of open connections.
func (s *Server) GetActiveConnections() int64 {
	if endpoint := s.serving(); endpoint != nil {
		return endpoint.Stats().Active
	}
	return 0
}

// address is Addr for people to read.
func (s *Server) address() string {
	if s.addr == nil {
		return ""
	}
	return s.addr.String()
}

// running tells whether connections may come.
func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseRunning
}

// serving returns the endpoint, nil before Run.
func (s *Server) serving() *protocol.Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endpoint
}
