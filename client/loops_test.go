package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/gid"
	"github.com/momentics/hioload-ws/protocol"
)

// A thousand connections over two loops, which share them evenly.
func TestThousandConnections(t *testing.T) {
	leaks(t)
	const n, dialers = 1000, 10
	address := serve(t, nil)
	o := &Options{Proxy: NoProxy, Loops: loops(t, 2)}
	conns := make([]*Conn, n)
	var all sync.WaitGroup
	for d := range dialers {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := d; i < n; i += dialers {
				c, _, err := Dial(within(t), "ws://"+address, o)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = c
			}
		}()
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for i, s := range o.Loops.endpoint.Shards() {
		if got := s.Len(); got < n/2-dialers || got > n/2+dialers {
			t.Errorf("loop %d has %d connections of %d", i, got, n)
		}
	}
	for i, c := range conns {
		number := strconv.AppendInt(nil, int64(i), 10)
		frame := &protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText, Payload: number}
		if err := c.SendFrame(frame); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range conns {
		expectText(t, c, strconv.Itoa(i))
	}
	if got := o.Loops.Len(); got != n {
		t.Errorf("%d connections", got)
	}
	go func() {
		for _, c := range conns { // whoever has taken messages says that they are dealt with by asking for more
			if _, err := c.RecvZeroCopy(); err != io.EOF {
				t.Error(err)
			}
		}
	}()
	if err := o.Loops.Shutdown(within(t)); err != nil {
		t.Error(err)
	}
	for _, c := range conns {
		await(t, "the end", c.Done())
		if code, _ := c.CloseStatus(); code != protocol.CloseGoingAway {
			t.Fatalf("closed with %d", code) // the server repeats the code that it was sent
		}
	}
}

func TestLoopsErrors(t *testing.T) {
	leaks(t)
	for _, n := range []int{-1, maxLoops + 1} {
		if l, err := NewLoops(n); l != nil || !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("NewLoops(%d): %v", n, err)
		}
	}
	if l, err := NewLoops(2, WithBackend("kqueue")); l != nil || !says(err, "kqueue") {
		t.Errorf("an unknown backend: %v", err)
	}
}

func TestLoopsOptionErrors(t *testing.T) {
	for want, option := range map[string]LoopsOption{
		"WithSendLimit(0)":      WithSendLimit(0),
		"WithMarks(5, 5)":       WithMarks(5, 5),
		"WithMarks(5, 0)":       WithMarks(5, 0),
		"WithReceiveQueue(-1)":  WithReceiveQueue(-1),
		"WithCloseTimeout(-1s)": WithCloseTimeout(-time.Second),
		"WithReadTimeout(0s)":   WithReadTimeout(0),
		"WithSlowConsumer(9)":   WithSlowConsumer(9),
		"WithWriteTimeout(0s)":  WithWriteTimeout(0),
	} {
		if l, err := NewLoops(1, option, WithSendLimit(1)); l != nil || !errors.Is(err, api.ErrInvalidArgument) ||
			!says(err, want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestWithBackend(t *testing.T) {
	address := serve(t, nil)
	for _, name := range []string{"epoll", "io_uring"} {
		l := loops(t, 1, WithBackend(name))
		if got := l.loops[0].Backend(); got != name && l.loops[0].BackendError() == nil {
			t.Errorf("%s was asked for, %s it is", name, got)
		}
		exchangeText(t, dial(t, "ws://"+address, &Options{Proxy: NoProxy, Loops: l}), "hello")
	}
}

// mute answers the handshake and then neither reads nor writes.
func mute(t testing.TB) (address string) {
	t.Helper()
	over := make(chan struct{})
	address = listen(t, func(conn net.Conn) {
		if request, err := http.ReadRequest(newReader(conn)); err == nil {
			_, _ = io.WriteString(conn, accepting(request, ""))
			<-over
		}
	})
	t.Cleanup(func() { close(over) })
	return address
}

func TestLimits(t *testing.T) {
	address := mute(t)
	big := make([]byte, 1<<20)
	fill := func(c *Conn) error {
		for {
			if err := c.Send(protocol.OpcodeBinary, big); err != nil {
				return err
			}
		}
	}
	t.Run("send limit", func(t *testing.T) {
		c := dial(t, "ws://"+address, &Options{Proxy: NoProxy, Loops: loops(t, 1, WithSendLimit(8<<20))})
		if err := fill(c); !errors.Is(err, protocol.ErrBackpressure) {
			t.Error(err)
		}
	})
	t.Run("slow consumer", func(t *testing.T) {
		l := loops(t, 1, WithSendLimit(8<<20), WithSlowConsumer(protocol.SlowConsumerClose),
			WithCloseTimeout(time.Millisecond))
		c := dial(t, "ws://"+address, &Options{Proxy: NoProxy, Loops: l})
		_ = fill(c)
		await(t, "the end", c.Done())
	})
	t.Run("write timeout", func(t *testing.T) {
		l := loops(t, 1, WithWriteTimeout(20*time.Millisecond))
		c := dial(t, "ws://"+address, &Options{Proxy: NoProxy, Loops: l})
		_ = fill(c)
		await(t, "the end", c.Done())
	})
	t.Run("read timeout", func(t *testing.T) {
		c := dial(t, "ws://"+address, &Options{Proxy: NoProxy,
			Loops: loops(t, 1, WithReadTimeout(20*time.Millisecond), WithCloseTimeout(time.Millisecond))})
		await(t, "the end", c.Done())
	})
	t.Run("close timeout", func(t *testing.T) {
		c := dial(t, "ws://"+address, &Options{Proxy: NoProxy, Loops: loops(t, 1, WithCloseTimeout(time.Millisecond))})
		c.Close()
		await(t, "the end", c.Done())
		if code, _ := c.CloseStatus(); code != protocol.CloseAbnormalClosure {
			t.Errorf("closed with %d", code)
		}
	})
	t.Run("shutdown", func(t *testing.T) {
		l := loops(t, 1)
		c := dial(t, "ws://"+address, &Options{Proxy: NoProxy, Loops: l})
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if err := l.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		await(t, "the end", c.Done())
	})
}

// A silent server is pinged again and again, in frames with masks, and an answer keeps the connection alive.
func TestPingInterval(t *testing.T) {
	const pings = 20
	done := make(chan error, 1)
	address := listen(t, func(conn net.Conn) {
		reader := newReader(conn)
		request, err := http.ReadRequest(reader)
		if err == nil {
			_, err = io.WriteString(conn, accepting(request, ""))
		}
		for i := 0; i < pings && err == nil; i++ {
			var ping [6]byte
			if _, err = io.ReadFull(reader, ping[:]); err == nil && (ping[0] != 0x89 || ping[1] != 0x80) {
				err = fmt.Errorf("instead of a ping this came: % x", ping)
			}
			if err == nil {
				_, err = conn.Write([]byte{0x8a, 0})
			}
		}
		done <- err
	})
	o := &Options{Proxy: NoProxy, PingInterval: time.Millisecond, Loops: loops(t, 1, WithReadTimeout(patience))}
	dial(t, "ws://"+address, o)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Sending stops at the limit, goes on when the server has taken enough, and nothing is lost.
func TestMarks(t *testing.T) {
	const n, size, high, low = 3000, 10_000, 100_000, 20_000
	received := make(chan error, 1)
	begin := make(chan struct{})
	address := listen(t, func(conn net.Conn) {
		reader := newReader(conn)
		request, err := http.ReadRequest(reader)
		if err == nil {
			_, err = io.WriteString(conn, accepting(request, ""))
		}
		<-begin
		if err == nil {
			_, err = io.CopyN(io.Discard, reader, n*(2+2+4+size))
		}
		received <- err
		_, _ = io.Copy(io.Discard, reader)
	})
	o := &Options{Proxy: NoProxy, Loops: loops(t, 1, WithSendLimit(high), WithMarks(high, low))}
	sent, stops := 0, 0
	var once sync.Once
	send := func(c *Conn) {
		for ; sent < n; sent++ {
			if err := c.Send(protocol.OpcodeBinary, make([]byte, size)); err != nil {
				if !errors.Is(err, protocol.ErrBackpressure) {
					t.Error(err)
				}
				stops++
				once.Do(func() { close(begin) })
				return
			}
			if c.Buffered() > high+size {
				t.Errorf("%d bytes are buffered", c.Buffered())
			}
		}
	}
	o.Handler = protocol.Events{
		OnOpen: func(c *Conn, _ *http.Request) { send(c) },
		OnDrain: func(c *Conn) {
			if c.Buffered() > low {
				t.Errorf("%d bytes are buffered after draining", c.Buffered())
			}
			send(c)
		},
	}
	dial(t, "ws://"+address, o)
	if err := <-received; err != nil {
		t.Error(err)
	}
	done := make(chan struct{})
	if err := o.Loops.loops[0].Do(func() { close(done) }); err != nil {
		t.Fatal(err)
	}
	await(t, "the loop", done)
	if sent != n || stops == 0 {
		t.Errorf("%d messages of %d were sent, %d stops", sent, n, stops)
	}
}

// What nobody receives holds the server up, and nothing is lost.
func TestReceiveQueue(t *testing.T) {
	const n = 20_000
	address := listen(t, func(conn net.Conn) {
		if request, err := http.ReadRequest(newReader(conn)); err == nil {
			all := []byte(accepting(request, ""))
			for i := range n {
				all = append(all, 0x82, 2, byte(i), byte(i>>8))
			}
			_, _ = conn.Write(all)
			_, _ = io.Copy(io.Discard, conn)
		}
	})
	o := &Options{Proxy: NoProxy, Loops: loops(t, 1, WithReceiveQueue(10), WithCloseTimeout(time.Millisecond))}
	c := dial(t, "ws://"+address, o)
	for i := 0; i < n; {
		messages, err := c.RecvZeroCopy()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			if b := m.Bytes(); len(b) != 2 || int(b[0])|int(b[1])<<8 != i {
				t.Fatalf("message %d is % x", i, b)
			}
			m.Release()
			i++
		}
	}
}

// A handler may close the loops that it runs on.
func TestCloseFromHandler(t *testing.T) {
	if gid.Current() == 0 {
		t.Skip("this build does not know its goroutines")
	}
	leaks(t)
	address := serve(t, nil)
	o := direct(t)
	closed := make(chan struct{})
	o.Handler = api.HandlerFunc(func(data any) error {
		switch data.(type) {
		case api.OpenEvent:
			o.Loops.Close()
		case api.CloseEvent:
			close(closed)
		}
		return nil
	})
	if _, _, err := Dial(within(t), "ws://"+address, o); err != nil {
		t.Fatal(err)
	}
	await(t, "the end", closed)
	o.Loops.Close()
}

// A panic in a handler ends its connection and no other.
func TestPanic(t *testing.T) {
	address := serve(t, nil)
	o := direct(t)
	quiet := dial(t, "ws://"+address, o)
	loud := *o
	loud.Handler = api.HandlerFunc(func(data any) error {
		if _, ok := data.(api.Buffer); ok {
			panic("on purpose")
		}
		return nil
	})
	c := dial(t, "ws://"+address, &loud)
	frame := &protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText, Payload: []byte("x")}
	if err := c.SendFrame(frame); err != nil {
		t.Fatal(err)
	}
	await(t, "the end", c.Done())
	exchangeText(t, quiet, "unharmed")
}
