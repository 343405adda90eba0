//go:build linux

package main

import (
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// serve runs a server until the test ends, and returns its address.
func serve(t *testing.T, events protocol.Events) (url string) {
	t.Helper()
	config := server.DefaultConfig()
	config.ListenAddr = "127.0.0.1:0"
	srv, err := server.NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Run(events) }()
	t.Cleanup(func() {
		srv.Shutdown()
		if err := <-served; err != nil && err != server.ErrServerClosed { // shut down before it ran
			t.Error(err)
		}
	})
	return "ws://" + srv.Addr().String() + "/"
}

func TestLoad(t *testing.T) {
	url := serve(t, protocol.Events{OnMessage: func(c *protocol.WSConnection, opcode byte, data []byte) {
		if err := c.Send(opcode, data); err != nil {
			t.Error(err)
		}
	}})
	p := exampletest.Start(t, "-url", url, "-connections", "50", "-messages", "20", "-size", "1000")
	p.Out.Want(`^1000 messages in \S+: \d+ a second; p50 \S+, p99 \S+, longest \S+$`)
	if status := p.Exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestWhatGoesWrong(t *testing.T) {
	other := serve(t, protocol.Events{OnMessage: func(c *protocol.WSConnection, opcode byte, _ []byte) {
		if err := c.Send(opcode, []byte("something else")); err != nil {
			t.Error(err)
		}
	}})
	exampletest.Fails(t, 1, errEcho.Error(), "-url", other, "-connections", "2")
	rude := serve(t, protocol.Events{OnMessage: func(c *protocol.WSConnection, _ byte, _ []byte) { _ = c.Close() }})
	exampletest.Fails(t, 1, errEnded.Error(), "-url", rude, "-connections", "2")
	mute := serve(t, protocol.Events{})
	exampletest.Fails(t, 1, "context deadline exceeded", "-url", mute, "-connections", "2", "-timeout", "100ms")
	exampletest.Fails(t, 1, "at least 1 of each", "-connections", "0")
	exampletest.Fails(t, 1, "no scheme", "-url", "nonsense")
}
