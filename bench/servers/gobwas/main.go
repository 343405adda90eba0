// WebSocket echo server on gobwas/ws, as its documentation writes one, with a buffer for what is read. `gobwas
// HOST:PORT`.
package main

import (
	"bufio"
	"io"
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
	stream := struct {
		io.Reader
		io.Writer
	}{bufio.NewReader(conn), conn}
	for {
		message, kind, err := wsutil.ReadClientData(stream)
		if err != nil {
			return
		}
		if err := wsutil.WriteServerMessage(stream, kind, message); err != nil {
			return
		}
	}
}
