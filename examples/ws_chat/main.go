// Chat in the browser: a page, served by net/http, and rooms of WebSockets beside it on the same port. README.md beside
// this file tells how to run and try it.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/server"
)

//go:embed page.html
var page []byte

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	flag.Parse()
	if err := serve(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "ws_chat:", err)
		os.Exit(1)
	}
}

func serve(addr string) error {
	config := server.DefaultConfig()
	config.ListenAddr = addr
	config.MaxMessageSize = 16 << 10
	config.PingInterval = 30 * time.Second // finds out who has gone without a word ...
	config.ReadTimeout = 75 * time.Second  // ... by then
	srv, err := server.NewServer(config)
	if err != nil {
		return err
	}
	srv.Handle("GET /{$}", http.HandlerFunc(servePage))
	srv.HandleWebSocket("GET /rooms/{room}", rooms{srv}.events())

	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupt
		srv.Shutdown()
	}()
	fmt.Printf("Listening on %s\n", srv.Addr())
	return srv.Run(nil)
}

func servePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'")
	_, _ = w.Write(page) // fails when the browser has gone
}
