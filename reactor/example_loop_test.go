//go:build linux

package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/reactor"
)

// echo sends back what it receives. A connection that is silent for a minute is closed.
type echo struct {
	reactor.BaseHandler
	unsent []byte // what the socket has not taken yet
}

const idle = time.Minute

func (e *echo) OnReadable(s *reactor.Socket, buffer []byte) {
	n, err := s.Read(buffer)
	if errors.Is(err, reactor.ErrWouldBlock) {
		return
	}
	if err != nil { // io.EOF, or a failure
		s.Close()
		return
	}
	s.SetTimeout(idle)
	e.send(s, buffer[:n])
}

func (e *echo) OnWritable(s *reactor.Socket) { e.send(s, nil) }

func (e *echo) OnTimeout(s *reactor.Socket) { s.Close() }

// send writes what the socket takes; while there is more, it does not read on.
func (e *echo) send(s *reactor.Socket, p []byte) {
	e.unsent = append(e.unsent, p...)
	n, err := s.Write(e.unsent)
	if err != nil && !errors.Is(err, reactor.ErrWouldBlock) {
		s.Close()
		return
	}
	e.unsent = append(e.unsent[:0], e.unsent[n:]...)
	s.Interest(len(e.unsent) == 0, len(e.unsent) > 0)
}

// An echo server for any number of connections.
func ExampleLoop() {
	loop, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer loop.Close()
	listener, err := loop.Listen("tcp", "127.0.0.1:0", func(conn *reactor.Accepted) {
		token, err := conn.Add(new(echo))
		if err != nil {
			fmt.Println(err)
			return
		}
		loop.SetTimeout(token, idle)
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go loop.Run(context.Background())

	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	reply := make([]byte, 5)
	fmt.Fprint(client, "hello")
	io.ReadFull(client, reply)
	fmt.Printf("%s\n", reply)
	// Output: hello
}

// client says hello and prints what comes back.
type client struct {
	reactor.BaseHandler
	loop *reactor.Loop
}

func (c client) OnWritable(s *reactor.Socket) {
	fmt.Println("connected")
	s.Write([]byte("hello"))
}

func (c client) OnReadable(s *reactor.Socket, buffer []byte) {
	if n, err := s.Read(buffer); err == nil {
		fmt.Printf("received %q\n", buffer[:n])
	}
	s.Close()
}

func (c client) OnClose(s *reactor.Socket) {
	if err := s.Err(); err != nil {
		fmt.Println("not connected:", err)
	}
	c.loop.Stop()
}

// A client with a connect timeout of 30 seconds.
func ExampleLoop_Dial() {
	loop, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer loop.Close()
	server, err := loop.Listen("tcp", "127.0.0.1:0", func(conn *reactor.Accepted) { conn.Add(new(echo)) })
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := loop.Dial("tcp", server.Addr().String(), 30*time.Second, client{loop: loop}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(loop.Run(context.Background()))
	// Output:
	// connected
	// received "hello"
	// <nil>
}

// ticker prints, and asks for the next time.
type ticker struct {
	reactor.BaseHandler
	ticks int
}

func (t *ticker) OnTimeout(s *reactor.Socket) {
	t.ticks++
	fmt.Println("tick", t.ticks)
	if t.ticks == 3 {
		s.Close()
		return
	}
	s.SetTimeout(time.Millisecond)
}

// Timeouts that come again, on one end of a pipe, and a loop that is driven by hand.
func ExampleLoop_PollOnce() {
	loop, err := reactor.NewLoop(reactor.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer loop.Close()
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		fmt.Println(err)
		return
	}
	defer syscall.Close(pipe[1])
	t := new(ticker)
	token, err := loop.Add(pipe[0], t) // which the loop closes
	if err != nil {
		syscall.Close(pipe[0])
		fmt.Println(err)
		return
	}
	loop.SetTimeout(token, time.Millisecond)
	for t.ticks < 3 {
		if err := loop.PollOnce(100 * time.Millisecond); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output:
	// tick 1
	// tick 2
	// tick 3
}
