// Package bridge gives any net.Conn a descriptor, so that an event loop can drive what is not a socket of its own: TLS,
// pipes, whatever speaks the interface. It is the seam between crypto/tls and the loops until they have TLS themselves.
package bridge

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// stallTime is how long one write to a conn may take when the descriptor's owner has gone.
const stallTime = 5 * time.Second

// FD joins conn to one end of a pair of Unix sockets and returns the other end, a non-blocking descriptor that is the
// caller's to close. What is written to it goes to conn and what conn receives can be read from it, by way of two
// goroutines, with a few hundred KiB in the kernel each way. conn belongs to the bridge from then on: nobody else may
// use it. On error it stays the caller's.
//
// Ends pass: when conn is at its end, so is the descriptor, and shutting down the descriptor's sending side ends
// conn's with CloseWrite, where it has one; where not, when the descriptor is closed. What was written before the
// descriptor was closed is still sent, unless conn takes longer than 5 s for 16 KiB of it. An error of conn closes
// both.
func FD(conn net.Conn) (fd int, err error) {
	_, fd, err = start(conn, stallTime)
	return fd, err
}

// bridge is a conn and our end of the pair.
type bridge struct {
	conn net.Conn
	pair *net.UnixConn
	done chan struct{} // closed when both goroutines are gone and both ends closed

	ended   atomic.Int32 // directions that are over
	running atomic.Int32 // goroutines
	closing sync.Once
	sending stall
}

func start(conn net.Conn, patience time.Duration) (*bridge, int, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("bridge: %w", os.NewSyscallError("socketpair", err))
	}
	file := os.NewFile(uintptr(fds[1]), "bridge")
	pair, err := net.FileConn(file) // a duplicate
	_ = file.Close()
	if err == nil {
		err = conn.SetDeadline(time.Time{}) // those of a handshake are over
	}
	if err != nil {
		if pair != nil {
			_ = pair.Close()
		}
		_ = netfd.Close(fds[0])
		return nil, -1, fmt.Errorf("bridge: %w", err)
	}
	b := &bridge{conn: conn, pair: pair.(*net.UnixConn), done: make(chan struct{})}
	b.sending.init(b, patience)
	b.running.Store(2)
	go b.receive()
	go b.send()
	return b, fds[0], nil
}

// receive passes on what conn receives.
func (b *bridge) receive() {
	defer b.leave()
	readErr, _ := pump(b.pair, b.conn)
	if readErr != nil && readErr != io.EOF {
		b.close()
		return
	}
	_ = b.pair.CloseWrite() // fails when the owner has closed, and then does not matter
	if b.end() {
		b.close()
	}
}

// send passes on what the descriptor's owner writes.
func (b *bridge) send() {
	defer b.leave()
	_, writeErr := pump(&b.sending, b.pair)
	if writeErr != nil {
		// The owner learns that nothing is taken any more, and may still receive. One that waits for room wakes up only
		// when there is some, and what nobody has read would have the kernel report a reset.
		_ = b.pair.CloseRead()
		_, _ = io.Copy(io.Discard, b.pair)
	} else if half, ok := b.conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails when conn is broken, which receive notes
	}
	if !b.end() {
		b.awaitOwner()
	}
	b.close()
}

// awaitOwner returns when the descriptor's owner has closed it, or our end is closed.
func (b *bridge) awaitOwner() {
	raw, err := b.pair.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool { return netfd.HungUp(int(fd)) }) // an error says that our end is closed
}

// hungUp tells whether the descriptor's owner has closed it.
func (b *bridge) hungUp() (yes bool) {
	raw, err := b.pair.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { yes = netfd.HungUp(int(fd)) })
	}
	return yes || err != nil
}

// end notes that a direction is over and tells whether both are.
func (b *bridge) end() bool { return b.ended.Add(1) == 2 }

// close closes both ends, which ends both goroutines.
func (b *bridge) close() {
	b.closing.Do(func() {
		_ = b.pair.Close()
		_ = b.conn.Close()
	})
}

// leave is the last that a goroutine does.
func (b *bridge) leave() {
	if b.running.Add(-1) == 0 {
		b.sending.stop()
		close(b.done)
	}
}
