// A WebSocket in a server that exists already: net/http listens and routes, and hands the connections of one route over to
// the loops of hioload-ws. README.md beside this file tells how to run and try it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	flag.Parse()
	if err := serve(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "ws_upgrade:", err)
		os.Exit(1)
	}
}

func serve(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	upgrader, err := server.NewUpgrader(nil)
	if err != nil {
		return err
	}
	defer upgrader.Shutdown()

	web := &http.Server{Handler: routes(upgrader), ReadHeaderTimeout: 10 * time.Second}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Printf("Listening on %s\n", listener.Addr())
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()

	select {
	case err = <-served:
	case <-ctx.Done():
		upgrader.Shutdown() // first: the WebSockets are no longer the web server's own
		ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = web.Shutdown(ending)
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// routes is the program that was there before, and one route more.
func routes(upgrader *server.Server) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /echo", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("key") != "letmein" { // whoever the program lets in, by whatever means it has
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		// It has answered the request in any case.
		if _, err := upgrader.Upgrade(w, r, echo); err != nil {
			fmt.Println("Not upgraded:", err)
		}
	})
	return mux
}

// echo sends back what it gets.
var echo = protocol.Events{
	OnMessage: func(c *protocol.WSConnection, opcode byte, data []byte) {
		if err := c.Send(opcode, data); err != nil {
			fmt.Println("Not sent:", err)
		}
	},
}
