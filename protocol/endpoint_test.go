package protocol

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
)

// patience bounds every wait of these tests: when it is over, something is wrong.
const patience = 30 * time.Second

var client = netip.MustParseAddrPort("192.0.2.1:4711")

// ignore is a handler that does nothing.
var ignore = api.HandlerFunc(func(any) error { return nil })

// shard makes an endpoint with one shard, on a loop that runs until the test ends.
func shard(t *testing.T, config EndpointConfig) *Shard {
	t.Helper()
	l, err := loop.New(loop.Config{CloseTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	e := NewEndpoint(config)
	e.SetHandler(ignore, true)
	ended := make(chan error, 1)
	go func() { ended <- l.Run() }()
	t.Cleanup(func() {
		l.Close()
		if err := <-ended; err != nil && err != loop.ErrLoopClosed { // closed before it began
			t.Error(err)
		}
	})
	return e.AddShard(l)
}

// pair is a connected pair of stream sockets: a descriptor for a shard, and the test's end.
func pair(t testing.TB) (fd int, peer net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[1]), "peer")
	defer f.Close()
	if peer, err = net.FileConn(f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	if err := peer.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return fds[0], peer
}

// status reads an HTTP answer and the end of the stream.
func status(t *testing.T, peer net.Conn) int {
	t.Helper()
	in := bufio.NewReader(peer)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(in); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

func TestHandshakeTimeout(t *testing.T) {
	s := shard(t, EndpointConfig{HandshakeTimeout: 50 * time.Millisecond})
	for _, begun := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\n"} {
		fd, peer := pair(t)
		began := time.Now()
		if err := s.Serve(fd, client); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(peer, begun); err != nil {
			t.Fatal(err)
		}
		if got := status(t, peer); got != http.StatusRequestTimeout {
			t.Errorf("after %q: got %d", begun, got)
		}
		if took := time.Since(began); took < 45*time.Millisecond { // its clock counts milliseconds
			t.Errorf("timed out after %v", took)
		}
	}
	if got := s.endpoint.Stats().Refused; got != 2 {
		t.Errorf("%d handshakes refused", got)
	}
}

// A handshake that is done has no time limit any more.
func TestHandshakeTimeoutEndsWithTheHandshake(t *testing.T) {
	s := shard(t, EndpointConfig{HandshakeTimeout: 200 * time.Millisecond})
	opened := make(chan *WSConnection, 1)
	s.endpoint.SetHandler(api.HandlerFunc(func(data any) error {
		if event, ok := data.(api.OpenEvent); ok {
			opened <- event.Conn.(*WSConnection)
		}
		return nil
	}), true)
	fd, peer := pair(t)
	if _, err := io.WriteString(peer, changed()); err != nil { // before: it may take its time
		t.Fatal(err)
	}
	if err := s.Serve(fd, client); err != nil {
		t.Fatal(err)
	}
	conn := <-opened
	select {
	case <-conn.Done():
		t.Error("the connection ended by itself")
	case <-time.After(300 * time.Millisecond): // longer than the limit
	}
}

// Connections that come when draining has begun are refused, those in their handshake too; then the endpoint is empty.
func TestDrain(t *testing.T) {
	s := shard(t, EndpointConfig{HandshakeTimeout: patience})
	before, early := pair(t)
	if err := s.Serve(before, client); err != nil {
		t.Fatal(err)
	}
	drained := s.endpoint.Drain()
	if got := status(t, early); got != http.StatusServiceUnavailable {
		t.Errorf("in its handshake: %d", got)
	}
	after, late := pair(t)
	if err := s.Serve(after, client); err != nil {
		t.Fatal(err)
	}
	if got := status(t, late); got != http.StatusServiceUnavailable {
		t.Errorf("after Drain: %d", got)
	}
	early.Close()
	late.Close()
	select {
	case <-drained:
	case <-time.After(patience):
		t.Fatal("not drained")
	}
	if s.Len() != 0 || s.endpoint.Drain() != drained {
		t.Error("drained for good")
	}
}

// One who was refused and does not hang up does not hold up the end.
func TestDrainWaitsNotForLong(t *testing.T) {
	s := shard(t, EndpointConfig{HandshakeTimeout: 2 * patience})
	fd, peer := pair(t)
	if err := s.Serve(fd, client); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	<-s.endpoint.Drain()
	if took := time.Since(began); took > patience {
		t.Errorf("it took %v", took)
	}
	if got := status(t, peer); got != http.StatusServiceUnavailable {
		t.Errorf("got %d", got)
	}
}

// A shard owns the descriptor even when its loop does not take it.
func TestServeOnAClosedLoop(t *testing.T) {
	s := shard(t, EndpointConfig{})
	s.loop.Close()
	<-s.loop.Done()
	fd, peer := pair(t)
	if err := s.Serve(fd, client); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the descriptor stays open: %d, %v", n, err)
	}
	<-s.endpoint.Drain()
}

// The end of a loop ends its connections, with a close event each.
func TestLoopEndsUnderConnections(t *testing.T) {
	s := shard(t, EndpointConfig{HandshakeTimeout: patience})
	events := make(chan any, 2)
	s.endpoint.SetHandler(api.HandlerFunc(func(data any) error {
		events <- data
		return nil
	}), true)
	fd, peer := pair(t)
	if err := s.Serve(fd, client); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(peer, strings.NewReader(changed())); err != nil {
		t.Fatal(err)
	}
	conn := (<-events).(api.OpenEvent).Conn.(*WSConnection)
	s.loop.Close()
	if ended := (<-events).(api.CloseEvent).Conn; ended != conn {
		t.Errorf("the close event is about %v", ended)
	}
	<-conn.Done()
	if code, _ := conn.CloseStatus(); code != CloseAbnormalClosure {
		t.Errorf("closed with %d", code)
	}
	if err := conn.SendFrame(&WSFrame{IsFinal: true, Opcode: OpcodeText}); !errors.Is(err, api.ErrTransportClosed) {
		t.Errorf("SendFrame: %v", err)
	}
	<-s.endpoint.Drain()
	if stats := s.endpoint.Stats(); stats.Active != 0 || stats.Opened != 1 || stats.BytesReceived != int64(len(changed())) {
		t.Errorf("got %+v", stats)
	}
}

// refusing is an executor that takes nothing.
type refusing struct{}

func (refusing) Submit(func()) error { return api.ErrResourceExhausted }
func (refusing) NumWorkers() int     { return 0 }
func (refusing) Resize(int)          {}

// What an executor does not take is handled nevertheless, and in order.
func TestExecutorThatRefuses(t *testing.T) {
	s := shard(t, EndpointConfig{Executor: refusing{}, QueueLimit: 4, HandshakeTimeout: patience})
	const count = 3 * workerBatch
	got := make(chan string, count+2)
	s.endpoint.SetHandler(api.HandlerFunc(func(data any) error {
		switch event := data.(type) {
		case api.Buffer:
			got <- string(event.Bytes())
			event.Release()
		default:
			got <- fmt.Sprintf("%T", data)
		}
		return nil
	}), true)
	fd, peer := pair(t)
	if err := s.Serve(fd, client); err != nil {
		t.Fatal(err)
	}
	all, want := []byte(changed()), []string{"api.OpenEvent"}
	for i := 0; i < count; i++ {
		text := fmt.Sprintf("%03d", i)
		all = append(append(all, 0x81, 0x83, 0, 0, 0, 0), text...)
		want = append(want, text)
	}
	if _, err := peer.Write(all); err != nil {
		t.Fatal(err)
	}
	peer.Close()
	for _, text := range append(want, "api.CloseEvent") {
		if next := <-got; next != text {
			t.Fatalf("got %s, want %s", next, text)
		}
	}
	<-s.endpoint.Drain()
}
