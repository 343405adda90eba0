// WebSocket server on hioload-ws: the shortest honest use of package server. `hioload_ws HOST:PORT`. The environment's
// HIOLOAD_BACKEND chooses between epoll and io_uring.
package main

import (
	"flag"
	"log"
	"net/http"

	"github.com/momentics/hioload-ws/bench/servers/internal/program"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

func main() {
	timeout := program.Timeout()
	fanout := flag.Bool("fanout", false, "pass each message on to all connections, instead of echoing it")
	deflate := flag.Bool("deflate", false, "compress")
	cfg := server.DefaultConfig()
	cfg.ListenAddr = program.Address()
	cfg.ReadTimeout = *timeout
	if *deflate {
		cfg.Compression = &protocol.Compression{Level: 1}
	}
	srv, err := server.NewServer(cfg)
	if err != nil {
		log.Fatal(err)
	}
	program.Listening(srv.Addr())
	handler := protocol.Events{OnMessage: func(conn *protocol.WSConnection, opcode byte, data []byte) {
		_ = conn.Send(opcode, data) // fails when the peer has gone
	}}
	if *fanout {
		handler.OnOpen = func(conn *protocol.WSConnection, _ *http.Request) {
			if err := conn.Subscribe("all"); err != nil {
				log.Print(err)
			}
		}
		handler.OnMessage = func(_ *protocol.WSConnection, opcode byte, data []byte) {
			if _, err := srv.Publish("all", opcode, data); err != nil {
				log.Print(err)
			}
		}
	}
	log.Fatal(srv.Run(handler))
}
