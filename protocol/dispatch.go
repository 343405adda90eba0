package protocol

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
)

// target is a connection as its loop sees it: what events are delivered to.
type target WSConnection

// HandleEvent is called on the loop's goroutine.
func (t *target) HandleEvent(ev *csrc.Event) {
	c := (*WSConnection)(t)
	if c.state.Load()&stateOpen == 0 {
		c.handshakeEvent(ev)
		return
	}
	switch ev.Type {
	case csrc.EvMessage:
		c.message(ev)
	case csrc.EvPong:
		c.ponged(ev.Bytes())
	case csrc.EvEnd:
		if c.target() == nil {
			c.extension().noteEnd(int(ev.Flags))
		}
		c.deal(item{kind: itemEnd})
	case csrc.EvQuiet:
		c.deal(item{kind: itemQuiet})
	case csrc.EvDrain:
		c.drained()
	case csrc.EvTimeout:
		c.timeout(ev.Kind)
	case csrc.EvClosed:
		c.closed(ev)
	}
}

// message passes a message on to whoever takes it.
func (c *WSConnection) message(ev *csrc.Event) {
	if c.state.Load()&stateStreamed != 0 {
		c.piece(ev)
		return
	}
	here := c.shard.endpoint.config.Executor == nil
	if here {
		if events, ok := c.target().(Events); ok {
			events.message(c, ev.Kind, ev.Bytes()) // it does not keep the bytes, so no Buffer has to
			return
		}
	}
	it := item{
		kind:   itemMessage,
		buffer: c.shard.loop.Lend(ev, c.messageContext(ev.Kind)),
		size:   int(ev.Len),
		opcode: ev.Kind,
	}
	if here {
		c.run(it)
		return
	}
	// The handler may release the buffer and then send its bytes, at a time when the loop's own hold on them has ended.
	if it.block = ev.Block; it.block != nil {
		it.block.Ref()
	}
	c.deal(it)
}

// timeout ends a connection in which nothing has moved for too long.
func (c *WSConnection) timeout(deadline uint8) {
	switch deadline {
	case csrc.DeadlineRead:
		if c.close(CloseGoingAway, "idle for too long") == nil {
			c.shard.endpoint.readTimeouts.Add(1)
		}
	case csrc.DeadlineWrite:
		c.shard.endpoint.writeTimeouts.Add(1)
		_ = c.conn.Abort(true) // fails when it has closed already
	}
}

// drained is called when unsent output has fallen to the low mark.
func (c *WSConnection) drained() {
	c.setState(stateAwaitsDrain, false) // first: whoever finds too little room now asks anew
	c.roomChanged()
	c.drainTopics()
	if c.drainHandler() == nil {
		return
	}
	if c.shard.endpoint.config.Executor == nil {
		c.run(item{kind: itemDrain})
	} else if c.extension().announceDrain() {
		c.deal(item{kind: itemDrain})
	}
}

// drainHandler returns who wants an api.DrainEvent, nil when nobody does.
func (c *WSConnection) drainHandler() api.Handler {
	for _, h := range []api.Handler{c.target(), c.chain().events} {
		if api.HandlesDrain(h) {
			return h
		}
	}
	return nil
}

// closed notes the end of an open connection.
func (c *WSConnection) closed(ev *csrc.Event) {
	c.setState(stateClosing|stateEnded, true)
	code := int(ev.Flags)
	if code == 0 { // the loop has ended under the connection
		code = CloseAbnormalClosure
	}
	final, _ := c.conn.Stats() // can still be read while this event is handled
	e := c.shard.endpoint
	if ev.Kind != 0 {
		e.unsent.Add(1)
	}
	e.addresses.leave(c.extension().client)
	e.active.Add(-1)                                   // now that there is room for another
	c.extension().end(final, code, string(ev.Bytes())) // whoever waits for the end finds it counted
	c.leaveTopics()
	c.shard.unlink(c, final)
	c.deal(item{kind: itemClosed})
}

// deal runs it here, on the loop, or has a worker run it when it is its turn.
func (c *WSConnection) deal(it item) {
	if c.shard.endpoint.config.Executor == nil {
		c.run(it)
		return
	}
	if c.extension().addTask(c, it) {
		c.askForWorker()
	}
}

// run does what it asks for.
func (c *WSConnection) run(it item) {
	switch it.kind {
	case itemOpen:
		defer c.settle()
		c.handle(c.chain().events, api.OpenEvent{Conn: c, Ctx: c.Context()})
	case itemMessage:
		if it.block != nil {
			defer it.block.Unref()
		}
		if h := c.target(); h != nil {
			c.handle(h, it.buffer)
		} else {
			c.extension().addMessage(c, item{kind: itemMessage, buffer: it.buffer, size: it.size, opcode: it.opcode})
		}
	case itemDrain:
		if c.shard.endpoint.config.Executor != nil {
			c.extension().drainHandled()
		}
		if h := c.drainHandler(); h != nil {
			c.handle(h, api.DrainEvent{Conn: c, Ctx: c.Context()})
		}
	case itemEnd:
		c.finish(0)
	case itemQuiet:
		c.finish(CloseGoingAway)
	case itemClosed:
		defer c.shard.gone()
		c.extension().exhaust()
		c.handle(c.chain().events, api.CloseEvent{Conn: c, Ctx: c.Context()})
	}
}

// finish closes the connection now that what came before has been handled.
func (c *WSConnection) finish(code int) {
	if c.target() == nil {
		c.extension().finish(c, code)
		return
	}
	_ = c.close(code, "") // fails when it is closing already
}

// handle calls a handler and accounts for its error, which does not end the connection. That a reply found the peer gone
// is nothing to complain about.
func (c *WSConnection) handle(h api.Handler, data any) {
	err := h.Handle(data)
	if err == nil {
		return
	}
	e := c.shard.endpoint
	e.handlerErrors.Add(1)
	level := slog.LevelWarn
	if errors.Is(err, api.ErrTransportClosed) {
		level = slog.LevelDebug
	}
	e.report(level, "handler failed", err.Error(), "error", err)
}

// workerBatch is how many items of one connection a worker deals with before another connection gets its turn.
const workerBatch = 64

// askForWorker queues a task for c. One that the executor does not take gets a goroutine of its own: nothing may be lost.
func (c *WSConnection) askForWorker() {
	if err := c.shard.endpoint.config.Executor.Submit(c.work); err != nil {
		go c.work()
	}
}

// work is run by workers, for one connection by one at a time.
func (c *WSConnection) work() {
	again := true // also when a handler ends the goroutine
	defer func() {
		if again {
			c.askForWorker()
		}
	}()
	x := c.extra.Load()
	for i := 0; i < workerBatch; i++ {
		it, ok := x.nextTask(c)
		if !ok {
			again = false
			return
		}
		c.runGuarded(it)
	}
}

// runGuarded is run on a worker: a panic is reported and ends the connection, as it does on a loop.
func (c *WSConnection) runGuarded(it item) {
	defer func() {
		if cause := recover(); cause != nil {
			c.shard.endpoint.panics.Add(1)
			c.shard.endpoint.report(slog.LevelError, "handler panicked", fmt.Sprint(cause),
				"panic", cause, "stack", string(debug.Stack()))
			_ = c.conn.Abort(false) // fails when it has closed already
		}
	}()
	c.run(it)
}
