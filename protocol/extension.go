package protocol

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
)

// extension is the part of a connection that most do without: an idle connection should be small.
type extension struct {
	handler     atomic.Pointer[handlerBox] // SetHandler
	topics      atomic.Pointer[topicSet]   // Subscribe
	subprotocol string                     // set before anybody else sees it, as client is
	client      netip.Addr                 // counted by addresses; not valid: it is not
	room        atomic.Pointer[room]       // Write, NextWriter; nil: nobody has waited

	mu      sync.Mutex
	arrived sync.Cond     // something has come to the inbox, or nothing will any more
	done    chan struct{} // nil: nobody has asked
	ended   bool
	final   csrc.StreamStats // since ended
	code    int
	reason  string

	tasks     fifo           // for a worker of the executor
	working   bool           // a worker has been asked for and is not done with tasks
	inbox     fifo           // messages for RecvZeroCopy
	exhausted bool           // nothing more will come to the inbox
	consuming bool           // RecvZeroCopy has returned messages and not been called again
	full      bool           // reading is stopped because too much waits
	paused    bool           // reading is stopped because PauseReading was called
	draining  bool           // an itemDrain is among the tasks
	peerCode  int            // status code of the peer's end, when it has told of one; 0: not yet
	reader    *messageReader // NextReader
	pings     *pings         // Ping
	farewell  int            // status code to close with when the inbox has been dealt with; -1: none

	value  any      // SetValue
	remote net.Addr // RemoteAddr; nil: not kept
}

// handlerBox lets a nil handler be told from none.
type handlerBox struct{ api.Handler }

func newExtension() *extension {
	x := &extension{farewell: -1}
	x.arrived.L = &x.mu
	return x
}

// closedChannel is what Done returns after the end when nobody has asked before.
var closedChannel = func() chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}()

func (x *extension) doneChannel() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done == nil {
		if x.ended {
			x.done = closedChannel
		} else {
			x.done = make(chan struct{})
		}
	}
	return x.done
}

// setHandler makes h take the messages; nil: RecvZeroCopy.
func (x *extension) setHandler(h api.Handler) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.handler.Store(&handlerBox{h})
	x.arrived.Broadcast() // who waits may wait in vain from now on
}

// end notes that the connection is over.
func (x *extension) end(final csrc.StreamStats, code int, reason string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended, x.final, x.code, x.reason = true, final, code, reason
	if x.done != nil {
		close(x.done)
	}
}

// addTask queues it for a worker and tells whether one has to be asked for.
func (x *extension) addTask(c *WSConnection, it item) (idle bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tasks.push(it)
	x.balance(c)
	idle = !x.working
	x.working = true
	return idle
}

// nextTask takes the oldest item for a worker. When there is none, the worker is done with this connection.
func (x *extension) nextTask(c *WSConnection) (it item, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.tasks.len() == 0 {
		x.working = false
		return item{}, false
	}
	it = x.tasks.pop()
	x.balance(c)
	return it, true
}

// announceDrain tells whether an itemDrain has to be queued: there is none yet.
func (x *extension) announceDrain() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	first := !x.draining
	x.draining = true
	return first
}

// drainHandled is called when an itemDrain has left the queue.
func (x *extension) drainHandled() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.draining = false
}

// addMessage queues a message for RecvZeroCopy.
func (x *extension) addMessage(c *WSConnection, it item) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.inbox.push(it)
	x.balance(c)
	x.arrived.Signal()
}

// waitingBytes is how much may wait in one connection whatever the number of messages: large ones should not take more
// memory than small ones do.
const waitingBytes = 1 << 20

// balance stops reading when a limit of what waits is reached, and lets it go on when half of it is free. What the loop has
// received by then still comes, so a limit may be exceeded by the messages of one receive buffer. Under mu, so that the
// last word to the loop is the right one.
func (x *extension) balance(c *WSConnection) {
	limit := c.shard.endpoint.config.QueueLimit
	waiting, bytes := x.tasks.len()+x.inbox.len(), x.tasks.bytes+x.inbox.bytes
	switch {
	case !x.full && (waiting >= limit || bytes >= waitingBytes):
		_ = x.setReading(c, true, x.paused) // fails when the connection has closed: then nothing comes anyway
	case x.full && waiting <= limit/2 && bytes <= waitingBytes/2:
		_ = x.setReading(c, false, x.paused)
	}
}

// noteEnd notes the status code that the peer has ended with.
func (x *extension) noteEnd(code int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.peerCode = code
}

// exhaust notes that all messages there will ever be have come to the inbox.
func (x *extension) exhaust() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.exhausted = true
	x.arrived.Broadcast()
}

// finish closes c with the given status code as soon as whoever calls RecvZeroCopy is done with what came before, which is
// all there will ever be.
func (x *extension) finish(c *WSConnection, code int) {
	defer x.exhaust()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.inbox.len() == 0 && !x.consuming {
		_ = c.close(code, "") // fails when it is closing already
	} else if x.farewell < 0 {
		x.farewell = code
	}
}

// receive is RecvZeroCopy.
func (x *extension) receive(c *WSConnection) ([]api.Buffer, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.consuming = false
	for x.inbox.len() == 0 {
		if x.farewell >= 0 {
			_ = c.close(x.farewell, "")
			x.farewell = -1
		}
		if x.exhausted {
			return nil, io.EOF
		}
		if c.target() != nil {
			return nil, errHandled
		}
		x.arrived.Wait()
	}
	messages := make([]api.Buffer, 0, x.inbox.len())
	for x.inbox.len() > 0 {
		messages = append(messages, x.inbox.pop().buffer)
	}
	x.consuming = true
	x.balance(c)
	return messages, nil
}
