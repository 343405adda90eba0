package protocol

import (
	"fmt"
	"net/http"

	"github.com/momentics/hioload-ws/api"
)

// Events is an [api.Handler] made of a function for each kind of event; any of them may be nil. It goes wherever a handler
// goes: to Server.Run, a route, WSConnection.SetHandler, through all middleware. The rules for handlers hold for its
// functions: one at a time for each connection, in the order in which things happened, and on a loop they must not block.
type Events struct {
	// OnOpen is called when the opening handshake of c is done, with its request, which is not kept.
	OnOpen func(c *WSConnection, r *http.Request)
	// OnMessage is called for each message: opcode is OpcodeText, of which data is valid UTF-8, or OpcodeBinary. data lies in
	// the loop's memory and is valid until OnMessage returns. It may be given to c.Send, which then does not copy it if it is
	// long; it must not be changed any more then.
	OnMessage func(c *WSConnection, opcode byte, data []byte)
	// OnDrain is called when unsent output of c has fallen to the low mark after it had reached the high one (Config.LowWater
	// and HighWater of a server): after ErrBackpressure, say, sending can go on.
	OnDrain func(c *WSConnection)
	// OnClose is called when c has ended, with what CloseStatus returns. It is the last call for c.
	OnClose func(c *WSConnection, code int, reason string)
}

var _ api.DrainHandler = Events{}

// HandlesDrain tells whether there is an OnDrain.
func (e Events) HandlesDrain() bool { return e.OnDrain != nil }

// Handle calls the function for data, if there is one, and releases a message when it has returned. Data that did not come
// from a connection of this package gives an error that matches api.ErrInvalidArgument.
func (e Events) Handle(data any) error {
	message, isMessage := data.(api.Buffer)
	if isMessage {
		defer message.Release()
	}
	ctx := api.ContextFromData(data)
	c, ok := api.FromContext(ctx).(*WSConnection)
	if !ok {
		return fmt.Errorf("protocol: Events cannot handle %T, which comes from no connection: %w", data,
			api.ErrInvalidArgument)
	}
	if isMessage {
		e.message(c, opcodeOf(ctx), message.Bytes())
		return nil
	}
	switch data.(type) {
	case api.OpenEvent:
		if e.OnOpen != nil {
			e.OnOpen(c, c.Request())
		}
	case api.DrainEvent:
		if e.OnDrain != nil {
			e.OnDrain(c)
		}
	case api.CloseEvent:
		if e.OnClose != nil {
			code, reason := c.CloseStatus()
			e.OnClose(c, code, reason)
		}
	}
	return nil
}

func (e Events) message(c *WSConnection, opcode byte, data []byte) {
	if e.OnMessage != nil {
		e.OnMessage(c, opcode, data)
	}
}
