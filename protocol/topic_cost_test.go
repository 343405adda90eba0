package protocol

import (
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/momentics/hioload-ws/internal/loop"
)

// handDriven is an endpoint whose one loop is turned by the test, with subscribers whose peers are plain descriptors.
type handDriven struct {
	*Endpoint
	t     testing.TB
	loop  *loop.Loop
	peers []int
	slow  int // subscribers that have no peer in peers
}

func newHandDriven(t testing.TB) *handDriven {
	t.Helper()
	l, err := loop.New(loop.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	h := &handDriven{Endpoint: NewEndpoint(EndpointConfig{}), t: t, loop: l}
	h.SetHandler(ignore, true)
	h.AddShard(l)
	return h
}

func (h *handDriven) turn(timeoutMs int64) {
	h.t.Helper()
	if _, err := h.loop.Turn(timeoutMs); err != nil {
		h.t.Fatal(err)
	}
}

// subscribers makes as many as there are not yet, all of "x".
func (h *handDriven) subscribers(count int) {
	h.t.Helper()
	for len(h.peers) < count {
		_, peer := h.add("x")
		h.peers = append(h.peers, peer)
	}
	h.turn(0)
}

// add makes one.
func (h *handDriven) add(pattern string, options ...SubscribeOption) (c *WSConnection, peer int) {
	h.t.Helper()
	near, far := sockets(h.t)
	h.t.Cleanup(func() { syscall.Close(far) })
	failed := make(chan error, 1)
	go func() {
		var err error
		if c, err = h.shards[0].Adopt(near, Adoption{}); err == nil {
			err = c.Subscribe(pattern, options...)
		}
		failed <- err
		h.loop.Wake()
	}()
	for {
		h.turn(-1)
		select {
		case err := <-failed:
			if err != nil {
				h.t.Fatal(err)
			}
			return c, far
		default:
		}
	}
}

// subscribeSlowly makes a subscriber more, whose peer takes nothing and for which as much waits as may.
func (h *handDriven) subscribeSlowly(policy TopicPolicy) {
	h.t.Helper()
	c, _ := h.add("x", WithTopicPolicy(policy))
	h.slow++
	large := make([]byte, 100<<10)
	for !c.conn.Stalled() {
		if err := c.SendFrame(&WSFrame{IsFinal: true, Opcode: OpcodeBinary, Payload: large}); err != nil {
			h.t.Fatal(err)
		}
		h.turn(0)
	}
}

// publish sends a message of five bytes to all and lets the loop deal with it.
func (h *handDriven) publish() {
	h.t.Helper()
	if n, err := h.Publish("x", OpcodeText, []byte("hello")); n != len(h.peers)+h.slow || err != nil {
		h.t.Fatal(n, err)
	}
	h.turn(0)
}

// receive reads it at all the peers.
func (h *handDriven) receive(buffer []byte) {
	h.t.Helper()
	for _, fd := range h.peers {
		if n, err := syscall.Read(fd, buffer); err != nil || string(buffer[:n]) != "\x81\x05hello" {
			h.t.Fatalf("%q, %v", buffer[:n], err)
		}
	}
}

// Nothing is allocated for a subscriber, whatever their number; a bounded few for a publication.
func TestPublishAllocatesNothingPerSubscriber(t *testing.T) {
	h := newHandDriven(t)
	buffer := make([]byte, 64)
	var allocations []float64
	for _, count := range []int{1, 100} {
		h.subscribers(count)
		allocations = append(allocations, testing.AllocsPerRun(50, func() {
			h.publish()
			h.receive(buffer)
		}))
	}
	if allocations[1] > allocations[0] || allocations[0] > 16 {
		t.Errorf("%v allocations for a subscriber, %v for a hundred", allocations[0], allocations[1])
	}
	t.Logf("%v allocations", allocations[1])
}

// BenchmarkPublish is a message to 1,000 subscribers on one loop: what Publish and the loop take of the processor for
// each message that is delivered, in user's and system time, without what the subscribers' side of the sockets takes.
func BenchmarkPublish(b *testing.B) {
	const subscribers = 1000
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h := newHandDriven(b)
	h.subscribers(subscribers)
	buffer := make([]byte, 64)
	var spent time.Duration
	crossings := h.loop.Stats().Crossings
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		before := threadTime(b)
		h.publish()
		spent += threadTime(b) - before
		h.receive(buffer)
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/subscribers, "cpu-ns/message")
	b.ReportMetric(float64(h.loop.Stats().Crossings-crossings)/float64(b.N), "crossings/op")
}

// BenchmarkPublishWithSlowConsumer is the same with one subscriber more, that takes nothing: what the loop takes of the
// processor until all others have been sent a message, which is how long they wait on a machine of its own. 99 of 100
// publications take less than p99. With a slow one and without take turns, so that whatever else the machine does meets
// both; the slow one's p99 in percent of the other's is there, too.
func BenchmarkPublishWithSlowConsumer(b *testing.B) {
	for _, slow := range []struct {
		name   string
		policy TopicPolicy
	}{
		{"drops", TopicPolicy{Slow: SlowDropOldest}},
		{"latest", TopicPolicy{Slow: SlowKeepLatest}},
	} {
		b.Run(slow.name, func(b *testing.B) {
			runtime.LockOSThread() // here: it is a goroutine of its own
			defer runtime.UnlockOSThread()
			without, with := newHandDriven(b), newHandDriven(b)
			without.subscribers(1000)
			with.subscribers(1000)
			with.subscribeSlowly(slow.policy)
			buffer := make([]byte, 64)
			took := [2][]time.Duration{}
			b.ResetTimer()
			for range b.N {
				for i, h := range []*handDriven{without, with} {
					before := threadTime(b)
					h.publish()
					took[i] = append(took[i], threadTime(b)-before)
					h.receive(buffer)
				}
			}
			var p99 [2]float64
			for i := range took {
				slices.Sort(took[i])
				p99[i] = float64(took[i][len(took[i])*99/100].Microseconds())
			}
			b.ReportMetric(float64(took[0][b.N/2].Microseconds()), "p50-us-without")
			b.ReportMetric(float64(took[1][b.N/2].Microseconds()), "p50-us-with")
			b.ReportMetric(p99[0], "p99-us-without")
			b.ReportMetric(p99[1], "p99-us-with")
			b.ReportMetric(p99[1]/p99[0]*100, "%")
		})
	}
}

// threadTime is what the calling thread has taken of the processor.
func threadTime(t testing.TB) time.Duration {
	t.Helper()
	const clockThread = 3 // CLOCK_THREAD_CPUTIME_ID
	var now syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockThread, uintptr(unsafe.Pointer(&now)), 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	return time.Duration(now.Nano())
}
