package csrc

/*
#include "hl_ws.h"
*/
import "C"

import "encoding/binary"

// WSMaskSize is by how much a client's frame header is longer, for the mask (RFC 6455 section 5.2).
const WSMaskSize = C.HL_WS_MASK_SIZE

// WSHeaderSize is the size of the header of an unmasked WebSocket frame with n bytes of payload (RFC 6455 section 5.2),
// which is hl_ws_header_size without the crossing.
func WSHeaderSize(n int) int {
	switch {
	case n < 126:
		return 2
	case n < 65536:
		return 4
	default:
		return 10
	}
}

// PutWSHeader writes such a header, of WSHeaderSize(n) bytes, to b, which is hl_ws_header_write without the crossing.
// first is the header's first byte: FIN, RSV bits and opcode.
func PutWSHeader(b []byte, first byte, n int) {
	b[0] = first
	switch WSHeaderSize(n) {
	case 2:
		b[1] = byte(n)
	case 4:
		b[1] = 126
		binary.BigEndian.PutUint16(b[2:], uint16(n))
	default:
		b[1] = 127
		binary.BigEndian.PutUint64(b[2:], uint64(n))
	}
}

// First bytes of frames, or'ed with the opcode (RFC 6455 section 5.2, RFC 7692 section 6).
const (
	WSFinal      = 0x80 // FIN: the frame ends its message
	WSCompressed = 0x40 // RSV1
)
