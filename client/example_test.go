package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// echoServer runs a server that sends everything back, until stop is called.
func echoServer() (address string, stop func()) {
	config := server.DefaultConfig()
	config.ListenAddr = "127.0.0.1:0"
	srv, err := server.NewServer(config)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		echo := func(c *protocol.WSConnection, opcode byte, data []byte) { _ = c.Send(opcode, data) }
		if err := srv.Run(protocol.Events{OnMessage: echo}); err != nil {
			log.Fatal(err)
		}
	}()
	return srv.Addr().String(), srv.Shutdown
}

// Without a handler, messages wait until they are asked for.
func ExampleDial() {
	address, stop := echoServer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, _, err := client.Dial(ctx, "ws://"+address+"/chat", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Send(protocol.OpcodeText, []byte("hello")); err != nil {
		log.Fatal(err)
	}
	messages, err := conn.RecvZeroCopy()
	if err != nil {
		log.Fatal(err)
	}
	for _, message := range messages {
		fmt.Printf("%s\n", message.Bytes())
		message.Release()
	}
	// Output: hello
}

// With a handler, messages come to it on the loop.
func ExampleDial_handler() {
	address, stop := echoServer()
	defer stop()
	closed := make(chan struct{})
	options := &client.Options{
		Header: http.Header{"Origin": {"http://" + address}},
		Handler: protocol.Events{
			OnOpen: func(c *client.Conn, _ *http.Request) { _ = c.Send(protocol.OpcodeText, []byte("hello")) },
			OnMessage: func(c *client.Conn, _ byte, data []byte) {
				fmt.Printf("%s\n", data)
				_ = c.Close()
			},
			OnClose: func(_ *client.Conn, code int, _ string) {
				fmt.Println("closed with", code)
				close(closed)
			},
		},
	}
	if _, _, err := client.Dial(context.Background(), "ws://"+address, options); err != nil {
		log.Fatal(err)
	}
	<-closed
	// Output:
	// hello
	// closed with 1000
}

// A server that refuses says why.
func ExampleHandshakeError() {
	address, stop := echoServer()
	defer stop()
	// A page from elsewhere: the server looks at it before it looks at anything else.
	options := &client.Options{Header: http.Header{"Host": {"example.com"}, "Origin": {"http://evil.example"}}}
	_, _, err := client.Dial(context.Background(), "ws://"+address, options)
	var refused *client.HandshakeError
	if errors.As(err, &refused) {
		fmt.Println(refused.Response.Status)
	}
	// Output: 403 Forbidden
}

// Many connections share two loops, which are threads.
func ExampleNewLoops() {
	address, stop := echoServer()
	defer stop()
	loops, err := client.NewLoops(2)
	if err != nil {
		log.Fatal(err)
	}
	defer loops.Close()
	for range 100 {
		if _, _, err := client.Dial(context.Background(), "ws://"+address, &client.Options{Loops: loops}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(loops.Len(), "connections")
	// Output: 100 connections
}

// A connection that comes back. Here it is used until it ends, on the goroutine of Run.
func ExampleReconnector() {
	address, stop := echoServer()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	reconnector := &client.Reconnector{
		URL:     "ws://" + address,
		Backoff: client.Backoff{Initial: 100 * time.Millisecond, Max: 10 * time.Second},
		OnConnect: func(conn *client.Conn, _ *http.Response) {
			for err := conn.Send(protocol.OpcodeText, []byte("here I am")); err == nil; {
				var messages []api.Buffer
				messages, err = conn.RecvZeroCopy()
				for _, message := range messages {
					fmt.Printf("%s\n", message.Bytes())
					message.Release()
					cancel() // enough
				}
			}
		},
		OnRetry: func(err error, wait time.Duration) { log.Print(err, ", next try in ", wait) },
	}
	fmt.Println(reconnector.Run(ctx))
	// Output:
	// here I am
	// context canceled
}
