package server

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/internal/report"
)

// acceptor is the listening socket on the first loop. It gives each connection to the loop that has the fewest.
type acceptor struct {
	server  *Server
	conn    loop.Conn
	limiter report.Limiter
	closed  chan struct{} // no connection comes any more
}

// HandleEvent is called on the first loop's goroutine.
func (a *acceptor) HandleEvent(ev *csrc.Event) {
	switch ev.Type {
	case csrc.EvAccept:
		if err := a.server.endpoint.Quietest().Serve(int(ev.Result), remoteAddr(ev.Bytes())); err != nil {
			a.warn("connection refused", err)
		}
	case csrc.EvAcceptError:
		a.warn("accepting pauses", syscall.Errno(-ev.Result))
	case csrc.EvClosed:
		if ev.Result < 0 {
			a.server.fail(fmt.Errorf("server: listening on %s: %w", a.server.addr, syscall.Errno(-ev.Result)))
		}
		close(a.closed)
	}
}

func (a *acceptor) warn(message string, err error) {
	ok, suppressed := a.limiter.Allow(message+err.Error(), time.Now())
	if !ok {
		return
	}
	slog.Warn(message, "addr", a.server.addr.String(), "error", err, "suppressed", suppressed)
}

// remoteAddr reads a sockaddr_in or sockaddr_in6; for any other it returns the zero value.
func remoteAddr(sockaddr []byte) netip.AddrPort {
	const family, port, v4, v6 = 0, 2, 4, 8 // offsets
	if len(sockaddr) < v4+4 {
		return netip.AddrPort{}
	}
	portNumber := binary.BigEndian.Uint16(sockaddr[port:])
	switch binary.NativeEndian.Uint16(sockaddr[family:]) {
	case syscall.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(sockaddr[v4:])), portNumber)
	case syscall.AF_INET6:
		if len(sockaddr) >= v6+16 {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(sockaddr[v6:])).Unmap(), portNumber)
		}
	}
	return netip.AddrPort{}
}
