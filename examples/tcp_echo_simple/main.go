// Tcp_echo_simple is the smallest echo server on the event loop: it serves one connection, and ends with it.
//
//	go run ./examples/tcp_echo_simple/ [-addr :8080] [-idle 60s]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/reactor"
)

// echo sends back what it receives.
type echo struct {
	reactor.BaseHandler
	idle   time.Duration
	unsent []byte // what the socket has not taken yet: at most what one read has brought
	err    error
}

func (e *echo) OnReadable(s *reactor.Socket, buffer []byte) {
	n, err := s.Read(buffer)
	if errors.Is(err, reactor.ErrWouldBlock) {
		return
	}
	if err != nil { // io.EOF says that the peer sends no more
		e.close(s, err)
		return
	}
	e.unsent = append(e.unsent, buffer[:n]...) // the buffer is the loop's, so what is to be kept is copied
	e.OnWritable(s)
}

func (e *echo) OnWritable(s *reactor.Socket) {
	n, err := s.Write(e.unsent)
	if err != nil && !errors.Is(err, reactor.ErrWouldBlock) {
		e.close(s, err)
		return
	}
	e.unsent = append(e.unsent[:0], e.unsent[n:]...)
	s.Interest(len(e.unsent) == 0, len(e.unsent) > 0) // read on when all is sent, and not before
	s.SetTimeout(e.idle)
}

func (e *echo) OnTimeout(s *reactor.Socket) {
	fmt.Println("Idle for", e.idle)
	s.Close()
}

func (e *echo) OnClose(s *reactor.Socket) {
	fmt.Println("Connection closed")
	s.Loop().Stop()
}

func (e *echo) close(s *reactor.Socket, err error) {
	if err != io.EOF {
		e.err = err
	}
	s.Close()
}

func main() {
	addr := flag.String("addr", ":8080", "TCP `address` to listen on")
	idle := flag.Duration("idle", time.Minute, "how long the connection may be idle")
	flag.Parse()
	if *idle <= 0 {
		fmt.Fprintf(os.Stderr, "tcp_echo_simple: -idle is %v, not more than 0\n", *idle)
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "tcp_echo_simple:", err)
		os.Exit(1)
	}
}

// run serves one connection, unless ctx ends before.
func run(ctx context.Context, addr string, idle time.Duration) error {
	loop, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		return err
	}
	defer loop.Close()

	handler := &echo{idle: idle}
	var listener *reactor.Listener
	listener, err = loop.Listen("tcp", addr, func(conn *reactor.Accepted) {
		token, err := conn.Add(handler) // from here on the socket is the loop's
		if err != nil {
			handler.err = err
			loop.Stop()
			return
		}
		fmt.Println("Connected:", conn.RemoteAddr())
		loop.SetTimeout(token, idle)
		listener.Close() // one connection is enough
	})
	if err != nil {
		return err
	}
	fmt.Println("Listening on", listener.Addr())

	err = loop.Run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(err, handler.err)
}
