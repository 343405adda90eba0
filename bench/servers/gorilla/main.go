// WebSocket server on gorilla/websocket, as its examples write one. `gorilla HOST:PORT`.
package main

import (
	"flag"
	"net/http"

	"github.com/gorilla/websocket"
	"github.com/momentics/hioload-ws/bench/servers/internal/hub"
	"github.com/momentics/hioload-ws/bench/servers/internal/program"
)

var (
	upgrader websocket.Upgrader
	fanout   = flag.Bool("fanout", false, "pass each message on to all connections, instead of echoing it")
	members  hub.Hub[*websocket.PreparedMessage]
)

func main() {
	flag.BoolVar(&upgrader.EnableCompression, "deflate", false, "compress; level 1 is its default")
	program.Serve(serve)
}

func serve(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the client was told
	}
	defer conn.Close()
	reply := conn.WriteMessage
	if *fanout {
		defer members.Join(conn.WritePreparedMessage)()
		reply = publish
	}
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if err := reply(kind, message); err != nil {
			return
		}
	}
}

func publish(kind int, message []byte) error {
	prepared, err := websocket.NewPreparedMessage(kind, message)
	if err == nil {
		members.Publish(prepared)
	}
	return err
}
