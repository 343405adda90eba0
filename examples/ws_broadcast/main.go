// Broadcast: prices of made-up shares, each a topic, to as many who want to know. Who reads slowly gets the latest price of
// each and not the whole history. README.md beside this file tells how to run and try it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	every := flag.Duration("every", time.Second, "time between prices")
	flag.Parse()
	if err := serve(*addr, *every); err != nil {
		fmt.Fprintln(os.Stderr, "ws_broadcast:", err)
		os.Exit(1)
	}
}

// names are the shares there are. Share NAME is the topic prices/NAME.
var names = []string{"ash", "birch", "cedar"}

func serve(addr string, every time.Duration) error {
	if every <= 0 {
		return fmt.Errorf("-every is %v, not more than nothing", every)
	}
	config := server.DefaultConfig()
	config.ListenAddr = addr
	config.PingInterval = 30 * time.Second
	config.Compression = &protocol.Compression{} // a price is compressed once, not once for each who gets it
	srv, err := server.NewServer(config)
	if err != nil {
		return err
	}
	srv.HandleWebSocket("GET /prices", protocol.Events{OnOpen: subscribe("prices/+")})
	for _, name := range names {
		srv.HandleWebSocket("GET /prices/"+name, protocol.Events{OnOpen: subscribe("prices/" + name)})
	}

	done := make(chan struct{})
	go publish(srv, every, done)
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupt
		close(done)
		srv.Shutdown()
	}()
	fmt.Printf("Listening on %s\n", srv.Addr())
	return srv.Run(nil)
}

// latest is for state, of which nobody wants to know the history: who reads slowly gets the last price of each share.
var latest = protocol.WithTopicPolicy(protocol.TopicPolicy{Slow: protocol.SlowKeepLatest})

// subscribe returns what to do with new connections.
func subscribe(pattern string) func(*protocol.WSConnection, *http.Request) {
	return func(c *protocol.WSConnection, _ *http.Request) {
		if err := c.Subscribe(pattern, latest); err != nil {
			_ = c.CloseWith(protocol.CloseInternalServerErr, err.Error())
		}
	}
}

// publish makes up prices until done is closed.
func publish(srv *server.Server, every time.Duration, done <-chan struct{}) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	prices := []float64{100, 100, 100}
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		for i, name := range names {
			prices[i] *= 1 + (rand.Float64()-0.5)/100
			text := fmt.Appendf(nil, `{"name":%q,"price":%.2f}`, name, prices[i])
			_, err := srv.Publish("prices/"+name, protocol.OpcodeText, text)
			if err != nil && !errors.Is(err, server.ErrNotRunning) { // before Run nobody has subscribed
				fmt.Println("Not published:", err)
			}
		}
	}
}
