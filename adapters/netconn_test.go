package adapters_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// connected runs a server until the test ends, and returns both ends of a connection to it.
func connected(t *testing.T) (ours net.Conn, theirs *client.Conn) {
	t.Helper()
	accepted := make(chan net.Conn, 1)
	theirs = serve(t, protocol.Events{
		OnOpen: func(c *protocol.WSConnection, _ *http.Request) { accepted <- adapters.NetConn(c) },
	})
	ours = <-accepted
	t.Cleanup(func() { // or the shutdown would wait for whoever might be about to read, and answer
		_ = theirs.Close()
		_ = ours.Close()
	})
	if err := ours.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// Messages of both kinds are one stream; what is written comes in binary messages of a bounded size.
func TestNetConnIsAStream(t *testing.T) {
	ours, theirs := connected(t)
	for opcode, text := range map[byte]string{protocol.OpcodeText: "aa", protocol.OpcodeBinary: "aa"} {
		if err := theirs.Send(opcode, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := io.ReadAll(io.LimitReader(ours, 4)); err != nil || string(got) != "aaaa" {
		t.Errorf("got %q, %v", got, err)
	}
	sent := strings.Repeat("0123456789", 10000)
	if n, err := io.WriteString(ours, sent); err != nil || n != len(sent) {
		t.Fatal(n, err)
	}
	var got []byte
	for len(got) < len(sent) {
		opcode, r, err := theirs.NextReader(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		message, err := io.ReadAll(r)
		if err != nil || opcode != protocol.OpcodeBinary || len(message) > 32<<10 {
			t.Fatalf("a message of %d bytes, opcode %d, %v", len(message), opcode, err)
		}
		got = append(got, message...)
	}
	if string(got) != sent {
		t.Error("what arrives is not what was written")
	}
	if ours.RemoteAddr().Network() != "tcp" || ours.LocalAddr().String() == "" {
		t.Errorf("addresses %v, %v", ours.RemoteAddr(), ours.LocalAddr())
	}
}

func TestNetConnEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(ours net.Conn, theirs *client.Conn)
		want error
	}{
		{"in good order", func(_ net.Conn, theirs *client.Conn) { _ = theirs.Close() }, io.EOF},
		{"with an error", func(_ net.Conn, theirs *client.Conn) { _ = theirs.CloseWith(1011, "no") }, io.ErrUnexpectedEOF},
		{"here", func(ours net.Conn, _ *client.Conn) { _ = ours.Close() }, net.ErrClosed},
		{"in time", func(ours net.Conn, _ *client.Conn) { _ = ours.SetReadDeadline(time.Unix(1, 0)) },
			os.ErrDeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			ours, theirs := connected(t)
			result := make(chan error)
			go func() {
				_, err := ours.Read(make([]byte, 1))
				result <- err
			}()
			test.end(ours, theirs)
			if err := <-result; !errors.Is(err, test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	ours, _ := connected(t)
	if err := ours.Close(); err != nil {
		t.Error(err)
	}
	if err := ours.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the second time: %v", err)
	}
	if err := ours.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a deadline after the end: %v", err)
	}
}

// Greeter is what the example serves.
type Greeter struct{}

func (Greeter) Greet(name string, answer *string) error {
	*answer = "Hello, " + name
	return nil
}

// Whatever speaks over a net.Conn speaks through a WebSocket: here net/rpc.
func ExampleNetConn() {
	calls := rpc.NewServer()
	if err := calls.Register(Greeter{}); err != nil {
		log.Fatal(err)
	}
	config := server.DefaultConfig()
	config.ListenAddr = "127.0.0.1:0"
	srv, err := server.NewServer(config)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Shutdown()
	go srv.Run(protocol.Events{OnOpen: func(c *protocol.WSConnection, _ *http.Request) {
		conn := adapters.NetConn(c) // here, so that no message goes to a handler
		go calls.ServeConn(conn)
	}})
	ws, _, err := client.Dial(context.Background(), "ws://"+srv.Addr().String(), nil)
	if err != nil {
		log.Fatal(err)
	}
	caller := rpc.NewClient(adapters.NetConn(ws))
	defer caller.Close()
	var answer string
	if err := caller.Call("Greeter.Greet", "world", &answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer)
	// Output: Hello, world
}

// Lines, by way of bufio.
func ExampleNetConn_lines() {
	_ = protocol.Events{OnOpen: func(c *protocol.WSConnection, _ *http.Request) {
		conn := adapters.NetConn(c)
		go func() {
			defer conn.Close()
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				if _, err := fmt.Fprintf(conn, "you said %q\n", lines.Text()); err != nil {
					return
				}
			}
		}()
	}}
}
