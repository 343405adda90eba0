// Two_contexts runs two servers in one process, each a reactor.Context with its own factory, loops and connections: an
// echo service, and a status page in HTTP/1.0 that tells how the other one is.
//
//	go run ./examples/two_contexts/ [-echo :9012] [-status :8012] [-max 1000]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/momentics/hioload-ws/reactor"
)

func main() {
	echoAddr := flag.String("echo", ":9012", "TCP `address` of the echo service")
	statusAddr := flag.String("status", ":8012", "TCP `address` of the status page")
	most := flag.Int("max", 1000, "connections that the echo service has at a time")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *echoAddr, *statusAddr, *most, log.New(os.Stdout, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "two_contexts:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, echoAddr, statusAddr string, most int, logger *log.Logger) error {
	// Clients cannot fill up the status page by filling up the echo service, which has two loops and its own limit.
	echoes, err := reactor.NewContext(reactor.ContextOptions{
		Factory:        func() reactor.Protocol { return new(echo) },
		Loops:          2,
		MaxConnections: most,
	})
	if err != nil {
		return err
	}
	defer end(echoes)
	pages, err := reactor.NewContext(reactor.ContextOptions{
		Factory:        func() reactor.Protocol { return &page{about: echoes} },
		MaxConnections: 100,
	})
	if err != nil {
		return err
	}
	defer end(pages)

	echoListener, echoErr := echoes.Listen("tcp", echoAddr)
	pageListener, pageErr := pages.Listen("tcp", statusAddr)
	if err := errors.Join(echoErr, pageErr); err != nil {
		return err
	}
	logger.Printf("Listening on %v: echo", echoListener.Addr())
	logger.Printf("Listening on %v: status", pageListener.Addr())
	<-ctx.Done()
	return nil
}

// end closes a context, and waits until its connections are closed.
func end(c *reactor.Context) {
	c.Close()
	<-c.Done()
}
