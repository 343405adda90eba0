// A load client: many WebSocket connections in one process, on a few loops, that send messages to an echo server and measure
// how long the answers take. README.md beside this file tells how to run and try it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var l load
	flag.StringVar(&l.url, "url", "ws://127.0.0.1:9001/", "echo server")
	flag.IntVar(&l.connections, "connections", 100, "connections at a time")
	flag.IntVar(&l.messages, "messages", 1000, "messages of each connection, one after the other")
	flag.IntVar(&l.size, "size", 64, "bytes of a message")
	timeout := flag.Duration("timeout", time.Minute, "when to give up")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	took, err := l.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ws_load:", err)
		os.Exit(1)
	}
	fmt.Println(l.report(took))
}
