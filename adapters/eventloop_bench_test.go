package adapters_test

import (
	"runtime"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
)

// queue is what events are posted to: an EventLoop, or what one would write instead of it.
type queue interface{ Post(event any) error }

// channel is a goroutine that calls a handler for what comes from a channel.
type channel chan any

func (c channel) Post(event any) error {
	c <- event
	return nil
}

// eachQueue runs a benchmark with an EventLoop and with a channel, both of 1024 places, that pass events to h.
func eachQueue(b *testing.B, h api.Handler, run func(b *testing.B, q queue)) {
	b.Run("EventLoop", func(b *testing.B) {
		l := newEventLoop(b, 64, 1024)
		l.Register(h)
		ended := make(chan error)
		go func() { ended <- l.Run() }()
		b.ReportAllocs()
		b.ResetTimer()
		run(b, l)
		l.Close()
		<-ended
	})
	b.Run("channel", func(b *testing.B) {
		c := make(channel, 1024)
		ended := make(chan error)
		go func() {
			defer close(ended)
			for event := range c {
				_ = h.Handle(event)
			}
		}()
		b.ReportAllocs()
		b.ResetTimer()
		run(b, c)
		close(c)
		<-ended
	})
}

func post(q queue, event any) {
	for q.Post(event) != nil {
		runtime.Gosched()
	}
}

var someEvent any = new(int)

// One goroutine posts as fast as it can; the time includes the handling of everything.
func BenchmarkEventLoop(b *testing.B) {
	eachQueue(b, failing(nil), func(b *testing.B, q queue) {
		for i := 0; i < b.N; i++ {
			post(q, someEvent)
		}
	})
}

// So do several.
func BenchmarkEventLoopParallel(b *testing.B) {
	eachQueue(b, failing(nil), func(b *testing.B, q queue) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				post(q, someEvent)
			}
		})
	})
}

// One event at a time, for the way there and back.
func BenchmarkEventLoopRoundTrip(b *testing.B) {
	handled := make(chan struct{}, 1)
	h := api.HandlerFunc(func(any) error { handled <- struct{}{}; return nil })
	eachQueue(b, h, func(b *testing.B, q queue) {
		for i := 0; i < b.N; i++ {
			post(q, someEvent)
			<-handled
		}
	})
}

// A batch at a time on one goroutine.
func BenchmarkPoller(b *testing.B) {
	const batch = 64
	p := adapters.NewPollerAdapter(batch, 1024).(*adapters.PollerAdapter)
	p.Register(failing(nil))
	b.ReportAllocs()
	for i := 0; i < b.N; i += batch {
		for range batch {
			p.Push(someEvent)
		}
		p.Poll(batch)
	}
}
