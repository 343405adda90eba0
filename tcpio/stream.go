package tcpio

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/momentics/hioload-ws/internal/loop"
)

// Stream is a connection in OnData's mode. It is a net.Conn that does not wait: what is received is handed to OnData,
// so that there is nothing to Read, and Write puts bytes into a queue that the loop sends from, all that a turn has
// written with one system call per connection. All methods are safe from any goroutine unless they say otherwise.
type Stream struct {
	ends
	worker *worker
	fd     int // the loop's, once open
	slot   loop.Conn
	closed atomic.Bool // no callback but OnClose comes any more, nothing can be written
	value  any

	mu    sync.Mutex
	cause error // why it was closed

	// The loop's:
	in       framer
	activity activity
	sent     uint64 // bytes, as of the last look at the time-outs
	over     bool   // the input has ended
	told     bool   // OnErrorEvent has heard of the cause
}

var _ net.Conn = (*Stream)(nil)

// Read fails with ErrPushed: received bytes go to OnData.
func (s *Stream) Read([]byte) (int, error) { return 0, s.opError("read", ErrPushed) }

// Write queues p, all of it or nothing, and does not wait; p is the caller's again. The exception is p that lies in
// what OnData was given: if that is much, it is sent from where it lies and must not be changed any more. Bytes leave
// in the order of the calls, whoever made them. nil does not mean that the peer has got them: the connection may fail
// before.
//
// ErrQueueFull: the peer does not read, and with p there would be more than MaxUnsent unsent bytes; while there are
// none, p may be of any size. Unsent and OnDrain are there to prevent it. In callbacks of the same loop Write costs
// neither a system call nor a crossing into C.
func (s *Stream) Write(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, s.opError("write", net.ErrClosed)
	}
	if err := s.slot.Send(0, p); err != nil {
		return 0, s.opError("write", plain(err))
	}
	if s.worker.timed {
		s.activity.sent.Store(now())
	}
	return len(p), nil
}

// Unsent is the number of bytes that were written and that the kernel has yet to take.
func (s *Stream) Unsent() int { return int(s.slot.Queued()) }

// Close closes the connection in good order: what was written is sent, and the peer may read it and close its end, too,
// for up to CloseTimeout without progress and twelve times that in all; what the peer has not taken then is
// lost, of which OnClose is told. Callbacks but OnClose, which comes when that is done, are over. A second
// Close is net.ErrClosed.
func (s *Stream) Close() error {
	if !s.end(nil, orderly) {
		return s.opError("close", net.ErrClosed)
	}
	return nil
}

// Abort closes the connection at once; unsent bytes are lost.
func (s *Stream) Abort() error {
	if !s.end(nil, abrupt) {
		return s.opError("close", net.ErrClosed)
	}
	return nil
}

// LocalAddr is the *net.TCPAddr of this end.
func (s *Stream) LocalAddr() net.Addr { return s.local }

// RemoteAddr is the *net.TCPAddr of the peer.
func (s *Stream) RemoteAddr() net.Addr { return s.remote }

// SetDeadline fails with os.ErrNoDeadline: neither Read nor Write waits. See the time-outs in ListenerOptions.
func (s *Stream) SetDeadline(time.Time) error { return s.opError("set", os.ErrNoDeadline) }

// SetReadDeadline is SetDeadline.
func (s *Stream) SetReadDeadline(t time.Time) error { return s.SetDeadline(t) }

// SetWriteDeadline is SetDeadline.
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.SetDeadline(t) }

// Value is what SetValue has set: whatever the program wants to keep with the connection. It belongs to the callbacks
// of the connection.
func (s *Stream) Value() any { return s.value }

// SetValue sets Value.
func (s *Stream) SetValue(v any) { s.value = v }

// SetReading stops or resumes receiving. OnData may still get what was received already; then bytes wait in the kernel,
// and TCP holds up the peer.
func (s *Stream) SetReading(on bool) error {
	err := net.ErrClosed
	if !s.closed.Load() {
		err = s.slot.SetReading(on)
	}
	if err != nil {
		return s.opError("set", plain(err))
	}
	return nil
}

// end closes the connection because of cause. false: it was closed before.
func (s *Stream) end(cause error, how manner) bool {
	s.mu.Lock()
	if s.closed.Load() {
		s.mu.Unlock()
		return false
	}
	s.closed.Store(true)
	s.cause = cause
	s.mu.Unlock()
	s.shut(how)
	return true
}

// shut asks the loop to close the connection.
func (s *Stream) shut(how manner) {
	var err error
	if how == orderly {
		err = s.slot.Close(0, "")
	} else {
		err = s.slot.Abort(false)
	}
	if errors.Is(err, loop.ErrNoMemory) {
		_ = s.worker.loop.Do(func() { s.shut(how) })
	}
}

// plain is an error of the loop's as users know it.
func plain(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	return err
}
