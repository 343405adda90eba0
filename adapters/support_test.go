package adapters_test

import (
	"context"
	"testing"

	"github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// serve runs a server until the test ends, and returns a client of it.
func serve(t *testing.T, events protocol.Events) *client.Conn {
	t.Helper()
	config := server.DefaultConfig()
	config.ListenAddr = "127.0.0.1:0"
	srv, err := server.NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
	go srv.Run(events)
	c, _, err := client.Dial(context.Background(), "ws://"+srv.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
