// WebSocket echo server on nbio, as its documentation writes one. `nbio_ws HOST:PORT`; port 0 will not do, since nbio
// does not tell what became of it. Without flags all connections are its pollers', nbio's default; with -mixed the
// first 10,000 have a goroutine each, which its documentation recommends for speed.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"sync"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
	"github.com/momentics/hioload-ws/bench/servers/internal/program"
)

func main() {
	fanout := flag.Bool("fanout", false, "pass each message on to all connections, instead of echoing it")
	deflate := flag.Bool("deflate", false, "compress")
	mixed := flag.Bool("mixed", false, "a goroutine for each of the first 10,000 connections")
	text := program.Address()
	address, err := net.ResolveTCPAddr("tcp", text)
	if err != nil || address.Port == 0 {
		log.Fatalf("%q is not HOST:PORT with a port of its own", text)
	}
	logging.SetLevel(logging.LevelError)

	upgrader := websocket.NewUpgrader()
	upgrader.OnMessage(func(conn *websocket.Conn, kind websocket.MessageType, data []byte) {
		_ = conn.WriteMessage(kind, data) // fails when the peer has gone
	})
	upgrader.EnableCompression(*deflate)
	if err := upgrader.SetCompressionLevel(1); err != nil {
		log.Fatal(err)
	}
	if *fanout {
		passOn(upgrader)
	}
	config := nbhttp.Config{
		Network: "tcp",
		Addrs:   []string{text},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = upgrader.Upgrade(w, r, nil) // has answered what is no handshake
		}),
	}
	if *mixed {
		config.IOMod = nbhttp.IOModMixed
	}
	if err := nbhttp.NewEngine(config).Start(); err != nil {
		log.Fatal(err)
	}
	program.Listening(address)
	select {}
}

// passOn has messages go to all connections.
func passOn(upgrader *websocket.Upgrader) {
	var conns sync.Map
	upgrader.OnOpen(func(conn *websocket.Conn) { conns.Store(conn, nil) })
	upgrader.OnClose(func(conn *websocket.Conn, _ error) { conns.Delete(conn) })
	upgrader.OnMessage(func(_ *websocket.Conn, kind websocket.MessageType, data []byte) {
		conns.Range(func(conn, _ any) bool {
			_ = conn.(*websocket.Conn).WriteMessage(kind, data) // fails when the peer has gone
			return true
		})
	})
}
