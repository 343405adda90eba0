// Crossings measures what Go adds to micro.c's table: values handed between goroutines, a turn entered through cgo, and
// how many events share such a crossing in a busy server. Its lines continue that table.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

const rounds = 15

// compare measures both in turns and prints a line with the medians of the time for one. theirs may be nil.
func compare(what string, ours func() float64, beside string, theirs func() float64) {
	var a, b []float64
	for range rounds {
		a = append(a, ours())
		if theirs != nil {
			b = append(b, theirs())
		}
	}
	slices.Sort(a)
	fmt.Printf("%-40s %10.1f ns", what, a[rounds/2])
	if theirs != nil {
		slices.Sort(b)
		fmt.Printf("   %-23s %10.1f ns %6.2f", beside, b[rounds/2], a[rounds/2]/b[rounds/2])
	}
	fmt.Println()
}

// each runs f and returns the nanoseconds that each of n things took.
func each(n int, f func()) float64 {
	start := time.Now()
	f()
	return float64(time.Since(start).Nanoseconds()) / float64(n)
}

const (
	ringSize  = 1024
	transfers = 400_000
)

func ringAcross() float64 {
	r, err := adapters.NewRing[uint64](ringSize)
	if err != nil {
		log.Fatal(err)
	}
	return each(transfers, func() {
		go func() {
			for i := range uint64(transfers) {
				for !r.Enqueue(i) {
					runtime.Gosched()
				}
			}
		}()
		for i := range uint64(transfers) {
			v, ok := r.Dequeue()
			for !ok {
				runtime.Gosched()
				v, ok = r.Dequeue()
			}
			if v != i {
				log.Fatalf("%d came, not %d", v, i)
			}
		}
	})
}

func channelAcross() float64 {
	c := make(chan uint64, ringSize)
	return each(transfers, func() {
		go func() {
			for i := range uint64(transfers) {
				c <- i
			}
		}()
		for range transfers {
			<-c
		}
	})
}

func ringAlone() float64 {
	r, err := adapters.NewRing[uint64](ringSize)
	if err != nil {
		log.Fatal(err)
	}
	return each(transfers, func() {
		for i := range uint64(transfers) {
			r.Enqueue(i)
			r.Dequeue()
		}
	})
}

func channelAlone() float64 {
	c := make(chan uint64, ringSize)
	return each(transfers, func() {
		for i := range uint64(transfers) {
			c <- i
			<-c
		}
	})
}

// compareTurns measures a turn of a loop without work, beside a call of C that returns at once.
func compareTurns(name string, backend csrc.Backend) {
	const turns = 20_000
	slab, err := csrc.NewSlab(csrc.SlabConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer slab.Free()
	l, err := csrc.NewLoop(&csrc.LoopConfig{Slab: slab, Backend: backend})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Free()
	what := "empty turn through cgo, " + name
	if l.BackendError() != nil {
		fmt.Printf("%-40s not to be had here\n", what)
		return
	}
	compare(what, func() float64 {
		return each(turns, func() {
			for range turns {
				if _, err := l.Enter(0, 0); err != nil {
					log.Fatal(err)
				}
			}
		})
	}, "a call of C", func() float64 {
		return each(turns, func() {
			for range turns {
				l.Cancel(0) // nothing is named 0
			}
		})
	})
}

// printSharing prints how many events share a crossing of a server with one loop, while connections clients have inFlight
// messages of 64 bytes under way each.
func printSharing(backend string, connections, inFlight int) {
	const rounds = 100
	cfg := server.DefaultConfig()
	cfg.ListenAddr = "127.0.0.1:0"
	cfg.ExecutorWorkers = 1
	cfg.Backend = backend
	srv, err := server.NewServer(cfg)
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- srv.Run(api.HandlerFunc(echo)) }()

	var conns []*client
	for range connections {
		conns = append(conns, dial(srv.Addr().String()))
	}
	before := srv.GetControl().Stats()
	var clients sync.WaitGroup
	for _, c := range conns {
		clients.Add(1)
		go func() {
			defer clients.Done()
			c.pipeline(inFlight, rounds)
		}()
	}
	clients.Wait()
	after := srv.GetControl().Stats()
	for _, c := range conns {
		c.conn.Close()
	}
	srv.Shutdown()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	grown := func(key string) float64 { return float64(after[key].(int64) - before[key].(int64)) }
	what := fmt.Sprintf("events per crossing, %d x %d, %s", connections, inFlight, after["server.backend"])
	fmt.Printf("%-40s %10.1f\n", what, grown("loop.events")/grown("loop.crossings"))
}

func echo(data any) error {
	message, ok := data.(api.Buffer)
	if !ok {
		return nil
	}
	defer message.Release()
	payload := message.Bytes()
	return api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection).SendFrame(&protocol.WSFrame{
		IsFinal: true, Opcode: protocol.MessageOpcode(data), PayloadLen: int64(len(payload)), Payload: payload})
}

const messageSize = 64

// client is one that knows messages of messageSize bytes only.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(addr string) *client {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", addr)
	c := &client{conn, bufio.NewReader(conn)}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		log.Fatal("opening handshake: ", response, err)
	}
	return c
}

// pipeline sends n messages at a time and awaits their echoes, as often as told.
func (c *client) pipeline(n, times int) {
	// A binary message with a mask of zeros (RFC 6455, section 5.2).
	message := append([]byte{0x82, 0x80 | messageSize, 0, 0, 0, 0}, bytes.Repeat([]byte{'x'}, messageSize)...)
	out, in := bytes.Repeat(message, n), make([]byte, n*(2+messageSize))
	for range times {
		if _, err := c.conn.Write(out); err != nil {
			log.Fatal(err)
		}
		if _, err := io.ReadFull(c.in, in); err != nil {
			log.Fatal(err)
		}
	}
}

func main() {
	slog.SetLogLoggerLevel(slog.LevelWarn)
	compare("adapters.Ring, goroutine to goroutine", ringAcross, "channel", channelAcross)
	compare("adapters.Ring, one goroutine", ringAlone, "channel", channelAlone)
	compareTurns("epoll", csrc.BackendEpoll)
	compareTurns("io_uring", csrc.BackendIOUring)
	for _, backend := range []string{"epoll", "io_uring"} {
		printSharing(backend, 1, 1)
		printSharing(backend, 100, 16)
	}
}
