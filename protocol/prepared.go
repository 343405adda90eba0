package protocol

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
)

// PreparedMessage is a message for many connections. Its frame is made once for all connections whose loops share a
// pool of memory, which those of a server do, and sent from where it lies. Methods are safe from any goroutine.
type PreparedMessage struct {
	opcode  byte
	payload []byte
	refs    atomic.Int32 // its owner's, until Release, and one for each place where it waits; 0: it is gone
	ended   atomic.Bool  // Release was called

	first  atomic.Pointer[encoding] // the frame in the pool that needed it first
	mu     sync.Mutex
	others []*encoding // guarded by mu: the frames in others
}

// encoding is a message's frame as a server sends it, in a block of a pool.
type encoding struct {
	pool   *loop.Pool
	buffer *loop.Buffer
	frame  []byte
}

// errReleased is what sending a message after its Release gives.
var errReleased = fmt.Errorf("protocol: the prepared message has been released: %w", api.ErrInvalidArgument)

// NewPrepared makes a message of OpcodeText, which has to be UTF-8, or OpcodeBinary. The payload is copied. Errors
// match api.ErrInvalidArgument.
//
// Release gives its memory back; without, the garbage collector does.
func NewPrepared(opcode byte, payload []byte) (*PreparedMessage, error) {
	if err := checkMessage(opcode, payload); err != nil {
		return nil, err
	}
	return newPrepared(opcode, slices.Clone(payload)), nil
}

// newPrepared makes a message of a payload that is its own from now on.
func newPrepared(opcode byte, payload []byte) *PreparedMessage {
	m := &PreparedMessage{opcode: opcode, payload: payload}
	m.refs.Store(1)
	return m
}

// checkMessage tells what makes a message impossible to prepare.
func checkMessage(opcode byte, payload []byte) error {
	switch {
	case opcode != OpcodeText && opcode != OpcodeBinary:
		return badFrame("a message is text or binary, not of opcode %#x", opcode)
	case opcode == OpcodeText && !utf8.Valid(payload):
		return badFrame("the text is not UTF-8")
	}
	return nil
}

// Opcode returns OpcodeText or OpcodeBinary.
func (m *PreparedMessage) Opcode() byte { return m.opcode }

// Len returns the number of bytes of the payload.
func (m *PreparedMessage) Len() int { return len(m.payload) }

// Release gives the message's memory back as soon as it has been sent wherever that is under way. Afterwards it can't
// be sent any more. Releasing twice is harmless.
func (m *PreparedMessage) Release() {
	if !m.ended.Swap(true) {
		m.release()
	}
}

// retain adds a reference for somebody who has one.
func (m *PreparedMessage) retain() *PreparedMessage {
	m.refs.Add(1)
	return m
}

// acquire adds a reference for somebody who has none, unless the message is gone.
func (m *PreparedMessage) acquire() bool {
	for {
		n := m.refs.Load()
		if n == 0 || m.ended.Load() {
			return false
		}
		if m.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release ends what retain, acquire or being made began.
func (m *PreparedMessage) release() {
	if m.refs.Add(-1) > 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.first.Swap(nil); e != nil {
		e.buffer.Release()
	}
	for _, e := range m.others {
		e.buffer.Release()
	}
	m.others = nil
}

// encode returns the frame in a block of pool, and makes it if need be. The caller has a reference to the message.
// The error matches api.ErrResourceExhausted.
func (m *PreparedMessage) encode(pool *loop.Pool) (*encoding, error) {
	if e := m.first.Load(); e != nil && e.pool == pool {
		return e, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	first := m.first.Load()
	if first != nil && first.pool == pool { // just now
		return first, nil
	}
	for _, e := range m.others {
		if e.pool == pool {
			return e, nil
		}
	}
	e, err := newEncoding(pool, m.opcode, m.payload)
	switch {
	case err != nil:
		return nil, err
	case first == nil:
		m.first.Store(e)
	default:
		m.others = append(m.others, e)
	}
	return e, nil
}

// newEncoding makes a frame (RFC 6455 section 5.2), final and not masked.
func newEncoding(pool *loop.Pool, opcode byte, payload []byte) (*encoding, error) {
	head := csrc.WSHeaderSize(len(payload))
	buffer, err := pool.Get(head+len(payload), -1)
	if err != nil {
		return nil, fmt.Errorf("protocol: preparing a message of %d bytes: %w: %w", len(payload), err,
			api.ErrResourceExhausted)
	}
	frame := buffer.Bytes()
	frame[0] = 0x80 | opcode
	switch head {
	case 2:
		frame[1] = byte(len(payload))
	case 4:
		frame[1] = 126
		binary.BigEndian.PutUint16(frame[2:], uint16(len(payload)))
	default:
		frame[1] = 127
		binary.BigEndian.PutUint64(frame[2:], uint64(len(payload)))
	}
	copy(frame[head:], payload)
	return &encoding{pool: pool, buffer: buffer, frame: frame}, nil
}

// payload is the part of the frame behind its header.
func (e *encoding) payload(size int) []byte { return e.frame[len(e.frame)-size:] }

// SendPrepared queues a message that many connections get, without a copy where the connection allows that. Otherwise
// it is as SendFrame for a final frame; besides, a message that was released gives an error that matches
// api.ErrInvalidArgument.
func (c *WSConnection) SendPrepared(m *PreparedMessage) error {
	if !m.acquire() {
		return errReleased
	}
	defer m.release()
	return c.sendPrepared(m)
}

// sendPrepared is SendPrepared for somebody who has a reference to the message.
func (c *WSConnection) sendPrepared(m *PreparedMessage) error {
	if c.conn.IsClient() { // it masks each frame anew (RFC 6455 section 5.3)
		return c.SendFrame(&WSFrame{IsFinal: true, Opcode: m.opcode, Payload: m.payload})
	}
	switch state := c.state.Load(); {
	case state&(stateClosing|stateEnded) != 0:
		return api.ErrTransportClosed
	case state&statePartial != 0:
		return errPartial
	}
	e, err := m.encode(c.shard.loop.Pool())
	if err != nil {
		return err
	}
	return c.sendError(c.conn.SendEncoded(e.buffer.Block(), e.frame))
}
