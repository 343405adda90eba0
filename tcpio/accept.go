package tcpio

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// acceptPause is how long accepting rests when it has failed, for want of descriptors say. Clients wait in the kernel's
// queue meanwhile.
const acceptPause = 100 * time.Millisecond

// accept takes connections until the listening socket is closed.
func (l *Listener) accept() {
	for {
		conn, err := l.tcp.AcceptTCP()
		if err == nil {
			l.adopt(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		l.reportAccept(err)
		if errors.Is(err, syscall.EBADF) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSOCK) {
			return // somebody has closed the descriptor behind our back
		}
		time.Sleep(acceptPause)
	}
}

// adopt gives a connection to the loop that has the fewest.
func (l *Listener) adopt(conn *net.TCPConn) {
	defer conn.Close()
	at := ends{conn.LocalAddr(), conn.RemoteAddr()}
	if most := int64(l.options.MaxConns); most > 0 && l.live.Load() >= most {
		l.refused.Add(1)
		l.reportAccept(at.opError("accept", ErrTooManyConns))
		return
	}
	fd, err := netfd.DupConn(conn) // the other one is in Go's poller, where it would be woken for every byte
	for err != nil {
		l.reportAccept(at.opError("accept", err))
		if l.isEnding() || l.isDraining() {
			l.refused.Add(1)
			return
		}
		time.Sleep(acceptPause)
		fd, err = netfd.DupConn(conn)
	}
	l.accepted.Add(1)
	l.live.Add(1)
	l.quietest().serve(fd, at)
}

// quietest returns the worker with the fewest connections.
func (l *Listener) quietest() *worker {
	best := l.workers[0]
	for _, w := range l.workers[1:] {
		if w.count.Load() < best.count.Load() {
			best = w
		}
	}
	return best
}

// reportAccept reports that a connection could not be accepted: the same error at most once a second, on the first
// loop, where OnErrorEvent meets no other callback when there is only that one.
func (l *Listener) reportAccept(err error) {
	if ok, _ := l.limiter.Allow(errorKey(err), time.Now()); !ok {
		return
	}
	if l.options.OnErrorEvent == nil {
		l.options.Logger.Warn("tcpio: cannot accept", "addr", l.tcp.Addr().String(), "error", err)
		return
	}
	_ = l.workers[0].loop.Do(func() { l.report(err) }) // fails when the loop has closed, and with it the listener
}

// errorKey is what errors of one kind have in common, whatever connection they are about.
func errorKey(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

// listenConfig sets on the listening socket what accepted ones inherit from it.
func (o *ListenerOptions) listenConfig() net.ListenConfig {
	config := net.ListenConfig{KeepAlive: -1} // which is about accepted ones, one by one
	config.SetMultipathTCP(false)             // which lacks some of TCP's options, and counts unread bytes differently
	if o.KeepAlive < 0 {
		return config
	}
	seconds := int((o.KeepAlive + time.Second - 1) / time.Second)
	config.Control = func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) {
			err = os.NewSyscallError("setsockopt", errors.Join(
				syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1),
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, seconds),
				syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, seconds),
			))
		})
		return errors.Join(failed, err)
	}
	return config
}
