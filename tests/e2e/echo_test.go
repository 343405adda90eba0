//go:build linux

package e2e

import (
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// serveEcho runs a server in the test's own process, on this backend, until the test ends. It answers text with text and
// binary messages with binary ones. configure may change what it does otherwise. It returns its host and port.
func serveEcho(t *testing.T, backend string, configure func(*server.Config)) string {
	t.Helper()
	needsBackend(t, backend)
	cfg := server.DefaultConfig()
	cfg.ListenAddr = "127.0.0.1:0"
	cfg.Backend = backend
	configure(cfg)
	s, err := server.NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(adapters.HandlerFunc(echo)) }()
	t.Cleanup(func() {
		s.Shutdown()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s.Addr().String()
}

func echo(data any) error {
	message, ok := data.(api.Buffer)
	if !ok { // the connection was opened, or has ended
		return nil
	}
	defer message.Release()
	c := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
	return c.Send(protocol.MessageOpcode(data), message.Bytes())
}
