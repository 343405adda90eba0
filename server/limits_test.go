package server

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

func TestMaxConnections(t *testing.T) {
	cfg := local()
	cfg.MaxConnections = 2
	ended := make(chan *protocol.WSConnection, 3)
	s := start(t, cfg, ends(ended, api.HandlerFunc(echo)))
	first, second := dial(t, s.Addr()), dial(t, s.Addr())
	tooMany := connect(t, s.Addr())
	tooMany.write([]byte(request))
	if response, _ := tooMany.response(); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: %s", response.Status)
	}
	tooMany.expectEnd()
	if got := s.GetActiveConnections(); got != 2 {
		t.Errorf("%d active connections", got)
	}
	first.goodbye()
	<-ended
	third := dial(t, s.Addr())
	for _, c := range []*client{second, third} {
		c.send(protocol.OpcodeText, []byte("x"))
		c.expect(protocol.OpcodeText, []byte("x"))
	}
	if got := s.GetControl().Stats()["connections.rejected"]; got != int64(1) {
		t.Errorf("connections.rejected is %v", got)
	}
}

func TestReadTimeout(t *testing.T) {
	cfg := local()
	cfg.ReadTimeout = 100 * time.Millisecond
	s := start(t, cfg, api.HandlerFunc(echo))
	began := time.Now()
	c := connect(t, s.Addr())
	c.write(append([]byte(request), encode(true, protocol.OpcodeText, []byte("x"))...)) // later may be too late
	c.expectUpgrade()
	c.expect(protocol.OpcodeText, []byte("x"))
	c.expect(protocol.OpcodeClose, closePayload(protocol.CloseGoingAway, "idle for too long"))
	if took := time.Since(began); took < cfg.ReadTimeout*9/10 { // its clock counts milliseconds
		t.Errorf("closed after %v", took)
	}
	c.send(protocol.OpcodeClose, closePayload(protocol.CloseGoingAway, ""))
	c.expectEnd()
	if got := s.GetControl().Stats()["connections.read_timeouts"]; got != int64(1) {
		t.Errorf("connections.read_timeouts is %v", got)
	}
}

func TestWriteTimeout(t *testing.T) {
	cfg := local()
	cfg.WriteTimeout = 100 * time.Millisecond
	opened := make(chan *protocol.WSConnection, 1)
	s := start(t, cfg, opens(opened, api.HandlerFunc(echo)))
	dial(t, s.Addr()) // and never reads
	conn := <-opened
	var err error
	for err == nil {
		err = conn.SendFrame(&protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeBinary, Payload: make([]byte, 1<<20)})
	}
	<-conn.Done()
	if code, _ := conn.CloseStatus(); code != protocol.CloseAbnormalClosure {
		t.Errorf("closed with %d", code)
	}
	stats := s.GetControl().Stats()
	if stats["connections.write_timeouts"] != int64(1) || stats["connections.unsent"] != int64(1) {
		t.Errorf("write_timeouts %v, unsent %v", stats["connections.write_timeouts"], stats["connections.unsent"])
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"IOBufferSize is 511":            func(c *Config) { c.IOBufferSize = 511 },
		"IOBufferSize is 4194305":        func(c *Config) { c.IOBufferSize = 4<<20 + 1 },
		"ChannelCapacity is -1":          func(c *Config) { c.ChannelCapacity = -1 },
		"BatchSize is 4097":              func(c *Config) { c.BatchSize = 4097 },
		"ReactorRing is 65537":           func(c *Config) { c.ReactorRing = 65537 },
		"ExecutorWorkers is -2":          func(c *Config) { c.ExecutorWorkers = -2 },
		"MaxConnections is -1":           func(c *Config) { c.MaxConnections = -1 },
		"AffinityScope is 9":             func(c *Config) { c.AffinityScope = 9 },
		"ReadTimeout is -1s":             func(c *Config) { c.ReadTimeout = -time.Second },
		"WriteTimeout is -1s":            func(c *Config) { c.WriteTimeout = -time.Second },
		"ShutdownTimeout is -1s":         func(c *Config) { c.ShutdownTimeout = -time.Second },
		"MaxMessageSize is -1":           func(c *Config) { c.MaxMessageSize = -1 },
		"SendLimit is 1,":                func(c *Config) { c.SendLimit = 1 },
		"HighWater is 101, not 2 to 100": func(c *Config) { c.SendLimit, c.HighWater = 100, 101 },
		"LowWater is 100, not 1 to 99":   func(c *Config) { c.HighWater, c.LowWater = 100, 100 },
		"SlowConsumer is 2":              func(c *Config) { c.SlowConsumer = 2 },
		"PingInterval is -1s":            func(c *Config) { c.PingInterval = -time.Second },
		"HandshakeTimeout is -1s":        func(c *Config) { c.HandshakeTimeout = -time.Second },
		"CloseTimeout is -1s":            func(c *Config) { c.CloseTimeout = -time.Second },
		"MaxHandshakes is -1":            func(c *Config) { c.MaxHandshakes = -1 },
		"HandshakeRate is -1":            func(c *Config) { c.HandshakeRate = -1 },
		"HandshakeBurst is -1":           func(c *Config) { c.HandshakeBurst = -1 },
		"MaxConnectionsPerIP is -1":      func(c *Config) { c.MaxConnectionsPerIP = -1 },
		"NUMANode is -2":                 func(c *Config) { c.NUMANode = -2 },
		"NUMANode is 12345":              func(c *Config) { c.NUMANode = 12345 },
		"TopicLimits.Levels is -3":       func(c *Config) { c.Topics.Levels = -3 },
		"missing port in address":        func(c *Config) { c.ListenAddr = "nonsense" },
		"WithExecutorWorkers(2000000)":   nil,
	} {
		cfg := local()
		var options []ServerOption
		if spoil != nil {
			spoil(cfg)
		} else {
			options = append(options, WithExecutorWorkers(2_000_000))
		}
		s, err := NewServer(cfg, options...)
		if err == nil {
			s.Shutdown()
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
		if strings.HasPrefix(name, "IOBuffer") && !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("%v does not match ErrInvalidArgument", err)
		}
	}
}

// A Config made by hand gets the defaults for what it leaves out.
func TestConfigIsCompleted(t *testing.T) {
	s, err := NewServer(&Config{ListenAddr: "127.0.0.1:0", NUMANode: -1, ReactorRing: 100}, WithBatchSize(7),
		WithAffinityScope(api.ScopeProcess))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	got, d := s.config, DefaultConfig()
	if got.IOBufferSize != d.IOBufferSize || got.ChannelCapacity != d.ChannelCapacity || got.BatchSize != 7 ||
		got.ExecutorWorkers != d.ExecutorWorkers || got.ShutdownTimeout != d.ShutdownTimeout ||
		got.AffinityScope != api.ScopeProcess || got.ring() != 128 {
		t.Errorf("got %+v, ring %d", got, got.ring())
	}
	if shown := s.GetControl().GetConfig()["config.batch_size"]; shown != 7 {
		t.Errorf("Control shows %v", shown)
	}
}

// The smallest and the largest of everything work.
func TestExtremeConfigs(t *testing.T) {
	for i, cfg := range []*Config{
		{IOBufferSize: minIOBuffer, ChannelCapacity: 1, BatchSize: 1, ReactorRing: 1, ExecutorWorkers: 1, NUMANode: -1},
		{IOBufferSize: maxIOBuffer, BatchSize: maxBatch, ReactorRing: maxRing, ExecutorWorkers: 50, NUMANode: 0},
		{NUMANode: 0, AffinityScope: api.ScopeThread},
		{NUMANode: 0, AffinityScope: api.ScopeProcess, ExecutorWorkers: 1},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			cfg.ListenAddr = "127.0.0.1:0"
			s := start(t, cfg, api.HandlerFunc(echo))
			c := dial(t, s.Addr())
			payload := make([]byte, 100_000)
			for n := 0; n < 50; n++ {
				c.send(protocol.OpcodeBinary, payload)
				c.expect(protocol.OpcodeBinary, payload)
			}
			stats := s.GetControl().Stats()
			if workers := stats["server.workers"]; (workers == int64(50)) != (cfg.ExecutorWorkers == 50) {
				t.Errorf("%v workers", workers)
			}
			if pinned := stats["loop.pinned"].(int64); (pinned > 0) != (cfg.NUMANode == 0 && cfg.AffinityScope == api.ScopeThread) {
				t.Errorf("%d loops are pinned", pinned)
			}
			c.goodbye()
		})
	}
}
