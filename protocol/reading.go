package protocol

import (
	"github.com/momentics/hioload-ws/api"
)

// PauseReading stops receiving, until ResumeReading: what the peer sends from then on stays in the kernel's buffers, and
// TCP slows the peer down. What the loop has received by then, up to a receive buffer full of messages, is still handled.
// ReadTimeout does not run meanwhile, pings are not answered, and that the peer leaves is not noticed. A server that shuts
// down closes a connection that is paused without receiving more. Pausing twice is the same as pausing once. The error
// matches api.ErrTransportClosed.
func (c *WSConnection) PauseReading() error { return c.extension().pause(c, true) }

// ResumeReading undoes PauseReading. It has no influence on what else stops receiving: too much unsent output, or messages
// that wait for RecvZeroCopy, NextReader or a worker.
func (c *WSConnection) ResumeReading() error { return c.extension().pause(c, false) }

// pause sets whether the program wants reading stopped.
func (x *extension) pause(c *WSConnection, paused bool) error {
	if c.state.Load()&stateEnded != 0 {
		return api.ErrTransportClosed
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return c.sendError(x.setReading(c, x.full, paused))
}

// setReading has the loop read unless one of two reasons speaks against it. Under mu, so that the last word to the loop is
// the right one.
func (x *extension) setReading(c *WSConnection, full, paused bool) error {
	before := x.full || x.paused
	x.full, x.paused = full, paused
	if stop := full || paused; stop != before {
		return c.conn.SetReading(!stop)
	}
	return nil
}

// readingPaused tells whether PauseReading is in force.
func (c *WSConnection) readingPaused() bool {
	x := c.extra.Load()
	if x == nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.paused
}
