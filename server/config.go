package server

import (
	"fmt"
	"math"
	"math/bits"
	"net/http"
	"runtime"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/internal/numa"
	"github.com/momentics/hioload-ws/protocol"
)

// Config says how a server works. DefaultConfig gives the values in brackets; in a Config made by hand a zero stands
// for them too, except in NUMANode and AffinityScope, whose zeros mean node 0 and the whole process.
type Config struct {
	// ListenAddr is the TCP address to listen on, as net.Listen takes it [":9000"]. Port 0 picks a free one: see Addr.
	ListenAddr string

	// IOBufferSize is how many bytes are received from one connection at a time, 512 to 4194304 [65536].
	IOBufferSize int

	// ChannelCapacity is how many messages of one connection may wait for a worker, or for RecvZeroCopy [64]. When they
	// do, or more than 1 MiB of them does, no more is read from it until half of that is gone: the peer is slowed down,
	// nothing is lost. What was received by then, up to IOBufferSize bytes, still comes. Handlers that run on the loops
	// keep nothing waiting.
	ChannelCapacity int

	// NUMANode is the memory node whose processors the server is bound to, as far as this process may use them, as
	// AffinityScope says; -1: none [-1].
	NUMANode int

	// ReadTimeout closes a connection from which nothing has come for that long, not even a pong; 0: never [0].
	ReadTimeout time.Duration

	// WriteTimeout aborts a connection whose peer has taken nothing of what waits for it for that long, be it a WebSocket
	// or in the hands of net/http; 0: never [0]. There it also says when one that answers no keep-alive probe is given
	// up: after that long, but 30 s at the least, instead of 2.5 minutes.
	WriteTimeout time.Duration

	// BatchSize is how many ready connections a loop takes from the kernel in one turn, 1 to 4096 [32].
	BatchSize int

	// ReactorRing is how many operations, and how many events, a loop exchanges with the core in one turn; it is
	// rounded up to a power of two from 64 to 65536 [1024].
	ReactorRing int

	// ExecutorWorkers is how many goroutines run handlers [runtime.NumCPU()]. Up to the number of processors these are
	// the loops themselves, and that is how many there are. With more, there is a loop for each processor, and as many
	// workers beside them as asked for. See also WithExecutorWorkers.
	ExecutorWorkers int

	// AffinityScope is what is bound to NUMANode: the threads of loops and workers, or the whole process from Run to
	// Shutdown, and the workers [api.ScopeThread].
	AffinityScope api.AffinityScope

	// ShutdownTimeout bounds how long Shutdown waits for handlers to finish and peers to say goodbye [30 s].
	ShutdownTimeout time.Duration

	// MaxConnections is how many connections may be open at a time; the handshake of one more is refused with 503.
	// 0: no limit [0].
	MaxConnections int

	// Backend is how loops talk to the kernel, "epoll" or "io_uring". "": what the environment variable HIOLOAD_BACKEND
	// says, else the default. Where io_uring is not to be had (containers often forbid it), epoll takes its place; a
	// line in the log and Stats say so [""].
	Backend string

	// PinLoops gives each loop a processor of its own, out of those that this process may use, and of NUMANode if that
	// is set: one of each core before the second hardware thread of any. There are at most as many loops as such
	// processors. It keeps caches warm where the server has the machine for itself; where others use the same
	// processors, it makes loops wait for them [false].
	PinLoops bool

	// Spin is how long a loop that runs out of work stays awake before it sleeps, up to 1 ms; 0: it sleeps at once. It
	// is used up only as long as messages keep coming that soon, so an idle server burns nothing. It saves a wake-up of
	// some microseconds per message, and costs processor time that others then do not have [0].
	Spin time.Duration

	// BusyPoll has the kernel poll the network card for that long whenever a loop waits, up to 10 ms, on io_uring and
	// from Linux 6.9 on, where the card's driver knows how (NAPI); 0: not at all. Stats shows whether it is in use [0].
	BusyPoll time.Duration

	// HugePages takes memory from the administrator's reserve of 2 MiB pages (vm.nr_hugepages) as long as that lasts.
	// Without it, huge pages are used transparently where the system does that [false].
	HugePages bool

	// HTTP serves the ordinary HTTP requests that come to the port and match no pattern given to Handle, over package
	// net/http, and counts for MaxConnections. Heads have HandshakeTimeout, clients that take nothing WriteTimeout,
	// waiting connections two minutes; what bounds a body is up to the handler (http.MaxBytesReader,
	// http.ResponseController). nil: they are answered with 404, or with 426 on a server that has no patterns either
	// [nil].
	HTTP http.Handler

	// Compression is what the server agrees to where a client offers permessage-deflate (RFC 7692), which most browsers
	// and libraries do. It saves bytes and costs memory and time for each connection: protocol.Compression says how
	// much, and bounds it. nil: nothing is compressed. It must not be changed any more [nil].
	Compression *protocol.Compression

	// Subprotocols are those that the server speaks, the one it likes best first: the first that a client offers, too, is
	// agreed on [none].
	Subprotocols []string

	// CheckOrigin tells whether a handshake may come from where it comes from; those that may not are refused with 403.
	// It may run on a loop and must not block. nil: same origin: the host in the header Origin, which browsers send, is
	// the one in Host. See also AnyOrigin [nil].
	CheckOrigin func(*http.Request) bool

	// MaxMessageSize is how many bytes a received message may have, up to 1 GiB. One that would be larger closes its
	// connection with 1009 before memory is taken for it [16777216].
	MaxMessageSize int

	// Streaming has messages received in pieces, however long they are, with WSConnection.NextReader; the handler gets open
	// and close events only, and MaxMessageSize is no limit. See also WithStreaming, for some of the routes [false].
	Streaming bool

	// SendLimit is how many unsent bytes a connection may have, up to 1 TiB: what is sent beyond is refused with an error
	// [67108864].
	SendLimit int64

	// SlowConsumer says what becomes of a connection that something could not be sent to because of SendLimit; for what is
	// published, the topic's policy does [protocol.SlowConsumerRefuse: it goes on].
	SlowConsumer protocol.SlowConsumerPolicy

	// HighWater is how many unsent bytes of a connection stop reading from it, up to 1 GiB, and LowWater how few let it go
	// on: a peer that sends and does not read is held up [1048576, or SendLimit if that is less; a quarter of HighWater].
	HighWater, LowWater int

	// PingInterval is how long a peer may be silent before it is pinged; 0: it never is. With a ReadTimeout of more than
	// that, connections are closed whose peers do not answer, and others stay open [0].
	PingInterval time.Duration

	// HandshakeTimeout is how long a client may take for the head of its request, however it comes; it is answered with
	// 408 then, or, behind other requests, the connection is closed [10 s].
	HandshakeTimeout time.Duration

	// CloseTimeout is how long a peer may take to answer a close frame, as long as nothing moves [5 s].
	CloseTimeout time.Duration

	// MaxHandshakes is how many connections that have not sent a request yet may be there at a time; one more is refused
	// with 503 at once. 0: no limit [0].
	MaxHandshakes int

	// HandshakeRate is how many WebSockets may be opened per second, and HandshakeBurst how many of them at once; others
	// are refused with 503 and Retry-After. 0: no limit [0; HandshakeRate].
	HandshakeRate, HandshakeBurst int

	// MaxConnectionsPerIP is how many connections an address may have open at a time, HTTP included; one more is refused
	// with 429. An IPv6 network with a prefix of 64 bits counts as one address. 0: no limit [0].
	MaxConnectionsPerIP int

	// Topics bounds what subscriptions and publications may cost [the values that protocol.TopicLimits names].
	Topics protocol.TopicLimits

	// Broker carries what is published to other servers, and from them. nil: there are none [nil].
	Broker protocol.Broker
}

// DefaultConfig returns a new Config with the default values.
func DefaultConfig() *Config {
	return &Config{
		ListenAddr:      ":9000",
		IOBufferSize:    65536,
		ChannelCapacity: 64,
		NUMANode:        -1,
		BatchSize:       32,
		ReactorRing:     1024,
		ExecutorWorkers: runtime.NumCPU(),
		AffinityScope:   api.ScopeThread,
		ShutdownTimeout: 30 * time.Second,

		MaxMessageSize:   16 << 20,
		SendLimit:        64 << 20,
		HandshakeTimeout: 10 * time.Second,
		CloseTimeout:     5 * time.Second,
	}
}

// complete replaces zeros by defaults.
func (c *Config) complete() {
	d := DefaultConfig()
	if c.ListenAddr == "" {
		c.ListenAddr = d.ListenAddr
	}
	for _, field := range []struct{ value, otherwise *int }{
		{&c.IOBufferSize, &d.IOBufferSize},
		{&c.ChannelCapacity, &d.ChannelCapacity},
		{&c.BatchSize, &d.BatchSize},
		{&c.ReactorRing, &d.ReactorRing},
		{&c.ExecutorWorkers, &d.ExecutorWorkers},
		{&c.MaxMessageSize, &d.MaxMessageSize},
		{&c.HandshakeBurst, &c.HandshakeRate},
	} {
		if *field.value == 0 {
			*field.value = *field.otherwise
		}
	}
	if c.SendLimit == 0 {
		c.SendLimit = d.SendLimit
	}
	if c.HighWater == 0 {
		c.HighWater = int(min(defaultHighWater, c.SendLimit))
	}
	if c.LowWater == 0 {
		c.LowWater = max(c.HighWater/4, 1)
	}
	for _, field := range []struct{ value, otherwise *time.Duration }{
		{&c.ShutdownTimeout, &d.ShutdownTimeout},
		{&c.HandshakeTimeout, &d.HandshakeTimeout},
		{&c.CloseTimeout, &d.CloseTimeout},
	} {
		if *field.value == 0 {
			*field.value = *field.otherwise
		}
	}
}

// Bounds that the core sets (hl_loop.h), and one on what a processor can be asked to run.
const (
	minIOBuffer = 512
	maxIOBuffer = 4 << 20
	maxBatch    = 4096
	minRing     = 64
	maxRing     = 65536
	maxWorkers  = 1 << 16
	maxBytes    = 1 << 30

	defaultHighWater = 1 << 20

	maxSpin     = time.Millisecond
	maxBusyPoll = 10 * time.Millisecond
)

// validate names the first field whose value is out of bounds. The errors match api.ErrInvalidArgument, or
// api.ErrNotFound for a node that does not exist.
func (c *Config) validate() error {
	for _, field := range []struct {
		name             string
		value, low, high int
	}{
		{"IOBufferSize", c.IOBufferSize, minIOBuffer, maxIOBuffer},
		{"ChannelCapacity", c.ChannelCapacity, 1, 1 << 30},
		{"BatchSize", c.BatchSize, 1, maxBatch},
		{"ReactorRing", c.ReactorRing, 1, maxRing},
		{"ExecutorWorkers", c.ExecutorWorkers, 1, maxWorkers},
		{"MaxConnections", c.MaxConnections, 0, 1 << 30},
		{"MaxMessageSize", c.MaxMessageSize, 1, maxBytes},
		{"SendLimit", int(c.SendLimit), 2, 1 << 40},
		{"HighWater", c.HighWater, 2, int(min(c.SendLimit, maxBytes))},
		{"LowWater", c.LowWater, 1, c.HighWater - 1},
		{"SlowConsumer", int(c.SlowConsumer), 0, int(protocol.SlowConsumerClose)},
		{"MaxHandshakes", c.MaxHandshakes, 0, 1 << 30},
		{"HandshakeRate", c.HandshakeRate, 0, 1 << 30},
		{"HandshakeBurst", c.HandshakeBurst, 0, 1 << 30},
		{"MaxConnectionsPerIP", c.MaxConnectionsPerIP, 0, 1 << 30},
		{"AffinityScope", int(c.AffinityScope), int(api.ScopeProcess), int(api.ScopeGoroutine)},
	} {
		if field.value < field.low || field.value > field.high {
			return fmt.Errorf("server: Config.%s is %d, not %d to %d: %w",
				field.name, field.value, field.low, field.high, api.ErrInvalidArgument)
		}
	}
	for _, field := range []struct {
		name        string
		value, high time.Duration
	}{
		{"ReadTimeout", c.ReadTimeout, math.MaxInt64},
		{"WriteTimeout", c.WriteTimeout, math.MaxInt64},
		{"ShutdownTimeout", c.ShutdownTimeout, math.MaxInt64},
		{"PingInterval", c.PingInterval, math.MaxInt64},
		{"HandshakeTimeout", c.HandshakeTimeout, math.MaxInt64},
		{"CloseTimeout", c.CloseTimeout, math.MaxInt64},
		{"Spin", c.Spin, maxSpin},
		{"BusyPoll", c.BusyPoll, maxBusyPoll},
	} {
		if field.value < 0 {
			return fmt.Errorf("server: Config.%s is %v, which is negative: %w", field.name, field.value,
				api.ErrInvalidArgument)
		}
		if field.value > field.high {
			return fmt.Errorf("server: Config.%s is %v, more than %v: %w", field.name, field.value, field.high,
				api.ErrInvalidArgument)
		}
	}
	if err := c.Topics.Validate(); err != nil {
		return fmt.Errorf("server: Config.Topics: %w", err)
	}
	if config := c.routeConfig(); config.Validate() != nil {
		return fmt.Errorf("server: Config: %w", config.Validate())
	}
	if err := loop.CheckBackend(c.Backend); err != nil {
		return fmt.Errorf("server: %w (%w)", err, api.ErrInvalidArgument)
	}
	return c.validateNode()
}

func (c *Config) validateNode() error {
	if c.NUMANode == -1 {
		return nil
	}
	if c.NUMANode < -1 {
		return fmt.Errorf("server: Config.NUMANode is %d, not a node or -1: %w", c.NUMANode, api.ErrInvalidArgument)
	}
	if _, err := numa.Select(-1, c.NUMANode); err != nil {
		return fmt.Errorf("server: Config.NUMANode is %d: %w", c.NUMANode, err)
	}
	return nil
}

// ring returns the entries of a loop's rings.
func (c *Config) ring() uint32 {
	return uint32(1) << bits.Len(uint(max(c.ReactorRing, minRing)-1))
}

// loops returns the number of loops.
func (c *Config) loops() int { return min(c.ExecutorWorkers, runtime.GOMAXPROCS(0)) }

// workers returns the number of an executor's workers; 0: handlers run on the loops.
func (c *Config) workers() int {
	if c.ExecutorWorkers > max(runtime.NumCPU(), runtime.GOMAXPROCS(0)) {
		return c.ExecutorWorkers
	}
	return 0
}

// settings returns the configuration as Control shows it.
func (c *Config) settings() map[string]any {
	return map[string]any{
		"config.listen_addr":      c.ListenAddr,
		"config.io_buffer_size":   c.IOBufferSize,
		"config.channel_capacity": c.ChannelCapacity,
		"config.numa_node":        c.NUMANode,
		"config.read_timeout":     c.ReadTimeout,
		"config.write_timeout":    c.WriteTimeout,
		"config.batch_size":       c.BatchSize,
		"config.reactor_ring":     c.ReactorRing,
		"config.executor_workers": c.ExecutorWorkers,
		"config.affinity_scope":   c.AffinityScope,
		"config.shutdown_timeout": c.ShutdownTimeout,
		"config.max_connections":  c.MaxConnections,
		"config.backend":          c.Backend,
		"config.pin_loops":        c.PinLoops,
		"config.spin":             c.Spin,
		"config.busy_poll":        c.BusyPoll,
		"config.huge_pages":       c.HugePages,
		"config.subprotocols":     c.Subprotocols,

		"config.max_message_size":       c.MaxMessageSize,
		"config.streaming":              c.Streaming,
		"config.send_limit":             c.SendLimit,
		"config.slow_consumer":          c.SlowConsumer,
		"config.high_water":             c.HighWater,
		"config.low_water":              c.LowWater,
		"config.ping_interval":          c.PingInterval,
		"config.handshake_timeout":      c.HandshakeTimeout,
		"config.close_timeout":          c.CloseTimeout,
		"config.max_handshakes":         c.MaxHandshakes,
		"config.handshake_rate":         c.HandshakeRate,
		"config.handshake_burst":        c.HandshakeBurst,
		"config.max_connections_per_ip": c.MaxConnectionsPerIP,
		"config.topics":                 fmt.Sprintf("%+v", c.Topics),
	}
}
