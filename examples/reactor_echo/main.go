// Reactor_echo is a TCP echo server on the fd reactor: one goroutine polls, every connection is a callback.
//
//	go run ./examples/reactor_echo/ [-addr :9002]
//
// Connections are accepted with package net, their descriptors taken over (takeSocket) and registered with the reactor.
// From then on the sockets are this program's own: it reads, writes and closes them with plain system calls, which are
// in socket_unix.go and socket_windows.go.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/momentics/hioload-ws/reactor"
)

const (
	readSize   = 64 << 10 // bytes taken from a socket per event
	maxPending = 8 << 20  // unsent bytes per connection at which reading it pauses until the peer has taken some
	textShown  = 512      // bytes of received text that a log line shows
)

func main() {
	addr := flag.String("addr", ":9002", "TCP `address` to listen on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, log.New(os.Stdout, "[reactor-echo] ", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "reactor_echo:", err)
		os.Exit(1)
	}
}

// run serves on addr until ctx ends, then closes every socket it holds.
func run(ctx context.Context, addr string, logger *log.Logger) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	logger.Printf("Listening on %s ...", listenName(addr, ln.Addr()))

	r, err := reactor.NewReactor()
	if err != nil {
		return err
	}
	defer r.Close()
	logger.Print("Reactor initialized")

	s := &server{reactor: r, log: logger, buf: make([]byte, readSize), conns: make(map[uintptr]*conn)}
	defer s.closeAll()

	var accepting sync.WaitGroup
	accepting.Add(1)
	go func() {
		defer accepting.Done()
		s.accept(ctx, ln)
	}()
	defer accepting.Wait() // runs before closeAll: what is accepted until then is closed there
	defer ln.Close()

	// Close makes the Poll below return, whatever it waits for.
	stopPolling := context.AfterFunc(ctx, func() { r.Close() })
	defer stopPolling()
	for {
		if err := r.Poll(-1); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// listenName is the address as the user wrote it, except that a port of 0 is replaced by the one that was chosen.
func listenName(asked string, got net.Addr) string {
	if _, port, err := net.SplitHostPort(asked); err == nil && port != "0" && port != "" {
		return asked
	}
	return got.String()
}

// server is what all connections share. The poll loop owns buf; conns is also used by the accepting goroutine.
type server struct {
	reactor reactor.Reactor
	log     *log.Logger
	buf     []byte

	mu    sync.Mutex
	conns map[uintptr]*conn // every socket that is ours to close
}

// accept hands connections to the reactor until ln is closed. When that fails, as it does when the process runs out of
// descriptors, it pauses, from 5 ms up to a second: new connections wait in the kernel's queue meanwhile.
func (s *server) accept(ctx context.Context, ln net.Listener) {
	const shortest, longest = 5 * time.Millisecond, time.Second
	delay := shortest
	for {
		c, err := ln.Accept()
		if err == nil {
			s.log.Printf("Accepted connection from %v", c.RemoteAddr())
			err = s.adopt(c.(*net.TCPConn))
		}
		if err == nil {
			delay = shortest
			continue
		}
		if errors.Is(err, net.ErrClosed) { // the listener, or the reactor
			return
		}
		s.log.Printf("Accepting pauses for %v: %v", delay, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay):
		}
		delay = min(2*delay, longest)
	}
}

// adopt moves an accepted connection from package net to the reactor. tc is closed in any case.
func (s *server) adopt(tc *net.TCPConn) error {
	fd, err := takeSocket(tc)
	if err != nil {
		return err
	}
	c := &conn{server: s, fd: fd, events: reactor.EventRead}
	s.mu.Lock()
	s.conns[fd] = c
	s.mu.Unlock()
	// The poll loop may call c.ready before Register returns, so c is not touched after a success.
	if err := s.reactor.Register(fd, c.events, c.ready); err != nil {
		s.closeConn(c)
		return err
	}
	return nil
}

// closeConn closes the connection's socket. Its fd must not be registered any more: as soon as it is closed, the number
// may belong to another connection.
func (s *server) closeConn(c *conn) {
	s.mu.Lock()
	delete(s.conns, c.fd) // before the close, after which accept may put a new connection in its place
	s.mu.Unlock()
	if err := closeSocket(c.fd); err != nil {
		s.log.Printf("Closing fd=%d: %v", c.fd, err)
	}
}

// closeAll closes what is still open when the server ends. Nobody polls or accepts any more.
func (s *server) closeAll() {
	for _, c := range s.conns {
		s.closeConn(c)
	}
}

// conn is one connection. After it has been registered only the poll loop touches it.
type conn struct {
	server  *server
	fd      uintptr
	events  reactor.FDEventType // what fd is registered for
	pending []byte              // received and not yet sent back
	ended   bool                // the peer sends no more
}

// ready is the connection's reactor.FDCallback.
func (c *conn) ready(_ uintptr, events reactor.FDEventType) {
	alive := true
	if events&reactor.EventWrite != 0 {
		alive = c.flush()
	}
	// After an error or a hang-up, reading tells which it is; a connection whose peer has finished is only written to.
	if alive && !c.ended && events&(reactor.EventRead|reactor.EventError) != 0 {
		alive = c.receive()
	} else if alive && c.ended && events&reactor.EventError != 0 {
		alive = false
	}
	if alive && (!c.ended || len(c.pending) > 0) && c.rearm() {
		return
	}
	c.close()
}

// receive reads once and sends back what it got. It reports whether the connection lives on.
func (c *conn) receive() bool {
	n, err := readFromSocket(c.fd, c.server.buf)
	switch {
	case errors.Is(err, errWouldBlock):
		return true
	case err != nil:
		return false
	case n == 0:
		c.ended = true
		return true
	}
	data := c.server.buf[:n]
	c.server.log.Printf("Received (%d bytes): %s", n, line(data))
	if len(c.pending) > 0 { // what came first goes first
		c.pending = append(c.pending, data...)
		return true
	}
	sent, ok := c.send(data)
	c.pending = append(c.pending, data[sent:]...)
	return ok
}

// flush sends pending bytes. It reports whether the connection lives on.
func (c *conn) flush() bool {
	sent, ok := c.send(c.pending)
	c.pending = c.pending[sent:]
	if len(c.pending) == 0 {
		c.pending = nil // an idle connection holds no memory
	}
	return ok
}

// send writes as much of data as the socket takes now, and reports whether the connection lives on.
func (c *conn) send(data []byte) (sent int, ok bool) {
	for sent < len(data) {
		n, err := writeToSocket(c.fd, data[sent:])
		if errors.Is(err, errWouldBlock) {
			break
		}
		if err != nil {
			return sent, false
		}
		sent += n
	}
	if sent > 0 {
		c.server.log.Printf("Sent (%d bytes) back to client", sent)
	}
	return sent, true
}

// rearm registers the connection for what it waits for now: room to write while bytes are pending, and bytes to read
// unless too many are or the peer has finished.
func (c *conn) rearm() bool {
	var want reactor.FDEventType
	if len(c.pending) > 0 {
		want |= reactor.EventWrite
	}
	if !c.ended && len(c.pending) < maxPending {
		want |= reactor.EventRead
	}
	if want == c.events {
		return true
	}
	r := c.server.reactor
	if err := r.Unregister(c.fd); err != nil {
		return false
	}
	c.events = want
	if err := r.Register(c.fd, want, c.ready); err != nil {
		c.server.log.Printf("Registering fd=%d: %v", c.fd, err)
		return false
	}
	return true
}

// close ends the connection: first the registration, then the socket, so that the reactor never watches a number that
// is somebody else's.
func (c *conn) close() {
	// It fails when rearm has already ended the registration, or the reactor is closed: nothing is watched then.
	_ = c.server.reactor.Unregister(c.fd)
	c.server.closeConn(c)
	c.server.log.Printf("Connection closed by peer (fd=%d)", c.fd)
}

// line renders received bytes as part of one log line: without the line break at the end, every other control character
// and every byte that is not UTF-8 as a dot, and no more than textShown bytes of it.
func line(data []byte) string {
	data = bytes.TrimSuffix(data, []byte("\n"))
	data = bytes.TrimSuffix(data, []byte("\r"))
	rest := ""
	if len(data) > textShown {
		data, rest = data[:textShown], "…"
	}
	printable := func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '.'
		}
		return r
	}
	return strings.Map(printable, string(data)) + rest
}
