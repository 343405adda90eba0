package client

import (
	"context"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// patience bounds every wait of these tests: when it is over, something is wrong.
const patience = 30 * time.Second

// within is a context that lasts as long as a test may.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// loops starts loops that end with the test.
func loops(t testing.TB, n int, options ...LoopsOption) *Loops {
	t.Helper()
	l, err := NewLoops(n, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// direct returns options for a connection without a proxy, over a loop of the test's own.
func direct(t testing.TB) *Options {
	t.Helper()
	return &Options{Proxy: NoProxy, Loops: loops(t, 1)}
}

// echo sends every message back.
func echo(data any) error {
	message, ok := data.(api.Buffer)
	if !ok {
		return nil
	}
	defer message.Release()
	conn := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
	return conn.SendFrame(&protocol.WSFrame{
		IsFinal: true, Opcode: protocol.MessageOpcode(data), Payload: message.Bytes()})
}

// serve starts one of our own servers; handler nil: it echoes.
func serve(t testing.TB, handler api.Handler) (address string) {
	t.Helper()
	return serveWith(t, handler, server.DefaultConfig())
}

// serveWith is serve with a configuration.
func serveWith(t testing.TB, handler api.Handler, config *server.Config) (address string) {
	t.Helper()
	config.ListenAddr = "127.0.0.1:0"
	s, err := server.NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	if handler == nil {
		handler = api.HandlerFunc(echo)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(handler) }()
	t.Cleanup(func() {
		s.Shutdown()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Addr().String()
}

// dial opens a connection that closes with the test.
func dial(t testing.TB, url string, o *Options) *Conn {
	t.Helper()
	c, response, err := Dial(within(t), url, o)
	if err != nil {
		t.Fatal(err)
	}
	if response == nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the response is %+v", response)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// exchangeText sends a text and expects it back.
func exchangeText(t testing.TB, c *Conn, text string) {
	t.Helper()
	frame := &protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText, Payload: []byte(text)}
	if err := c.SendFrame(frame); err != nil {
		t.Fatal(err)
	}
	expectText(t, c, text)
}

// expectText receives a message.
func expectText(t testing.TB, c *Conn, text string) {
	t.Helper()
	messages, err := c.RecvZeroCopy()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if got := string(m.Bytes()); got != text || len(messages) != 1 {
			t.Fatalf("got %.60q in %d messages, want %.60q", got, len(messages), text)
		}
		m.Release()
	}
}

// await waits for a channel to be closed.
func await(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waiting for %s takes too long", what)
	}
}

// leaks remembers what the process has open, and tells when the test ends what has come to stay. Descriptors and
// goroutines end a little after those who wait for them have gone on.
func leaks(t testing.TB) {
	t.Helper()
	warm, err := net.Listen("tcp", "127.0.0.1:0") // by now there is Go's poller
	if err != nil {
		t.Fatal(err)
	}
	warm.Close()
	descriptors, goroutines := count(t)
	t.Cleanup(func() {
		var d, g int
		for end := time.Now().Add(patience); time.Now().Before(end); runtime.Gosched() {
			if d, g = count(t); d <= descriptors && g <= goroutines {
				return
			}
		}
		stacks := make([]byte, 64<<10)
		t.Errorf("%d descriptors and %d goroutines have become %d and %d:\n%s", descriptors, goroutines, d, g,
			stacks[:runtime.Stack(stacks, true)])
	})
}

func count(t testing.TB) (descriptors, goroutines int) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list), runtime.NumGoroutine()
}

// says tells whether an error has these words in it.
func says(err error, words string) bool { return err != nil && strings.Contains(err.Error(), words) }
