// Protocol_http is a minimal HTTP/1.0 server on reactor.Protocol: one request and one response per connection.
//
//	go run ./examples/protocol_http/ [-addr :8000]
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/reactor"
)

const (
	linger = 2 * time.Second // for a client that has its response to close its end, too
	grace  = 5 * time.Second // at the end, for requests that are under way
)

func main() {
	addr := flag.String("addr", ":8000", "TCP `address` to listen on")
	patience := flag.Duration("patience", 10*time.Second, "`time` for a request, and then for its response")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for anybody
	if err := run(ctx, *addr, *patience, log.New(os.Stdout, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "protocol_http:", err)
		os.Exit(1)
	}
}

// run serves on addr until ctx ends, then lets the requests under way finish.
func run(ctx context.Context, addr string, patience time.Duration, logger *log.Logger) error {
	server, err := reactor.NewContext(reactor.ContextOptions{
		Factory:      func() reactor.Protocol { return &exchange{log: logger, patience: patience} },
		CloseTimeout: linger,
	})
	if err != nil {
		return err
	}
	defer server.Close()
	listener, err := server.Listen("tcp", addr)
	if err != nil {
		return err
	}
	logger.Printf("Listening on %v", listener.Addr())
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		logger.Printf("Some clients were cut off: %v", err)
	}
	return nil
}
