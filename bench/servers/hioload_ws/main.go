// Echo server on hioload-ws: the shortest honest use of package server. `hioload_ws HOST:PORT` prints "port N" when it
// listens.
package main

import (
	"fmt"
	"log"
	"net"
	"os"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: hioload_ws HOST:PORT")
	}
	cfg := server.DefaultConfig()
	cfg.ListenAddr = os.Args[1]
	srv, err := server.NewServer(cfg)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("port %d\n", srv.Addr().(*net.TCPAddr).Port)
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
