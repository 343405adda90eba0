// Echo is the server that the conformance suite tests: it answers a text message with the same text and a binary one
// with the same bytes. It prints the address at which it listens and runs until SIGINT or SIGTERM.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "`address` to listen on")
	flag.Parse()
	if err := run(*addr); err != nil {
		log.Fatal(err)
	}
}

func run(addr string) error {
	cfg := server.DefaultConfig()
	cfg.ListenAddr = addr
	cfg.Compression = new(protocol.Compression)
	s, err := server.NewServer(cfg)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(adapters.HandlerFunc(echo)) }()
	fmt.Println(s.Addr())

	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	select {
	case err := <-ended:
		return err
	case <-interrupted:
		s.Shutdown()
		return <-ended
	}
}

func echo(data any) error {
	message, ok := data.(api.Buffer)
	if !ok { // the connection was opened, or has ended
		return nil
	}
	defer message.Release()
	c := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
	return c.SendFrame(&protocol.WSFrame{
		IsFinal: true, Opcode: protocol.MessageOpcode(data), PayloadLen: int64(len(message.Bytes())), Payload: message.Bytes(),
	})
}
