package loop

import "github.com/momentics/hioload-ws/csrc"

// This file is what callers of Conn.SendEncoded need besides it.

// IsClient tells whether Upgrade has made the stream a WebSocket's client.
func (c *Conn) IsClient() bool { return c.state.Load()&isClient != 0 }

// DeflateBits is the base-2 logarithm of the window that the peer has for what it receives compressed: 9 to 15. 0:
// nothing is compressed (RFC 7692 section 7.1.2).
func (c *Conn) DeflateBits() uint8 { return uint8(c.state.Load() >> bitsShift) }

// Block is what the bytes lie in, nil when that is Go memory: for Conn.SendEncoded, as long as the Buffer is not
// released.
func (b *Buffer) Block() *csrc.Block { return b.block }

// Deflate compresses a whole message, without context (csrc.DeflateOnce). The first csrc.DeflateHeadroom bytes of the
// Buffer, which is as one of Get, are free for a frame's header. cfg is valid. ErrNoMemory, ErrPoolClosed.
func (p *Pool) Deflate(cfg *csrc.DeflateConfig, data []byte) (*Buffer, error) {
	if p.closed.Load() || !p.acquire() {
		return nil, ErrPoolClosed
	}
	block, payload, err := csrc.DeflateOnce(p.slab, cfg, data)
	if err != nil {
		p.release()
		p.relieve()
		return nil, ErrNoMemory
	}
	return p.wrap(block, csrc.DeflateHeadroom+len(payload)), nil
}
