package protocol

import (
	"context"

	"github.com/momentics/hioload-ws/api"
)

// room is where goroutines wait that have something to send and may wait: one at a time has its turn, in the order in which
// they came, and waits until less than the high mark is unsent.
type room struct {
	turn    chan struct{} // holds the one turn while somebody has it
	changed chan struct{} // holds a token when the one whose turn it is should look again
}

func newRoom() *room { return &room{turn: make(chan struct{}, 1), changed: make(chan struct{}, 1)} }

// Write queues a message as Send does, but waits first until less than the high mark (Config.HighWater of a server) is
// unsent: as long as ctx allows. Those who wait are served in the order in which they came, and wait for a message of
// NextWriter to be finished, too. The error is ctx.Err() when ctx ended first, and matches api.ErrNotSupported on the loop;
// the rest is as for Send, but for ErrBackpressure. Nothing was queued then.
func (c *WSConnection) Write(ctx context.Context, opcode byte, p []byte) error {
	if opcode != OpcodeText && opcode != OpcodeBinary {
		return badOpcode(opcode)
	}
	r, err := c.takeTurn(ctx)
	if err != nil {
		return err
	}
	defer r.endTurn()
	if err := c.awaitRoom(ctx, r); err != nil {
		return err
	}
	return c.sendWhole(func() error { return c.conn.SendAbove(opcode, p) })
}

// takeTurn returns when it is the caller's turn to wait for room, until r.endTurn.
func (c *WSConnection) takeTurn(ctx context.Context) (*room, error) {
	if c.shard.loop.OnLoop() {
		return nil, errOnLoop
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := c.extension().waitingRoom()
	select {
	case r.turn <- struct{}{}:
		return r, nil
	default:
	}
	select {
	case r.turn <- struct{}{}:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.Done():
		return nil, api.ErrTransportClosed
	}
}

func (r *room) endTurn() { <-r.turn }

// awaitRoom returns when less than the high mark is unsent. The caller has the turn.
func (c *WSConnection) awaitRoom(ctx context.Context, r *room) error {
	for {
		if c.state.Load()&(stateClosing|stateEnded) != 0 {
			return api.ErrTransportClosed
		}
		if c.conn.Queued() < c.shard.loop.HighWater() {
			return nil
		}
		select {
		case <-r.changed: // of old: whatever happens from here on comes after it
		default:
		}
		if err := c.sendError(c.awaitDrain()); err != nil {
			return err
		}
		select {
		case <-r.changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.Done():
			return api.ErrTransportClosed
		}
	}
}

// awaitDrain has csrc.EvDrain come when no more than the low mark is unsent, if it is so already, too. However many ask, the
// loop is asked once.
func (c *WSConnection) awaitDrain() error {
	if !c.setState(stateAwaitsDrain, true) {
		return nil
	}
	err := c.conn.AwaitDrain()
	if err != nil {
		c.setState(stateAwaitsDrain, false)
	}
	return err
}

// roomChanged has whoever waits for room look again. With or without extension.mu.
func (c *WSConnection) roomChanged() {
	if x := c.extra.Load(); x != nil {
		if r := x.room.Load(); r != nil {
			r.tell()
		}
	}
}

func (r *room) tell() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// waitingRoom returns the room of x and makes it if need be.
func (x *extension) waitingRoom() *room {
	if r := x.room.Load(); r != nil {
		return r
	}
	x.room.CompareAndSwap(nil, newRoom())
	return x.room.Load()
}
