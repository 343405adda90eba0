// Tcp_client connects, sends a message, and prints what comes back.
//
//	go run ./examples/tcp_client/ [-addr 127.0.0.1:8080] [-timeout 30s] [-n 1] [message]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/reactor"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "TCP `address` to connect to")
	timeout := flag.Duration("timeout", 30*time.Second, "how long connecting may take; 0: as long as the system tries")
	times := flag.Uint("n", 1, "how many times the message is sent")
	flag.Parse()
	if *timeout < 0 {
		fmt.Fprintf(os.Stderr, "tcp_client: -timeout is %v, less than 0\n", *timeout)
		os.Exit(2)
	}
	message := strings.Join(flag.Args(), " ")
	if message == "" {
		message = "Hello from hioload-ws!"
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *timeout, &client{message: message + "\n", left: *times}); err != nil {
		fmt.Fprintln(os.Stderr, "tcp_client:", err)
		os.Exit(1)
	}
}

// run returns when the connection has ended, or ctx.
func run(ctx context.Context, addr string, timeout time.Duration, c *client) error {
	loop, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		return err
	}
	defer loop.Close()
	fmt.Fprintln(os.Stderr, "Connecting to", addr) // standard output is for what the server says
	// Dial returns at once. What becomes of it is told by OnWritable, or by OnClose.
	if _, err := loop.Dial("tcp", addr, timeout, c); err != nil {
		return err
	}
	err = loop.Run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(err, c.err)
}

// client is the connection's reactor.Handler.
type client struct {
	reactor.BaseHandler
	message   string
	left      uint   // how many times it is still to be sent
	unsent    []byte // what the socket has not taken yet of the one before
	connected bool
	err       error // why it has ended, nil when that is as it should be
}

// OnWritable is called when the connection stands, and then whenever the socket takes more. Meanwhile the answers are
// read: a server that waits for us to take them would never take the rest of what we send.
func (c *client) OnWritable(s *reactor.Socket) {
	if !c.connected {
		c.connected = true
		fmt.Fprintln(os.Stderr, "Connected to", s.RemoteAddr())
	}
	if len(c.unsent) == 0 && c.left > 0 {
		c.unsent = append(c.unsent, c.message...)
		c.left--
	}
	n, err := s.Write(c.unsent)
	if err != nil && !errors.Is(err, reactor.ErrWouldBlock) {
		c.close(s, err)
		return
	}
	c.unsent = append(c.unsent[:0], c.unsent[n:]...)
	if len(c.unsent) > 0 || c.left > 0 {
		s.Interest(true, true)
		return
	}
	// That was all: the server learns it, sends what it still has to say, and closes the connection.
	s.Interest(true, false)
	if err := syscall.Shutdown(s.FD(), syscall.SHUT_WR); err != nil {
		c.close(s, os.NewSyscallError("shutdown", err))
	}
}

func (c *client) OnReadable(s *reactor.Socket, buffer []byte) {
	n, err := s.Read(buffer)
	if errors.Is(err, reactor.ErrWouldBlock) {
		return
	}
	if err == nil {
		_, err = os.Stdout.Write(buffer[:n])
	}
	if err != nil {
		c.close(s, err)
	}
}

func (c *client) OnClose(s *reactor.Socket) {
	c.err = errors.Join(c.err, s.Err()) // Err: why there is no connection
	s.Loop().Stop()
}

// close ends the connection. io.EOF, once everything is sent, is how it should end.
func (c *client) close(s *reactor.Socket, err error) {
	switch {
	case err != io.EOF:
		c.err = err
	case len(c.unsent) > 0 || c.left > 0:
		c.err = errors.New("the server has closed the connection before it got everything")
	}
	s.Close()
}
