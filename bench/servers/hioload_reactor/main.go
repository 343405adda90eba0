// TCP echo server on hioload-ws: the shortest honest use of package reactor's protocols. `hioload_reactor HOST:PORT`.
// The environment's HIOLOAD_BACKEND chooses between epoll and io_uring.
package main

import (
	"log"

	"github.com/momentics/hioload-ws/bench/servers/internal/program"
	"github.com/momentics/hioload-ws/reactor"
)

type echo struct{ reactor.Base }

func (e *echo) DataReceived(data reactor.Buffer) reactor.Action {
	if len(data) == 0 {
		return reactor.Close
	}
	e.WriteBuffer.Write(data)
	return reactor.WritePending
}

func main() {
	ctx, err := reactor.NewContext(reactor.ContextOptions{Factory: func() reactor.Protocol { return &echo{} }})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := ctx.Listen("tcp", program.Address())
	if err != nil {
		log.Fatal(err)
	}
	program.Listening(listener.Addr())
	<-ctx.Done()
}
