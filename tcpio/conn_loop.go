package tcpio

import (
	"net"
	"os"
	"syscall"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/netfd"
)

// connTarget is a Conn as its loop sees it. What follows here runs on the loop's goroutine.
type connTarget Conn

// HandleEvent implements loop.Target.
func (t *connTarget) HandleEvent(ev *csrc.Event) {
	c := (*Conn)(t)
	switch {
	case ev.Type == csrc.EvClosed:
		c.finish(ev.Result)
	case c.lingering && ev.Type == csrc.EvReady:
		c.discard()
	case c.lingering:
		c.detach()
	case c.gate.isShut(): // on its way out
	case ev.Type == csrc.EvReady:
		c.ready()
	case ev.Type == csrc.EvTimeout:
		c.checkTimeouts()
	}
}

// open brings c to life.
func (c *Conn) open() error {
	c.armed = c.watched() || c.worker.drops
	flags := uint16(0)
	if c.armed {
		flags = csrc.Readable
	}
	c.activity.start()
	if err := c.worker.loop.Watch(&c.watch, (*connTarget)(c), c.fd, flags); err != nil {
		return err
	}
	c.checkTimeouts() // sets the timer
	if c.layer != nil {
		c.layer.start()
	} else {
		c.call(c.worker.listener.options.OnOpen)
	}
	return nil
}

// ready has OnConnEvent called because there is something to read.
func (c *Conn) ready() {
	switch {
	case c.worker.drops:
		c.drop()
		return
	case c.paused.Load():
		return // the event was on its way already
	case !c.ended.Load():
		if c.worker.listener.options.EdgeTriggered {
			c.disarm() // before the call, in which a Read may find that there is no more, and arm it again
		}
		c.call(c.worker.listener.options.OnConnEvent)
	}
	if c.gate.isShut() {
		return
	}
	ended := c.ended.Load()
	if ended {
		c.disarm() // who has read io.EOF knows
	}
	if !c.gate.isDraining() {
		return
	}
	if ended {
		c.end(nil, orderly)
	} else if c.drained() && !c.worker.listener.options.EdgeTriggered {
		_ = c.worker.loop.Do(c.again) // it has read everything, and is to be told that this was all
	}
}

// again is ready on the behalf of Shutdown, when the kernel has nothing to say.
func (c *Conn) again() {
	c.mu.Lock()
	armed := c.armed
	c.mu.Unlock()
	if armed && c.watched() && !c.gate.isShut() {
		c.ready()
	}
}

// drop reads for a listener that nobody has given a callback to.
func (c *Conn) drop() {
	n, err := c.TryRead(c.worker.scratch)
	if n == 0 && err != ErrWouldBlock {
		c.end(nil, abrupt)
	}
}

// call calls back, if there is anybody to call, and closes the connection unless all went well.
func (c *Conn) call(callback func(conn net.Conn) error) {
	if callback == nil {
		return
	}
	returned := false
	defer func() {
		if !returned {
			c.end(c.worker.listener.panicked(recover()), abrupt)
		}
	}()
	err := callback(c)
	returned = true
	if err != nil {
		c.fail(err)
	}
}

// fail deals with what a callback has returned.
func (c *Conn) fail(err error) {
	c.tell(err)
	c.end(err, orderly)
}

// checkTimeouts closes the connection when it has been silent for too long, or looks again later.
func (c *Conn) checkTimeouts() {
	if !c.worker.timed {
		return
	}
	limits := c.worker.limits
	if c.ended.Load() {
		limits.read = 0 // nothing more is to come
	}
	t := now()
	next, err := c.activity.overdue(limits, t)
	if err != nil && netfd.Unread(c.fd) > 0 { // it is not the peer who is silent
		c.heard()
		t = now()
		next, err = c.activity.overdue(limits, t)
	}
	if err != nil {
		c.end(c.opError("read", err), abrupt)
	} else if next != 0 {
		_ = c.watch.Reset(next - t)
	}
}

// drain has the input end behind what the kernel holds now. Its reader gets to know when it reads io.EOF.
func (c *Conn) drain() {
	c.endInput()
	nothing := c.drained()
	if c.layer != nil {
		close(c.layer.ending)
	}
	switch {
	case c.worker.drops:
		c.end(nil, orderly)
	case c.ended.Load() && c.watched():
		c.end(nil, orderly)
	case nothing:
		_ = c.worker.loop.Do(c.again)
	}
}

// endInput sets the end. Any goroutine.
func (c *Conn) endInput() {
	if !c.gate.enter() {
		return
	}
	defer c.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gate.isDraining() {
		return
	}
	c.left = netfd.Unread(c.fd)
	c.gate.drain()
	_ = c.schedule(&c.in)
}

func (c *Conn) drained() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left == 0
}

// finish is the end: the loop has let go of the descriptor.
func (c *Conn) finish(result int32) {
	cause := ErrListenerClosed
	if errno := syscall.Errno(-result); result < 0 && errno != syscall.ECANCELED {
		cause = c.opError("read", os.NewSyscallError("poll", errno)) // it could not be watched
	}
	c.end(cause, abrupt) // if it has not been closed otherwise
	c.finished = true
	c.mu.Lock()
	cause, told := c.cause, c.told
	c.mu.Unlock()
	// Deferred, for callbacks that call runtime.Goexit.
	defer c.leave()
	defer c.worker.remove(c)
	if c.layer != nil {
		defer close(c.layer.gone)
	} else {
		defer c.worker.listener.closed(c, cause)
	}
	if cause != nil && cause != ErrListenerClosed && !told {
		c.worker.listener.report(cause)
	}
}

// watched tells whether OnConnEvent is called for c.
func (c *Conn) watched() bool { return c.worker.listener.options.OnConnEvent != nil && c.layer == nil }

// rearm has an edge-triggered connection watched again: everything was read.
func (c *Conn) rearm() {
	if !c.worker.listener.options.EdgeTriggered {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.armed || c.paused.Load() || c.gate.isShut() {
		return
	}
	c.arm(true)
	if c.gate.isDraining() {
		_ = c.worker.loop.Do(c.again) // the end is what comes next
	}
}

func (c *Conn) disarm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arm(false)
}

// arm says whether the loop watches for something to read. mu is held.
func (c *Conn) arm(on bool) {
	if c.armed == on {
		return
	}
	c.armed = on
	flags := uint16(0)
	if on {
		flags = csrc.Readable
	}
	_ = c.watch.Rewatch(flags) // fails when the slot has closed
}
