package protocol

import (
	"errors"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/api"
)

func TestFrameCheck(t *testing.T) {
	long := make([]byte, MaxControlPayloadLen+1)
	for name, f := range map[string]*WSFrame{
		"text":             {IsFinal: true, Opcode: OpcodeText, Payload: []byte("x"), PayloadLen: 1},
		"empty binary":     {IsFinal: true, Opcode: OpcodeBinary},
		"length left out":  {IsFinal: true, Opcode: OpcodeBinary, Payload: long},
		"first fragment":   {Opcode: OpcodeText},
		"next fragment":    {Opcode: OpcodeContinuation},
		"full ping":        {IsFinal: true, Opcode: OpcodePing, Payload: long[:MaxControlPayloadLen]},
		"mask is no harm":  {IsFinal: true, Opcode: OpcodeText, Masked: true, MaskKey: [4]byte{1, 2, 3, 4}},
		"close":            {IsFinal: true, Opcode: OpcodeClose},
		"unsolicited pong": {IsFinal: true, Opcode: OpcodePong},
	} {
		if err := f.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, f := range map[string]*WSFrame{
		"nil":                       nil,
		"length too large":          {IsFinal: true, Opcode: OpcodeText, Payload: []byte("x"), PayloadLen: 2},
		"length too small":          {IsFinal: true, Opcode: OpcodeText, Payload: []byte("xy"), PayloadLen: 1},
		"negative length":           {IsFinal: true, Opcode: OpcodeText, PayloadLen: -1},
		"reserved opcode":           {IsFinal: true, Opcode: 3},
		"reserved control opcode":   {IsFinal: true, Opcode: 0xb},
		"opcode of more than 4 bit": {IsFinal: true, Opcode: 0x81},
		"fragmented ping":           {Opcode: OpcodePing},
		"long pong":                 {IsFinal: true, Opcode: OpcodePong, Payload: long},
	} {
		if err := f.check(); !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("%s: got %v, want ErrInvalidArgument", name, err)
		}
	}
}

func TestParseClose(t *testing.T) {
	for payload, want := range map[string]struct {
		code   int
		reason string
	}{
		"":                {CloseNoStatusReceived, ""},
		"\x03\xe8":        {CloseNormalClosure, ""},
		"\x03\xe9bye":     {CloseGoingAway, "bye"},
		"\x0f\xa0\u20ac":  {4000, "\u20ac"},
		"\x03\xf3restart": {CloseInternalServerErr, "restart"},
	} {
		code, reason, err := parseClose([]byte(payload))
		if code != want.code || reason != want.reason || err != nil {
			t.Errorf("%q: got %d, %q, %v", payload, code, reason, err)
		}
	}
	for _, payload := range []string{"\x03", "\x03\xed", "\x03\xee", "\x00\x00", "\x03\xec", "\x13\x88", "\x03\xe8\xff"} {
		if code, reason, err := parseClose([]byte(payload)); !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("%q: got %d, %q, %v; want ErrInvalidArgument", payload, code, reason, err)
		}
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	err := (&WSFrame{IsFinal: true, Opcode: OpcodeText, PayloadLen: 9}).check()
	if !strings.Contains(err.Error(), "PayloadLen is 9") {
		t.Errorf("got %q", err)
	}
}
