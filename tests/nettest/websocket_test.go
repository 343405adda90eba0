package nettest

import (
	"context"
	"net"
	"net/http"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
	"golang.org/x/net/nettest"
)

// Both ends of a WebSocket as net.Conns.
func TestWebSocket(t *testing.T) {
	for _, backend := range []string{"epoll", "io_uring"} {
		t.Run(backend, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) { return webSockets(backend) })
		})
	}
}

func webSockets(backend string) (c1, c2 net.Conn, stop func(), err error) {
	config := server.DefaultConfig()
	config.ListenAddr = "127.0.0.1:0"
	srv, err := server.NewServer(config, server.WithBackend(backend))
	if err != nil {
		return nil, nil, nil, err
	}
	accepted := make(chan net.Conn, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- srv.Run(protocol.Events{
			OnOpen: func(c *protocol.WSConnection, _ *http.Request) { accepted <- adapters.NetConn(c) },
		})
	}()
	dialed, _, err := client.Dial(context.Background(), "ws://"+srv.Addr().String(), nil)
	if err != nil {
		srv.Shutdown()
		return nil, nil, nil, err
	}
	c1, c2 = <-accepted, adapters.NetConn(dialed)
	return c1, c2, func() {
		c1.Close()
		c2.Close()
		srv.Shutdown()
		<-ended
	}, nil
}
