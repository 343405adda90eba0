// WebSocket echo server on gorilla/websocket, as its examples write one. `gorilla HOST:PORT`.
package main

import (
	"net/http"

	"github.com/gorilla/websocket"
	"github.com/momentics/hioload-ws/bench/servers/internal/program"
)

var upgrader websocket.Upgrader

func main() { program.Serve(echo) }

func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the client was told
	}
	defer conn.Close()
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if err := conn.WriteMessage(kind, message); err != nil {
			return
		}
	}
}
