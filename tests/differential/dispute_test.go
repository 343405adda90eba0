package differential

import (
	"encoding/binary"
	"unicode/utf8"
)

// dispute is a frame that gorilla/websocket v1.5.3 is known to judge otherwise. What comes before it, and its first two
// bytes, are common ground, and if they are to both sides' liking, the outcome is the one given here.
type dispute struct {
	at     int // offset of the frame
	sent   int // as in outcome
	code   int
	reason string
}

// findDispute returns the first dispute in a client's bytes. It follows the frames' lengths and judges nothing else: what
// is wrong with the common ground, both sides see first.
//
// The differences, with the section of RFC 6455 that settles each:
//   - 5.2: a length must be written in the fewest bytes, and its top bit be 0. gorilla takes any, and breaks off without a
//     close frame when it is negative, before it has seen the mask, which we await.
//   - 5.5.1: a close frame with a body begins with two bytes of status code. gorilla takes one byte for none.
//   - 7.4.2, 8.1: gorilla answers a reason that is not UTF-8 with 1002; we do with 1007, as for other text.
//   - 7.4.2: code 1014, which IANA's registry lists, is not in gorilla's table.
//
// Two more are taken care of where gorilla is run: it leaves the validation of text to the application, and counts on it to
// report a message that is too large when the lengths of its fragments overflow.
func findDispute(b []byte) (d dispute, found bool) {
	for at := 0; ; {
		rest := b[at:]
		if len(rest) < 2 {
			return dispute{}, false
		}
		header, length, minimal := 2, uint64(rest[1]&0x7F), uint64(0)
		switch {
		case length == 126 && len(rest) >= 4:
			header, length, minimal = 4, uint64(binary.BigEndian.Uint16(rest[2:])), 126
		case length == 127 && len(rest) >= 10:
			header, length, minimal = 10, binary.BigEndian.Uint64(rest[2:]), 1<<16
		case length >= 126:
			return dispute{}, false
		}
		masked := rest[1]&0x80 != 0
		if masked {
			header += 4
		}
		if len(rest) < header {
			return dispute{at: at, code: abnormal}, length>>63 != 0
		}
		if length < minimal || length>>63 != 0 {
			return dispute{at: at, sent: protocolError, code: abnormal}, true
		}
		if uint64(len(rest)-header) < length {
			return dispute{}, false
		}
		if rest[0] == 0x88 && masked && length <= 125 {
			body := unmasked(rest[header-4:header], rest[header:header+int(length)])
			d, found := closeDispute(body)
			d.at = at
			return d, found
		}
		at += header + int(length)
	}
}

// closeDispute judges the body of a close frame.
func closeDispute(body []byte) (d dispute, found bool) {
	if len(body) == 1 {
		return dispute{sent: protocolError, code: abnormal}, true
	}
	if len(body) < 2 {
		return dispute{}, false
	}
	code := int(binary.BigEndian.Uint16(body))
	valid := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
	switch {
	case valid && !utf8.Valid(body[2:]):
		return dispute{sent: notUTF8, code: abnormal}, true
	case code == 1014:
		return dispute{sent: 1014, code: 1014, reason: string(body[2:])}, true
	}
	return dispute{}, false
}

func unmasked(mask, b []byte) []byte {
	plain := make([]byte, len(b))
	for i := range b {
		plain[i] = b[i] ^ mask[i%4]
	}
	return plain
}
