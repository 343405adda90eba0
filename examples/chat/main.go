// Chat is a chat room for nc and telnet: everybody sees what everybody says.
//
//	go run ./examples/chat/ [-addr :9013] [-rate 20] [-max 1000]
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/tcpio"
)

const (
	maxLine   = 1 << 10         // bytes that a member may say at a time
	atATime   = 4 << 10         // bytes that are read from a member before it is considered whether that is too fast
	hardLine  = 64 << 10        // bytes of a line that nobody means to say: the connection is closed
	maxUnsent = 256 << 10       // bytes that wait for a member that does not read; with more, it has to leave
	shyness   = time.Minute     // how long a client may take to say anything at all
	stall     = time.Minute     // how long a member may take nothing while something waits for it
	grace     = 2 * time.Second // for members to take what was said before the end
)

func main() {
	addr := flag.String("addr", ":9013", "TCP `address` to listen on")
	rate := flag.Int("rate", 20, "lines per second that a member may say; more of them wait")
	most := flag.Int("max", 1000, "clients at a time")
	flag.Parse()
	if *rate <= 0 {
		fmt.Fprintf(os.Stderr, "chat: -rate is %d, not more than 0\n", *rate)
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for anybody
	if err := run(ctx, *addr, *rate, *most, log.New(os.Stdout, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// run serves on addr until ctx ends. There is one loop, so callbacks run one at a time, and the room needs no lock.
func run(ctx context.Context, addr string, rate, most int, logger *log.Logger) error {
	r := newRoom(rate, logger)
	listener, err := tcpio.Listen(&tcpio.ListenerOptions{
		Addr:             addr,
		Framing:          tcpio.Lines{Max: hardLine},
		OnOpen:           r.enter,
		OnData:           func(conn net.Conn, line []byte) error { return r.hear(of(conn), line) },
		OnEnd:            func(conn net.Conn) error { return r.end(of(conn), ctx.Err() != nil) },
		OnClose:          func(conn net.Conn, err error) { r.lost(of(conn), err) },
		OnErrorEvent:     func(err error) { logger.Print(err) },
		MaxConns:         most,
		ReadBuffer:       atATime,
		MaxUnsent:        maxUnsent,
		HandshakeTimeout: shyness,
		WriteTimeout:     stall,
		CloseTimeout:     grace,
	})
	if err != nil {
		return err
	}
	logger.Printf("Listening on %v", listener.GetListener().Addr())

	defer context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.Background(), 2*grace)
		defer cancel()
		listener.Shutdown(ending) // who has not read everything by then is closed anyway
	})()
	listener.Start() // until it is shut down
	return nil
}
