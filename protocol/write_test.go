package protocol

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/gid"
)

func background(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// Many writers of much more than there is room for: all of it arrives, each writer's in order, and memory stays bounded.
func TestWriteWaitsForRoom(t *testing.T) {
	const writers, messages, size = 8, 200, 4 << 10
	s := tight(t, EndpointConfig{}, false)
	c, peer := open(t, s)
	ctx := background(t)
	var all sync.WaitGroup
	for w := byte(0); w < writers; w++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := 0; i < messages; i++ {
				message := bytes.Repeat([]byte{w}, size)
				message[1] = byte(i)
				if err := c.Write(ctx, OpcodeBinary, message); err != nil {
					t.Error(err)
					return
				}
				if n := c.Buffered(); n > 2*testHigh+2*size {
					t.Errorf("%d bytes buffered", n)
				}
			}
		}()
	}
	var turn [writers]byte
	for i := 0; i < writers*messages; i++ {
		got := read(t, peer, 4+size)[4:]
		if got[1] != turn[got[0]] {
			t.Fatalf("message %d of writer %d comes at %d", got[1], got[0], turn[got[0]])
		}
		turn[got[0]]++
	}
	all.Wait()
}

// One message larger than the high mark at a time: the queue is never refused what was waited for.
func TestWriteOfLargeMessages(t *testing.T) {
	const size = 2 * testLimit
	s := tight(t, EndpointConfig{}, false)
	c, peer := open(t, s)
	ctx := background(t)
	result := make(chan error, 1)
	go func() {
		message := make([]byte, size)
		for i := 0; i < 10; i++ {
			if err := c.Write(ctx, OpcodeBinary, message); err != nil {
				result <- err
				return
			}
		}
		result <- nil
	}()
	if n, err := io.CopyN(io.Discard, peer, 10*(10+size)); err != nil {
		t.Errorf("%v behind %d bytes", err, n)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// blocked starts a Write that has to wait, and returns what it will return.
func blocked(t *testing.T, c *WSConnection, ctx context.Context) <-chan error {
	t.Helper()
	for c.Buffered() < testHigh { // what was posted, and is reckoned dear, may still all go to the kernel
		fill(t, c)
		settle(t, c.shard)
		settle(t, c.shard)
	}
	result := make(chan error, 2)
	for i := 0; i < 2; i++ { // one that waits for room, one that waits for its turn
		go func() { result <- c.Write(ctx, OpcodeText, []byte("x")) }()
	}
	settle(t, c.shard)
	return result
}

// Whatever ends the waiting ends it.
func TestWriteGivesUp(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(c *WSConnection, peer net.Conn, cancel func())
		want error
	}{
		{"cancelled", func(_ *WSConnection, _ net.Conn, cancel func()) { cancel() }, context.Canceled},
		{"closed here", func(c *WSConnection, _ net.Conn, _ func()) { _ = c.Close() }, api.ErrTransportClosed},
		{"peer leaves", func(_ *WSConnection, peer net.Conn, _ func()) { peer.Close() }, api.ErrTransportClosed},
		{"loop ends", func(c *WSConnection, _ net.Conn, _ func()) { c.shard.loop.Close() }, api.ErrTransportClosed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, peer := open(t, tight(t, EndpointConfig{}, false))
			ctx, cancel := context.WithCancel(background(t))
			defer cancel()
			result := blocked(t, c, ctx)
			test.end(c, peer, cancel)
			for i := 0; i < 2; i++ {
				// What a peer that has left had not read is gone: there may have been room for a moment.
				if err := <-result; !errors.Is(err, test.want) && (err != nil || test.name != "peer leaves") {
					t.Errorf("got %v", err)
				}
			}
			if err := c.Write(ctx, OpcodeText, nil); test.want != api.ErrTransportClosed && !errors.Is(err, test.want) {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// A peer that leaves while nobody reads: what is unsent is lost, and nobody waits for it any more.
func TestWriteToAPeerThatLeftWhileReadingIsPaused(t *testing.T) {
	c, peer := open(t, tight(t, EndpointConfig{}, false))
	if err := c.PauseReading(); err != nil {
		t.Fatal(err)
	}
	result := blocked(t, c, background(t))
	peer.Close()
	for i := 0; i < 2; i++ {
		if err := <-result; err != nil && !errors.Is(err, api.ErrTransportClosed) {
			t.Error(err)
		}
	}
}

func TestWriteOnTheLoop(t *testing.T) {
	if gid.Current() == 0 {
		t.Skip("this build does not know its goroutines")
	}
	shard := tight(t, EndpointConfig{}, false)
	c, _ := open(t, shard)
	result := make(chan error)
	if err := shard.loop.Do(func() { result <- c.Write(context.Background(), OpcodeText, nil) }); err != nil {
		t.Fatal(err)
	}
	if err := <-result; !errors.Is(err, api.ErrNotSupported) {
		t.Errorf("got %v", err)
	}
}

func TestSendOfWhatIsNoMessage(t *testing.T) {
	c, _ := open(t, tight(t, EndpointConfig{}, false))
	for _, opcode := range []byte{OpcodeContinuation, 3, OpcodeClose, OpcodePing, OpcodePong} {
		for _, err := range []error{c.Send(opcode, nil), c.Write(context.Background(), opcode, nil)} {
			if !errors.Is(err, api.ErrInvalidArgument) {
				t.Errorf("%#x: %v", opcode, err)
			}
		}
	}
}
