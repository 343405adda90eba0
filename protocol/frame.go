package protocol

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/momentics/hioload-ws/api"
)

// WSFrame is one frame to send.
type WSFrame struct {
	IsFinal    bool    // false: more frames of this message follow
	Opcode     byte    // Opcode*
	Masked     bool    // ignored: whether a frame is masked depends on who sends it (RFC 6455 section 5.1)
	PayloadLen int64   // len(Payload), or 0, which means the same
	MaskKey    [4]byte // ignored, as Masked is
	Payload    []byte
}

// check tells what makes f impossible to send. The errors match api.ErrInvalidArgument.
func (f *WSFrame) check() error {
	switch {
	case f == nil:
		return badFrame("nil frame")
	case f.PayloadLen != 0 && f.PayloadLen != int64(len(f.Payload)):
		return badFrame("PayloadLen is %d, but Payload has %d bytes", f.PayloadLen, len(f.Payload))
	}
	switch f.Opcode {
	case OpcodeContinuation, OpcodeText, OpcodeBinary:
		return nil
	case OpcodeClose, OpcodePing, OpcodePong:
		if !f.IsFinal {
			return badFrame("a control frame cannot be fragmented (opcode %#x)", f.Opcode)
		}
		if len(f.Payload) > MaxControlPayloadLen {
			return badFrame("a control frame has at most %d bytes, not %d", MaxControlPayloadLen, len(f.Payload))
		}
		return nil
	}
	return badFrame("opcode %#x is reserved", f.Opcode)
}

// parseClose splits the payload of a close frame to send into status code and reason (RFC 6455 section 5.5.1). An empty
// one gives CloseNoStatusReceived.
func parseClose(payload []byte) (code int, reason string, err error) {
	if len(payload) == 0 {
		return CloseNoStatusReceived, "", nil
	}
	if len(payload) == 1 {
		return 0, "", badFrame("the payload of a close frame is empty or begins with two bytes of status code")
	}
	code, reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
	if err := checkClose(code, reason); err != nil {
		return 0, "", err
	}
	return code, reason, nil
}

// maxReason is how many bytes of reason fit a close frame behind its status code.
const maxReason = MaxControlPayloadLen - 2

// checkClose tells why code or reason must not be in a close frame.
func checkClose(code int, reason string) error {
	switch {
	case !sendableCode(code):
		return badFrame("status code %d must not be sent", code)
	case len(reason) > maxReason:
		return badFrame("the reason of a close frame has at most %d bytes, not %d", maxReason, len(reason))
	case !utf8.ValidString(reason):
		return badFrame("the reason of a close frame is not UTF-8")
	}
	return nil
}

// sendableCode tells whether a status code may appear in a close frame (RFC 6455 section 7.4; 1012 to 1014 were
// registered later).
func sendableCode(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}

func badFrame(format string, args ...any) error {
	return fmt.Errorf("protocol: %s: %w", fmt.Sprintf(format, args...), api.ErrInvalidArgument)
}
