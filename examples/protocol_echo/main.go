// Protocol_echo is a TCP echo server made of one reactor.Protocol: the methods of a connection, and what each answers.
//
//	go run ./examples/protocol_echo/ [-addr :9010] [-loops 1]
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/momentics/hioload-ws/reactor"
)

// echo sends back what it receives. Each connection has one.
type echo struct {
	reactor.Base // the methods that are not written here, the write buffer, Write
	log          *log.Logger
}

func (e *echo) ConnectionMade(_ int, info reactor.ClientInfo) {
	e.log.Printf("Connection from %s", net.JoinHostPort(info.Addr, strconv.Itoa(info.Port)))
}

// DataReceived keeps what has come, and asks for room to write. Nothing more is read until all of it is sent, so the
// buffer never holds more than one read has brought, however fast the peer sends and however slowly it reads.
func (e *echo) DataReceived(data reactor.Buffer) reactor.Action {
	if len(data) == 0 { // the peer sends no more, and has all that it sent
		return reactor.Close
	}
	e.WriteBuffer.Write(data)
	return reactor.WritePending
}

// WriteReady sends what the socket takes. It is what reactor.Base does, so a protocol need not have it; here it shows
// the three answers.
func (e *echo) WriteReady() reactor.Action {
	done, err := e.Flush()
	switch {
	case err != nil:
		return reactor.Close
	case done:
		return reactor.ReadPending
	default:
		return reactor.Continue // call again when there is room for more
	}
}

func (e *echo) ConnectionLost() {
	if err := e.Err(); err != nil {
		e.log.Printf("Connection lost: fd=%d: %v", e.FD(), err)
		return
	}
	e.log.Printf("Connection closed: fd=%d", e.FD())
}

func main() {
	addr := flag.String("addr", ":9010", "TCP `address` to listen on")
	loops := flag.Int("loops", 1, "event loops, each a thread that serves its share of the connections")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *loops, log.New(os.Stdout, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "protocol_echo:", err)
		os.Exit(1)
	}
}

// run serves on addr until ctx ends, then closes every connection.
func run(ctx context.Context, addr string, loops int, logger *log.Logger) error {
	server, err := reactor.NewContext(reactor.ContextOptions{
		Factory: func() reactor.Protocol { return &echo{log: logger} },
		Loops:   loops,
	})
	if err != nil {
		return err
	}
	listener, err := server.Listen("tcp", addr)
	if err == nil {
		logger.Printf("Listening on %v", listener.Addr())
		<-ctx.Done()
	}
	server.Close()
	<-server.Done() // each ConnectionLost has returned
	return err
}
