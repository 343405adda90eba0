// A JSON API: notes over ordinary requests, and over WebSockets for whoever wants to hear of changes at once. README.md
// beside this file tells how to run and try it.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/momentics/hioload-ws/server"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	flag.Parse()
	if err := serve(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "ws_api:", err)
		os.Exit(1)
	}
}

func serve(addr string) error {
	config := server.DefaultConfig()
	config.ListenAddr = addr
	srv, err := server.NewServer(config)
	if err != nil {
		return err
	}
	routes(srv, new(notes))

	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupt
		srv.Shutdown()
	}()
	fmt.Printf("Listening on %s\n", srv.Addr())
	return srv.Run(nil)
}
