// TCP echo server on gnet, as its documentation writes one. `gnet HOST:PORT`; port 0 will not do, since gnet does not
// tell what became of it.
package main

import (
	"log"
	"net"

	"github.com/momentics/hioload-ws/bench/servers/internal/program"
	"github.com/panjf2000/gnet/v2"
)

type echo struct {
	gnet.BuiltinEventEngine
	address *net.TCPAddr
}

func (e *echo) OnBoot(gnet.Engine) gnet.Action {
	program.Listening(e.address)
	return gnet.None
}

func (*echo) OnTraffic(conn gnet.Conn) gnet.Action {
	data, err := conn.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := conn.Write(data); err != nil {
		return gnet.Close
	}
	return gnet.None
}

func main() {
	text := program.Address()
	address, err := net.ResolveTCPAddr("tcp", text)
	if err != nil || address.Port == 0 {
		log.Fatalf("%q is not HOST:PORT with a port of its own", text)
	}
	log.Fatal(gnet.Run(&echo{address: address}, "tcp://"+text))
}
