package loop

import (
	"unsafe"

	"github.com/momentics/hioload-ws/csrc"
)

// Small messages that are sent to a stream one after the other become a run: one operation, whose bytes are the frames as
// they go on the wire, side by side in the staging area. The core then does once for all of them what it would have to do
// for each.

// sendsPlain tells whether what is sent as kind leaves as it is: bytes of a raw stream, or whole messages of a WebSocket
// that are neither masked nor compressed.
func (c *Conn) sendsPlain(kind uint8) bool {
	return kind <= csrc.WSBinary && c.state.Load()&(isClient|deflateBits) == 0
}

// extendRun adds a message to the operation that was queued last, if that is a run of the same stream; else it begins one,
// for which prepare has made room. false: the staging area is full.
func (l *Loop) extendRun(h csrc.Handle, kind uint8, p []byte) bool {
	header, flags := 0, uint16(0)
	if kind != 0 {
		header, flags = csrc.WSHeaderSize(len(p)), csrc.Encoded
	}
	at := l.stage(p, header)
	if at == nil {
		return false
	}
	at = unsafe.Add(at, -header)
	if kind != 0 {
		csrc.PutWSHeader(unsafe.Slice((*byte)(at), header), csrc.WSFinal|kind, len(p))
	}
	size := uint64(header + len(p))
	if op := l.last(); op == l.run && op.Handle == h {
		op.Len += size
		op.User++
		return true
	}
	l.run = l.next()
	l.append(csrc.Op{Handle: h, Code: csrc.OpSend, Kind: kind, Flags: flags, Data: at, Len: size, User: 1})
	return true
}
