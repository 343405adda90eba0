package tcpio

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// layer is what Wrap has put on top of a Conn, and the goroutine that calls back for it: only reading tells whether a
// layer has something to read, since it may have taken bytes off the socket that it has not handed out yet.
type layer struct {
	base   *Conn
	gone   chan struct{} // closed when the loop has let go of base
	ending chan struct{} // closed when the listener shuts down
	conn   net.Conn      // as Wrap has returned it, and
	face   net.Conn      // as callbacks get it
	cause  error         // what a callback has returned
}

// What each connection with a layer has for reading, in bytes.
const (
	layerEventBuffer = 4 << 10
	layerDataBuffer  = 16 << 10
)

// start is called on the loop.
func (y *layer) start() {
	l := y.base.worker.listener
	l.layers.Add(1)
	go func() {
		defer l.layers.Done()
		y.run()
	}()
}

func (y *layer) run() {
	defer y.finish() // if a callback calls runtime.Goexit, too
	if !y.wrap() {
		return
	}
	o := &y.base.worker.listener.options
	if o.OnOpen != nil && !y.call(func() error { return o.OnOpen(y.face) }) {
		return
	}
	switch {
	case o.OnConnEvent != nil:
		y.serveEvents()
	case o.OnData != nil:
		y.serveData()
	case o.OnOpen != nil:
		<-y.gone // it belongs to whoever OnOpen has given it to
	default:
		y.call(func() error { _, _ = io.Copy(io.Discard, y.conn); return nil })
	}
}

// read reads from the layer, which may panic like a callback; ok is false then.
func (y *layer) read(from io.Reader, buf []byte) (n int, ok bool, err error) {
	ok = y.call(func() error { n, err = from.Read(buf); return nil })
	return n, ok, err
}

// wrap has the layer made.
func (y *layer) wrap() (ok bool) {
	o := &y.base.worker.listener.options
	var failed error
	ok = y.call(func() error {
		y.conn, failed = o.Wrap(y.base)
		return nil
	})
	if ok && failed == nil && y.conn == nil {
		failed = errors.New("tcpio: Wrap returned neither a connection nor an error")
	}
	if failed != nil {
		y.broken(failed)
		return false
	}
	if !ok {
		return false
	}
	y.base.activity.begun.Store(true)
	y.face = y.conn
	if o.OnConnEvent != nil {
		y.face = &peeked{Conn: y.conn}
	}
	return true
}

// call calls back, and tells whether to go on.
func (y *layer) call(callback func() error) (ok bool) {
	l := y.base.worker.listener
	returned := false
	defer func() {
		if !returned {
			y.base.end(l.panicked(recover()), abrupt)
		}
	}()
	err := callback()
	returned = true
	if err != nil {
		y.fail(err)
	}
	return err == nil && !y.base.gate.isShut()
}

// fail deals with what a callback has returned.
func (y *layer) fail(err error) {
	y.cause = err
	y.base.tell(err)
}

// broken deals with an error of reading, or of Wrap.
func (y *layer) broken(err error) {
	switch {
	case timedOut(err):
		y.base.end(err, abrupt) // which the loop may have done already: whoever is first, it is told once
	case !y.base.gate.isShut(): // else reading has failed because of that
		y.fail(err)
	}
}

// timedOut tells whether err says that the loop is closing the connection for its silence.
func timedOut(err error) bool {
	return errors.Is(err, ErrIdleTimeout) || errors.Is(err, ErrReadTimeout) || errors.Is(err, ErrHandshakeTimeout) ||
		errors.Is(err, ErrWriteTimeout)
}

// serveEvents is OnConnEvent's mode.
func (y *layer) serveEvents() {
	o := &y.base.worker.listener.options
	face := y.face.(*peeked)
	buf := make([]byte, layerEventBuffer)
	for {
		n, ok, err := y.read(ahead{face}, buf)
		if !ok || timedOut(err) {
			y.broken(err)
			return
		}
		for face.put(buf[:n], err); face.unread(); {
			if !y.call(func() error { return o.OnConnEvent(y.face) }) {
				return
			}
		}
		if err == nil {
			continue
		}
		select { // it has been told of the end, and may still write
		case <-y.gone:
		case <-y.ending:
		}
		return
	}
}

// serveData is OnData's mode.
func (y *layer) serveData() {
	o := &y.base.worker.listener.options
	in := framer{framing: o.Framing}
	deliver := func(message []byte) (more bool, err error) {
		err = o.OnData(y.face, message)
		return !y.base.gate.isShut(), err
	}
	buf := make([]byte, layerDataBuffer)
	for {
		n, ok, err := y.read(y.conn, buf)
		if !ok {
			return
		}
		if n > 0 && !y.call(func() error { return in.feed(buf[:n], deliver) }) {
			return
		}
		if err == nil {
			continue
		}
		if y.ended(err, func() error { return in.end(deliver) }) && o.OnEnd != nil &&
			y.call(func() error { return o.OnEnd(y.face) }) {
			<-y.gone
		}
		return
	}
}

// ended tells whether an error of reading is the end of the input: the peer's, for which last is called, or as far as
// Shutdown lets it come, and then the beginning of a message is nothing that the peer could be answerable for.
func (y *layer) ended(err error, last func() error) bool {
	draining := y.base.gate.isDraining()
	if y.base.gate.isShut() || err != io.EOF && !draining {
		y.broken(err)
		return false
	}
	return draining || y.call(last)
}

// finish closes the connection, if nobody has, and tells so.
func (y *layer) finish() {
	if y.conn != nil {
		y.call(func() error { y.conn.Close(); return nil })
	}
	y.base.end(nil, orderly) // a layer may have failed to
	<-y.gone
	if y.face == nil {
		return
	}
	cause := y.base.why()
	if y.cause != nil {
		cause = y.cause
	}
	y.base.worker.listener.closed(y.face, cause)
}

// peeked is a layer as OnConnEvent gets it: with what was read to find out that there is something to read.
type peeked struct {
	net.Conn
	mu   sync.Mutex
	data []byte
	err  error
	told bool // Read has returned err

	deadline time.Time // of the callbacks' Reads
	ahead    bool      // it is the layer's goroutine that reads, to find out; no deadline is for that
}

// SetDeadline implements net.Conn.
func (p *peeked) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.Conn.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (p *peeked) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	if p.ahead {
		return nil
	}
	return p.Conn.SetReadDeadline(t)
}

// ahead is a peeked as its own goroutine reads it, without a deadline.
type ahead struct{ *peeked }

func (p ahead) Read(buf []byte) (int, error) {
	p.setAhead(true)
	defer p.setAhead(false)
	return p.Conn.Read(buf)
}

func (p *peeked) setAhead(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ahead = on
	switch {
	case p.deadline.IsZero():
	case on:
		_ = p.Conn.SetReadDeadline(time.Time{})
	default:
		_ = p.Conn.SetReadDeadline(p.deadline)
	}
}

// NetConn returns what Wrap has returned.
func (p *peeked) NetConn() net.Conn { return p.Conn }

func (p *peeked) put(data []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data, p.err = data, err
}

// unread tells whether Read would return at once.
func (p *peeked) unread() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.data) > 0 || p.err != nil && !p.told
}

func (p *peeked) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	p.mu.Lock()
	if len(p.data) > 0 || p.err != nil {
		defer p.mu.Unlock()
		return p.take(b)
	}
	p.mu.Unlock()
	return p.Conn.Read(b)
}

func (p *peeked) take(b []byte) (int, error) {
	if len(p.data) > 0 {
		n := copy(b, p.data)
		p.data = p.data[n:]
		return n, nil
	}
	p.told = true
	return 0, p.err
}
