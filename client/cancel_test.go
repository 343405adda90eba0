package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
)

// signal tells that something has happened.
type signal chan struct{}

// Wherever a Dial is when its context ends, it ends too, says where it was, and leaves nothing.
func TestCancel(t *testing.T) {
	leaks(t)
	own, pool := certificate(t)
	// silent says what it has heard of and no more.
	silent := func(t *testing.T, heard signal, first func(net.Conn) net.Conn) string {
		return listen(t, func(conn net.Conn) {
			if first != nil {
				conn = first(conn)
			}
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				heard <- struct{}{}
				_, _ = io.Copy(io.Discard, conn)
			}
		})
	}
	for _, c := range []struct {
		stage, want string
		prepare     func(t *testing.T, o *Options, heard signal) (url string)
	}{
		{"connecting", "connecting to example.com:80", func(t *testing.T, o *Options, heard signal) string {
			o.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				heard <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return "ws://example.com"
		}},
		{"the proxy's TLS", "TLS with the proxy", func(t *testing.T, o *Options, heard signal) string {
			o.Proxy, _ = through(t, "https://"+silent(t, heard, nil))
			return "ws://example.com"
		}},
		{"the proxy's answer", "waiting for the proxy", func(t *testing.T, o *Options, heard signal) string {
			o.Proxy, _ = through(t, "http://"+silent(t, heard, nil))
			return "ws://example.com"
		}},
		{"the server's TLS", "TLS with the server", func(t *testing.T, o *Options, heard signal) string {
			return "wss://" + silent(t, heard, nil)
		}},
		{"the answer", "waiting for the server's answer", func(t *testing.T, o *Options, heard signal) string {
			return "ws://" + silent(t, heard, nil)
		}},
		{"the answer by TLS", "waiting for the server's answer", func(t *testing.T, o *Options, heard signal) string {
			o.TLSConfig = &tls.Config{RootCAs: pool}
			return "wss://" + silent(t, heard, func(conn net.Conn) net.Conn {
				return tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{own}})
			})
		}},
		{"half an answer", "waiting for the server's answer", func(t *testing.T, o *Options, heard signal) string {
			return "ws://" + listen(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(newReader(conn)); err == nil {
					_, _ = io.WriteString(conn, "HTTP/1.1 101 Switch")
					heard <- struct{}{}
					_, _ = io.Copy(io.Discard, conn)
				}
			})
		}},
	} {
		t.Run(c.stage, func(t *testing.T) {
			o := direct(t)
			heard := make(signal, 1)
			url := c.prepare(t, o, heard)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			result := make(chan error, 1)
			go func() {
				conn, response, err := Dial(ctx, url, o)
				if conn != nil || response != nil {
					t.Errorf("got %v, %v", conn, response)
				}
				result <- err
			}()
			<-heard
			cancel()
			if err := <-result; !errors.Is(err, context.Canceled) || !says(err, c.want) {
				t.Errorf("got %v; want %q", err, c.want)
			}
			if o.Loops.Len() != 0 {
				t.Errorf("%d connections", o.Loops.Len())
			}
		})
	}
}

// A context that has ended already; one that ends when the connection stands changes nothing any more.
func TestContextBeforeAndAfter(t *testing.T) {
	leaks(t)
	address := serve(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	o := direct(t)
	c, _, err := Dial(ctx, "ws://"+address, o)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	exchangeText(t, c, "still here")
	c.Close()
	await(t, "the end", c.Done())
	if c, _, err := Dial(ctx, "ws://"+address, o); c != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestHandshakeTimeout(t *testing.T) {
	leaks(t)
	o := direct(t)
	o.HandshakeTimeout = time.Millisecond
	address := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	c, _, err := Dial(context.Background(), "ws://"+address, o)
	if c != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if got := new(Options).timeout(); got != DefaultHandshakeTimeout {
		t.Errorf("without one it is %v", got)
	}
	o.HandshakeTimeout = -1
	ctx := &watched{Context: within(t)}
	o.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if _, ok := ctx.(*watched); !ok {
			t.Error("a limit of time has been added")
		}
		return nil, io.EOF
	}
	if _, _, err := Dial(ctx, "ws://example.com", o); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

type watched struct{ context.Context }

// A Dial that ends while it connects says the same, whichever timer was the first.
func TestHandshakeTimeoutWhileConnecting(t *testing.T) {
	leaks(t)
	full := listener(t)
	for range 16 { // the queue has room for one, or not many more
		conn, err := net.DialTimeout("tcp", full, 50*time.Millisecond)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	o := direct(t)
	o.HandshakeTimeout = time.Millisecond
	for range 100 {
		c, _, err := Dial(context.Background(), "ws://"+full, o)
		if c != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v", err)
		}
	}
}

// listener listens, and accepts nothing.
func listener(t testing.TB) (address string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
}

// The loops close while a Dial is under way, and before.
func TestLoopsClose(t *testing.T) {
	leaks(t)
	address := serve(t, nil)
	for _, scheme := range []string{"ws", "wss"} {
		front, pool := tlsFront(t, address, nil)
		if scheme == "ws" {
			front = address
		}
		o := direct(t)
		o.TLSConfig = &tls.Config{RootCAs: pool}
		o.Loops.Close()
		c, response, err := Dial(within(t), scheme+"://"+front, o)
		if c != nil || response == nil || !errors.Is(err, ErrLoopsClosed) || !errors.Is(err, api.ErrTransportClosed) {
			t.Errorf("%s: %v, %v", scheme, response, err)
		}
	}
}
