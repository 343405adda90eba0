// TCP echo server on hioload-ws: the shortest honest use of package tcpio. `hioload_tcpio HOST:PORT`. The environment's
// HIOLOAD_BACKEND chooses between epoll and io_uring.
package main

import (
	"log"
	"net"

	"github.com/momentics/hioload-ws/bench/servers/internal/program"
	"github.com/momentics/hioload-ws/tcpio"
)

func main() {
	timeout := program.Timeout()
	listener, err := tcpio.Listen(&tcpio.ListenerOptions{
		Addr: program.Address(),
		OnData: func(conn net.Conn, data []byte) error {
			_, err := conn.Write(data)
			return err
		},
		OnErrorEvent: func(error) {}, // peers that have gone
		ReadTimeout:  *timeout,
	})
	if err != nil {
		log.Fatal(err)
	}
	program.Listening(listener.GetListener().Addr())
	listener.Start()
}
