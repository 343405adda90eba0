package server

import (
	"errors"
	"fmt"
	"math"
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

// Times that are not configurable.
const (
	handshakeTimeout = 10 * time.Second
	closeTimeout     = 5 * time.Second // how long a peer may take to answer a close frame
	abortTimeout     = time.Second     // how long Shutdown waits for what it has aborted
)

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
	workers int // WithExecutorWorkers
	addr    net.Addr
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
	cpus     []int // what the loops are bound to, in ascending order
	shards   []*protocol.Shard
	acceptor *acceptor
	affinity *adapters.AffinityAdapter // nil: the process is not bound

	leaveBroker func() // nil: there is no broker

	mu         sync.Mutex
	policies   map[string]protocol.TopicPolicy // SetTopicPolicy before Run
	phase      phase
	listener   *net.TCPListener // until a loop has taken it over
	middleware []Middleware
	handler    api.Handler // given to Run; nil: messages wait for RecvZeroCopy
	err        error       // why the server ended by itself
}

// NewServer returns a server that listens on cfg.ListenAddr; clients that connect wait until Run. A nil cfg means
// DefaultConfig; it is copied. A value out of bounds is an error that names its field and matches api.ErrInvalidArgument.
func NewServer(cfg *Config, opts ...ServerOption) (*Server, error) {
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
	pool, err := loop.NewPool(loop.PoolConfig{HugePages: s.config.HugePages})
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	listener, err := net.Listen("tcp", s.config.ListenAddr)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("server: %w", err)
	}
	s.pool, s.listener, s.addr = pool, listener.(*net.TCPListener), listener.Addr()
	s.routes.fallback = s.config.HTTP
	s.routes.any.Store(s.config.HTTP != nil)
	s.web = newWeb(s.addr, &s.config, &s.routes)
	if err := s.control.SetConfig(s.config.settings()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.control.AddSource(s.addStats)
	return s, nil
}

// Addr returns the address that the server listens on.
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

// serving returns the endpoint, nil before Run.
func (s *Server) serving() *protocol.Endpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endpoint
}

// quietest returns the shard with the fewest connections.
func (s *Server) quietest() *protocol.Shard {
	best, fewest := s.shards[0], int64(math.MaxInt64)
	for _, shard := range s.shards {
		if n := shard.Len(); n < fewest {
			best, fewest = shard, n
		}
	}
	return best
}
