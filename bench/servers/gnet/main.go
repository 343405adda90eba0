// TCP echo server on gnet, as its documentation writes one. `gnet HOST:PORT` prints "port N" when it listens; it takes no
// port 0, of which gnet does not tell what became.
package main

import (
	"fmt"
	"log"
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"
)

type echo struct {
	gnet.BuiltinEventEngine
	port string
}

func (e *echo) OnBoot(gnet.Engine) gnet.Action {
	fmt.Printf("port %s\n", e.port)
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
	if len(os.Args) != 2 {
		log.Fatal("usage: gnet HOST:PORT")
	}
	_, port, err := net.SplitHostPort(os.Args[1])
	if err != nil || port == "0" {
		log.Fatalf("gnet: %q is not HOST:PORT with a port of its own", os.Args[1])
	}
	log.Fatal(gnet.Run(&echo{port: port}, "tcp://"+os.Args[1]))
}
