// WebSocket echo server on gws, as its documentation writes one. `gws HOST:PORT`.
package main

import (
	"log"

	"github.com/lxzan/gws"
	"github.com/momentics/hioload-ws/bench/servers/internal/program"
)

type echo struct{ gws.BuiltinEventHandler }

func (echo) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	_ = socket.WriteMessage(message.Opcode, message.Bytes()) // fails when the peer has gone
}

func main() {
	log.Fatal(gws.NewServer(echo{}, nil).RunListener(program.Listen(program.Address())))
}
