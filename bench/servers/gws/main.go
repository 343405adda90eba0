// WebSocket server on gws, as its documentation writes one. `gws HOST:PORT`.
package main

import (
	"flag"
	"log"
	"sync"

	"github.com/lxzan/gws"
	"github.com/momentics/hioload-ws/bench/servers/internal/program"
)

type echo struct{ gws.BuiltinEventHandler }

func (echo) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	_ = socket.WriteMessage(message.Opcode, message.Bytes()) // fails when the peer has gone
}

type fanout struct {
	gws.BuiltinEventHandler
	mu      sync.Mutex
	sockets map[*gws.Conn]struct{}
}

func (f *fanout) OnOpen(socket *gws.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sockets[socket] = struct{}{}
}

func (f *fanout) OnClose(socket *gws.Conn, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sockets, socket)
}

func (f *fanout) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	broadcaster := gws.NewBroadcaster(message.Opcode, message.Bytes())
	defer broadcaster.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for socket := range f.sockets {
		_ = broadcaster.Broadcast(socket) // fails when the peer has gone
	}
}

func main() {
	all := flag.Bool("fanout", false, "pass each message on to all connections, instead of echoing it")
	deflate := flag.Bool("deflate", false, "compress")
	address := program.Address()
	option := &gws.ServerOption{
		CheckUtf8Enabled:  true,
		PermessageDeflate: gws.PermessageDeflate{Enabled: *deflate, Level: 1},
	}
	var handler gws.Event = echo{}
	if *all {
		handler = &fanout{sockets: map[*gws.Conn]struct{}{}}
	}
	log.Fatal(gws.NewServer(handler, option).RunListener(program.Listen(address)))
}
