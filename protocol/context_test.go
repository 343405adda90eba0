package protocol

import (
	"context"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/report"
)

// message is data with a context, as handlers are given it.
type message struct{ ctx context.Context }

func (m message) Ctx() context.Context { return m.ctx }

func TestContexts(t *testing.T) {
	c := &WSConnection{shard: &Shard{endpoint: NewEndpoint(EndpointConfig{})}}
	for _, test := range []struct {
		name   string
		ctx    context.Context
		opcode byte
	}{
		{"event", c.Context(), 0},
		{"text", c.messageContext(OpcodeText), OpcodeText},
		{"binary", c.messageContext(OpcodeBinary), OpcodeBinary},
	} {
		if api.FromContext(test.ctx) != c || test.ctx.Value("connection") != c {
			t.Errorf("%s: does not carry the connection", test.name)
		}
		if got := MessageOpcode(message{test.ctx}); got != test.opcode {
			t.Errorf("%s: opcode %d, want %d", test.name, got, test.opcode)
		}
		if got, ok := test.ctx.Value(report.PanicsKey).(*atomic.Int64); !ok || got != &c.shard.endpoint.panics {
			t.Errorf("%s: does not lead to the server's counter", test.name)
		}
		if test.ctx.Value("something else") != nil {
			t.Errorf("%s: knows too much", test.name)
		}
		if _, ok := test.ctx.Deadline(); ok || test.ctx.Err() != nil {
			t.Errorf("%s: is done before the connection is", test.name)
		}
	}
	if MessageOpcode("text") != 0 || MessageOpcode(nil) != 0 {
		t.Error("only messages have an opcode")
	}
	done := c.messageContext(OpcodeText).Done()
	c.setState(stateEnded, true)
	c.extension().end(csrc.StreamStats{}, CloseNormalClosure, "bye")
	<-done
	<-c.messageContext(OpcodeBinary).Done()
	if c.Context().Err() != context.Canceled {
		t.Error("the context must be done when the connection is")
	}
	if code, reason := c.CloseStatus(); code != CloseNormalClosure || reason != "bye" {
		t.Errorf("closed with %d %q", code, reason)
	}
}

// 15,000 idle connections should cost little.
func TestConnectionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(WSConnection{}); size > 112 {
		t.Errorf("a connection takes %d bytes", size)
	}
}
