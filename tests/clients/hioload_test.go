package clients

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// serve runs a server of ours until the test ends: it echoes, closes when asked to, and tells how connections ended.
func serve(t *testing.T, d *deflate) (url string, ends <-chan closed) {
	t.Helper()
	cfg := server.DefaultConfig()
	cfg.ListenAddr = "127.0.0.1:0"
	cfg.Compression = compression(d)
	s, err := server.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	endings := make(chan closed, 1000) // more than any test makes
	ended := make(chan error, 1)
	go func() { ended <- s.Run(adapters.HandlerFunc(func(data any) error { return answer(data, endings) })) }()
	t.Cleanup(func() {
		s.Shutdown()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return "ws://" + s.Addr().String() + "/", endings
}

// compression is what d asks for of our side.
func compression(d *deflate) *protocol.Compression {
	if d == nil {
		return nil
	}
	return &protocol.Compression{
		ServerBits:              d.serverBits,
		ClientBits:              d.clientBits,
		ServerNoContextTakeover: !d.serverTakeover,
		ClientNoContextTakeover: !d.clientTakeover,
	}
}

// answer is the server's handler.
func answer(data any, endings chan<- closed) error {
	switch event := data.(type) {
	case api.CloseEvent:
		code, reason := event.Conn.(*protocol.WSConnection).CloseStatus()
		endings <- closed{code, reason}
	case api.Buffer:
		defer event.Release()
		c := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
		if code, reason, ok := asGoodbye(event.Bytes()); ok {
			return c.CloseWith(code, reason)
		}
		return c.Send(protocol.MessageOpcode(data), event.Bytes())
	}
	return nil
}

// Other people's clients of our server.
func TestClients(t *testing.T) {
	for _, lib := range libraries {
		for _, d := range lib.modes {
			t.Run(lib.name+"/"+d.String(), func(t *testing.T) {
				url, _ := serve(t, d)
				exercise(t, d, func(ctx context.Context) (peer, error) { return lib.dial(ctx, url, d) })
				t.Run("wire", func(t *testing.T) {
					compresses(t, url, d, func(ctx context.Context, url string) (peer, error) { return lib.dial(ctx, url, d) })
				})
			})
		}
	}
}

// Our server hears how its clients close.
func TestClientsClose(t *testing.T) {
	for _, lib := range libraries {
		t.Run(lib.name, func(t *testing.T) {
			url, ends := serve(t, nil)
			for _, want := range []closed{{1000, ""}, {1001, "bye"}, {3000, "κόσμε"}, {4999, "enough"}} {
				p := dialled(t, func(ctx context.Context) (peer, error) { return lib.dial(ctx, url, nil) })
				if err := p.close(want.code, want.reason); err != nil {
					t.Error(err)
				}
				if got := <-ends; got != want {
					t.Errorf("the server saw %v, want %v", &got, &want)
				}
			}
		})
	}
}

// hioload is a connection of our client.
type hioload struct {
	*inbox
	conn *client.Conn
}

func dialHioload(ctx context.Context, url string, d *deflate) (peer, error) {
	conn, _, err := client.Dial(ctx, url, &client.Options{Compression: compression(d)})
	if err != nil {
		return nil, err
	}
	h := &hioload{newInbox(), conn}
	go h.receive()
	return h, nil
}

func (h *hioload) receive() {
	for {
		buffers, err := h.conn.RecvZeroCopy()
		if err != nil {
			<-h.conn.Done() // until then nobody knows how
			if code, reason := h.conn.CloseStatus(); code != protocol.CloseAbnormalClosure {
				err = &closed{code, reason}
			}
			h.end(err)
			return
		}
		for _, b := range buffers {
			h.messages <- message{protocol.MessageOpcode(b) == protocol.OpcodeText, bytes.Clone(b.Bytes())}
			b.Release()
		}
	}
}

func opcode(text bool) byte {
	if text {
		return protocol.OpcodeText
	}
	return protocol.OpcodeBinary
}

func (h *hioload) write(text bool, pieces ...[]byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if len(pieces) == 1 {
		return h.conn.Write(ctx, opcode(text), pieces[0])
	}
	w, err := h.conn.NextWriter(ctx, opcode(text))
	if err != nil {
		return err
	}
	for _, piece := range pieces {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return w.Close()
}

// ping chooses the payload itself.
func (h *hioload) ping(string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := h.conn.Ping(ctx)
	return err
}

func (h *hioload) close(code int, reason string) error {
	if err := h.conn.CloseWith(code, reason); err != nil {
		return err
	}
	return h.awaitAnswer(code)
}

// Our client of other people's servers.
func TestServers(t *testing.T) {
	for _, lib := range libraries {
		for _, d := range lib.modes {
			t.Run(lib.name+"/"+d.String(), func(t *testing.T) {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					p, err := lib.accept(w, r, d)
					if err != nil {
						t.Errorf("accept: %v", err)
						return
					}
					echo(p)
				}))
				defer s.Close()
				url := "ws" + strings.TrimPrefix(s.URL, "http")
				exercise(t, d, func(ctx context.Context) (peer, error) { return dialHioload(ctx, url, d) })
				t.Run("wire", func(t *testing.T) {
					compresses(t, url, d, func(ctx context.Context, url string) (peer, error) { return dialHioload(ctx, url, d) })
				})
			})
		}
	}
}
