package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/netfd"
	"github.com/momentics/hioload-ws/protocol"
)

// say answers every request with a text.
func say(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
}

// get fetches a page as a client of net/http does.
func get(t testing.TB, c *http.Client, addr net.Addr, path string) (status int, body string) {
	t.Helper()
	response, err := c.Get("http://" + addr.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

// browser is a client of net/http whose connections end with the test.
func browser(t testing.TB) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// WebSockets, pages and files share one port.
func TestHTTPBesideWebSocket(t *testing.T) {
	folder := t.TempDir()
	file := bytes.Repeat([]byte("0123456789"), 300_000)
	if err := os.WriteFile(filepath.Join(folder, "file"), file, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := local()
	cfg.HTTP = say("anything else")
	s := start(t, cfg, api.HandlerFunc(echo))
	s.Handle("GET /health", say("well"))
	s.Handle("GET /users/{name}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s from %s", r.PathValue("name"), r.RemoteAddr)
	}))
	s.Handle("/files/", http.StripPrefix("/files/", http.FileServer(http.Dir(folder))))
	bystander := dial(t, s.Addr())
	c := browser(t)
	for path, want := range map[string]string{
		"/health": "well", "/": "anything else", "/nowhere": "anything else", "/files/file": string(file),
	} {
		if status, body := get(t, c, s.Addr(), path); status != http.StatusOK || body != want {
			t.Errorf("%s: %d, %d bytes %.40q", path, status, len(body), body)
		}
	}
	if _, body := get(t, c, s.Addr(), "/users/ann"); !strings.HasPrefix(body, "ann from 127.0.0.1:") {
		t.Errorf("path value and address: %q", body)
	}
	bystander.send(protocol.OpcodeText, []byte("x"))
	bystander.expect(protocol.OpcodeText, []byte("x"))
	stats := s.GetControl().Stats()
	if stats["http.requests"] != int64(5) || stats["http.connections"] != int64(1) || stats["http.active"] != int64(1) {
		t.Errorf("requests %v, connections %v, active %v: one kept-alive connection was to do",
			stats["http.requests"], stats["http.connections"], stats["http.active"])
	}
}

// Whatever a request has behind its head, and however it comes in pieces, net/http gets all of it and in order.
func TestHandOverLosesNothing(t *testing.T) {
	cfg := local()
	cfg.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%s %d %s %v", r.URL.Path, n, hex.EncodeToString(sum.Sum(nil)), err)
	})
	s := start(t, cfg, api.HandlerFunc(echo))
	for _, size := range []int{0, 1, 1000, 70_000, 5_000_000} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(rand.Uint32())
		}
		digest := sha256.Sum256(body)
		all := fmt.Appendf(nil, "POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, body)
		all = append(all, "GET /second HTTP/1.1\r\nHost: x\r\n\r\nGET /third HTTP/1.1\r\nHost: x\r\n\r\n"...)
		for _, pieces := range [][]int{{len(all)}, {1, 1, 20}, {60}, {62, 1, 1, 4096, 1 << 16}} {
			c := connect(t, s.Addr())
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				rest := all
				for _, n := range pieces {
					n = min(n, len(rest))
					if _, err := c.conn.Write(rest[:n]); err != nil {
						t.Error(err)
						return
					}
					rest = rest[n:]
				}
				if _, err := c.conn.Write(rest); err != nil {
					t.Error(err)
				}
			}()
			nothing := sha256.Sum256(nil)
			for _, want := range []string{
				fmt.Sprintf("/first %d %x <nil>", size, digest), fmt.Sprintf("/second 0 %x <nil>", nothing),
				fmt.Sprintf("/third 0 %x <nil>", nothing),
			} {
				if _, got := c.response(); got != want {
					t.Fatalf("body of %d in %v: got %q, want %q", size, pieces, got, want)
				}
			}
			<-sent
			c.conn.Close()
		}
	}
}

// A client that ends its stream behind its request is answered.
func TestHandOverOfAHalfClosedConnection(t *testing.T) {
	cfg := local()
	cfg.HTTP = say("still here")
	s := start(t, cfg, api.HandlerFunc(echo))
	for range 20 {
		c := connect(t, s.Addr())
		c.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, body := c.response(); body != "still here" {
			t.Errorf("got %q", body)
		}
		c.expectEnd()
	}
}

func TestExpectContinue(t *testing.T) {
	cfg := local()
	cfg.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	s := start(t, cfg, api.HandlerFunc(echo))
	c := connect(t, s.Addr())
	c.write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"))
	if response, err := http.ReadResponse(c.in, nil); err != nil || response.StatusCode != http.StatusContinue {
		t.Fatalf("got %v, %v; want 100", response, err)
	}
	c.write([]byte("body"))
	if _, body := c.response(); body != "body" {
		t.Errorf("got %q", body)
	}
}

// Without routes and Config.HTTP nothing is served but WebSockets; what is not HTTP is refused in any case.
func TestOrdinaryRequestsWithoutHTTP(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	if status, _ := get(t, browser(t), s.Addr(), "/"); status != http.StatusUpgradeRequired {
		t.Errorf("got %d", status)
	}
	s.Handle("/later", say("there now"))
	if _, body := get(t, browser(t), s.Addr(), "/later"); body != "there now" {
		t.Errorf("got %q", body)
	}
	c := connect(t, s.Addr())
	c.write([]byte("hello\r\n\r\n"))
	if response, _ := c.response(); response.StatusCode != http.StatusBadRequest {
		t.Errorf("got %s", response.Status)
	}
}

// MaxConnections counts HTTP connections too.
func TestMaxConnectionsWithHTTP(t *testing.T) {
	cfg := local()
	cfg.MaxConnections = 2
	cfg.HTTP = say("x")
	s := start(t, cfg, api.HandlerFunc(echo))
	dial(t, s.Addr())
	kept := browser(t)
	if status, _ := get(t, kept, s.Addr(), "/"); status != http.StatusOK {
		t.Errorf("the second: %d", status)
	}
	if status, _ := get(t, browser(t), s.Addr(), "/"); status != http.StatusServiceUnavailable {
		t.Errorf("the third: %d", status)
	}
	third := connect(t, s.Addr())
	third.write([]byte(request))
	if response, _ := third.response(); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the third, a WebSocket: %d", response.StatusCode)
	}
}

// Shutdown lets a request that is being served finish, closes idle connections and is done then.
func TestShutdownWithHTTP(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	cfg := local()
	cfg.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-finish
		}
		fmt.Fprint(w, "served")
	})
	s, ended := run(t, cfg, api.HandlerFunc(echo))
	idle := connect(t, s.Addr())
	idle.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	idle.response()
	slow := connect(t, s.Addr())
	slow.write([]byte("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"))
	<-begun
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Shutdown()
	}()
	idle.expectEnd()
	select {
	case <-done:
		t.Error("Shutdown did not wait")
	default:
	}
	close(finish)
	if _, body := slow.response(); body != "served" {
		t.Errorf("got %q", body)
	}
	slow.expectEnd()
	<-done
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A request that takes too long does not keep a server from ending.
func TestShutdownAbortsHTTP(t *testing.T) {
	begun, left := make(chan struct{}), make(chan struct{})
	cfg := local()
	cfg.ShutdownTimeout = 50 * time.Millisecond
	cfg.HTTP = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done() // the connection has been closed
		close(left)
	})
	s, _ := run(t, cfg, api.HandlerFunc(echo))
	c := connect(t, s.Addr())
	c.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	<-begun
	s.Shutdown()
	<-left
}

// Thousands of hand-overs, of clients that stay and of clients that vanish, leave nothing behind.
func TestHandOversLeaveNothing(t *testing.T) {
	cfg := local()
	cfg.HTTP = say("x")
	s, _ := run(t, cfg, api.HandlerFunc(echo))
	hurried := func(i int) {
		c := connect(t, s.Addr())
		defer c.conn.Close()
		c.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
		if i%3 > 0 {
			c.response()
		}
	}
	hurried(1)
	open, goroutines := descriptors(t), runtime.NumGoroutine()
	var all sync.WaitGroup
	for worker := range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range 750 {
				hurried(worker + i)
			}
		}()
	}
	all.Wait()
	eventually(t, func() bool {
		return s.GetControl().Stats()["http.active"] == int64(0) && descriptors(t) <= open &&
			runtime.NumGoroutine() <= goroutines
	})
	if n := s.GetControl().Stats()["http.connections"].(int64); n < 2001 {
		t.Errorf("%d connections have been handed over", n)
	}
}

// eventually waits for something that nobody tells.
func eventually(t testing.TB, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it has not come to pass")
		}
	}
}

// What a client does not take must not hold a handler, and a connection, for ever.
func TestWriteTimeoutWithHTTP(t *testing.T) {
	cfg := local()
	cfg.WriteTimeout = 300 * time.Millisecond
	failed := make(chan error, 1)
	cfg.HTTP = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var err error
		for piece := make([]byte, 1<<20); err == nil; {
			_, err = w.Write(piece)
		}
		failed <- err
	})
	s := start(t, cfg, api.HandlerFunc(echo))
	c := connect(t, s.Addr())
	c.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	select {
	case err := <-failed:
		// The kernel says ETIMEDOUT once, and net/http, which reads meanwhile, may be the one that hears it.
		if !errors.Is(err, syscall.ETIMEDOUT) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("writing: %v, want %v or %v", err, syscall.ETIMEDOUT, syscall.EPIPE)
		}
	case <-time.After(patience):
		t.Fatal("the handler still writes")
	}
}

// Whoever takes a connection over decides for himself what is too slow.
func TestNoWriteTimeoutOnceHijacked(t *testing.T) {
	cfg := local()
	cfg.WriteTimeout = 300 * time.Millisecond
	got := make(chan time.Duration, 2)
	cfg.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- userTimeout(t, r.Context().Value(webConnKey{}).(*webConn))
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			close(got)
			return
		}
		defer c.Close()
		got <- userTimeout(t, c.(*webConn))
	})
	s := start(t, cfg, api.HandlerFunc(echo))
	c := connect(t, s.Addr())
	c.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if before, after := <-got, <-got; before != cfg.WriteTimeout || after != 0 {
		t.Errorf("the kernel's limit is %v, then %v, want %v, then none", before, after, cfg.WriteTimeout)
	}
}

// userTimeout is how long the kernel lets a peer take nothing.
func userTimeout(t testing.TB, c *webConn) (d time.Duration) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			ms, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, netfd.TCP_USER_TIMEOUT)
			if err != nil {
				t.Error(err)
			}
			d = time.Duration(ms) * time.Millisecond
		})
	}
	if err != nil {
		t.Error(err)
	}
	return d
}

// A body that never comes, for a handler that does not want it, must not hold a connection for ever.
func TestUnwantedBodyIsNotAwaitedForEver(t *testing.T) {
	cfg := local()
	cfg.HandshakeTimeout = 300 * time.Millisecond
	s := start(t, cfg, api.HandlerFunc(echo))
	s.Handle("GET /health", say("well"))
	eventually(t, func() bool {
		c := connect(t, s.Addr())
		c.write([]byte("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"))
		response, _ := c.response()
		c.expectEnd()
		if response.StatusCode == http.StatusRequestTimeout {
			return false // so slow a machine that not even the head came in time
		}
		if response.StatusCode != http.StatusNotFound {
			t.Error(response.Status)
		}
		return true
	})
}
