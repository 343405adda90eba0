package tcpio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/gid"
)

// text is n bytes that repeat with no power of two.
func text(n int) string {
	const line = "The quick brown fox jumps over the lazy dog, 13 times. "
	return strings.Repeat(line, n/len(line)+1)[:n]
}

func TestDataIsEchoed(t *testing.T) {
	for mode, options := range modes {
		if options.OnData == nil {
			continue
		}
		t.Run(mode, func(t *testing.T) {
			s := serve(t, options)
			client := s.dial()
			for _, size := range []int{1, 10, 2048, 2049, 65_536, 1_000_000, 20_000_000} {
				message := text(size)
				go io.WriteString(client, message)
				expect(t, client, message)
			}
			client.CloseWrite()
			expectEnd(t, client)
			client.Close()
			if err := wait(t, "OnClose", s.closes); err != nil {
				t.Errorf("OnClose was told %v", err)
			}
			if len(s.errs) > 0 {
				t.Errorf("OnErrorEvent was told %v", <-s.errs)
			}
		})
	}
}

func TestDataErrorArrivesUnchanged(t *testing.T) {
	mine := errors.New("mine")
	s := serve(t, ListenerOptions{OnData: func(conn net.Conn, _ []byte) error {
		conn.Write([]byte("last words"))
		return mine
	}})
	client := s.dial()
	send(t, client, strings.Repeat("unread", 100_000)[:1000])
	if err := s.failed(); err != mine {
		t.Errorf("OnErrorEvent was told %v", err)
	}
	expect(t, client, "last words")
	expectEnd(t, client)
	client.Close()
	if err := wait(t, "OnClose", s.closes); err != mine {
		t.Errorf("OnClose was told %v", err)
	}
	if len(s.errs) > 0 {
		t.Errorf("OnErrorEvent was also told %v", <-s.errs)
	}
}

func TestDataConnectionReset(t *testing.T) {
	s := serve(t, ListenerOptions{OnData: echoData})
	client := s.dial()
	send(t, client, "x")
	expect(t, client, "x")
	client.SetLinger(0)
	client.Close()
	is(t, s.failed(), syscall.ECONNRESET)
	is(t, wait(t, "OnClose", s.closes), syscall.ECONNRESET)
}

// With OnEnd a connection whose peer sends no more lives until it is closed.
func TestOnEnd(t *testing.T) {
	for mode, options := range modes {
		if options.OnData == nil {
			continue
		}
		t.Run(mode, func(t *testing.T) {
			ended := make(chan net.Conn, 10)
			options.OnEnd = func(conn net.Conn) error {
				ended <- conn
				return nil
			}
			s := serve(t, options)
			client := s.dial()
			send(t, client, "x")
			client.CloseWrite()
			expect(t, client, "x")
			conn := wait(t, "OnEnd", ended)
			send(t, conn, "an answer")
			expect(t, client, "an answer")
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			expectEnd(t, client)
			client.Close()
			if err := wait(t, "OnClose", s.closes); err != nil {
				t.Errorf("OnClose was told %v", err)
			}
		})
	}
}

func TestOnEndFails(t *testing.T) {
	mine := errors.New("mine")
	s := serve(t, ListenerOptions{OnData: echoData, OnEnd: func(net.Conn) error { return mine }})
	s.dial().CloseWrite()
	if err := s.failed(); err != mine {
		t.Error(err)
	}
	if err := wait(t, "OnClose", s.closes); err != mine {
		t.Error(err)
	}
}

// Shutdown has OnEnd called, once, also for a connection that has had it called before.
func TestShutdownCallsOnEndOnce(t *testing.T) {
	for mode, options := range modes {
		if options.OnData != nil {
			t.Run(mode, func(t *testing.T) { endsOnce(t, options) })
		}
	}
}

func endsOnce(t *testing.T, options ListenerOptions) {
	ended := make(chan net.Conn, 10)
	options.OnEnd = func(conn net.Conn) error {
		ended <- conn
		return nil
	}
	s := serve(t, options)
	one, two := s.dial(), s.dial()
	one.CloseWrite()
	first := wait(t, "OnEnd", ended)
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(patient(t)) }()
	second := wait(t, "OnEnd", ended)
	for _, conn := range []net.Conn{first, second} {
		send(t, conn, "bye")
		conn.Close()
	}
	for _, client := range []*net.TCPConn{one, two} {
		expect(t, client, "bye")
		expectEnd(t, client)
		client.Close()
	}
	if err := wait(t, "Shutdown", done); err != nil {
		t.Error(err)
	}
	if len(ended) > 0 {
		t.Error("OnEnd was called again")
	}
}

// streams returns a Stream and its client; what arrives goes to data.
func streams(t testing.TB, options ListenerOptions) (*serving, *Stream, *net.TCPConn) {
	t.Helper()
	conns := make(chan net.Conn, 1)
	options.OnOpen = func(conn net.Conn) error {
		conns <- conn
		return nil
	}
	if options.OnData == nil {
		options.OnData = func(net.Conn, []byte) error { return nil }
	}
	s := serve(t, options)
	client := s.dial()
	return s, wait(t, "OnOpen", conns).(*Stream), client
}

func TestStreamIsANetConn(t *testing.T) {
	_, conn, client := streams(t, ListenerOptions{})
	if got, want := conn.RemoteAddr().String(), client.LocalAddr().String(); got != want {
		t.Errorf("RemoteAddr: %s, want %s", got, want)
	}
	if got, want := conn.LocalAddr().String(), client.RemoteAddr().String(); got != want {
		t.Errorf("LocalAddr: %s, want %s", got, want)
	}
	if n, err := conn.Read(make([]byte, 10)); n != 0 || !errors.Is(err, ErrPushed) {
		t.Errorf("Read: %d, %v", n, err)
	}
	is(t, conn.SetDeadline(time.Now()), os.ErrNoDeadline)
	is(t, conn.SetReadDeadline(time.Now()), os.ErrNoDeadline)
	is(t, conn.SetWriteDeadline(time.Now()), os.ErrNoDeadline)
	conn.SetValue("mine")
	if conn.Value() != "mine" {
		t.Errorf("Value: %v", conn.Value())
	}
	if n, err := conn.Write(nil); n != 0 || err != nil {
		t.Errorf("writing nothing: %d, %v", n, err)
	}
	send(t, conn, "hello")
	expect(t, client, "hello")
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{"Close": conn.Close(), "Abort": conn.Abort(),
		"SetReading": conn.SetReading(true), "Write": func() error { _, err := conn.Write([]byte("x")); return err }()} {
		var op *net.OpError
		if !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) || shape(err) == "" {
			t.Errorf("%s of a closed stream: %v", what, err)
		}
	}
	expectEnd(t, client)
}

func TestStreamWritesAreInOrder(t *testing.T) {
	_, conn, client := streams(t, ListenerOptions{})
	const writers, each = 8, 1000
	var all sync.WaitGroup
	for w := range writers {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range each {
				if _, err := conn.Write(bytes.Repeat([]byte{byte(w), byte(i)}, 50)); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	var next [writers]byte
	piece := make([]byte, 100)
	for range writers * each {
		if _, err := io.ReadFull(client, piece); err != nil {
			t.Fatal(err)
		}
		if w := piece[0]; !bytes.Equal(piece, bytes.Repeat([]byte{w, next[w]}, 50)) {
			t.Fatalf("got %x from writer %d, want %x", piece, w, next[w])
		}
		next[piece[0]]++
	}
	all.Wait()
}

// A peer that does not read is not written to without end, and OnDrain tells when it has read.
func TestStreamBackpressure(t *testing.T) {
	drained := make(chan struct{}, 100)
	s, conn, client := streams(t, ListenerOptions{WriteBuffer: 1 << 20, MaxUnsent: 16 << 20,
		OnDrain: func(net.Conn) error {
			drained <- struct{}{}
			return nil
		}})
	piece := make([]byte, 1<<20)
	written := int64(0)
	var err error
	for ; err == nil; _, err = conn.Write(piece) {
		written += int64(len(piece))
		if written > 64<<20 {
			t.Fatal("MaxUnsent is no bound")
		}
	}
	written -= int64(len(piece)) // the first was none
	is(t, err, ErrQueueFull)
	if n := conn.Unsent(); n < 8<<20 || n > 16<<20 {
		t.Errorf("%d bytes are unsent", n)
	}
	read := make(chan int64, 1)
	go func() {
		n, _ := io.CopyN(io.Discard, client, written)
		read <- n
	}()
	for conn.Unsent() > 1<<20 { // what the kernel has taken at first may have been worth an OnDrain, too
		wait(t, "OnDrain", drained)
	}
	if n := wait(t, "the peer", read); n != written {
		t.Errorf("%d bytes of %d arrived", n, written)
	}
	send(t, conn, "it lives")
	expect(t, client, "it lives")
	client.Close()
	wait(t, "OnClose", s.closes)
}

// What was written before Close is sent, however long that takes; Abort loses it.
func TestStreamCloseFlushes(t *testing.T) {
	big := text(30 << 20)
	s, conn, client := streams(t, ListenerOptions{})
	send(t, conn, big)
	conn.Close()
	expect(t, client, big)
	expectEnd(t, client)
	client.Close()
	wait(t, "OnClose", s.closes)

	s, conn, client = streams(t, ListenerOptions{})
	send(t, conn, big)
	conn.Abort()
	wait(t, "OnClose", s.closes)
	if n, _ := io.Copy(io.Discard, client); n >= int64(len(big)) {
		t.Error("Abort has waited")
	}
}

// A peer that does not take what was written before Close costs CloseTimeout, and OnClose hears of it; one that just
// keeps its end open has got everything.
func TestStreamCloseTellsWhatWasLost(t *testing.T) {
	s, conn, _ := streams(t, ListenerOptions{CloseTimeout: soon})
	send(t, conn, text(30<<20))
	conn.Close()
	err := wait(t, "OnClose", s.closes)
	is(t, err, syscall.ETIMEDOUT)
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "close" || op.Addr != conn.RemoteAddr() {
		t.Errorf("OnClose was told %#v", err)
	}
	if told := s.failed(); told != err {
		t.Errorf("OnErrorEvent was told %v", told)
	}

	s, conn, client := streams(t, ListenerOptions{CloseTimeout: soon})
	send(t, conn, "all of it")
	conn.Close()
	if err := wait(t, "OnClose", s.closes); err != nil {
		t.Errorf("OnClose was told %v", err)
	}
	if len(s.errs) > 0 {
		t.Errorf("OnErrorEvent was told %v", <-s.errs)
	}
	expect(t, client, "all of it")
}

func TestStreamSetReading(t *testing.T) {
	data := make(chan string, 100)
	_, conn, client := streams(t, ListenerOptions{OnData: func(conn net.Conn, p []byte) error {
		data <- string(p)
		return conn.(*Stream).SetReading(false)
	}})
	send(t, client, "one")
	if got := wait(t, "data", data); got != "one" {
		t.Error(got)
	}
	send(t, client, "two")
	send(t, conn, "an answer") // goes the other way all the same
	expect(t, client, "an answer")
	if len(data) > 0 {
		t.Error("it was read while it was paused")
	}
	if err := conn.SetReading(true); err != nil {
		t.Error(err)
	}
	if got := wait(t, "data", data); got != "two" {
		t.Error(got)
	}
}

// Once a callback has closed the connection, no more of what has come is delivered.
func TestNoDataAfterClose(t *testing.T) {
	for name, framing := range map[string]Framing{"bytes": nil, "lines": Lines{}} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			s := serve(t, ListenerOptions{Framing: framing, OnData: func(conn net.Conn, _ []byte) error {
				calls++
				return conn.Close()
			}})
			client := s.dial()
			send(t, client, "one\ntwo\nthree\n")
			expectEnd(t, client)
			client.Close()
			wait(t, "OnClose", s.closes)
			if calls != 1 {
				t.Errorf("OnData was called %d times", calls)
			}
		})
	}
}

// Nor what lies in the completion ring when another goroutine closes it.
func TestClosedStreamHearsNothing(t *testing.T) {
	called := func(net.Conn) error { t.Error("called"); return nil }
	s, conn, _ := streams(t, ListenerOptions{OnEnd: called, OnDrain: called,
		OnData: func(conn net.Conn, _ []byte) error { return called(conn) }})
	data := []byte("x")
	_ = s.workers[0].loop.Do(func() {
		conn.Close()
		for _, kind := range []uint8{csrc.EvData, csrc.EvEnd, csrc.EvDrain, csrc.EvQuiet} {
			(*streamTarget)(conn).HandleEvent(&csrc.Event{Type: kind, Data: unsafe.Pointer(&data[0]), Len: 1})
		}
	})
	s.Close()
	wait(t, "Start to return", s.ended)
}

// descriptor is a client without Go's poller, so that it allocates nothing.
func descriptor(t testing.TB, client *net.TCPConn) int {
	t.Helper()
	f, err := client.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := syscall.SetNonblock(int(f.Fd()), false); err != nil {
		t.Fatal(err)
	}
	return int(f.Fd())
}

// exchange writes a message and reads as many bytes.
func exchange(t testing.TB, fd int, message, got []byte) {
	for p := message; len(p) > 0; {
		n, err := syscall.Write(fd, p)
		if err != nil && err != syscall.EINTR {
			t.Fatal(err)
		}
		p = p[max(n, 0):]
	}
	for p := got; len(p) > 0; {
		n, err := syscall.Read(fd, p)
		if n == 0 || err != nil && err != syscall.EINTR {
			t.Fatal(n, err)
		}
		p = p[max(n, 0):]
	}
}

// The path of a message allocates nothing, in either mode.
func TestEchoAllocatesNothing(t *testing.T) {
	if gid.Current() == 0 {
		t.Skip("this build does not know its goroutines: everything works by letters")
	}
	buf := make([]byte, 1<<20)
	var lines Framing = Lines{Max: 1 << 20}
	for name, options := range map[string]ListenerOptions{
		"OnData": {OnData: echoData},
		"OnData, timed": {OnData: echoData, IdleTimeout: late, ReadTimeout: late, WriteTimeout: late,
			HandshakeTimeout: late},
		"OnData, lines": {Framing: lines, OnData: func(conn net.Conn, line []byte) error {
			return WriteMessage(conn, lines, line)
		}},
		"OnConnEvent": {OnConnEvent: func(conn net.Conn) error {
			n, err := conn.Read(buf)
			if err == nil {
				_, err = conn.Write(buf[:n])
			}
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			fd := descriptor(t, serve(t, options).dial())
			for _, size := range []int{10, 3000, 50_000} {
				message := []byte(text(size-1) + "\n")
				got := make([]byte, size)
				if n := testing.AllocsPerRun(100, func() { exchange(t, fd, message, got) }); n >= 1 {
					t.Errorf("%d bytes: %v allocations", size, n)
				}
				if !bytes.Equal(got, message) {
					t.Errorf("%d bytes: the echo differs", size)
				}
			}
		})
	}
}

// Ten thousand messages in OnData cost the crossings of a few turns.
func TestOneCrossingATurn(t *testing.T) {
	if gid.Current() == 0 {
		t.Skip("this build does not know its goroutines: everything works by letters")
	}
	const conns, each = 100, 100
	messages := 0
	s := serve(t, ListenerOptions{Framing: LengthPrefix{}, OnData: func(conn net.Conn, message []byte) error {
		messages++
		return WriteMessage(conn, LengthPrefix{}, message)
	}})
	frame, _ := LengthPrefix{}.Append(nil, []byte(text(64)))
	pipeline := bytes.Repeat(frame, each)
	fds := make([]int, conns)
	for i := range fds {
		fds[i] = descriptor(t, s.dial())
		exchange(t, fds[i], frame, make([]byte, len(frame)))
	}
	before := runtime.NumCgoCall()
	for _, fd := range fds {
		exchange(t, fd, pipeline, make([]byte, len(pipeline)))
	}
	if calls := runtime.NumCgoCall() - before; calls > conns*each/10 {
		t.Errorf("%d calls of C for %d messages", calls, conns*each)
	}
	s.Close()
	wait(t, "Start to return", s.ended)
	if messages != conns*(each+1) {
		t.Errorf("%d messages", messages)
	}
}
