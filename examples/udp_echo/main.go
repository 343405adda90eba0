// Udp_echo sends each datagram back to where it came from.
//
//	go run ./examples/udp_echo/ [-addr :8080]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/momentics/hioload-ws/reactor"
)

func main() {
	addr := flag.String("addr", ":8080", "UDP `address` to receive on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, log.New(os.Stdout, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "udp_echo:", err)
		os.Exit(1)
	}
}

// run serves on addr until ctx ends.
func run(ctx context.Context, addr string, logger *log.Logger) error {
	loop, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		return err
	}
	defer loop.Close()

	// One socket serves all clients. A timeout of no time is its first callback, which can tell its address.
	e := &echo{log: logger}
	token, err := loop.ListenPacket("udp", addr, e)
	if err != nil {
		return err
	}
	loop.SetTimeout(token, 0)

	err = loop.Run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(err, e.err)
}

// echo is the socket's reactor.Handler.
type echo struct {
	reactor.BaseHandler
	log    *log.Logger
	unsent []byte         // the datagram that waits for room
	to     netip.AddrPort // where it goes
	err    error          // why the socket was closed
}

func (e *echo) OnTimeout(s *reactor.Socket) { e.log.Printf("Listening on %v", s.LocalAddr()) }

// OnReadable takes one datagram. The buffer holds the largest there is; an empty one is a datagram, too.
func (e *echo) OnReadable(s *reactor.Socket, buffer []byte) {
	n, from, err := s.ReadFromAddrPort(buffer)
	switch {
	case errors.Is(err, reactor.ErrWouldBlock):
		return
	case err != nil:
		e.err = err
		s.Close()
		return
	}
	if !e.send(s, buffer[:n], from) {
		e.unsent, e.to = append(e.unsent[:0], buffer[:n]...), from
		s.Interest(false, true) // the next wait in the kernel's buffer, which drops what is too much
	}
}

func (e *echo) OnWritable(s *reactor.Socket) {
	if e.send(s, e.unsent, e.to) {
		s.Interest(true, false)
	}
}

func (e *echo) OnClose(s *reactor.Socket) {
	e.err = errors.Join(e.err, s.Err())
	s.Loop().Stop()
}

// send sends a datagram, and reports whether it is dealt with: not while there is no room for it. One that cannot be
// sent at all, to port 0 say, is the fault of whom it came from, and no reason to stop.
func (e *echo) send(s *reactor.Socket, p []byte, to netip.AddrPort) bool {
	_, err := s.WriteToAddrPort(p, to)
	switch {
	case errors.Is(err, reactor.ErrWouldBlock):
		return false
	case err != nil:
		e.log.Printf("Dropped %d bytes for %v: %v", len(p), to, err)
	default:
		e.log.Printf("Echoed %d bytes to %v", len(p), to)
	}
	return true
}
