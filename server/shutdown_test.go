package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/gid"
	"github.com/momentics/hioload-ws/protocol"
)

// timed calls Shutdown and tells how long it took.
func timed(s *Server) time.Duration {
	began := time.Now()
	s.Shutdown()
	return time.Since(began)
}

// unhurried is a configuration with which whoever waits for a timeout shows by it, on a busy machine too.
func unhurried() *Config {
	cfg := local()
	cfg.CloseTimeout, cfg.ShutdownTimeout = 2*patience, 2*patience
	return cfg
}

// run starts a server that the test shuts down itself. The channel is what Run returns.
func run(t *testing.T, cfg *Config, h api.Handler, opts ...ServerOption) (*Server, <-chan error) {
	t.Helper()
	s, err := NewServer(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(h) }()
	c := dial(t, s.Addr()) // from now on it runs
	c.goodbye()
	c.conn.Close()
	return s, ended
}

// Shutdown of an idle server is a matter of milliseconds, with clients that answer the close frame too.
func TestShutdownOfAnIdleServer(t *testing.T) {
	for _, mode := range modes {
		for _, conns := range []int{0, 100} {
			t.Run(fmt.Sprint(mode.name, " with ", conns), func(t *testing.T) {
				s, ended := run(t, unhurried(), api.HandlerFunc(echo), mode.options...)
				connect(t, s.Addr()) // one that has not said a word
				byes := make(chan error, conns)
				for i := 0; i < conns; i++ {
					c := dial(t, s.Addr())
					go func() { byes <- c.farewell() }()
				}
				if took := timed(s); took > patience {
					t.Errorf("it took %v", took)
				}
				for i := 0; i < conns; i++ {
					if err := <-byes; err != nil {
						t.Error(err)
					}
				}
				if err := <-ended; err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		}
	}
}

// farewell reads a close frame with 1001 and answers it.
func (c *client) farewell() error {
	f, err := c.next()
	if err != nil {
		return err
	}
	if f.opcode != protocol.OpcodeClose || string(f.payload) != "\x03\xe9" {
		return fmt.Errorf("got opcode %#x, % x; want a close frame with 1001", f.opcode, f.payload)
	}
	if _, err = c.conn.Write(encode(true, protocol.OpcodeClose, f.payload)); err != nil {
		return err
	}
	if f, err := c.next(); err == nil {
		return fmt.Errorf("got opcode %#x after the close frame", f.opcode)
	}
	return nil
}

// Under load, every message that the handler has seen is answered before the close frame comes.
func TestShutdownUnderLoad(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			const conns = 20
			var processed atomic.Int64
			busy := make(chan struct{}) // closed when there is load
			s, ended := run(t, unhurried(), api.HandlerFunc(func(data any) error {
				if _, ok := data.(api.Buffer); !ok {
					return nil
				}
				if processed.Add(1) == 10_000 {
					close(busy)
				}
				return echo(data)
			}), mode.options...)
			var answered atomic.Int64
			results := make(chan error, conns)
			for i := 0; i < conns; i++ {
				c := dial(t, s.Addr())
				go func() { // sends until the server does not take it any more
					message := encode(true, protocol.OpcodeBinary, make([]byte, 300))
					for {
						if _, err := c.conn.Write(message); err != nil {
							return
						}
					}
				}()
				go func() {
					for {
						f, err := c.next()
						if err != nil {
							results <- fmt.Errorf("before the close frame: %w", err)
							return
						}
						if f.opcode == protocol.OpcodeBinary {
							answered.Add(1)
							continue
						}
						if string(f.payload) != "\x03\xe9" {
							err = fmt.Errorf("got opcode %#x, % x", f.opcode, f.payload)
						}
						c.conn.Close()
						results <- err
						return
					}
				}()
			}
			<-busy
			s.Shutdown()
			for i := 0; i < conns; i++ {
				if err := <-results; err != nil {
					t.Error(err)
				}
			}
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			if answered.Load() != processed.Load() {
				t.Errorf("%d messages were handled, %d answered", processed.Load(), answered.Load())
			}
		})
	}
}

// A handler that does not return bounds nothing but itself.
func TestShutdownWithABlockedHandler(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			cfg := local()
			cfg.ShutdownTimeout = 100 * time.Millisecond
			inside, release, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			s, ended := run(t, cfg, api.HandlerFunc(func(data any) error {
				if _, ok := data.(api.Buffer); !ok {
					return nil
				}
				close(inside)
				<-release
				left <- echo(data)
				return nil
			}), mode.options...)
			c := dial(t, s.Addr())
			c.send(protocol.OpcodeText, []byte("x"))
			<-inside
			took := timed(s)
			if took < cfg.ShutdownTimeout || took > cfg.ShutdownTimeout+patience {
				t.Errorf("it took %v", took)
			}
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			close(release)
			if err := <-left; !errors.Is(err, api.ErrTransportClosed) {
				t.Errorf("SendFrame after the end: %v", err)
			}
		})
	}
}

// A peer that never answers the close frame costs ShutdownTimeout at most.
func TestShutdownWithASilentPeer(t *testing.T) {
	for timeout := 200 * time.Millisecond; !endsBesideSilentPeer(t, timeout); timeout *= 4 {
		if timeout > patience {
			t.Fatal("the peers are not told")
		}
	}
}

// endsBesideSilentPeer tells whether the peers were told of the end, for which the loops may have had too little time.
func endsBesideSilentPeer(t *testing.T, timeout time.Duration) bool {
	t.Helper()
	cfg := local()
	cfg.ShutdownTimeout = timeout
	s, ended := run(t, cfg, api.HandlerFunc(echo))
	c := dial(t, s.Addr())
	half := connect(t, s.Addr())
	half.write([]byte(request[:40]))
	c.send(protocol.OpcodeText, []byte("x"))
	c.expect(protocol.OpcodeText, []byte("x"))
	if took := timed(s); took > timeout+patience {
		t.Errorf("it took %v", took)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	f, err := c.next()
	if err != nil {
		return false
	}
	if f.opcode != protocol.OpcodeClose || len(f.payload) < 2 ||
		binary.BigEndian.Uint16(f.payload) != protocol.CloseGoingAway {
		t.Errorf("got %+v, want a close frame with 1001", f)
	}
	response, err := http.ReadResponse(half.in, nil)
	if err != nil {
		return false
	}
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("half a handshake was answered with %s", response.Status)
	}
	return true
}

// A handler may ask for the end; the call does not wait for itself.
func TestShutdownFromAHandler(t *testing.T) {
	if gid.Current() == 0 {
		t.Skip("this build does not know its goroutines")
	}
	s, ended := run(t, local(), nil)
	s.UseMiddleware(func(next api.Handler) api.Handler {
		return api.HandlerFunc(func(data any) error {
			if _, ok := data.(api.OpenEvent); ok {
				s.Shutdown()
			}
			return next.Handle(data)
		})
	})
	c := dial(t, s.Addr())
	if err := c.farewell(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	s.Shutdown()
}

func TestShutdownBeforeRun(t *testing.T) {
	s, err := NewServer(local())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Run(nil); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Run after Shutdown: %v", err)
	}
	if s.GetActiveConnections() != 0 || s.GetControl().Stats()["server.addr"] == nil {
		t.Error("a server that never ran should still be asked")
	}
}

func TestPortInUse(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	cfg := local()
	cfg.ListenAddr = s.Addr().String()
	if other, err := NewServer(cfg); err == nil {
		other.Shutdown()
		t.Error("two servers on one port")
	} else if operation := new(net.OpError); !errors.As(err, &operation) {
		t.Errorf("got %v", err)
	}
	dial(t, s.Addr()).goodbye()
}

// descriptors is how many descriptors the process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// Nothing stays behind: no descriptor, no goroutine.
func TestShutdownLeavesNothing(t *testing.T) {
	cycle := func() {
		for _, mode := range modes {
			s, ended := run(t, local(), api.HandlerFunc(echo), mode.options...)
			var clients []*client
			for i := 0; i < 20; i++ {
				c := dial(t, s.Addr())
				c.send(protocol.OpcodeBinary, make([]byte, 5000))
				c.expect(protocol.OpcodeBinary, make([]byte, 5000))
				clients = append(clients, c)
			}
			half := connect(t, s.Addr())
			half.write([]byte(request[:40]))
			for i, c := range clients {
				if i%2 == 0 {
					c.conn.Close()
				} else {
					go c.farewell()
				}
			}
			s.Shutdown()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			half.conn.Close()
			for _, c := range clients {
				c.conn.Close()
			}
		}
	}
	cycle() // what Go's own poller needs is there now
	files, goroutines := descriptors(t), runtime.NumGoroutine()
	for i := 0; i < 5; i++ {
		cycle()
	}
	// Goroutines that have said their last word may still be about to end.
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines, before %d\n%s", got, goroutines, stacks[:runtime.Stack(stacks, true)])
	}
	if got := descriptors(t); got > files {
		t.Errorf("%d descriptors, before %d", got, files)
	}
}

// Servers side by side do not know of each other.
func TestTwoServers(t *testing.T) {
	one, two := start(t, local(), api.HandlerFunc(echo)), start(t, local(), api.HandlerFunc(echo))
	a, b := dial(t, one.Addr()), dial(t, two.Addr())
	go a.farewell()
	one.Shutdown()
	b.send(protocol.OpcodeText, []byte("x"))
	b.expect(protocol.OpcodeText, []byte("x"))
	if one.GetActiveConnections() != 0 || two.GetActiveConnections() != 1 {
		t.Errorf("%d and %d connections", one.GetActiveConnections(), two.GetActiveConnections())
	}
}

// A WebSocket whose handshake was answered when the server begins to shut down is told 1001, as all others are.
func TestUpgradeDuringShutdownGets1001(t *testing.T) {
	s, err := NewUpgrader(local())
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask := protocol.UpgradeRequest{Request: r, Route: protocol.NewRoute(api.HandlerFunc(echo), protocol.RouteConfig{})}
		accepted, response, err := s.endpoint.Accept(ask)
		if err != nil {
			t.Error(err)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fd, err := s.answer(conn, response, &accepted)
		if err != nil {
			t.Error(err)
		}
		go s.Shutdown()
		for s.running() {
			runtime.Gosched()
		}
		time.Sleep(50 * time.Millisecond) // it drains
		if _, err = s.endpoint.Quietest().Adopt(fd, accepted); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(h.Close)
	c := dial(t, h.Listener.Addr())
	c.expectClose(protocol.CloseGoingAway)
}
