// WebSocket echo server on coder/websocket, as its examples write one, without its limit of 32 KiB. `coder HOST:PORT`.
package main

import (
	"context"
	"io"
	"net/http"

	"github.com/coder/websocket"
	"github.com/momentics/hioload-ws/bench/servers/internal/program"
)

func main() { program.Serve(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // the client was told
	}
	defer conn.CloseNow()
	conn.SetReadLimit(-1)
	for echo(conn) == nil {
	}
}

// echo sends the next message back while it comes in.
func echo(conn *websocket.Conn) error {
	kind, reader, err := conn.Reader(context.Background())
	if err != nil {
		return err
	}
	writer, err := conn.Writer(context.Background(), kind)
	if err != nil {
		return err
	}
	if _, err := io.Copy(writer, reader); err != nil {
		return err
	}
	return writer.Close()
}
