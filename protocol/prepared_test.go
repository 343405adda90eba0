package protocol

import (
	"bytes"
	"errors"
	"math/rand"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
)

func prepare(t testing.TB, text string) *PreparedMessage {
	t.Helper()
	m, err := NewPrepared(OpcodeText, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// One message to connections of two endpoints with pools of their own: a frame in each pool, whatever their number.
func TestPreparedMessage(t *testing.T) {
	a, b := newHub(t, 2, EndpointConfig{}, loop.Config{}), newHub(t, 1, EndpointConfig{}, loop.Config{})
	all := []*subscriber{a.open(0), a.open(0), a.open(1), b.open(0), b.open(0)}
	payload := []byte("hello")
	m, err := NewPrepared(OpcodeText, payload)
	if err != nil {
		t.Fatal(err)
	}
	clear(payload) // it is ours again
	var senders sync.WaitGroup
	for _, s := range all {
		senders.Add(1)
		go func() {
			defer senders.Done()
			if err := s.SendPrepared(m); err != nil {
				t.Error(err)
			}
		}()
	}
	senders.Wait()
	if err := all[0].shard.loop.Do(func() { // on the loop, and released before it is on its way
		if err := all[0].SendPrepared(m); err != nil {
			t.Error(err)
		}
		m.Release()
		m.Release()
	}); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		s.expect("hello")
	}
	all[0].expect("hello")
	if err := all[0].SendPrepared(m); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("after Release: %v", err)
	}
	if _, err := a.PublishPrepared("x", m); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("publishing after Release: %v", err)
	}
	for name, h := range map[string]*hub{"a": a, "b": b} {
		if gets := h.pool.Stats().Gets; gets != 1 {
			t.Errorf("%s: %d frames for one message", name, gets)
		}
		h.expectNoMemory()
	}
}

// A client masks what it sends, so it sends the message in the ordinary way.
func TestPreparedMessageOfAClient(t *testing.T) {
	h, clients := newHub(t, 1, EndpointConfig{}, loop.Config{}), newHub(t, 1, EndpointConfig{}, loop.Config{})
	received := make(chan string, 2)
	h.SetHandler(api.HandlerFunc(func(data any) error {
		if message, ok := data.(api.Buffer); ok {
			received <- string(message.Bytes())
		}
		return nil
	}), true)
	near, far := sockets(t)
	adopt(t, h.shards[0], near, Adoption{})
	c := adopt(t, clients.shards[0], far, Adoption{Client: true})
	m := prepare(t, "hello")
	if err := c.SendPrepared(m); err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe("x"); err != nil {
		t.Fatal(err)
	}
	if n, err := clients.PublishPrepared("x", m); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for range 2 {
		if got := <-received; got != "hello" {
			t.Errorf("got %q", got)
		}
	}
	m.Release()
	clients.expectNoMemory()
}

func TestPublishPrepared(t *testing.T) {
	h := newHub(t, 2, EndpointConfig{}, loop.Config{})
	a, b := h.open(0), h.open(1)
	a.subscribe("x")
	b.subscribe("+")
	m := prepare(t, "hello")
	for range 3 {
		if n, err := h.PublishPrepared("x", m); n != 2 || err != nil {
			t.Fatal(n, err)
		}
	}
	m.Release()
	a.expect("hello", "hello", "hello")
	b.expect("hello", "hello", "hello")
	if gets := h.pool.Stats().Gets; gets != 1 {
		t.Errorf("%d frames for one message", gets)
	}
	if _, err := h.PublishPrepared("+", m); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("a pattern: %v", err)
	}
	h.expectNoMemory()
}

// Whoever has agreed on compression gets a frame that was compressed once for all who have the same window; small
// messages, and those that compression does not make smaller, go as they are. Messages of the connection's own come in
// between, with a context of their own.
func TestPreparedMessageCompressed(t *testing.T) {
	h := newHub(t, 2, EndpointConfig{}, loop.Config{})
	deflate := func(bits int, takeover bool) Adoption {
		return Adoption{Deflate: &Deflate{Level: 6, MemLevel: 8, Threshold: 1, OutBits: bits, InBits: 15,
			OutTakeover: takeover, InTakeover: takeover}}
	}
	all := []*subscriber{
		h.open(0), h.adopt(0, deflate(15, false)), h.adopt(0, deflate(15, true)), h.adopt(1, deflate(15, true)),
		h.adopt(1, deflate(9, false)), h.adopt(1, deflate(9, true)),
	}
	for _, s := range all {
		s.subscribe("x")
	}
	noise := make([]byte, 3000)
	rand.New(rand.NewSource(1)).Read(noise)
	for what, test := range map[string]struct {
		payload    []byte
		compressed int
		frames     int64 // that are made
	}{
		"large": {[]byte(strings.Repeat("what everybody hears ", 500)), 1, 3},
		"small": {[]byte(strings.Repeat("x", standaloneMinimum-1)), 0, 1},
		"noise": {noise, 0, 3},
	} {
		before := h.pool.Stats().Gets
		if n, err := h.Publish("x", OpcodeBinary, test.payload); n != len(all) || err != nil {
			t.Fatal(n, err)
		}
		own := []byte("what everybody hears, and what one alone does, what one alone does")
		for i, s := range all {
			s.settle()
			if err := s.SendFrame(&WSFrame{IsFinal: true, Opcode: OpcodeText, Payload: own}); err != nil {
				t.Fatal(err)
			}
			s.compressed = 0
			opcode, payload, err := s.next()
			if opcode != OpcodeBinary || !bytes.Equal(payload, test.payload) || err != nil {
				t.Fatalf("%s, connection %d: opcode %#x, %d bytes, %v", what, i, opcode, len(payload), err)
			}
			if i > 0 && s.compressed != test.compressed || i == 0 && s.compressed > 0 {
				t.Errorf("%s, connection %d: %d frames were compressed", what, i, s.compressed)
			}
			s.expect(string(own))
		}
		if got := h.pool.Stats().Gets - before; got != test.frames {
			t.Errorf("%s: %d frames were made", what, got)
		}
	}
	h.expectNoMemory()
}

// How a route compresses counts for prepared messages, too.
func TestPreparedMessageOfARoute(t *testing.T) {
	h := newHub(t, 1, EndpointConfig{}, loop.Config{})
	deflate := &Deflate{Level: 6, MemLevel: 8, OutBits: 15, InBits: 15}
	open := func(config Compression) *subscriber {
		s := h.adopt(0, Adoption{Deflate: deflate, Route: NewRoute(ignore, RouteConfig{Compression: &config})})
		s.subscribe("x")
		return s
	}
	eager, idle := open(Compression{Threshold: 10}), open(Compression{Threshold: 5000})
	best := open(Compression{Level: 9})
	text := strings.Repeat("a bc abc cab bca acb ", 100)
	h.publish("x", text, 3)
	for _, s := range []*subscriber{eager, idle, best} {
		s.expect(text)
	}
	if eager.compressed != 1 || idle.compressed != 0 || best.compressed != 1 {
		t.Errorf("%d, %d, %d frames were compressed", eager.compressed, idle.compressed, best.compressed)
	}
	if got := h.pool.Stats().Gets; got != 3 {
		t.Errorf("%d frames were made, not one for each level and a plain one", got)
	}
	h.expectNoMemory()
}

func TestPreparedMessageRefuses(t *testing.T) {
	for what, test := range map[string]struct {
		opcode  byte
		payload string
	}{
		"UTF-8": {OpcodeText, "\xff"}, "opcode 0x9": {OpcodePing, ""}, "opcode 0x0": {OpcodeContinuation, ""},
	} {
		if _, err := NewPrepared(test.opcode, []byte(test.payload)); !errors.Is(err, api.ErrInvalidArgument) ||
			!strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	s := newHub(t, 1, EndpointConfig{}, loop.Config{}).open(0)
	m := prepare(t, "x")
	defer m.Release()
	if m.Opcode() != OpcodeText || m.Len() != 1 {
		t.Error("a message that tells something else")
	}
	if err := s.SendFrame(&WSFrame{Opcode: OpcodeText}); err != nil {
		t.Fatal(err)
	}
	if err := s.SendPrepared(m); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("in a fragmented message: %v", err)
	}
	s.expectGone()
	if err := s.SendPrepared(m); !errors.Is(err, api.ErrTransportClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// A message that nobody releases comes back with the garbage collector, which the pool counts.
func TestPreparedMessageForgotten(t *testing.T) {
	h := newHub(t, 1, EndpointConfig{}, loop.Config{})
	s := h.open(0)
	func() {
		if err := s.SendPrepared(prepare(t, "hello")); err != nil {
			t.Fatal(err)
		}
	}()
	s.expect("hello")
	for h.pool.Stats().Forgotten == 0 {
		runtime.GC()
	}
	if stats := h.pool.Stats(); stats.Gets != 1 || stats.Puts != 1 {
		t.Errorf("%d frames made, %d given back", stats.Gets, stats.Puts)
	}
}

// When memory is short, a publication fails before anybody has been told.
func TestPublishWithoutMemory(t *testing.T) {
	pool, err := loop.NewPool(loop.PoolConfig{Limit: 48 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	l, err := loop.New(loop.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 1)
	go func() { ended <- l.Run() }()
	e := NewEndpoint(EndpointConfig{})
	e.SetHandler(ignore, true)
	s := e.AddShard(l)
	fd, _ := pair(t)
	c := adopt(t, s, fd, Adoption{})
	if err := c.Subscribe("x"); err != nil {
		t.Fatal(err)
	}
	if n, err := e.Publish("x", OpcodeBinary, bytes.Repeat([]byte("x"), 64<<20)); n != 0 ||
		!errors.Is(err, api.ErrResourceExhausted) {
		t.Errorf("%d, %v", n, err)
	}
	if got := e.Stats().Topics; got.Refused != 1 || got.Published != 0 {
		t.Errorf("%+v", got)
	}
}
