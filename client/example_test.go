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
		err := srv.Run(api.HandlerFunc(func(data any) error {
			message, ok := data.(api.Buffer)
			if !ok {
				return nil
			}
			defer message.Release()
			return send(api.FromContext(api.ContextFromData(data)).(*client.Conn), string(message.Bytes()))
		}))
		if err != nil {
			log.Fatal(err)
		}
	}()
	return srv.Addr().String(), srv.Shutdown
}

func send(conn *client.Conn, text string) error {
	return conn.SendFrame(&protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText, Payload: []byte(text)})
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
	if err := send(conn, "hello"); err != nil {
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
		Handler: api.HandlerFunc(func(data any) error {
			switch data := data.(type) {
			case api.OpenEvent:
				return send(data.Conn.(*client.Conn), "hello")
			case api.Buffer:
				defer data.Release()
				fmt.Printf("%s\n", data.Bytes())
				return api.FromContext(api.ContextFromData(data)).(*client.Conn).Close()
			case api.CloseEvent:
				close(closed)
			}
			return nil
		}),
	}
	if _, _, err := client.Dial(context.Background(), "ws://"+address, options); err != nil {
		log.Fatal(err)
	}
	<-closed
	// Output: hello
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
			for err := send(conn, "here I am"); err == nil; {
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
