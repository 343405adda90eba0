package client

import (
	"fmt"
	"math"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/protocol"
)

// LoopsOption changes Loops while NewLoops makes them. NewLoops returns an error for a value that cannot be.
type LoopsOption func(*loopsConfig)

// loopsConfig is what Loops are made with.
type loopsConfig struct {
	loop     loop.Config
	endpoint protocol.EndpointConfig
	err      error // the first value that cannot be
}

// need notes what is wrong with a value if it is not good.
func (c *loopsConfig) need(good bool, format string, args ...any) {
	if !good && c.err == nil {
		c.err = fmt.Errorf("client: %s: %w", fmt.Sprintf(format, args...), api.ErrInvalidArgument)
	}
}

// WithBackend has the loops use "epoll" or "io_uring", whatever HIOLOAD_BACKEND says.
func WithBackend(name string) LoopsOption {
	return func(c *loopsConfig) { c.loop.Backend = name }
}

// WithSendLimit sets how many bytes a connection queues at most for a server that does not take them, 64 MiB without
// it. Beyond, sending fails with protocol.ErrBackpressure.
func WithSendLimit(bytes int64) LoopsOption {
	return func(c *loopsConfig) {
		c.need(bytes > 0, "WithSendLimit(%d)", bytes)
		c.loop.QueueLimit = uint64(bytes)
	}
}

// WithMarks sets two marks of unsent bytes: at high, 1 MiB without it, a connection stops receiving and its Write
// waits; when no more than low are left, 256 KiB without it, it goes on, and a handler hears of it
// (protocol.Events.OnDrain).
func WithMarks(high, low int) LoopsOption {
	return func(c *loopsConfig) {
		good := 0 < low && low < high && high <= math.MaxUint32
		c.need(good, "WithMarks(%d, %d): not 0 < low < high < 4 GiB", high, low)
		c.loop.HighWater, c.loop.LowWater = uint32(high), uint32(low)
	}
}

// WithReceiveQueue sets how many messages may wait for RecvZeroCopy in each connection before no more are received,
// 1,024 without it.
func WithReceiveQueue(messages int) LoopsOption {
	return func(c *loopsConfig) {
		c.need(messages > 0, "WithReceiveQueue(%d)", messages)
		c.endpoint.QueueLimit = messages
	}
}

// WithCloseTimeout sets how long a server may take to answer a close frame, 5 s without it.
func WithCloseTimeout(d time.Duration) LoopsOption {
	return func(c *loopsConfig) {
		c.need(d > 0, "WithCloseTimeout(%v)", d)
		c.loop.CloseTimeout = d
	}
}

// WithSlowConsumer sets what becomes of a connection that would exceed its send limit, protocol.SlowConsumerRefuse
// without it.
func WithSlowConsumer(policy protocol.SlowConsumerPolicy) LoopsOption {
	return func(c *loopsConfig) {
		c.need(policy <= protocol.SlowConsumerClose, "WithSlowConsumer(%d)", policy)
		c.endpoint.SlowConsumer = policy
	}
}

// WithReadTimeout closes connections that receive nothing for that long, pongs included. Without it there is no limit.
func WithReadTimeout(d time.Duration) LoopsOption {
	return func(c *loopsConfig) {
		c.need(d > 0, "WithReadTimeout(%v)", d)
		c.endpoint.ReadTimeout = d
	}
}

// WithWriteTimeout aborts connections whose server takes nothing for that long. Without it there is no limit.
func WithWriteTimeout(d time.Duration) LoopsOption {
	return func(c *loopsConfig) {
		c.need(d > 0, "WithWriteTimeout(%v)", d)
		c.endpoint.WriteTimeout = d
	}
}
