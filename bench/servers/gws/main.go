// Echo server on gws, as its documentation writes one. `gws HOST:PORT` prints "port N" when it listens.
package main

import (
	"fmt"
	"log"
	"net"
	"os"

	"github.com/lxzan/gws"
)

type echo struct{ gws.BuiltinEventHandler }

func (echo) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	_ = socket.WriteMessage(message.Opcode, message.Bytes()) // fails when the peer has gone
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: gws HOST:PORT")
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(gws.NewServer(echo{}, nil).RunListener(listener))
}
