// Tcp_echo_multi adds sockets to the loop from callbacks: each client that connects gets a port of its own, on which it
// may connect again, and whoever does is served like the first.
//
//	go run ./examples/tcp_echo_multi/ [-addr :8080]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/momentics/hioload-ws/reactor"
)

const readSize = 16 << 10 // bytes taken from a connection at a time, and so the bound of what may wait to be sent back

func main() {
	addr := flag.String("addr", ":8080", "TCP `address` to listen on")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, log.New(os.Stdout, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "tcp_echo_multi:", err)
		os.Exit(1)
	}
}

// run serves on addr until ctx ends, then closes every socket.
func run(ctx context.Context, addr string, logger *log.Logger) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	loop, err := reactor.NewLoop(reactor.Options{ReadBuffer: readSize})
	if err != nil {
		return err
	}
	defer loop.Close()

	srv := &server{loop: loop, log: logger, ownAddr: net.JoinHostPort(host, "0")}
	listener, err := loop.Listen("tcp", addr, srv.accept)
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

// server is what callbacks share. They run one at a time, so it needs no lock.
type server struct {
	loop    *reactor.Loop
	log     *log.Logger
	ownAddr string // where clients get their own ports
	conns   int    // that there have been
}

// accept is called for a connection to the main port. It adds two sockets to the loop that is calling it: a listener,
// and the connection.
func (srv *server) accept(accepted *reactor.Accepted) {
	c := srv.newConn()
	own, err := srv.loop.Listen("tcp", srv.ownAddr, func(more *reactor.Accepted) {
		m := srv.newConn() // a callback of a listener that a callback has made
		m.serve(more, fmt.Sprintf("%sconnected to the port of connection %d\n", m.prefix, c.number))
	})
	if err != nil { // descriptors have run out, say; the connection itself can be served
		c.serve(accepted, fmt.Sprintf("%sconnected, without a port of your own: %v\n", c.prefix, err))
		return
	}
	c.own = own
	c.serve(accepted, fmt.Sprintf("%sconnected, port %d is yours\n", c.prefix, own.Addr().(*net.TCPAddr).Port))
}

func (srv *server) newConn() *conn {
	srv.conns++
	return &conn{server: srv, number: srv.conns, prefix: fmt.Sprintf("[Conn %d] ", srv.conns)}
}

// conn is one connection: a reactor.Handler.
type conn struct {
	reactor.BaseHandler
	server *server
	number int
	prefix string
	own    *reactor.Listener // of the client's own port, nil when it has none
	unsent []byte            // what the socket has not taken yet: one read and a greeting at most
}

// serve adds the connection to the loop, and sends a greeting. Writing is for callbacks of the socket: a timeout of no
// time is the first of them.
func (c *conn) serve(accepted *reactor.Accepted, greeting string) {
	c.unsent = []byte(greeting)
	token, err := accepted.Add(c)
	if err != nil {
		c.server.log.Printf("%snot served: %v", c.prefix, err)
		c.end()
		return
	}
	c.server.loop.SetTimeout(token, 0)
	c.server.log.Print(greeting[:len(greeting)-1])
}

func (c *conn) OnTimeout(s *reactor.Socket) { c.OnWritable(s) }

func (c *conn) OnReadable(s *reactor.Socket, buffer []byte) {
	n, err := s.Read(buffer)
	if errors.Is(err, reactor.ErrWouldBlock) {
		return
	}
	if err != nil { // io.EOF, or a failure
		s.Close()
		return
	}
	c.unsent = append(c.unsent, buffer[:n]...)
	c.OnWritable(s)
}

func (c *conn) OnWritable(s *reactor.Socket) {
	n, err := s.Write(c.unsent)
	if err != nil && !errors.Is(err, reactor.ErrWouldBlock) {
		s.Close()
		return
	}
	c.unsent = append(c.unsent[:0], c.unsent[n:]...)
	s.Interest(len(c.unsent) == 0, len(c.unsent) > 0) // read on when all is sent, and not before
}

func (c *conn) OnClose(*reactor.Socket) {
	c.server.log.Printf("%sclosed", c.prefix)
	c.end()
}

// end gives the client's own port back. Connections that it has brought live on.
func (c *conn) end() {
	if c.own != nil {
		c.own.Close()
	}
}
