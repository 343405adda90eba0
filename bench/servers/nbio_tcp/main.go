// TCP echo server on nbio, as its documentation writes one. `nbio_tcp HOST:PORT`; port 0 will not do, since nbio does
// not tell what became of it.
package main

import (
	"log"
	"net"

	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/logging"
	"github.com/momentics/hioload-ws/bench/servers/internal/program"
)

func main() {
	text := program.Address()
	address, err := net.ResolveTCPAddr("tcp", text)
	if err != nil || address.Port == 0 {
		log.Fatalf("%q is not HOST:PORT with a port of its own", text)
	}
	logging.SetLevel(logging.LevelError)
	engine := nbio.NewEngine(nbio.Config{Network: "tcp", Addrs: []string{text}})
	engine.OnData(func(conn *nbio.Conn, data []byte) {
		_, _ = conn.Write(append([]byte{}, data...)) // fails when the peer has gone
	})
	if err := engine.Start(); err != nil {
		log.Fatal(err)
	}
	program.Listening(address)
	select {}
}
