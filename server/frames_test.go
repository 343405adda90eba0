package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

func TestFragmentsBecomeOneMessage(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			s := start(t, local(), api.HandlerFunc(echo), mode.options...)
			c := dial(t, s.Addr())
			large := bytes.Repeat([]byte("fragment "), 20_000)
			c.write(encode(false, protocol.OpcodeText, []byte("Hel")))
			c.send(protocol.OpcodePing, []byte("in between"))
			c.expect(protocol.OpcodePong, []byte("in between")) // at once: the message is not complete
			c.write(encode(false, protocol.OpcodeContinuation, nil))
			c.write(encode(true, protocol.OpcodeContinuation, []byte("lo")))
			c.expect(protocol.OpcodeText, []byte("Hello"))
			c.write(encode(false, protocol.OpcodeBinary, large))
			c.write(encode(true, protocol.OpcodeContinuation, large))
			c.expect(protocol.OpcodeBinary, append(append([]byte{}, large...), large...))
			c.goodbye()
		})
	}
}

// A character may be cut in two by a fragment's end (RFC 6455 section 5.6).
func TestFragmentsMayCutCharacters(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	c := dial(t, s.Addr())
	text := []byte("κόσμε 😀")
	for i := range text {
		opcode := byte(protocol.OpcodeContinuation)
		if i == 0 {
			opcode = protocol.OpcodeText
		}
		c.write(encode(i == len(text)-1, opcode, text[i:i+1]))
	}
	c.expect(protocol.OpcodeText, text)
}

func TestSendFrameInFragments(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			refused := make(chan error, 4)
			s := start(t, local(), api.HandlerFunc(func(data any) error {
				if _, ok := data.(api.Buffer); !ok {
					return nil
				}
				conn := connOf(data)
				send := func(final bool, opcode byte, payload string) error {
					return conn.SendFrame(&protocol.WSFrame{IsFinal: final, Opcode: opcode, Payload: []byte(payload)})
				}
				refused <- send(true, protocol.OpcodeContinuation, "of nothing")
				err := send(false, protocol.OpcodeText, "one ")
				refused <- send(true, protocol.OpcodeText, "another message")
				return errors.Join(err,
					send(true, protocol.OpcodePing, "ping"),
					send(false, protocol.OpcodeContinuation, "two "),
					send(true, protocol.OpcodeContinuation, "three"),
					send(true, protocol.OpcodeBinary, "whole"))
			}), mode.options...)
			c := dial(t, s.Addr())
			c.send(protocol.OpcodeText, nil)
			for _, want := range []frame{
				{false, protocol.OpcodeText, []byte("one ")},
				{true, protocol.OpcodePing, []byte("ping")},
				{false, protocol.OpcodeContinuation, []byte("two ")},
				{true, protocol.OpcodeContinuation, []byte("three")},
				{true, protocol.OpcodeBinary, []byte("whole")},
			} {
				got, err := c.next()
				if err != nil || got.fin != want.fin || got.opcode != want.opcode || !bytes.Equal(got.payload, want.payload) {
					t.Fatalf("got %v, %v; want %v", got, err, want)
				}
			}
			for i := 0; i < 2; i++ {
				if err := <-refused; !errors.Is(err, api.ErrInvalidArgument) {
					t.Errorf("a frame out of order: got %v", err)
				}
			}
		})
	}
}

// Pings are answered and never reach the handler; pongs nobody asked for are ignored.
func TestPing(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	c := dial(t, s.Addr())
	for _, payload := range []string{"", "x", strings.Repeat("p", protocol.MaxControlPayloadLen)} {
		c.send(protocol.OpcodePing, []byte(payload))
		c.expect(protocol.OpcodePong, []byte(payload))
	}
	c.send(protocol.OpcodePong, []byte("unasked"))
	c.send(protocol.OpcodeText, []byte("after"))
	c.expect(protocol.OpcodeText, []byte("after"))
	if got := s.GetControl().Stats()["messages.received"]; got != int64(1) {
		t.Errorf("%v messages reached the handler", got)
	}
}

// ends is a handler that passes on how connections ended.
func ends(to chan<- *protocol.WSConnection, next api.Handler) api.Handler {
	return api.HandlerFunc(func(data any) error {
		if event, ok := data.(api.CloseEvent); ok {
			to <- event.Conn.(*protocol.WSConnection)
		}
		return next.Handle(data)
	})
}

func TestPeerCloses(t *testing.T) {
	ended := make(chan *protocol.WSConnection, 1)
	s := start(t, local(), ends(ended, api.HandlerFunc(echo)))
	for _, test := range []struct {
		payload []byte
		code    int
		reason  string
	}{
		{closePayload(1000, ""), 1000, ""},
		{closePayload(1001, "bye"), 1001, "bye"},
		{closePayload(1011, ""), 1011, ""},
		{closePayload(3000, strings.Repeat("r", 123)), 3000, strings.Repeat("r", 123)},
		{closePayload(4999, "ß"), 4999, "ß"},
		{nil, protocol.CloseNoStatusReceived, ""},
	} {
		c := dial(t, s.Addr())
		// Whatever came before the close frame is answered first.
		c.write(append(encode(true, protocol.OpcodeText, []byte("last")), encode(true, protocol.OpcodeClose, test.payload)...))
		c.expect(protocol.OpcodeText, []byte("last"))
		if test.payload == nil {
			c.expect(protocol.OpcodeClose, nil)
		} else {
			c.expectClose(uint16(test.code))
		}
		c.expectEnd()
		if code, reason := (<-ended).CloseStatus(); code != test.code || reason != test.reason {
			t.Errorf("closed with %d %q, want %d %q", code, reason, test.code, test.reason)
		}
	}
	c := dial(t, s.Addr())
	c.conn.Close()
	if code, _ := (<-ended).CloseStatus(); code != protocol.CloseAbnormalClosure {
		t.Errorf("without a close frame: %d", code)
	}
}

func TestHandlerCloses(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			ended := make(chan *protocol.WSConnection, 1)
			again := make(chan error, 2)
			s := start(t, local(), ends(ended, api.HandlerFunc(func(data any) error {
				if _, ok := data.(api.Buffer); !ok {
					return nil
				}
				conn := connOf(data)
				err := errors.Join(echo(data), conn.Close())
				again <- conn.Close()
				again <- conn.SendFrame(&protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText})
				return err
			})), mode.options...)
			c := dial(t, s.Addr())
			c.send(protocol.OpcodeText, []byte("close"))
			c.expect(protocol.OpcodeText, []byte("close"))
			c.expectClose(protocol.CloseNormalClosure)
			if err := <-again; err != nil {
				t.Errorf("a second Close: %v", err)
			}
			if err := <-again; !errors.Is(err, api.ErrTransportClosed) {
				t.Errorf("SendFrame after Close: %v", err)
			}
			c.send(protocol.OpcodeClose, closePayload(protocol.CloseNormalClosure, "fine"))
			c.expectEnd()
			conn := <-ended
			<-conn.Done()
			if code, reason := conn.CloseStatus(); code != protocol.CloseNormalClosure || reason != "fine" {
				t.Errorf("closed with %d %q", code, reason)
			}
		})
	}
}

func TestSendCloseFrame(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(func(data any) error {
		if _, ok := data.(api.Buffer); !ok {
			return nil
		}
		return connOf(data).SendFrame(&protocol.WSFrame{
			IsFinal: true, Opcode: protocol.OpcodeClose, Payload: closePayload(4001, "enough"),
		})
	}))
	c := dial(t, s.Addr())
	c.send(protocol.OpcodeText, nil)
	c.expect(protocol.OpcodeClose, closePayload(4001, "enough"))
	c.send(protocol.OpcodeClose, closePayload(4001, "enough"))
	c.expectEnd()
}

// header is the beginning of a masked frame, whatever its length says.
func header(first, length byte, extended ...byte) []byte {
	return append(append([]byte{first, length}, extended...), 0, 0, 0, 0)
}

// announce is the beginning of a frame that announces n bytes.
func announce(n uint64) []byte {
	return header(0x82, 0x80|127, binary.BigEndian.AppendUint64(nil, n)...)
}
