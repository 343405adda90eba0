// Fd_handoff accepts connections with package net and hands them to a reactor.Context.
//
//	go run ./examples/fd_handoff/ [-addr :9011] [-own dup|transfer]
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
	"time"

	"github.com/momentics/hioload-ws/reactor"
)

// got answers what it receives with "Got: " in front.
type got struct {
	reactor.Base
	log *log.Logger
}

func (g *got) ConnectionMade(_ int, info reactor.ClientInfo) {
	g.log.Printf("Handed off: %s port %d, %s", info.Addr, info.Port, info.Type)
}

func (g *got) DataReceived(data reactor.Buffer) reactor.Action {
	if len(data) == 0 {
		return reactor.Close
	}
	g.WriteBuffer.WriteString("Got: ")
	g.WriteBuffer.Write(data)
	return reactor.WritePending
}

func (g *got) ConnectionLost() {
	info := g.Info()
	g.log.Printf("Closed: %s port %d", info.Addr, info.Port)
}

// transfer gives the connection away as a whole. A *net.TCPConn closes its descriptor when it is collected, so nobody can
// take that out of it: Adopt duplicates it and closes conn, which must not be used any more.
func transfer(to *reactor.Context, conn *net.TCPConn) error { return to.Adopt(conn) }

// dup hands off a descriptor of the context's own: conn stays open, and ours to use and to close, in any order.
func dup(to *reactor.Context, conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	fd := -1
	if controlErr := raw.Control(func(original uintptr) { fd, err = reactor.DupFD(int(original)) }); controlErr != nil {
		return controlErr
	}
	if err != nil {
		return err
	}
	peer := conn.RemoteAddr().(*net.TCPAddr)
	if err := to.Handoff(fd, reactor.ClientInfo{Addr: peer.IP.String(), Port: peer.Port, Type: "tcp"}); err != nil {
		syscall.Close(fd) // what was not taken is ours to close
		return err
	}
	return conn.Close() // only our descriptor: the connection lives on in the other one
}

func main() {
	addr := flag.String("addr", ":9011", "TCP `address` to listen on")
	own := flag.String("own", "dup", "how connections change hands: dup, a duplicate each, or transfer, as a whole")
	flag.Parse()
	handoff, ok := map[string]handoff{"dup": dup, "transfer": transfer}[*own]
	if !ok {
		fmt.Fprintf(os.Stderr, "fd_handoff: -own is %q, neither dup nor transfer\n", *own)
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, handoff, log.New(os.Stdout, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "fd_handoff:", err)
		os.Exit(1)
	}
}

// handoff gives a connection to a context. On error it is still the caller's.
type handoff func(*reactor.Context, *net.TCPConn) error

// run serves on addr until ctx ends.
func run(ctx context.Context, addr string, give handoff, logger *log.Logger) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	workers, err := reactor.NewContext(reactor.ContextOptions{
		Factory: func() reactor.Protocol { return &got{log: logger} },
	})
	if err != nil {
		return err
	}
	defer func() {
		workers.Close()
		<-workers.Done() // each ConnectionLost has returned
	}()
	logger.Printf("Listening on %v", listener.Addr())
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	return accept(ctx, listener, func(conn *net.TCPConn) error { return give(workers, conn) }, logger)
}

// accept gives each connection away, until ctx ends. When that fails, as it does when descriptors run out, it pauses:
// clients wait in the kernel's queue meanwhile.
func accept(ctx context.Context, listener net.Listener, give func(*net.TCPConn) error, logger *log.Logger) error {
	const pause = 100 * time.Millisecond
	for {
		conn, err := listener.Accept()
		if err == nil {
			// Who wants to may talk to the client first. What was read then is not in the socket any more.
			fmt.Fprintf(conn, "hello from package net\n")
			if err = give(conn.(*net.TCPConn)); err != nil {
				conn.Close()
			}
		}
		switch {
		case err == nil:
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		}
		logger.Printf("Accepting pauses for %v: %v", pause, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}
