package main

import (
	"fmt"
	"net"

	"github.com/momentics/hioload-ws/tcpio"
)

func main() {
	listener, err := tcpio.Listen(&tcpio.ListenerOptions{
		Addr: ":8080",
		OnConnEvent: func(conn net.Conn) error {
			buf := make([]byte, 1024)
			n, err := conn.Read(buf)
			if err != nil {
				return err
			}

			fmt.Println("Received:", string(buf[:n]))
			conn.Write([]byte("OK\n"))
			return nil
		},
		OnErrorEvent: func(err error) {
			fmt.Println("Error:", err)
		},
	})

	if err != nil {
		panic(err)
	}

	listener.Start()
}
