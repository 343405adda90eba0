package protocol

import (
	"cmp"
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
// pool of memory, which those of a server do, and sent from where it lies; and compressed once for those whose peers
// can do with the same window. Methods are safe from any goroutine.
type PreparedMessage struct {
	opcode  byte
	payload []byte
	refs    atomic.Int32 // its owner's, until Release, and one for each place where it waits; 0: it is gone
	ended   atomic.Bool  // Release was called

	encodings atomic.Pointer[encoding] // the last that was made, and by its next the others
	mu        sync.Mutex               // held by who makes one
}

// variant is how a message may be encoded.
type variant struct {
	pool  *loop.Pool
	bits  uint8 // of the window it is compressed for; 0: not compressed
	level int8  // of compression
}

// encoding is a message's frame as a server sends it, in a block of a pool. It is not changed any more.
type encoding struct {
	variant
	buffer *loop.Buffer
	frame  []byte
	next   *encoding
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
	for e := m.encodings.Swap(nil); e != nil; e = e.next {
		e.buffer.Release()
	}
}

// find returns a frame that has been made already.
func (m *PreparedMessage) find(v variant) *encoding {
	e := m.encodings.Load()
	for e != nil && e.variant != v {
		e = e.next
	}
	return e
}

// encode returns a frame, and makes it if need be. The caller has a reference to the message. The error matches
// api.ErrResourceExhausted.
func (m *PreparedMessage) encode(v variant) (*encoding, error) {
	if e := m.find(v); e != nil {
		return e, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.encodeLocked(v)
}

// encodeLocked is encode under mu.
func (m *PreparedMessage) encodeLocked(v variant) (*encoding, error) {
	if e := m.find(v); e != nil { // somebody was quicker
		return e, nil
	}
	e := &encoding{variant: v}
	if v.bits == 0 {
		if err := e.plain(m.opcode, m.payload); err != nil {
			return nil, err
		}
	} else {
		smaller, err := e.compressed(m.opcode, m.payload)
		if err != nil {
			return nil, err
		}
		if !smaller { // then the message goes as it is (RFC 7692 section 6), in the block where that lies
			plain, err := m.encodeLocked(variant{pool: v.pool})
			if err != nil {
				return nil, err
			}
			e.buffer, e.frame = plain.buffer, plain.frame
		}
	}
	e.next = m.encodings.Load()
	m.encodings.Store(e)
	return e, nil
}

// plain makes the frame of the payload as it is.
func (e *encoding) plain(opcode byte, payload []byte) (err error) {
	head := csrc.WSHeaderSize(len(payload))
	if e.buffer, err = e.pool.Get(head+len(payload), -1); err != nil {
		return notPrepared(payload, err)
	}
	e.frame = e.buffer.Bytes()
	csrc.PutWSHeader(e.frame, csrc.WSFinal|opcode, len(payload))
	copy(e.frame[head:], payload)
	return nil
}

// compressed makes the frame of a compressed message (RFC 7692 section 7.2.1), unless that is no smaller.
func (e *encoding) compressed(opcode byte, payload []byte) (smaller bool, err error) {
	config := csrc.DeflateConfig{OutBits: e.bits, Level: e.level}
	if e.buffer, err = e.pool.Deflate(&config, payload); err != nil {
		return false, notPrepared(payload, err)
	}
	whole := e.buffer.Bytes()
	size := len(whole) - csrc.DeflateHeadroom
	if size >= len(payload) {
		e.buffer.Release()
		return false, nil
	}
	e.frame = whole[csrc.DeflateHeadroom-csrc.WSHeaderSize(size):]
	csrc.PutWSHeader(e.frame, csrc.WSFinal|csrc.WSCompressed|opcode, size)
	return true, nil
}

func notPrepared(payload []byte, err error) error {
	return fmt.Errorf("protocol: preparing a message of %d bytes: %w: %w", len(payload), err, api.ErrResourceExhausted)
}

// payload is the part of the frame behind its header.
func (e *encoding) payload(size int) []byte { return e.frame[len(e.frame)-size:] }

// SendPrepared queues a message that many connections get, without a copy where the connection allows that. Otherwise
// it is as Send; besides, a message that was released gives an error that matches api.ErrInvalidArgument.
func (c *WSConnection) SendPrepared(m *PreparedMessage) error {
	if !m.acquire() {
		return errReleased
	}
	defer m.release()
	e, err := c.encodingOf(m)
	if err != nil {
		return err
	}
	return c.sendWhole(func() error { return c.queueEncoding(m, e) })
}

// sendPublished is SendPrepared on the loop, which holds shard.fragments and a reference to the message. Where there is
// no room, the topic's policy says what becomes of the connection.
func (c *WSConnection) sendPublished(m *PreparedMessage) error {
	if err := c.mayBegin(); err != nil {
		return err
	}
	e, err := c.encodingOf(m)
	if err != nil {
		return err
	}
	err = c.queueEncoding(m, e)
	if err == loop.ErrQueueFull {
		_ = c.awaitDrain() // fails when it has closed
		return ErrBackpressure
	}
	return c.sendError(err)
}

// encodingOf returns the frame for a connection; nil for a client, which masks each anew (RFC 6455 section 5.3).
func (c *WSConnection) encodingOf(m *PreparedMessage) (*encoding, error) {
	if c.conn.IsClient() {
		return nil, nil
	}
	return m.encode(c.variantOf(m))
}

func (c *WSConnection) queueEncoding(m *PreparedMessage, e *encoding) error {
	if e == nil {
		return c.conn.Send(m.opcode, m.payload)
	}
	return c.conn.SendEncoded(e.buffer.Block(), e.frame)
}

// variantOf tells how a message goes to the peer: compressed, if that was agreed on and the message is large enough
// to be worth it without context. The peer may take over a context: the core's compressor then starts anew behind
// such a frame.
func (c *WSConnection) variantOf(m *PreparedMessage) variant {
	v := variant{pool: c.shard.loop.Pool()}
	bits := c.conn.DeflateBits()
	if bits == 0 {
		return v
	}
	level, threshold := 0, 0
	if config := c.route().config.Compression; config != nil {
		level, threshold = config.Level, config.Threshold
	}
	if len(m.payload) >= cmp.Or(threshold, standaloneMinimum) {
		v.bits, v.level = bits, int8(cmp.Or(level, defaultLevel))
	}
	return v
}
