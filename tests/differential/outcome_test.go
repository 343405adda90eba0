// Package differential gives the same bytes to this module's server and to gorilla/websocket's, and compares what the two
// make of them.
package differential

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// maxMessage is the limit of a message, in bytes, on both sides.
const maxMessage = 100_000

// Status codes of RFC 6455 section 7.4.1.
const (
	noStatus      = 1005
	abnormal      = 1006
	protocolError = 1002
	notUTF8       = 1007
	tooBig        = 1009
)

// outcome is what a server made of a client's bytes.
type outcome struct {
	messages []string // opcode and payload of each, in order
	pongs    []string // payloads, in order
	sent     int      // status code of the close frame that it sent; 0: it sent none
	code     int      // status code that its application sees (section 7.1.5)
	reason   string
}

// message is an entry of outcome.messages.
func message(opcode byte, payload []byte) string { return string(rune('0'+opcode)) + string(payload) }

// differences tells where two outcomes differ, "" when they don't.
func (o *outcome) differences(gorilla *outcome) string {
	var text strings.Builder
	list := func(what string, ours, theirs []string) {
		if slices.Equal(ours, theirs) {
			return
		}
		fmt.Fprintf(&text, "%d %s here, %d with gorilla\n", len(ours), what, len(theirs))
		for i := range max(len(ours), len(theirs)) {
			if i >= len(ours) || i >= len(theirs) || ours[i] != theirs[i] {
				fmt.Fprintf(&text, "first difference at %d\n", i)
				break
			}
		}
	}
	list("messages", o.messages, gorilla.messages)
	list("pongs", o.pongs, gorilla.pongs)
	if o.sent != gorilla.sent {
		fmt.Fprintf(&text, "close frame sent: %d here, %d with gorilla\n", o.sent, gorilla.sent)
	}
	if o.code != gorilla.code || o.reason != gorilla.reason {
		fmt.Fprintf(&text, "seen by the application: %d %q here, %d %q with gorilla\n",
			o.code, o.reason, gorilla.code, gorilla.reason)
	}
	return text.String()
}

// readOutput takes pongs and the close frame from what a server has sent. Both servers send whole control frames and nothing
// else here, since their applications don't.
func (o *outcome) readOutput(b []byte) error {
	for len(b) > 0 {
		if len(b) < 2 || b[1] > 125 || len(b) < 2+int(b[1]) || o.sent != 0 {
			return fmt.Errorf("the server has sent what is no control frame, or behind its close frame: %x", b)
		}
		payload := b[2 : 2+b[1]]
		switch b[0] {
		case 0x8A:
			o.pongs = append(o.pongs, string(payload))
		case 0x88:
			o.sent = noStatus
			if len(payload) >= 2 {
				o.sent = int(binary.BigEndian.Uint16(payload))
			}
		default:
			return fmt.Errorf("the server has sent a frame that begins with %#x", b[0])
		}
		b = b[2+b[1]:]
	}
	return nil
}
