package server

import (
	"context"
	"crypto/sha256"
	"io"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// sum answers each message with its SHA-256, on a goroutine of its own; the messages may have any length.
func sum(t *testing.T) api.Handler {
	return api.HandlerFunc(func(data any) error {
		switch event := data.(type) {
		case api.OpenEvent:
			go func() {
				conn := event.Conn.(*protocol.WSConnection)
				for {
					_, r, err := conn.NextReader(context.Background())
					if err != nil {
						return // the connection has ended
					}
					digest := sha256.New()
					if _, err := io.Copy(digest, r); err != nil {
						return
					}
					if err := conn.Send(protocol.OpcodeBinary, digest.Sum(nil)); err != nil {
						t.Error(err)
					}
				}
			}()
		case api.Buffer:
			t.Error("a handler was given a message that is streamed")
		}
		return nil
	})
}

// Streamed messages may be larger than MaxMessageSize, on a route or on the whole server, and over net/http.
func TestStreaming(t *testing.T) {
	whole := local()
	whole.MaxMessageSize = 1000
	whole.Streaming = true
	routed := local()
	routed.MaxMessageSize = 1000
	routed.HTTP = say("x")
	for name, s := range map[string]*Server{
		"server": start(t, whole, sum(t)), "route": start(t, routed, api.HandlerFunc(echo)),
	} {
		s.HandleWebSocket("/sums", sum(t), WithStreaming())
		for _, warm := range []bool{false, true} {
			if name == "server" && warm {
				continue // without pages there is nothing that could come first
			}
			t.Run(name, func(t *testing.T) {
				path := map[string]string{"server": "/", "route": "/sums"}[name]
				c := connect(t, s.Addr())
				if warm {
					c.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
					c.response()
				}
				c.write(asking(path))
				c.expectUpgrade()
				for _, size := range []int{0, 10, 3_000_000} {
					message := make([]byte, size)
					c.send(protocol.OpcodeBinary, message)
					digest := sha256.Sum256(message)
					c.expect(protocol.OpcodeBinary, digest[:])
				}
				c.goodbye()
			})
		}
	}
}

func TestStreamingWithALimit(t *testing.T) {
	s := start(t, local(), nil)
	s.HandleWebSocket("/sums", sum(t), WithStreaming(), WithMaxMessageSize(1000))
	c := connect(t, s.Addr())
	c.write(asking("/sums"))
	c.expectUpgrade()
	c.send(protocol.OpcodeBinary, make([]byte, 1001))
	c.expectClose(protocol.CloseMessageTooBig)
}
