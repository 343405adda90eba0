package bridge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand"
	"net"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests: when it is over, something is wrong.
const patience = 30 * time.Second

// owner is a bridge with its descriptor in the hands of package net.
type owner struct {
	*net.UnixConn
	bridge *bridge
}

// over bridges conn.
func over(t testing.TB, conn net.Conn, stalled time.Duration) owner {
	t.Helper()
	b, fd, err := start(conn, stalled)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "owner")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		conn.Close()
		awaitEnd(t, b)
	})
	return owner{c.(*net.UnixConn), b}
}

func awaitEnd(t testing.TB, b *bridge) {
	t.Helper()
	select {
	case <-b.done:
	case <-time.After(patience):
		t.Error("the bridge stays")
	}
}

// tcpPair returns two connected sockets.
func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if a, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// tlsPair returns two ends of a TLS connection whose handshake is done.
func tlsPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS() // for its certificate
	config := server.TLS.Clone()
	server.Close()
	rawA, rawB := tcpPair(t)
	client := tls.Client(rawA, &tls.Config{InsecureSkipVerify: true})
	far := tls.Server(rawB, config)
	handshake := make(chan error, 1)
	go func() { handshake <- far.Handshake() }()
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-handshake; err != nil {
		t.Fatal(err)
	}
	return client, far
}

// kinds are the connections that most tests run over; all but the last can be shut down in one direction.
var kinds = []struct {
	name string
	pair func(testing.TB) (a, b net.Conn)
	half bool
}{
	{"TCP", tcpPair, true},
	{"TLS", tlsPair, true},
	{"net.Pipe", func(testing.TB) (a, b net.Conn) { return net.Pipe() }, false},
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	return b
}

// Much goes both ways at a time, in pieces of all sizes, and arrives unchanged.
func TestBothWays(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			conn, far := kind.pair(t)
			near := over(t, conn, stallTime)
			all := random(3 << 20)
			errs := make(chan error, 4)
			for _, w := range []io.Writer{near, far} {
				go func() {
					for rest, n := all, 1; len(rest) > 0; n = n*3%70_001 + 1 {
						n = min(n, len(rest))
						if _, err := w.Write(rest[:n]); err != nil {
							errs <- err
							return
						}
						rest = rest[n:]
					}
					errs <- nil
				}()
			}
			for _, r := range []io.Reader{near, far} {
				go func() {
					got := make([]byte, len(all))
					_, err := io.ReadFull(r, got)
					if err == nil && !bytes.Equal(got, all) {
						err = errors.New("other bytes arrive than were sent")
					}
					errs <- err
				}()
			}
			for range 4 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// The far end closes: what it sent is read first, then the end.
func TestFarEndCloses(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			conn, far := kind.pair(t)
			near := over(t, conn, stallTime)
			go func() {
				_, _ = far.Write([]byte("last words"))
				far.Close()
			}()
			if got, err := io.ReadAll(near); string(got) != "last words" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
			near.Close()
			awaitEnd(t, near.bridge)
		})
	}
}

// The owner closes with much unsent: it still arrives.
func TestOwnerCloses(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			conn, far := kind.pair(t)
			near := over(t, conn, stallTime)
			all := random(1 << 20)
			go func() {
				_, _ = near.Write(all)
				near.Close()
			}()
			if got, err := io.ReadAll(far); !bytes.Equal(got, all) || err != nil {
				t.Errorf("%d bytes of %d arrive, %v", len(got), len(all), err)
			}
			awaitEnd(t, near.bridge)
		})
	}
}

// One direction ends, the other goes on, whichever it is.
func TestHalfClose(t *testing.T) {
	for _, kind := range kinds {
		if !kind.half {
			continue
		}
		t.Run(kind.name, func(t *testing.T) {
			type halfCloser interface {
				net.Conn
				CloseWrite() error
			}
			for _, first := range []string{"owner", "far end"} {
				conn, far := kind.pair(t)
				near := over(t, conn, stallTime)
				a, b := halfCloser(near), far.(halfCloser)
				if first != "owner" {
					a, b = b, a
				}
				if _, err := a.Write([]byte("question")); err != nil {
					t.Fatal(err)
				}
				if err := a.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(b); string(got) != "question" || err != nil {
					t.Errorf("%s first: read %q, %v", first, got, err)
				}
				if _, err := b.Write([]byte("answer")); err != nil {
					t.Fatal(err)
				}
				b.CloseWrite()
				if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
					t.Errorf("%s first: read %q, %v", first, got, err)
				}
				awaitEnd(t, near.bridge) // by itself: both directions are over
			}
		})
	}
}

// An owner that has only shut its sending side, as loops do, and then closes without having heard from the far end.
func TestOwnerGivesUp(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			conn, far := kind.pair(t)
			near := over(t, conn, stallTime)
			if err := near.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if kind.half {
				if n, err := far.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Fatalf("read %d, %v", n, err)
				}
			}
			near.Close()
			awaitEnd(t, near.bridge)
		})
	}
}

// The far end reads nothing and its buffers are full when the owner goes away: nobody waits for it for ever. While the
// owner is there, it may take its time.
func TestFarEndStalls(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			conn, _ := kind.pair(t)
			near := over(t, conn, time.Millisecond)
			chunk := make([]byte, 64<<10)
			for { // until all buffers are full, which the bridge's patience has passed by then
				if err := near.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				if _, err := near.Write(chunk); errors.Is(err, os.ErrDeadlineExceeded) {
					break
				} else if err != nil {
					t.Fatalf("the bridge does not wait for its owner: %v", err)
				}
			}
			near.Close()
			awaitEnd(t, near.bridge)
		})
	}
}

// broken is a connection that fails at will.
type broken struct {
	net.Conn
	read, write error
}

func (b broken) Read(p []byte) (int, error) {
	if b.read != nil {
		return 0, b.read
	}
	return b.Conn.Read(p)
}

func (b broken) Write(p []byte) (int, error) {
	if b.write != nil {
		return 0, b.write
	}
	return b.Conn.Write(p)
}

func TestReadingFails(t *testing.T) {
	conn, far := net.Pipe()
	near := over(t, broken{conn, errors.New("torn"), nil}, stallTime)
	if n, err := near.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the owner reads %d, %v", n, err)
	}
	if n, err := far.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("the far end reads %d, %v", n, err)
	}
	awaitEnd(t, near.bridge) // though the owner has closed nothing
}

// When nothing can be sent any more, what comes is still received.
func TestWritingFails(t *testing.T) {
	conn, far := net.Pipe()
	near := over(t, broken{conn, nil, errors.New("torn")}, stallTime)
	var err error
	for err == nil {
		_, err = near.Write([]byte("into the void"))
	}
	if !errors.Is(err, syscall.EPIPE) {
		t.Errorf("the owner writes: %v", err)
	}
	go func() {
		_, _ = far.Write([]byte("still here"))
		far.Close()
	}()
	if got, err := io.ReadAll(near); string(got) != "still here" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	awaitEnd(t, near.bridge)
}

// A deadline that a handshake has left behind does not end the connection.
func TestOldDeadline(t *testing.T) {
	conn, far := tcpPair(t)
	if err := conn.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	near := over(t, conn, stallTime)
	if _, err := near.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := far.Read(make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
}

// On error the connection stays the caller's, and nothing else remains.
func TestRefused(t *testing.T) {
	conn, far := tcpPair(t)
	conn.Close()
	before := descriptors(t)
	if fd, err := FD(conn); fd != -1 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("FD of a closed connection: %d, %v", fd, err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	fd, err := FD(far)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if fd != -1 || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("FD without descriptors: %d, %v", fd, err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// descriptors is how many the process has open.
func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A thousand bridges at a time, whichever side ends them, leave nothing behind.
func TestThousandLeaveNothing(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			n := 1000
			if kind.name == "TLS" {
				n = 200 // handshakes take their time
			}
			first, second := kind.pair(t) // by now there is Go's poller, too
			first.Close()
			second.Close()
			before := descriptors(t)
			var nears []owner
			var fars []net.Conn
			for range n {
				conn, far := kind.pair(t)
				nears, fars = append(nears, over(t, conn, stallTime)), append(fars, far)
			}
			for i, near := range nears {
				if _, err := near.Write([]byte{byte(i)}); err != nil {
					t.Fatal(err)
				}
				var b [1]byte
				if _, err := fars[i].Read(b[:]); err != nil || b[0] != byte(i) {
					t.Fatalf("bridge %d: read %d, %v", i, b[0], err)
				}
			}
			for i, near := range nears {
				if i%2 == 0 {
					near.Close()
				} else {
					fars[i].Close()
					if _, err := io.Copy(io.Discard, near); err != nil {
						t.Errorf("bridge %d: %v", i, err)
					}
					near.Close()
				}
				awaitEnd(t, near.bridge)
				fars[i].Close()
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}
