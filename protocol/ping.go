package protocol

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/momentics/hioload-ws/api"
)

// pings are those of a connection that wait for their pongs.
type pings struct {
	count   uint64
	waiting map[uint64]ping
}

type ping struct {
	sent time.Time
	took chan time.Duration
}

// Ping sends a ping frame and waits for the pong that answers it (RFC 6455 section 5.5.2), as long as ctx allows. It returns
// the time in between: behind what is unsent, and what the peer handles first. Pings of several goroutines do not disturb
// each other. The errors are those of Write, and ErrBackpressure.
func (c *WSConnection) Ping(ctx context.Context) (time.Duration, error) {
	if c.shard.loop.OnLoop() {
		return 0, errOnLoop
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if c.state.Load()&(stateClosing|stateEnded) != 0 {
		return 0, api.ErrTransportClosed
	}
	x := c.extension()
	number, took := x.expectPong()
	defer x.forgetPing(number)
	if err := c.sendError(c.conn.Send(OpcodePing, binary.BigEndian.AppendUint64(nil, number))); err != nil {
		return 0, err
	}
	select {
	case d := <-took:
		return d, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-c.Done():
		return 0, api.ErrTransportClosed
	}
}

// expectPong gives a ping its number, which is its payload.
func (x *extension) expectPong() (number uint64, took <-chan time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pings == nil {
		x.pings = &pings{waiting: make(map[uint64]ping)}
	}
	x.pings.count++
	p := ping{sent: time.Now(), took: make(chan time.Duration, 1)}
	x.pings.waiting[x.pings.count] = p
	return x.pings.count, p.took
}

func (x *extension) forgetPing(number uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.pings.waiting, number)
}

// ponged is called on the loop with the payload of a pong. One that nobody waits for means nothing (section 5.5.3).
func (c *WSConnection) ponged(payload []byte) {
	x := c.extra.Load()
	if x == nil || len(payload) != 8 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pings == nil {
		return
	}
	number := binary.BigEndian.Uint64(payload)
	if p, ok := x.pings.waiting[number]; ok {
		delete(x.pings.waiting, number)
		p.took <- time.Since(p.sent)
	}
}
