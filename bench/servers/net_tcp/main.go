// TCP echo server on package net: a goroutine for each connection, which reads and writes. `net_tcp HOST:PORT`.
package main

import (
	"log"
	"net"
	"time"

	"github.com/momentics/hioload-ws/bench/servers/internal/program"
)

var timeout = program.Timeout()

func main() {
	listener := program.Listen(program.Address())
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn)
	}
}

func serve(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 64*1024)
	for {
		if *timeout > 0 {
			_ = conn.SetReadDeadline(time.Now().Add(*timeout))
		}
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
	}
}
