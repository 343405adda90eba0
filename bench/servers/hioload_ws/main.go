// WebSocket echo server on hioload-ws: the shortest honest use of package server. `hioload_ws HOST:PORT`. The
// environment's HIOLOAD_BACKEND chooses between epoll and io_uring.
package main

import (
	"log"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/bench/servers/internal/program"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

func main() {
	timeout := program.Timeout()
	cfg := server.DefaultConfig()
	cfg.ListenAddr = program.Address()
	cfg.ReadTimeout = *timeout
	srv, err := server.NewServer(cfg)
	if err != nil {
		log.Fatal(err)
	}
	program.Listening(srv.Addr())
	log.Fatal(srv.Run(adapters.HandlerFunc(echo)))
}

// echo sends a message back as what it was, text or binary.
func echo(data any) error {
	message, ok := data.(api.Buffer)
	if !ok { // a connection has opened or closed
		return nil
	}
	defer message.Release()
	conn := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
	return conn.SendFrame(&protocol.WSFrame{
		IsFinal: true,
		Opcode:  protocol.MessageOpcode(data),
		Payload: message.Bytes(),
	})
}
