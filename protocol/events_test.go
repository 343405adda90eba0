package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
)

// Small marks, so that tests need not move megabytes.
const (
	testHigh  = 64 << 10
	testLow   = 16 << 10
	testLimit = 256 << 10
)

// ways are the ways in which handlers are run.
var ways = []struct {
	name    string
	workers bool
}{{"loop", false}, {"workers", true}}

// spawning is an executor that runs each task on a goroutine of its own.
type spawning struct{}

func (spawning) Submit(task func()) error {
	go task()
	return nil
}
func (spawning) NumWorkers() int { return 1 }
func (spawning) Resize(int)      {}

// pass is middleware that does nothing.
func pass(next api.Handler) api.Handler { return api.Around(next, next.Handle) }

// tight makes an endpoint with one shard whose marks are small.
func tight(t *testing.T, config EndpointConfig, workers bool) *Shard {
	t.Helper()
	l, err := loop.New(loop.Config{
		CloseTimeout: time.Second, HighWater: testHigh, LowWater: testLow, QueueLimit: testLimit})
	if err != nil {
		t.Fatal(err)
	}
	if workers {
		config.Executor = spawning{}
	}
	config.QueueLimit = max(config.QueueLimit, 16)
	e := NewEndpoint(config)
	e.SetHandler(ignore, true)
	ended := make(chan error, 1)
	go func() { ended <- l.Run() }()
	t.Cleanup(func() {
		l.Close()
		if err := <-ended; err != nil && err != loop.ErrLoopClosed {
			t.Error(err)
		}
		<-e.Drain()
	})
	return e.AddShard(l)
}

// open makes one connection of s, and returns it with the peer's bare end.
func open(t *testing.T, s *Shard) (*WSConnection, net.Conn) {
	t.Helper()
	fd, peer := pair(t)
	request, err := http.NewRequest(http.MethodGet, "/path", nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Adopt(fd, Adoption{Request: request})
	if err != nil {
		t.Fatal(err)
	}
	return c, peer
}

// masked is a client's frame; the mask is 0.
func masked(first byte, payload string) string {
	if len(payload) > 125 {
		panic("too long")
	}
	return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

func write(t *testing.T, peer net.Conn, data string) {
	t.Helper()
	if _, err := peer.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
}

// read reads exactly n bytes.
func read(t *testing.T, peer net.Conn, n int) []byte {
	t.Helper()
	got := make([]byte, n)
	for have := 0; have < n; {
		m, err := peer.Read(got[have:])
		if err != nil {
			t.Fatalf("%v behind %d of %d bytes", err, have, n)
		}
		have += m
	}
	return got
}

func next(t *testing.T, from <-chan string) string {
	t.Helper()
	select {
	case s := <-from:
		return s
	case <-time.After(patience):
		t.Fatal("nothing happens")
		return ""
	}
}

func TestEvents(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) { testEvents(t, way.workers, func(e Events) api.Handler { return e }) })
		t.Run(way.name+", middleware", func(t *testing.T) {
			testEvents(t, way.workers, func(e Events) api.Handler { return pass(pass(e)) })
		})
	}
}

func testEvents(t *testing.T, workers bool, wrap func(Events) api.Handler) {
	s := tight(t, EndpointConfig{}, workers)
	seen := make(chan string, 10)
	events := Events{
		OnOpen: func(c *WSConnection, r *http.Request) { seen <- "open " + r.URL.Path },
		OnMessage: func(c *WSConnection, opcode byte, data []byte) {
			seen <- fmt.Sprintf("%d %s", opcode, data)
			if err := c.Send(opcode, data); err != nil {
				t.Error(err)
			}
		},
		OnClose: func(c *WSConnection, code int, reason string) { seen <- fmt.Sprint("close ", code, " ", reason) },
	}
	s.endpoint.SetHandler(wrap(events), true)
	_, peer := open(t, s)
	write(t, peer, masked(0x81, "text")+masked(0x82, "bin"))
	if got := string(read(t, peer, 11)); got != "\x81\x04text\x82\x03bin" {
		t.Errorf("answered with %q", got)
	}
	write(t, peer, masked(0x88, "\x0f\xa0bye"))
	for _, want := range []string{"open /path", "1 text", "2 bin", "close 4000 bye"} {
		if got := next(t, seen); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A callback that panics or ends its goroutine costs its connection; one that sets another handler is not called again.
func TestEventsThatDoNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("on purpose") }, "Goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			s := tight(t, EndpointConfig{}, false)
			heard := make(chan string, 2)
			s.endpoint.SetHandler(Events{OnMessage: func(c *WSConnection, opcode byte, data []byte) {
				switch string(data) {
				case "leave":
					leave()
				case "other":
					c.SetHandler(Events{OnMessage: func(_ *WSConnection, _ byte, data []byte) { heard <- string(data) }})
				default:
					if err := c.Send(opcode, data); err != nil {
						t.Error(err)
					}
				}
			}}, true)
			_, one := open(t, s)
			_, other := open(t, s)
			write(t, one, masked(0x81, "leave")+masked(0x81, "never"))
			if n, err := one.Read(make([]byte, 10)); err == nil {
				t.Errorf("%d bytes from a connection that should have ended", n)
			}
			write(t, other, masked(0x81, "a")+masked(0x81, "other")+masked(0x82, "b")+masked(0x82, "c"))
			if got := string(read(t, other, 3)); got != "\x81\x01a" {
				t.Errorf("got %q", got)
			}
			if got := next(t, heard) + next(t, heard); got != "bc" {
				t.Errorf("the other handler heard %q", got)
			}
		})
	}
}

// Functions that are not there are not called, and messages released all the same.
func TestEventsWithoutFunctions(t *testing.T) {
	s := tight(t, EndpointConfig{}, false)
	s.endpoint.SetHandler(Events{}, true)
	c, peer := open(t, s)
	write(t, peer, masked(0x81, "text")+masked(0x88, ""))
	<-c.Done()
	if stats := s.endpoint.Stats(); stats.Messages != 1 || stats.HandlerErrors != 0 {
		t.Errorf("got %+v", stats)
	}
	if err := (Events{}).Handle("text"); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("got %v", err)
	}
}

// fill sends until it is refused, and returns the bytes that will arrive.
func fill(t *testing.T, c *WSConnection) (size int) {
	t.Helper()
	message := bytes.Repeat([]byte("x"), 8<<10)
	for {
		err := c.Send(OpcodeBinary, message)
		if err == nil {
			size += 4 + len(message)
			continue
		}
		if !errors.Is(err, ErrBackpressure) || !errors.Is(err, api.ErrResourceExhausted) {
			t.Fatalf("got %v", err)
		}
		return size
	}
}

// Whoever was refused is told when there is room; handlers that do not ask for it never see such an event.
func TestDrainEvent(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			s := tight(t, EndpointConfig{}, way.workers)
			drains := make(chan string, 100)
			drained := func(c *WSConnection) { drains <- "drain" }
			for _, h := range []api.Handler{Events{OnDrain: drained}, pass(&Events{OnDrain: drained})} {
				s.endpoint.SetHandler(h, true)
				c, peer := open(t, s)
				size := fill(t, c)
				if n := c.Buffered(); n > testLimit+(testLimit/8<<10)*128 { // the loop is sending meanwhile
					t.Errorf("%d bytes buffered", n)
				}
				read(t, peer, size)
				next(t, drains)
				for c.Buffered() > testLow { // that was told of a drain in the middle of the filling: another comes
					next(t, drains)
				}
			}
			seen := make(chan string, 100)
			s.endpoint.SetHandler(api.HandlerFunc(func(data any) error {
				seen <- strings.TrimPrefix(fmt.Sprintf("%T", data), "api.")
				return nil
			}), true)
			c, peer := open(t, s)
			read(t, peer, fill(t, c))
			write(t, peer, masked(0x88, ""))
			for _, want := range []string{"OpenEvent", "CloseEvent"} {
				if got := next(t, seen); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
}

// A connection's own handler gets its drain events.
func TestDrainEventOfOneConnection(t *testing.T) {
	s := tight(t, EndpointConfig{}, false)
	c, peer := open(t, s)
	seen := make(chan string, 100)
	c.SetHandler(Events{OnDrain: func(*WSConnection) { seen <- "drain" }})
	read(t, peer, fill(t, c))
	next(t, seen)
}

func TestConnectionThatReadsTooSlowlyIsClosed(t *testing.T) {
	s := tight(t, EndpointConfig{SlowConsumer: SlowConsumerClose}, false)
	c, peer := open(t, s)
	size := fill(t, c)
	if err := c.Send(OpcodeText, nil); !errors.Is(err, api.ErrTransportClosed) {
		t.Errorf("afterwards: %v", err)
	}
	read(t, peer, size)
	if got := read(t, peer, 4); got[0] != 0x88 || int(got[2])<<8|int(got[3]) != ClosePolicyViolation {
		t.Errorf("got %x", got)
	}
	peer.Close()
	<-c.Done()
	if stats := s.endpoint.Stats(); stats.SlowClosed != 1 || stats.QueueFull != 1 {
		t.Errorf("got %+v", stats)
	}
}

// Pausing holds messages back, whatever else reading depends on, and resuming lets them come.
func TestPauseReading(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			s := tight(t, EndpointConfig{}, way.workers)
			seen := make(chan string, 10)
			s.endpoint.SetHandler(Events{
				OnMessage: func(c *WSConnection, opcode byte, data []byte) { seen <- string(data) },
			}, true)
			c, peer := open(t, s)
			if err := errors.Join(c.PauseReading(), c.PauseReading()); err != nil {
				t.Fatal(err)
			}
			settle(t, s) // what was received in the same turn as this is told would still come
			settle(t, s)
			write(t, peer, masked(0x81, "held"))
			for i := 0; i < 3; i++ { // the loop has had every opportunity
				settle(t, s)
			}
			if len(seen) != 0 {
				t.Errorf("got %q", <-seen)
			}
			if err := c.ResumeReading(); err != nil {
				t.Fatal(err)
			}
			if got := next(t, seen); got != "held" {
				t.Errorf("got %q", got)
			}
			if err := c.PauseReading(); err != nil {
				t.Fatal(err)
			}
			s.endpoint.Drain() // does not wait for what is paused
			read(t, peer, 4)
			peer.Close()
			<-c.Done()
			if err := c.PauseReading(); !errors.Is(err, api.ErrTransportClosed) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// What stops reading for two reasons goes on when both have gone.
func TestReasonsToStopReading(t *testing.T) {
	c := lone(2)
	x := c.extension()
	stopped := func() bool { return x.full || x.paused }
	_ = x.pause(c, true)
	x.addTask(c, item{})
	x.addTask(c, item{})
	_ = x.pause(c, false)
	if !stopped() {
		t.Error("too much waits, but reading goes on")
	}
	_ = x.pause(c, true)
	x.nextTask(c)
	x.nextTask(c)
	if !stopped() {
		t.Error("it is paused, but reading goes on")
	}
	_ = x.pause(c, false)
	if stopped() {
		t.Error("nothing stops it any more")
	}
}

func TestCloseWith(t *testing.T) {
	s := tight(t, EndpointConfig{}, false)
	c, peer := open(t, s)
	for _, test := range []struct {
		code   int
		reason string
	}{{1005, ""}, {1006, ""}, {999, ""}, {5000, ""}, {1000, strings.Repeat("x", 124)}, {1000, "\xff"}} {
		if err := c.CloseWith(test.code, test.reason); !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("%d %.5q: %v", test.code, test.reason, err)
		}
	}
	if err := c.CloseWith(4001, "enough"); err != nil {
		t.Fatal(err)
	}
	if got := string(read(t, peer, 10)); got != "\x88\x08\x0f\xa1enough" {
		t.Errorf("got %q", got)
	}
	if err := c.CloseWith(1000, ""); !errors.Is(err, api.ErrTransportClosed) {
		t.Errorf("the second time: %v", err)
	}
}

func TestAttributes(t *testing.T) {
	s := tight(t, EndpointConfig{}, false)
	c, _ := open(t, s)
	if c.Value() != nil || c.Subprotocol() != "" || c.RemoteAddr() != nil {
		t.Error("a connection has what nobody gave it")
	}
	c.SetValue("one")
	c.SetValue(2)
	if c.Value() != 2 {
		t.Errorf("got %v", c.Value())
	}
	fd, _ := pair(t)
	c, err := s.Adopt(fd, Adoption{Value: 3, Subprotocol: "chat", Remote: &net.UnixAddr{Name: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Value() != 3 || c.Subprotocol() != "chat" || c.RemoteAddr().String() != "x" {
		t.Errorf("got %v, %v, %v", c.Value(), c.Subprotocol(), c.RemoteAddr())
	}
	if api.FromContext(c.Context()) != c || c.Context() != c.Context() {
		t.Error("the context is not that of the connection")
	}
}

// The address is kept for who has asked for it while it was there.
func TestRemoteAddr(t *testing.T) {
	for _, asked := range []bool{true, false} {
		s := shard(t, EndpointConfig{HandshakeTimeout: patience})
		seen := make(chan *WSConnection, 1)
		s.endpoint.SetHandler(Events{
			OnOpen: func(c *WSConnection, r *http.Request) {
				if asked && c.RemoteAddr().String() != client.String() {
					t.Errorf("got %v", c.RemoteAddr())
				}
			},
			OnMessage: func(c *WSConnection, opcode byte, data []byte) { seen <- c },
		}, true)
		fd, peer := pair(t)
		if err := s.Serve(fd, client); err != nil {
			t.Fatal(err)
		}
		write(t, peer, changed()+masked(0x81, ""))
		c := <-seen
		if got := c.RemoteAddr(); (got != nil) != asked {
			t.Errorf("asked for %v: got %v", asked, got)
		}
	}
}
