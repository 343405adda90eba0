package adapters_test

import (
	"context"
	"errors"
	"io"
	"log"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

type order struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
}

// serveJSON is serve for a server that doubles the count of an order.
func serveJSON(t *testing.T, o adapters.JSONOptions) *client.Conn {
	t.Helper()
	return serve(t, protocol.Events{OnMessage: adapters.OnJSON(o, func(c *protocol.WSConnection, v order) {
		v.Count *= 2
		if err := adapters.SendJSON(c, v); err != nil {
			t.Error(err)
		}
	})})
}

func TestJSON(t *testing.T) {
	for _, test := range []struct {
		name   string
		o      adapters.JSONOptions
		opcode byte
		text   string
		want   string // "": the connection is closed
		code   int
	}{
		{"value", adapters.JSONOptions{}, protocol.OpcodeText, `{"item":"tea","count":2}`,
			`{"item":"tea","count":4}`, 0},
		{"unknown field", adapters.JSONOptions{}, protocol.OpcodeText, `{"x":[],"count":1} `,
			`{"item":"","count":2}`, 0},
		{"unknown field refused", adapters.JSONOptions{KnownFields: true}, protocol.OpcodeText, `{"x":1}`, "", 1007},
		{"known fields", adapters.JSONOptions{KnownFields: true}, protocol.OpcodeText, ` {"count":1} `,
			`{"item":"","count":2}`, 0},
		{"something behind", adapters.JSONOptions{}, protocol.OpcodeText, `{} {}`, "", 1007},
		{"something behind known fields", adapters.JSONOptions{KnownFields: true}, protocol.OpcodeText, `{} {}`, "",
			1007},
		{"another type", adapters.JSONOptions{CloseCode: 4000}, protocol.OpcodeText, `{"count":"many"}`, "", 4000},
		{"no JSON", adapters.JSONOptions{}, protocol.OpcodeText, `hello`, "", 1007},
		{"empty", adapters.JSONOptions{}, protocol.OpcodeText, ``, "", 1007},
		{"code not to be sent", adapters.JSONOptions{CloseCode: 1005}, protocol.OpcodeText, `x`, "", 1000},
		{"binary", adapters.JSONOptions{Binary: true}, protocol.OpcodeBinary, `{"count":3}`,
			`{"item":"","count":6}`, 0},
		{"binary refused", adapters.JSONOptions{}, protocol.OpcodeBinary, `{}`, "", 1003},
	} {
		t.Run(test.name, func(t *testing.T) {
			refused := make(chan error, 1)
			test.o.Refused = func(_ *protocol.WSConnection, err error) { refused <- err }
			c := serveJSON(t, test.o)
			if err := c.Send(test.opcode, []byte(test.text)); err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if err := <-refused; err == nil {
					t.Error("refused for no reason")
				}
				<-c.Done()
				if code, _ := c.CloseStatus(); code != test.code {
					t.Errorf("closed with %d, not %d", code, test.code)
				}
				return
			}
			opcode, r, err := c.NextReader(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); opcode != protocol.OpcodeText || string(got) != test.want || err != nil {
				t.Errorf("opcode %d, %q, %v", opcode, got, err)
			}
		})
	}
}

func TestSendJSONRefuses(t *testing.T) {
	c := serveJSON(t, adapters.JSONOptions{})
	if err := adapters.SendJSON(c, make(chan int)); !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("got %v", err)
	}
}

func ExampleOnJSON() {
	type greeting struct{ Name string }
	handler := protocol.Events{
		OnMessage: adapters.OnJSON(adapters.JSONOptions{KnownFields: true}, func(c *protocol.WSConnection, v greeting) {
			if err := adapters.SendJSON(c, map[string]string{"hello": v.Name}); err != nil {
				log.Print(err)
			}
		}),
	}
	srv, err := server.NewServer(nil)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(srv.Run(handler))
}
