// Unix_echo is an echo server on a Unix socket, for clients on the same machine.
//
//	go run ./examples/unix_echo/ [-path /tmp/unix_echo.sock]
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

const readSize = 16 << 10 // bytes taken from a connection at a time, and so the bound of what may wait to be sent back

func main() {
	path := flag.String("path", "/tmp/unix_echo.sock", "`file` of the socket; @name is a name without a file")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *path, log.New(os.Stdout, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "unix_echo:", err)
		os.Exit(1)
	}
}

// run serves on path until ctx ends, then closes every connection and removes the file.
func run(ctx context.Context, path string, logger *log.Logger) error {
	loop, err := reactor.NewLoop(reactor.Options{ReadBuffer: readSize})
	if err != nil {
		return err
	}
	defer loop.Close()

	conns := 0
	listener, err := loop.Listen("unix", path, func(accepted *reactor.Accepted) {
		conns++
		e := &echo{log: logger, number: conns} // clients have no address to tell them apart
		if _, err := accepted.Add(e); err != nil {
			logger.Printf("Connection %d is not served: %v", e.number, err)
			return
		}
		logger.Printf("Connection %d", e.number)
	})
	if err != nil {
		return err
	}
	defer listener.Close() // removes the file
	logger.Printf("Listening on %v", listener.Addr())

	err = loop.Run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// echo sends back what it receives. Each connection has one.
type echo struct {
	reactor.BaseHandler
	log    *log.Logger
	number int
	unsent []byte // what the socket has not taken yet: at most what one read has brought
}

func (e *echo) OnReadable(s *reactor.Socket, buffer []byte) {
	n, err := s.Read(buffer)
	if errors.Is(err, reactor.ErrWouldBlock) {
		return
	}
	if err != nil { // io.EOF, or a failure
		s.Close()
		return
	}
	e.unsent = append(e.unsent, buffer[:n]...)
	e.OnWritable(s)
}

func (e *echo) OnWritable(s *reactor.Socket) {
	n, err := s.Write(e.unsent)
	if err != nil && !errors.Is(err, reactor.ErrWouldBlock) {
		s.Close()
		return
	}
	e.unsent = append(e.unsent[:0], e.unsent[n:]...)
	s.Interest(len(e.unsent) == 0, len(e.unsent) > 0) // read on when all is sent, and not before
}

func (e *echo) OnClose(*reactor.Socket) { e.log.Printf("Connection %d closed", e.number) }
