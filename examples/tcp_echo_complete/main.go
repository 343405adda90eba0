// Tcp_echo_complete is a TCP echo server for many connections: each gets back what it says, line by line with [Conn N]
// in front, and is closed when nothing has happened on it for a minute.
//
//	go run ./examples/tcp_echo_complete/ [-addr :8080] [-idle 60s]
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/reactor"
)

const readSize = 16 << 10 // bytes taken from a connection at a time, and so the bound of what may wait to be sent back

func main() {
	addr := flag.String("addr", ":8080", "TCP `address` to listen on")
	idle := flag.Duration("idle", time.Minute, "how long a connection may be idle")
	flag.Parse()
	if *idle <= 0 {
		fmt.Fprintf(os.Stderr, "tcp_echo_complete: -idle is %v, not more than 0\n", *idle)
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *idle, log.New(os.Stdout, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "tcp_echo_complete:", err)
		os.Exit(1)
	}
}

// run serves on addr until ctx ends, then closes every connection.
func run(ctx context.Context, addr string, idle time.Duration, logger *log.Logger) error {
	loop, err := reactor.NewLoop(reactor.Options{ReadBuffer: readSize})
	if err != nil {
		return err
	}
	defer loop.Close() // each connection gets its OnClose

	srv := &server{log: logger, idle: idle}
	listener, err := loop.Listen("tcp", addr, func(accepted *reactor.Accepted) {
		srv.conns++
		c := &conn{server: srv, prefix: fmt.Sprintf("[Conn %d] ", srv.conns), lineStart: true}
		token, err := accepted.Add(c) // from here on the loop owns the socket, and closes it
		if err != nil {
			c.logf("not served: %v", err)
			return
		}
		loop.SetTimeout(token, idle)
		c.logf("connected: %v", accepted.RemoteAddr())
	})
	if err != nil {
		return err
	}
	logger.Printf("Listening on %v", listener.Addr())

	err = loop.Run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// server is what connections share. Callbacks run one at a time, so it needs no lock.
type server struct {
	log   *log.Logger
	idle  time.Duration
	conns int    // that there have been
	reply []byte // the answer to one read, used again for the next
}

// conn is one connection: a reactor.Handler.
type conn struct {
	reactor.BaseHandler
	server    *server
	prefix    string
	lineStart bool   // the next byte begins a line
	unsent    []byte // what the socket has not taken yet
	reason    error  // why this end closes the connection
}

var (
	errPeer = errors.New("the peer has finished")
	errIdle = errors.New("idle")
)

func (c *conn) OnReadable(s *reactor.Socket, buffer []byte) {
	n, err := s.Read(buffer)
	switch {
	case errors.Is(err, reactor.ErrWouldBlock):
		return
	case errors.Is(err, io.EOF):
		err = errPeer // which has got everything: nothing is read while something is unsent
		fallthrough
	case err != nil:
		c.close(s, err)
		return
	}
	c.server.reply = c.appendReply(c.server.reply[:0], buffer[:n])
	if rest := c.send(s, c.server.reply); len(rest) > 0 {
		c.unsent = bytes.Clone(rest)
	}
	c.wait(s)
}

func (c *conn) OnWritable(s *reactor.Socket) {
	c.unsent = c.send(s, c.unsent)
	c.wait(s)
}

func (c *conn) OnTimeout(s *reactor.Socket) { c.close(s, errIdle) }

func (c *conn) OnClose(s *reactor.Socket) {
	reason := c.reason
	if reason == nil {
		reason = s.Err() // the loop has closed it
	}
	c.logf("closed: %v", reason)
}

// wait says what is to happen next: as long as something is unsent it is sent, and nothing is read. So a peer that
// sends without reading is held up by TCP's flow control, and not by a buffer that grows. Each step starts the idle
// time anew.
func (c *conn) wait(s *reactor.Socket) {
	s.Interest(len(c.unsent) == 0, len(c.unsent) > 0)
	s.SetTimeout(c.server.idle)
}

// send writes what the socket takes now, and returns the rest: nil when that was all, so that an idle connection holds
// no memory.
func (c *conn) send(s *reactor.Socket, p []byte) (rest []byte) {
	n, err := s.Write(p)
	if err != nil && !errors.Is(err, reactor.ErrWouldBlock) {
		c.close(s, err)
		return nil
	}
	if n == len(p) {
		return nil
	}
	return p[n:]
}

// appendReply appends data to reply, with the prefix in front of each line.
func (c *conn) appendReply(reply, data []byte) []byte {
	for len(data) > 0 {
		if c.lineStart {
			reply = append(reply, c.prefix...)
		}
		end := bytes.IndexByte(data, '\n') + 1
		c.lineStart = end > 0
		if !c.lineStart { // the line goes on with the next read
			end = len(data)
		}
		reply = append(reply, data[:end]...)
		data = data[end:]
	}
	return reply
}

func (c *conn) close(s *reactor.Socket, reason error) {
	var opErr *net.OpError // says which addresses, too
	if errors.As(reason, &opErr) {
		reason = opErr.Err
	}
	c.reason = reason
	s.Close()
}

func (c *conn) logf(format string, args ...any) {
	c.server.log.Print(c.prefix + fmt.Sprintf(format, args...))
}
