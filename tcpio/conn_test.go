package tcpio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// pair returns both ends of a connection that no callback is interested in.
func pair(t testing.TB, options ListenerOptions) (*Conn, *net.TCPConn) {
	t.Helper()
	conns := make(chan net.Conn, 1)
	options.OnOpen = func(conn net.Conn) error {
		conns <- conn
		return nil
	}
	s := serve(t, options)
	client := s.dial()
	return wait(t, "OnOpen", conns).(*Conn), client
}

// standardPair is pair with a connection of package net.
func standardPair(t testing.TB) (conn, client *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return accepted.(*net.TCPConn), c.(*net.TCPConn)
}

// full is what a *net.TCPConn and a Conn can both do.
type full interface {
	net.Conn
	syscall.Conn
	CloseRead() error
	CloseWrite() error
}

// shape describes an error as far as programs look at it.
func shape(err error) string {
	var text string
	for e := err; e != nil; e = errors.Unwrap(e) {
		text += reflect.TypeOf(e).String() + " "
	}
	for name, target := range map[string]error{"EOF": io.EOF, "closed": net.ErrClosed, "deadline": os.ErrDeadlineExceeded,
		"EPIPE": syscall.EPIPE, "ECONNRESET": syscall.ECONNRESET, "ENOTCONN": syscall.ENOTCONN} {
		if errors.Is(err, target) {
			text += name + " "
		}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		text += fmt.Sprintf("%s %s, timeout %v", op.Op, op.Net, op.Timeout())
	}
	return text
}

// Whatever package net answers to, a Conn answers in the same way.
func TestErrorsAreThoseOfPackageNet(t *testing.T) {
	read := func(c full) error { _, err := c.Read(make([]byte, 10)); return err }
	write := func(c full) error { _, err := c.Write(make([]byte, 10)); return err }
	past := time.Now().Add(-time.Hour)
	for name, try := range map[string]func(c full, client *net.TCPConn) error{
		"read the end":      func(c full, client *net.TCPConn) error { client.CloseWrite(); return read(c) },
		"read nothing":      func(c full, _ *net.TCPConn) error { _, err := c.Read(nil); return err },
		"write nothing":     func(c full, _ *net.TCPConn) error { _, err := c.Write(nil); return err },
		"read after close":  func(c full, _ *net.TCPConn) error { c.Close(); return read(c) },
		"write after close": func(c full, _ *net.TCPConn) error { c.Close(); return write(c) },
		"close twice":       func(c full, _ *net.TCPConn) error { c.Close(); return c.Close() },
		"deadline closed":   func(c full, _ *net.TCPConn) error { c.Close(); return c.SetDeadline(past) },
		"read too late":     func(c full, _ *net.TCPConn) error { c.SetReadDeadline(past); return read(c) },
		"write too late":    func(c full, _ *net.TCPConn) error { c.SetWriteDeadline(past); return write(c) },
		"write after too late": func(c full, _ *net.TCPConn) error {
			c.SetDeadline(past)
			write(c)
			c.SetWriteDeadline(time.Time{})
			return write(c)
		},
		"read in vain": func(c full, _ *net.TCPConn) error {
			c.SetDeadline(time.Now().Add(time.Millisecond))
			return read(c)
		},
		"write in vain": func(c full, _ *net.TCPConn) error {
			c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
			_, err := c.Write(make([]byte, 64<<20))
			return err
		},
		"read a reset": func(c full, client *net.TCPConn) error {
			client.SetLinger(0)
			client.Close()
			return read(c)
		},
		"write a reset": func(c full, client *net.TCPConn) error {
			client.SetLinger(0)
			client.Close()
			read(c)
			return write(c)
		},
		"write, write closed": func(c full, _ *net.TCPConn) error { c.CloseWrite(); return write(c) },
		"read, read closed":   func(c full, _ *net.TCPConn) error { c.CloseRead(); return read(c) },
		"close read, closed":  func(c full, _ *net.TCPConn) error { c.Close(); return c.CloseRead() },
		"close write, closed": func(c full, _ *net.TCPConn) error { c.Close(); return c.CloseWrite() },
		"close write, reset": func(c full, client *net.TCPConn) error {
			client.SetLinger(0)
			client.Close()
			read(c)
			return c.CloseWrite()
		},
		"descriptor, closed": func(c full, _ *net.TCPConn) error { c.Close(); _, err := c.SyscallConn(); return err },
		"control, closed": func(c full, _ *net.TCPConn) error {
			raw, _ := c.SyscallConn()
			c.Close()
			return raw.Control(func(uintptr) {})
		},
		"raw read, too late": func(c full, _ *net.TCPConn) error {
			raw, _ := c.SyscallConn()
			c.SetDeadline(past)
			return raw.Read(func(uintptr) bool { return false })
		},
		"raw write, closed": func(c full, _ *net.TCPConn) error {
			raw, _ := c.SyscallConn()
			c.Close()
			return raw.Write(func(uintptr) bool { return false })
		},
	} {
		t.Run(name, func(t *testing.T) {
			theirs, client := standardPair(t)
			want := shape(try(theirs, client))
			ours, client := pair(t, ListenerOptions{})
			if got := shape(try(ours, client)); got != want {
				t.Errorf("%s\n  net: %s", got, want)
			}
		})
	}
}

// "Never" may be spelled as a time that is too far away to reckon with.
func TestFarDeadlines(t *testing.T) {
	for name, far := range map[string]time.Time{
		"beyond 64 bits of nanoseconds": time.Unix(1<<40, 0),
		"the last":                      time.Unix(1<<62, 0),
		"just within":                   epoch.Add(math.MaxInt64),
	} {
		t.Run(name, func(t *testing.T) {
			conn, client := pair(t, ListenerOptions{})
			if err := conn.SetDeadline(far); err != nil {
				t.Fatal(err)
			}
			exchangeSlowly(t, conn, client)
		})
	}
	t.Run("time-outs", func(t *testing.T) {
		conn, client := pair(t, ListenerOptions{IdleTimeout: math.MaxInt64, ReadTimeout: math.MaxInt64,
			WriteTimeout: math.MaxInt64, HandshakeTimeout: math.MaxInt64})
		exchangeSlowly(t, conn, client)
	})
}

// exchangeSlowly has both Read and Write wait.
func exchangeSlowly(t *testing.T, conn *Conn, client *net.TCPConn) {
	t.Helper()
	narrow(t, conn.fd, client)
	read, written := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := io.ReadFull(conn, make([]byte, 5))
		read <- err
	}()
	until(t, "Read waits", func() bool { return parkings(conn) == 1 })
	go func() {
		_, err := conn.Write(make([]byte, 1<<18))
		written <- err
	}()
	until(t, "Write waits", func() bool { return parkings(conn) == 2 })
	send(t, client, "hello")
	if err := wait(t, "Read", read); err != nil {
		t.Error(err)
	}
	if n, err := io.CopyN(io.Discard, client, 1<<18); err != nil {
		t.Error(n, err)
	}
	if err := wait(t, "Write", written); err != nil {
		t.Error(err)
	}
}

func TestAddresses(t *testing.T) {
	conn, client := pair(t, ListenerOptions{})
	if got, want := conn.RemoteAddr().String(), client.LocalAddr().String(); got != want {
		t.Errorf("RemoteAddr: %s, want %s", got, want)
	}
	if got, want := conn.LocalAddr().String(), client.RemoteAddr().String(); got != want {
		t.Errorf("LocalAddr: %s, want %s", got, want)
	}
	conn.Close()
	if _, ok := conn.RemoteAddr().(*net.TCPAddr); !ok {
		t.Errorf("RemoteAddr of a closed connection: %#v", conn.RemoteAddr())
	}
}

// threads counts those of this process.
func threads(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// narrow leaves little room between the two ends, so that a Write soon has to wait.
func narrow(t testing.TB, fd int, client *net.TCPConn) {
	t.Helper()
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 16<<10); err != nil {
		t.Fatal(err)
	}
	if err := client.SetReadBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
}

func TestWaitingHoldsNoThread(t *testing.T) {
	const n = 200
	opened := make(chan net.Conn, n)
	s := serve(t, ListenerOptions{OnOpen: func(conn net.Conn) error {
		opened <- conn
		return nil
	}})
	var conns []*Conn
	var clients []*net.TCPConn
	var reading, writing sync.WaitGroup
	big := make([]byte, 1<<20)
	before := threads(t)
	for range n {
		client := s.dial()
		conn := wait(t, "OnOpen", opened).(*Conn)
		narrow(t, conn.fd, client)
		conns, clients = append(conns, conn), append(clients, client)
		reading.Add(1)
		go func() {
			defer reading.Done()
			if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
				t.Error(err)
			}
		}()
		writing.Add(1)
		go func() {
			defer writing.Done()
			_, err := conn.Write(big)
			is(t, err, net.ErrClosed)
		}()
	}
	for _, c := range clients { // by then all of them wait, as well as one can tell
		send(t, c, "12")
		if _, err := io.CopyN(io.Discard, c, 4096); err != nil {
			t.Fatal(err)
		}
	}
	if more := threads(t) - before; more > n/4 {
		t.Errorf("%d threads more for %d waiting goroutines", more, 2*n)
	}
	for _, c := range clients {
		send(t, c, "34")
	}
	reading.Wait()
	for _, c := range conns {
		c.Close()
	}
	writing.Wait()
}

func TestCloseEndsWaitsElsewhere(t *testing.T) {
	big := make([]byte, 1<<20)
	for range 50 {
		conn, client := pair(t, ListenerOptions{})
		narrow(t, conn.fd, client)
		failed := make(chan error, 4)
		for range 2 {
			go func() { _, err := conn.Read(make([]byte, 1)); failed <- err }()
			go func() { _, err := conn.Write(big); failed <- err }()
		}
		if _, err := io.CopyN(io.Discard, client, 1000); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		for range 4 {
			is(t, wait(t, "Read and Write to return", failed), net.ErrClosed)
		}
	}
}

// It does so, too, when the loop itself closes the connection.
func TestCloseInCallbackEndsWaits(t *testing.T) {
	failed := make(chan error, 2)
	big := make([]byte, 1<<20)
	opened := make(chan net.Conn, 1)
	s := serve(t, ListenerOptions{
		OnOpen: func(conn net.Conn) error {
			opened <- conn
			return nil
		},
		OnConnEvent: func(conn net.Conn) error {
			c := conn.(*Conn)
			c.mu.Lock()
			waiting := c.out.set // its time-out shows that the Write has come to wait
			c.mu.Unlock()
			if waiting {
				return conn.Close()
			}
			return nil // to be called again at once
		},
		WriteTimeout: late,
	})
	client := s.dial()
	conn := wait(t, "OnOpen", opened).(*Conn)
	narrow(t, conn.fd, client)
	go func() { _, err := conn.Write(big); failed <- err }()
	send(t, client, "close")
	is(t, wait(t, "Write to return", failed), net.ErrClosed)
}

// A close from elsewhere reaches the peer though the loop is in a callback.
func TestCloseDoesNotWaitForTheLoop(t *testing.T) {
	conn, client := pair(t, ListenerOptions{})
	held, release := make(chan struct{}), make(chan struct{})
	_ = conn.worker.loop.Do(func() { close(held); <-release })
	wait(t, "the loop", held)
	defer close(release)
	conn.Close()
	expectEnd(t, client)
}

// Each Write is one piece, however many there are and however much they have to wait.
func TestWritesDoNotMix(t *testing.T) {
	conn, client := pair(t, ListenerOptions{})
	const writers, each, size = 8, 20, 100_000
	var all sync.WaitGroup
	for i := range writers {
		all.Add(1)
		go func() {
			defer all.Done()
			for range each {
				if _, err := conn.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	piece := make([]byte, size)
	for range writers * each {
		if _, err := io.ReadFull(client, piece); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(piece, bytes.Repeat(piece[:1], size)) {
			t.Fatal("a Write was cut in two")
		}
	}
	all.Wait()
}

// received waits until the kernel holds n bytes for a connection.
func received(t testing.TB, fd, n int) {
	t.Helper()
	until(t, "it has arrived", func() bool { return netfd.Unread(fd) == n })
}

// What comes after Shutdown has set the end of the input is not read.
func TestInputEndsWhereShutdownSetsIt(t *testing.T) {
	conn, client := pair(t, ListenerOptions{})
	send(t, client, "before")
	received(t, conn.fd, 6)
	onLoop(t, conn.worker, conn.drain)
	send(t, client, " and after")
	received(t, conn.fd, 16)
	if got, err := io.ReadAll(conn); string(got) != "before" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	raw, _ := conn.SyscallConn()
	if err := raw.Read(func(uintptr) bool { return false }); err != io.EOF {
		t.Errorf("waiting for more: %v", err)
	}
}

// OnConnEvent is told of that end when it has read everything, and when there is nothing to be read.
func TestEndOfInputIsTold(t *testing.T) {
	for name, text := range map[string]string{"after data": "data", "at once": ""} {
		t.Run(name, func(t *testing.T) {
			opened := make(chan net.Conn, 1)
			s := serve(t, ListenerOptions{OnConnEvent: echo, OnOpen: func(conn net.Conn) error {
				opened <- conn
				return nil
			}})
			client := s.dial()
			conn := wait(t, "OnOpen", opened).(*Conn)
			held, hold := make(chan struct{}), make(chan struct{})
			_ = conn.worker.loop.Do(func() {
				close(held)
				<-hold
				conn.drain()
			})
			wait(t, "the loop", held)
			send(t, client, text)
			received(t, conn.fd, len(text))
			close(hold)
			expect(t, client, text)
			if err := s.failed(); err != io.EOF {
				t.Error(err)
			}
			expectEnd(t, client)
		})
	}
}

func TestSyscallConn(t *testing.T) {
	conn, client := pair(t, ListenerOptions{})
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 10_000)
	}); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Error(err)
	}
	buf := make([]byte, 10)
	tried := make(chan struct{}, 100)
	read := make(chan int)
	go func() {
		n := 0
		if err := raw.Read(func(fd uintptr) bool {
			tried <- struct{}{}
			n, err = syscall.Read(int(fd), buf)
			return err != syscall.EAGAIN
		}); err != nil {
			t.Error(err)
		}
		read <- n
	}()
	wait(t, "the first try", tried)
	send(t, client, "raw")
	if n := wait(t, "Read to return", read); string(buf[:n]) != "raw" {
		t.Errorf("read %q", buf[:n])
	}
	if err := raw.Write(func(fd uintptr) bool {
		_, err = syscall.Write(int(fd), []byte("answer"))
		return err != syscall.EAGAIN
	}); err != nil {
		t.Error(err)
	}
	expect(t, client, "answer")
}

// What the program reads on its own is received, to the time-outs.
func TestRawReadIsNoted(t *testing.T) {
	conn, client := pair(t, ListenerOptions{ReadTimeout: late, HandshakeTimeout: late})
	conn.activity.received.Store(now() - late + patience)
	send(t, client, "raw")
	before := now()
	if n, err := rawRead(conn, make([]byte, 10)); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if !conn.activity.begun.Load() || conn.activity.received.Load() < before {
		t.Error("it was not noted")
	}
}

// It gets to the end that Shutdown has set like any other reader.
func TestRawReadWhileDraining(t *testing.T) {
	conn, client := pair(t, ListenerOptions{})
	send(t, client, "before")
	received(t, conn.fd, 6)
	onLoop(t, conn.worker, conn.drain)
	send(t, client, " and after")
	received(t, conn.fd, 16)
	buf := make([]byte, 3)
	for _, want := range []string{"bef", "ore"} {
		if n, err := rawRead(conn, buf); string(buf[:n]) != want || err != nil {
			t.Errorf("read %q, %v", buf[:n], err)
		}
	}
	for range 2 {
		if n, err := rawRead(conn, buf); n != 0 || err != io.EOF {
			t.Errorf("read %d bytes, %v, at the end", n, err)
		}
		if n, err := conn.Read(buf); n != 0 || err != io.EOF {
			t.Errorf("Read: %d, %v, at the end", n, err)
		}
	}
}

func TestValue(t *testing.T) {
	conn, _ := pair(t, ListenerOptions{})
	if conn.Value() != nil {
		t.Error("a new connection has a value")
	}
	conn.SetValue(42)
	if conn.Value() != 42 {
		t.Errorf("the value is %v", conn.Value())
	}
}
