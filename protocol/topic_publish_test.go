package protocol

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
)

// hub is an endpoint with several loops over one pool.
type hub struct {
	*Endpoint
	t    testing.TB
	pool *loop.Pool
}

func newHub(t testing.TB, loops int, config EndpointConfig, each loop.Config) *hub {
	t.Helper()
	pool, err := loop.NewPool(loop.PoolConfig{})
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{Endpoint: NewEndpoint(config), t: t, pool: pool}
	h.SetHandler(ignore, true)
	each.Pool = pool
	each.RunOnly = true
	for range loops {
		l, err := loop.New(each)
		if err != nil {
			t.Fatal(err)
		}
		h.AddShard(l)
		ended := make(chan error, 1)
		go func() { ended <- l.Run() }()
		t.Cleanup(func() {
			l.Close()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(pool.Close)
	return h
}

// subscriber is a connection of a hub and its peer.
type subscriber struct {
	*WSConnection
	t    testing.TB
	peer net.Conn
	in   *bufio.Reader

	compressed int    // frames
	takeover   bool   // compressed messages may refer to those before
	context    []byte // then: the end of these
}

// open makes a connection on a shard.
func (h *hub) open(shard int) *subscriber {
	h.t.Helper()
	return h.adopt(shard, Adoption{})
}

func (h *hub) adopt(shard int, a Adoption) *subscriber {
	h.t.Helper()
	fd, peer := pair(h.t)
	c, err := h.shards[shard].Adopt(fd, a)
	if err != nil {
		h.t.Fatal(err)
	}
	s := &subscriber{WSConnection: c, t: h.t, peer: peer, in: bufio.NewReaderSize(peer, 512)}
	s.takeover = a.Deflate != nil && a.Deflate.OutTakeover
	return s
}

func (s *subscriber) subscribe(pattern string, options ...SubscribeOption) {
	s.t.Helper()
	if err := s.Subscribe(pattern, options...); err != nil {
		s.t.Fatal(err)
	}
}

// next reads a frame of the server, which is final.
func (s *subscriber) next() (opcode byte, payload []byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(s.in, head[:2]); err != nil {
		return 0, nil, err
	}
	size := uint64(head[1])
	if n := map[byte]int{126: 2, 127: 8}[head[1]]; n > 0 {
		if _, err := io.ReadFull(s.in, head[10-n:]); err != nil {
			return 0, nil, err
		}
		clear(head[2 : 10-n])
		size = binary.BigEndian.Uint64(head[2:])
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(s.in, payload)
	switch head[0] & 0xf0 {
	case 0xc0:
		s.compressed++
		payload = s.inflate(payload)
	case 0x80:
	default:
		return 0, nil, fmt.Errorf("a frame that begins with %#x", head[0])
	}
	return head[0] & 0x0f, payload, err
}

// inflate expands a message (RFC 7692 section 7.2.2).
func (s *subscriber) inflate(p []byte) []byte {
	tail := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff") // the final block is for package flate alone
	data, err := io.ReadAll(flate.NewReaderDict(io.MultiReader(bytes.NewReader(p), tail), s.context))
	if err != nil {
		s.t.Error(err)
	}
	if s.takeover {
		s.context = append(s.context, data...)
		s.context = s.context[max(0, len(s.context)-1<<15):]
	}
	return data
}

// expect reads text messages.
func (s *subscriber) expect(want ...string) {
	s.t.Helper()
	for _, text := range want {
		opcode, payload, err := s.next()
		if err != nil || opcode != OpcodeText || string(payload) != text {
			s.t.Fatalf("got opcode %#x, %.40q, %v; want %.40q", opcode, payload, err, text)
		}
	}
}

// expectNothing makes sure that nothing has come which was published before.
func (s *subscriber) expectNothing() {
	s.t.Helper()
	s.settle()
	if err := s.SendFrame(&WSFrame{IsFinal: true, Opcode: OpcodeText, Payload: []byte("the end")}); err != nil {
		s.t.Fatal(err)
	}
	s.expect("the end")
}

// settle returns when the loop has dealt with what it was told before.
func (s *subscriber) settle() { settle(s.t, s.shard) }

func settle(t testing.TB, s *Shard) {
	t.Helper()
	done := make(chan struct{})
	if err := s.loop.Do(func() { close(done) }); err != nil {
		t.Fatal(err)
	}
	<-done
}

// publish publishes a text and expects that many subscriptions to match.
func (h *hub) publish(topic, text string, want int) {
	h.t.Helper()
	if n, err := h.Publish(topic, OpcodeText, []byte(text)); n != want || err != nil {
		h.t.Fatalf("%q: %d subscriptions, %v; want %d", topic, n, err, want)
	}
}

// expectNoMemory makes sure that all memory of messages is given back, and nobody had to forget it.
func (h *hub) expectNoMemory() {
	h.t.Helper()
	for _, s := range h.shards {
		settle(h.t, s)
		if n, bytes := s.topics.waiting.Load(), s.topics.waitingBytes.Load(); n != 0 || bytes != 0 {
			h.t.Errorf("%d publications of %d bytes wait", n, bytes)
		}
	}
	stats := h.pool.Stats()
	for began := time.Now(); stats.Gets != stats.Puts && time.Since(began) < patience; stats = h.pool.Stats() {
		runtime.Gosched() // whoever published may be about to let go of the frame
	}
	if stats.Gets != stats.Puts || stats.Forgotten != 0 {
		h.t.Errorf("%d frames made, %d given back, %d forgotten", stats.Gets, stats.Puts, stats.Forgotten)
	}
}

func TestPublish(t *testing.T) {
	h := newHub(t, 2, EndpointConfig{}, loop.Config{})
	a, b, c := h.open(0), h.open(0), h.open(1)
	a.subscribe("news/sport")
	b.subscribe("news/+")
	b.subscribe("news/#")
	b.subscribe("news/sport")
	b.subscribe("news/sport") // the same
	c.subscribe("#")
	h.publish("news/sport", "goal", 5)
	h.publish("news", "paper", 2)
	h.publish("weather", "rain", 1)
	a.expect("goal")
	b.expect("goal", "paper")
	c.expect("goal", "paper", "rain")
	if got := b.Subscriptions(); !slices.Equal(got, []string{"news/+", "news/#", "news/sport"}) {
		t.Errorf("b subscribes to %q", got)
	}
	if err := b.Unsubscribe("news/#"); err != nil {
		t.Error(err)
	}
	if err := b.Unsubscribe("news/#"); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("not subscribed: %v", err)
	}
	if err := h.open(0).Unsubscribe("x"); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("never subscribed: %v", err)
	}
	h.publish("news", "magazine", 1)
	c.expect("magazine")
	for _, s := range []*subscriber{a, b, c} {
		s.expectNothing()
	}
	if got, want := h.Stats().Topics, (TopicStats{Subscriptions: 4, Published: 4, Delivered: 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	h.expectNoMemory()
}

// What can't be is refused, and nobody gets anything.
func TestPublishRefuses(t *testing.T) {
	h := newHub(t, 1, EndpointConfig{Topics: TopicLimits{PerConnection: 2, Length: 8}}, loop.Config{})
	s := h.open(0)
	s.subscribe("#")
	s.subscribe("a")
	if err := s.Subscribe("b"); !errors.Is(err, api.ErrResourceExhausted) ||
		!strings.Contains(err.Error(), "2 patterns") {
		t.Errorf("one too many: %v", err)
	}
	if err := s.Subscribe("a#"); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("a bad pattern: %v", err)
	}
	if err := s.Subscribe("a", WithTopicPolicy(TopicPolicy{Queue: -1})); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("a bad policy: %v", err)
	}
	for what, publish := range map[string]func() (int, error){
		"wildcard": func() (int, error) { return h.Publish("a/+", OpcodeText, nil) },
		"9 bytes":  func() (int, error) { return h.Publish("123456789", OpcodeText, nil) },
		"UTF-8":    func() (int, error) { return h.Publish("a", OpcodeText, []byte{0xff}) },
		"opcode":   func() (int, error) { return h.Publish("a", OpcodePing, nil) },
	} {
		if n, err := publish(); n != 0 || !errors.Is(err, api.ErrInvalidArgument) ||
			!strings.Contains(err.Error(), what) {
			t.Errorf("%s: %d, %v", what, n, err)
		}
	}
	s.expectNothing()
	if got := h.Stats().Topics.Published; got != 0 {
		t.Errorf("%d published", got)
	}
}

// Payloads of every size of header, text and binary.
func TestPublishSizes(t *testing.T) {
	h := newHub(t, 1, EndpointConfig{}, loop.Config{})
	s := h.open(0)
	s.subscribe("x")
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 300000} {
		payload := []byte(strings.Repeat("y", size))
		if n, err := h.Publish("x", OpcodeBinary, payload); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		clear(payload) // it is ours again
		opcode, got, err := s.next()
		if opcode != OpcodeBinary || string(got) != strings.Repeat("y", size) || err != nil {
			t.Errorf("%d bytes: opcode %#x, %d bytes, %v", size, opcode, len(got), err)
		}
	}
	h.expectNoMemory()
}

// 1,000 subscribers on two loops get every message once and in order; each loop is told once per message.
func TestPublishToThousand(t *testing.T) {
	const subscribers, messages = 1000, 50
	h := newHub(t, 2, EndpointConfig{}, loop.Config{})
	var all []*subscriber
	for i := range subscribers {
		s := h.open(i % 2)
		s.subscribe("all/+")
		if i%3 == 0 {
			s.subscribe("#")
		}
		all = append(all, s)
	}
	for _, s := range h.shards {
		settle(t, s)
	}
	crossings := func() (n uint64) {
		for _, s := range h.shards {
			n += s.loop.Stats().Crossings
		}
		return n
	}
	before := crossings()
	subscriptions := subscribers + (subscribers+2)/3
	for i := range messages {
		h.publish("all/x", fmt.Sprint("message ", i), subscriptions)
	}
	var readers sync.WaitGroup
	for _, s := range all {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for i := range messages {
				opcode, payload, err := s.next()
				if want := fmt.Sprint("message ", i); opcode != OpcodeText || string(payload) != want || err != nil {
					t.Errorf("got opcode %#x, %q, %v; want %q", opcode, payload, err, want)
					return
				}
			}
		}()
	}
	readers.Wait()
	// A loop has room for 1,024 operations, so it crosses about twice for a message to 500 connections, with io_uring
	// some more often for what was sent.
	if n := crossings() - before; n > messages*subscribers/50 {
		t.Errorf("%d crossings for %d messages to %d subscribers", n, messages, subscribers)
	}
	if got := h.Stats().Topics; got.Delivered != subscribers*messages || got.Published != messages {
		t.Errorf("%+v", got)
	}
	h.expectNoMemory()
}

// Publishers on several goroutines: each one's messages arrive in order.
func TestPublishersAtOnce(t *testing.T) {
	const publishers, messages = 4, 200
	h := newHub(t, 2, EndpointConfig{}, loop.Config{})
	a, b := h.open(0), h.open(1)
	a.subscribe("x")
	b.subscribe("+")
	var all sync.WaitGroup
	for p := range publishers {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range messages {
				if _, err := h.Publish("x", OpcodeBinary, []byte{byte(p), byte(i)}); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for _, s := range []*subscriber{a, b} {
		var next [publishers]int
		for range publishers * messages {
			_, payload, err := s.next()
			if err != nil {
				t.Fatal(err)
			}
			if p := payload[0]; int(payload[1]) != next[p] {
				t.Fatalf("publisher %d: message %d, not %d", p, payload[1], next[p])
			}
			next[payload[0]]++
		}
	}
	all.Wait()
	h.expectNoMemory()
}

// Subscriptions and connections come and go while messages are published. Whoever stays gets all of them.
func TestSubscribersComeAndGo(t *testing.T) {
	const rounds = 300
	h := newHub(t, 2, EndpointConfig{}, loop.Config{})
	stays := []*subscriber{h.open(0), h.open(1)}
	for _, s := range stays {
		s.subscribe("x/#")
	}
	restless := []*subscriber{h.open(0), h.open(1)}
	for _, s := range restless {
		go io.Copy(io.Discard, s.peer)
	}
	var all sync.WaitGroup
	for i := range 2 {
		all.Add(2)
		go func() { // one that subscribes and unsubscribes
			defer all.Done()
			for range rounds {
				if err := restless[i].Subscribe("x/+"); err != nil {
					t.Error(err)
				}
				if err := restless[i].Unsubscribe("x/+"); err != nil {
					t.Error(err)
				}
			}
		}()
		go func() { // connections that end while they are subscribed
			defer all.Done()
			for range rounds / 10 {
				s := h.open(i)
				s.subscribe("x/#")
				s.peer.Close()
				<-s.Done()
				if err := s.Subscribe("y"); !errors.Is(err, api.ErrTransportClosed) {
					t.Errorf("after its end: %v", err)
				}
			}
		}()
	}
	for i := range rounds {
		if _, err := h.Publish("x/y", OpcodeText, []byte(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		for _, s := range stays {
			s.expect(fmt.Sprint(i))
		}
	}
	all.Wait()
	for _, s := range append(stays, restless...) {
		s.expectGone()
	}
	if got := h.Stats().Topics.Subscriptions; got != 0 {
		t.Errorf("%d subscriptions are left", got)
	}
	if len(h.topics.entries.plain) > 0 || len(h.topics.entries.wild.levels) > 0 {
		t.Error("patterns are left that nobody subscribes to")
	}
	h.publish("x/y", "nobody hears", 0)
	h.expectNoMemory()
}

// expectGone ends the connection and waits for that.
func (s *subscriber) expectGone() {
	s.t.Helper()
	s.peer.Close()
	<-s.Done()
	s.settle() // the close event has been dealt with
}

// A handler that publishes to its own loop: the messages come after what it does.
func TestPublishInHandler(t *testing.T) {
	h := newHub(t, 1, EndpointConfig{}, loop.Config{})
	h.SetHandler(api.HandlerFunc(func(data any) error {
		if message, ok := data.(api.Buffer); ok {
			defer message.Release()
			_, err := h.Publish("chat", OpcodeText, message.Bytes())
			return err
		}
		if event, ok := data.(api.OpenEvent); ok {
			return event.Conn.(*WSConnection).Subscribe("chat")
		}
		return nil
	}), true)
	a, b := h.open(0), h.open(0)
	for _, s := range []*subscriber{a, b} {
		if _, err := s.peer.Write([]byte("\x81\x81\x00\x00\x00\x00x\x81\x81\x00\x00\x00\x00y")); err != nil {
			t.Fatal(err)
		}
		a.expect("x", "y")
		b.expect("x", "y")
	}
	h.expectNoMemory()
}

// A loop that does not keep up makes Publish fail: then nobody gets the message, on any loop.
func TestPublishBackpressure(t *testing.T) {
	for _, test := range []struct {
		limits TopicLimits
		size   int
		fit    int
	}{
		{TopicLimits{Waiting: 3}, 10, 3},
		{TopicLimits{WaitingBytes: 1000}, 400, 2},
		{TopicLimits{WaitingBytes: 1000}, 5000, 1}, // one alone is never too large
	} {
		h := newHub(t, 2, EndpointConfig{Topics: test.limits}, loop.Config{})
		a, b := h.open(0), h.open(1)
		a.subscribe("x")
		b.subscribe("x")
		settle(t, h.shards[0])
		blocked, free := make(chan struct{}), make(chan struct{})
		if err := h.shards[1].loop.Do(func() { close(blocked); <-free }); err != nil {
			t.Fatal(err)
		}
		<-blocked
		text := strings.Repeat("x", test.size)
		var want []string
		for range test.fit {
			h.publish("x", text, 2)
			want = append(want, text)
			settle(t, h.shards[0])
		}
		for range 2 {
			if n, err := h.Publish("x", OpcodeText, []byte(text)); n != 0 || !errors.Is(err, api.ErrResourceExhausted) {
				t.Errorf("%+v: %d, %v", test.limits, n, err)
			}
		}
		a.expect(want...)
		a.expectNothing()
		close(free)
		b.expect(want...)
		b.expectNothing()
		h.publish("x", "again", 2)
		a.expect("again")
		b.expect("again")
		if got := h.Stats().Topics; got.Refused != 2 || got.Published != int64(test.fit)+1 {
			t.Errorf("%+v: %+v", test.limits, got)
		}
		h.expectNoMemory()
	}
}

// The end of a loop is the end of its subscribers; those of the others go on.
func TestPublishWhenALoopHasEnded(t *testing.T) {
	h := newHub(t, 2, EndpointConfig{}, loop.Config{})
	a, b := h.open(0), h.open(1)
	a.subscribe("x")
	b.subscribe("x")
	h.publish("x", "both", 2)
	a.expect("both")
	b.expect("both")
	h.shards[0].loop.Close()
	<-h.shards[0].loop.Done()
	h.publish("x", "one", 1)
	b.expect("one")
	if err := a.Subscribe("y"); !errors.Is(err, api.ErrTransportClosed) {
		t.Errorf("got %v", err)
	}
}

// While a fragmented message is being sent, what is published waits, whatever the policy.
func TestPublishBetweenFragments(t *testing.T) {
	for _, action := range []SlowAction{SlowClose, SlowDropOldest, SlowKeepLatest} {
		h := newHub(t, 1, EndpointConfig{}, loop.Config{})
		s := h.open(0)
		s.subscribe("x", WithTopicPolicy(TopicPolicy{Slow: action, Queue: 2}))
		fragment := func(opcode byte, final bool) {
			t.Helper()
			if err := s.SendFrame(&WSFrame{IsFinal: final, Opcode: opcode, Payload: []byte("f")}); err != nil {
				t.Fatal(err)
			}
		}
		fragment(OpcodeBinary, false)
		h.publish("x", "1", 1)
		h.publish("x", "2", 1)
		s.settle()
		fragment(OpcodeContinuation, true)
		var head [6]byte
		if _, err := io.ReadFull(s.in, head[:]); err != nil || string(head[:]) != "\x02\x01f\x80\x01f" {
			t.Fatalf("%q, %v", head, err)
		}
		if action != SlowKeepLatest {
			s.expect("1")
		}
		s.expect("2")
		h.publish("x", "3", 1)
		s.expect("3")

		fragment(OpcodeBinary, false)
		for _, text := range []string{"4", "5", "6"} {
			h.publish("x", text, 1)
		}
		s.settle()
		got := h.Stats().Topics
		if closed := int64(1); action == SlowClose && got.SlowClosed != closed {
			t.Errorf("%+v", got)
		}
		s.expectGone()
		h.expectNoMemory()
	}
}

// Messages in fragments that another goroutine sends are never cut into by what is published at the same time.
func TestPublishBesideFragments(t *testing.T) {
	const messages = 500
	h := newHub(t, 1, EndpointConfig{}, loop.Config{})
	s := h.open(0)
	s.subscribe("x", WithTopicPolicy(TopicPolicy{Slow: SlowDropOldest, Queue: messages}))
	var senders sync.WaitGroup
	senders.Add(2)
	go func() {
		defer senders.Done()
		for range messages {
			for i, opcode := range []byte{OpcodeBinary, OpcodeContinuation, OpcodeContinuation} {
				if err := s.SendFrame(&WSFrame{IsFinal: i == 2, Opcode: opcode, Payload: []byte("f")}); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	go func() {
		defer senders.Done()
		for range messages {
			h.publish("x", "p", 1)
		}
	}()
	fragments, published := 0, 0
	for fragments+published < 2*messages {
		var frame [3]byte
		if _, err := io.ReadFull(s.in, frame[:]); err != nil {
			t.Fatal(err)
		}
		if string(frame[:]) == "\x81\x01p" {
			published++
			continue
		}
		var rest [6]byte
		if _, err := io.ReadFull(s.in, rest[:]); err != nil ||
			string(frame[:])+string(rest[:]) != "\x02\x01f\x00\x01f\x80\x01f" {
			t.Fatalf("%q, %q, %v", frame, rest, err)
		}
		fragments++
	}
	senders.Wait()
	if fragments != messages || published != messages {
		t.Errorf("%d messages in fragments, %d published", fragments, published)
	}
	h.expectNoMemory()
}
