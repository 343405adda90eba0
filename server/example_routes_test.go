package server_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// A page, a health check and WebSockets with a path value on one port.
func ExampleServer_HandleWebSocket() {
	srv, err := server.NewServer(&server.Config{ListenAddr: "127.0.0.1:0", NUMANode: -1})
	if err != nil {
		log.Fatal(err)
	}
	srv.Handle("GET /health", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "well") }))
	entered := make(chan string, 1)
	srv.HandleWebSocket("GET /rooms/{room}", api.HandlerFunc(func(data any) error {
		if event, ok := data.(api.OpenEvent); ok {
			entered <- event.Conn.(*protocol.WSConnection).Request().PathValue("room")
		}
		return nil
	}))
	ended := make(chan error)
	go func() { ended <- srv.Run(nil) }()

	response, err := http.Get("http://" + srv.Addr().String() + "/health")
	if err != nil {
		log.Fatal(err)
	}
	health, _ := io.ReadAll(response.Body)
	response.Body.Close()
	conn, _, err := client.Dial(context.Background(), "ws://"+srv.Addr().String()+"/rooms/blue", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("health: %s, room: %s\n", health, <-entered)
	_ = conn.Close()
	srv.Shutdown()
	fmt.Println(<-ended)
	// Output:
	// health: well, room: blue
	// <nil>
}

// WebSockets in an http.Server that is there already.
func ExampleNewUpgrader() {
	loops, err := server.NewUpgrader(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer loops.Shutdown()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := loops.Upgrade(w, r, api.HandlerFunc(func(any) error { return nil }), server.WithSubprotocols("v2", "v1"))
		if err != nil {
			return // the client has been told
		}
		fmt.Println("agreed on", conn.Subprotocol())
		_ = conn.Close()
	}))
	defer web.Close()
	conn, _, err := client.Dial(context.Background(), strings.Replace(web.URL, "http", "ws", 1),
		&client.Options{Subprotocols: []string{"v1"}})
	if err != nil {
		log.Fatal(err)
	}
	<-conn.Done()
	fmt.Println(conn.CloseStatus())
	// Output:
	// agreed on v1
	// 1000
}
