// WebSocket echo server on gobwas/ws, as its documentation writes one. `gobwas HOST:PORT`.
package main

import (
	"net"
	"net/http"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/momentics/hioload-ws/bench/servers/internal/program"
)

func main() {
	program.Serve(func(w http.ResponseWriter, r *http.Request) {
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return // the client was told
		}
		go echo(conn)
	})
}

func echo(conn net.Conn) {
	defer conn.Close()
	for {
		message, kind, err := wsutil.ReadClientData(conn)
		if err != nil {
			return
		}
		if err := wsutil.WriteServerMessage(conn, kind, message); err != nil {
			return
		}
	}
}
