// WebSocket server on coder/websocket, as its examples write one, without its limit of 32 KiB. `coder HOST:PORT`.
package main

import (
	"context"
	"flag"
	"net/http"

	"github.com/coder/websocket"
	"github.com/momentics/hioload-ws/bench/servers/internal/hub"
	"github.com/momentics/hioload-ws/bench/servers/internal/program"
)

type message struct {
	kind websocket.MessageType
	data []byte
}

var (
	fanout  = flag.Bool("fanout", false, "pass each message on to all connections, instead of echoing it")
	deflate = flag.Bool("deflate", false, "compress; level 1 is all it has")
	members hub.Hub[message]
)

func main() { program.Serve(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	options := &websocket.AcceptOptions{}
	if *deflate {
		options.CompressionMode = websocket.CompressionNoContextTakeover
	}
	conn, err := websocket.Accept(w, r, options)
	if err != nil {
		return // the client was told
	}
	defer conn.CloseNow()
	conn.SetReadLimit(-1)
	ctx := context.Background()
	write := func(m message) error { return conn.Write(ctx, m.kind, m.data) }
	reply := write
	if *fanout {
		defer members.Join(write)()
		reply = publish
	}
	for {
		kind, data, err := conn.Read(ctx)
		if err != nil {
			return
		}
		if err := reply(message{kind, data}); err != nil {
			return
		}
	}
}

func publish(m message) error {
	members.Publish(m)
	return nil
}
