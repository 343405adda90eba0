package protocol

import (
	"context"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/report"
)

// opcodeKey is the context key of a message's opcode.
type opcodeKey struct{}

// connContext is a connection seen as its own context.Context: it is done when the connection has ended, and carries the
// connection. That is a conversion and costs no memory.
type connContext WSConnection

// textContext and binaryContext are the same for a message, which they tell the opcode of.
type (
	textContext   WSConnection
	binaryContext WSConnection
)

// messageContext returns the context for a message of c.
func (c *WSConnection) messageContext(opcode byte) context.Context {
	if opcode == OpcodeText {
		return (*textContext)(c)
	}
	return (*binaryContext)(c)
}

// MessageOpcode returns the opcode of a message that a handler was given, or RecvZeroCopy returned: OpcodeText or
// OpcodeBinary. For anything else it returns 0.
func MessageOpcode(data any) byte {
	return opcodeOf(api.ContextFromData(data))
}

func opcodeOf(message context.Context) byte {
	opcode, _ := message.Value(opcodeKey{}).(byte)
	return opcode
}

// Deadline: there is none.
func (*connContext) Deadline() (deadline time.Time, ok bool) { return }

// Done is closed when the connection has ended.
func (x *connContext) Done() <-chan struct{} { return (*WSConnection)(x).Done() }

// Err is context.Canceled when the connection has ended.
func (x *connContext) Err() error {
	if (*WSConnection)(x).state.Load()&stateEnded != 0 {
		return context.Canceled
	}
	return nil
}

// Value knows the connection and its server's counter of panics.
func (x *connContext) Value(key any) any {
	if key == "connection" {
		return (*WSConnection)(x)
	}
	if key == report.PanicsKey {
		return &x.shard.endpoint.panics
	}
	return nil
}

func (*textContext) Deadline() (deadline time.Time, ok bool) { return }
func (x *textContext) Done() <-chan struct{}                 { return (*connContext)(x).Done() }
func (x *textContext) Err() error                            { return (*connContext)(x).Err() }

func (x *textContext) Value(key any) any {
	if key == (opcodeKey{}) {
		return byte(OpcodeText)
	}
	return (*connContext)(x).Value(key)
}

func (*binaryContext) Deadline() (deadline time.Time, ok bool) { return }
func (x *binaryContext) Done() <-chan struct{}                 { return (*connContext)(x).Done() }
func (x *binaryContext) Err() error                            { return (*connContext)(x).Err() }

func (x *binaryContext) Value(key any) any {
	if key == (opcodeKey{}) {
		return byte(OpcodeBinary)
	}
	return (*connContext)(x).Value(key)
}
