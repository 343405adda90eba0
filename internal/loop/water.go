package loop

import "sync/atomic"

// HighWater is how many bytes of unsent output make the loop stop reading a stream.
func (l *Loop) HighWater() uint64 { return l.highWater }

// Stalled tells whether the core has that many bytes that the kernel has not taken: then csrc.EvDrain is going to
// come, or the end. To be called on the loop's goroutine; what was sent in this turn the core has not seen yet.
func (c *Conn) Stalled() bool {
	if _, err := c.open(kindStream); err != nil {
		return false
	}
	return atomic.LoadUint64(&c.stats.Queued) >= c.loop.highWater
}
