package adapters

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// JSONOptions say what JSON is acceptable. The zero value is useful. How large a message may be is up to the server or
// client (Config.MaxMessageSize).
type JSONOptions struct {
	// KnownFields refuses objects with fields that the value has no place for. false: they are left out.
	KnownFields bool

	// Binary accepts JSON in binary messages, too. false: a binary message ends the connection with
	// protocol.CloseUnsupportedData.
	Binary bool

	// CloseCode is the status code that the connection is closed with when a message is not the JSON that is
	// expected; 0: protocol.CloseInvalidFramePayloadData.
	CloseCode int

	// Refused, if not nil, is told why a message was not accepted, before the connection is closed.
	Refused func(c *protocol.WSConnection, err error)
}

// OnJSON returns a function for protocol.Events.OnMessage that decodes each message to a T, as encoding/json does, and
// gives that to f. A message that can't be decoded, or has something behind its value, is not given to f and ends the
// connection. The T is f's to keep.
func OnJSON[T any](o JSONOptions, f func(c *protocol.WSConnection, v T)) func(*protocol.WSConnection, byte, []byte) {
	return func(c *protocol.WSConnection, opcode byte, data []byte) {
		if opcode != protocol.OpcodeText && !o.Binary {
			o.refuse(c, protocol.CloseUnsupportedData, errNotText)
			return
		}
		var v T
		if err := o.decode(data, &v); err != nil {
			code := o.CloseCode
			if code == 0 {
				code = protocol.CloseInvalidFramePayloadData
			}
			o.refuse(c, code, err)
			return
		}
		f(c, v)
	}
}

var (
	errNotText = errors.New("adapters: a binary message where JSON is expected")
	errBehind  = errors.New("adapters: something comes behind the JSON value")
)

func (o *JSONOptions) decode(data []byte, v any) error {
	if !o.KnownFields {
		return json.Unmarshal(data, v)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errBehind
	}
	return nil
}

// refuse closes the connection. What was wrong is for our side: the peer is only told that something was.
func (o *JSONOptions) refuse(c *protocol.WSConnection, code int, err error) {
	if o.Refused != nil {
		o.Refused(c, err)
	}
	if c.CloseWith(code, "not the JSON that is expected") == nil {
		return
	}
	// The code is not one that may be sent, or the connection is closing anyway.
	_ = c.Close()
}

// SendJSON sends v, as encoding/json encodes it, in a text message. Errors are those of the encoding, which match
// api.ErrInvalidArgument, and those of c.Send.
func SendJSON(c *protocol.WSConnection, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("adapters: SendJSON: %w: %w", err, api.ErrInvalidArgument)
	}
	return c.Send(protocol.OpcodeText, data)
}
