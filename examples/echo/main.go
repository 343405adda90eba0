// Echo server on the hioload-ws facade: every message goes back to the connection it came from, as a binary message.
// README.md beside this file tells how to run and try it.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

func main() {
	// Parse flags
	addr := flag.String("addr", ":9001", "WebSocket listen address")
	batch := flag.Int("batch", 32, "Reactor batch size")
	ring := flag.Int("ring", 1024, "Reactor ring capacity")
	workers := flag.Int("workers", 0, "Executor worker count (0 = NumCPU)")
	numa := flag.Int("numa", -1, "Preferred NUMA node (-1 = auto)")
	flag.Parse()

	// Build server configuration
	cfg := server.DefaultConfig()
	cfg.ListenAddr = *addr
	cfg.BatchSize = *batch
	cfg.ReactorRing = *ring
	if *workers > 0 {
		cfg.ExecutorWorkers = *workers
	}
	cfg.NUMANode = *numa

	// Initialize server with middleware
	srv, err := server.NewServer(
		cfg,
		server.WithMiddleware(
			adapters.LoggingMiddleware,
			adapters.RecoveryMiddleware,
		),
	)
	if err != nil {
		fmt.Fprintf(os.Stderr, "NewServer error: %v\n", err)
		os.Exit(1)
	}

	// Add metrics middleware
	srv.UseMiddleware(adapters.HandlerMetricsMiddleware(srv.GetControl()))

	// Debug probes
	var activeConns int64
	var totalMsgs int64
	ctrl := srv.GetControl()
	ctrl.RegisterDebugProbe("active_connections", func() any { return atomic.LoadInt64(&activeConns) })
	ctrl.RegisterDebugProbe("messages_processed", func() any { return atomic.LoadInt64(&totalMsgs) })

	// Periodic stats output
	go func() {
		ticker := time.NewTicker(5 * time.Second)
		defer ticker.Stop()
		for range ticker.C {
			stats := ctrl.Stats()
			fmt.Printf("[%s] Active: %v, Msgs: %v\n",
				time.Now().Format(time.Stamp), stats["active_connections"], stats["messages_processed"])
		}
	}()

	// Echo handler
	echoHandler := adapters.HandlerFunc(func(data any) error {
		buf := data.(api.Buffer)
		atomic.AddInt64(&totalMsgs, 1)
		conn := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)

		frame := &protocol.WSFrame{
			IsFinal:    true,
			Opcode:     protocol.OpcodeBinary,
			PayloadLen: int64(len(buf.Bytes())),
			Payload:    buf.Bytes(),
		}
		buf.Release()
		return conn.SendFrame(frame)
	})

	// Connection tracking middleware
	track := func(next api.Handler) api.Handler {
		return adapters.HandlerFunc(func(data any) error {
			switch evt := data.(type) {
			case api.OpenEvent:
				atomic.AddInt64(&activeConns, 1)
				defer next.Handle(evt)
			case api.CloseEvent:
				atomic.AddInt64(&activeConns, -1)
				defer next.Handle(evt)
			default:
				return next.Handle(data)
			}
			return nil
		})
	}
	srv.UseMiddleware(track)

	// Run server
	go func() {
		if err := srv.Run(echoHandler); err != nil {
			fmt.Fprintf(os.Stderr, "Run error: %v\n", err)
			os.Exit(1)
		}
	}()

	// Graceful shutdown
	sigCh := make(chan os.Signal, 1)
	signal.Notify(sigCh, syscall.SIGINT, syscall.SIGTERM)
	<-sigCh
	fmt.Println("Shutting down echo server...")
	srv.Shutdown()
	fmt.Println("Server stopped.")
}
