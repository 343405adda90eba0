package server_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// An echo server that ends in good order at an interrupt.
func Example() {
	cfg := server.DefaultConfig()
	cfg.ListenAddr = ":9001"
	cfg.ReadTimeout = time.Minute
	srv, err := server.NewServer(cfg, server.WithMiddleware(adapters.LoggingMiddleware, adapters.RecoveryMiddleware))
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt)
		<-interrupted
		srv.Shutdown()
	}()
	err = srv.Run(api.HandlerFunc(func(data any) error {
		message, ok := data.(api.Buffer)
		if !ok {
			return nil // an open or close event
		}
		defer message.Release()
		conn := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
		return conn.SendFrame(&protocol.WSFrame{
			IsFinal: true, Opcode: protocol.MessageOpcode(data), Payload: message.Bytes(),
		})
	}))
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleNewServer() {
	cfg := server.DefaultConfig()
	cfg.ListenAddr = "127.0.0.1:0" // any free port: Addr tells which
	cfg.MaxConnections = -1
	_, err := server.NewServer(cfg)
	fmt.Println(err)
	// Output: server: Config.MaxConnections is -1, not 0 to 1073741824: invalid argument
}

// The first middleware is the outermost.
func ExampleNewHandlerChain() {
	say := func(name string) server.Middleware {
		return func(next api.Handler) api.Handler {
			return api.HandlerFunc(func(data any) error {
				fmt.Print(name, " ")
				return next.Handle(data)
			})
		}
	}
	base := api.HandlerFunc(func(data any) error {
		fmt.Println(data)
		return nil
	})
	_ = server.NewHandlerChain(base, say("first"), say("second")).Handle("base")
	// Output: first second base
}

// Counters of the server and a probe of one's own.
func ExampleServer_GetControl() {
	cfg := server.DefaultConfig()
	cfg.ListenAddr = "127.0.0.1:0"
	srv, err := server.NewServer(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown()
	srv.GetControl().RegisterDebugProbe("players", func() any { return 3 })
	stats := srv.GetControl().Stats()
	fmt.Println(stats["players"], stats["debug.players"], stats["config.batch_size"], srv.GetActiveConnections())
	// Output: 3 3 32 0
}

// A chat: each connection subscribes to the room that its URL names, and what it says goes to all who are there. Who is
// too slow misses the oldest of what waits.
func ExampleServer_Publish() {
	srv, err := server.NewServer(server.DefaultConfig())
	if err != nil {
		log.Fatal(err)
	}
	policy := protocol.TopicPolicy{Slow: protocol.SlowDropOldest, Queue: 100}
	if err := srv.SetTopicPolicy("room/#", policy); err != nil {
		log.Fatal(err)
	}
	log.Fatal(srv.Run(api.HandlerFunc(func(data any) error {
		switch event := data.(type) {
		case api.OpenEvent:
			conn := event.Conn.(*protocol.WSConnection)
			room := "room" + conn.Request().URL.Path
			if err := (protocol.TopicLimits{}).CheckTopic(room); err != nil { // no wildcards from strangers
				return errors.Join(err, conn.Close())
			}
			return conn.Subscribe(room)
		case api.Buffer:
			defer event.Release()
			conn := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
			for _, room := range conn.Subscriptions() {
				if _, err := srv.Publish(room, protocol.MessageOpcode(data), event.Bytes()); err != nil {
					return err
				}
			}
		}
		return nil
	})))
}
