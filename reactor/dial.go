package reactor

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// Dial makes a connected socket and has h called for it. network is "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6",
// "unix", "unixgram" or "unixpacket", address as for net.Dial: host and port, each as a number or a name, or the path
// or @name of a Unix socket.
//
// When the connection stands, OnWritable is called once; from then on the socket is like one that was given to Add.
// When none comes about within timeout (0: within what the system allows), or for any other reason, OnClose is called,
// and Err is a *net.OpError, with Timeout() where that is the reason. Until then the handler hears nothing; a time
// given to SetTimeout that passes meanwhile is told after OnWritable. Remove calls it off.
//
// Names are looked up on another goroutine, and the addresses of a name are tried one after the other, within the
// timeout. Connections of TCP come with Nagle's algorithm off.
//
// The error is a *net.OpError for a network or an address that is none; else ErrInvalid for a nil handler, ErrClosed,
// ErrTooManySockets.
func (l *Loop) Dial(network, address string, timeout time.Duration, h Handler) (Token, error) {
	if h == nil {
		return 0, fmt.Errorf("reactor: dial: %w: nil handler", ErrInvalid)
	}
	kind, err := netfd.NetworkNamed(network)
	if err != nil {
		return 0, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	to, literal, err := kind.Literal(address)
	if err != nil {
		return 0, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	s := newSocket(l, h, -1, kind.Type)
	s.dial = &dialing{network: kind, address: address}
	if timeout > 0 {
		s.dial.until = after(l.now(), timeout)
	}
	if err := l.sockets.enter(s); err != nil {
		return 0, fmt.Errorf("reactor: dial: %w", err)
	}
	if literal {
		s.dial.todo = []netfd.Sockaddr{to}
		err = l.loop.Do(s.connect)
	} else {
		err = s.lookup()
	}
	if err != nil {
		l.sockets.leave(s)
		return 0, fmt.Errorf("reactor: dial: %w", known(err))
	}
	return s.token, nil
}

// dialing is what a socket knows until it is connected. It belongs to whoever drives the loop.
type dialing struct {
	network netfd.Network
	address string
	todo    []netfd.Sockaddr // addresses still to be tried
	current netfd.Sockaddr   // the one that is being tried
	until   int64            // when all of it has to be over, on the loop's clock; 0: never
	cancel  context.CancelFunc
	ending  bool  // the look-up or the attempt under way has been ended
	err     error // why the last attempt has failed
}

// leastAttempt is how long the first addresses of several are tried at least, if there is as much time.
const leastAttempt = int64(2 * time.Second)

// limit is until when the current address may be tried: until its share of the time that is left is used up.
func (d *dialing) limit(now int64) int64 {
	if d.until == 0 || len(d.todo) == 0 {
		return d.until
	}
	return min(d.until, now+max(leastAttempt, (d.until-now)/int64(len(d.todo)+1)))
}

// late tells whether the time is over.
func (d *dialing) late(now int64) bool { return d.until != 0 && d.until <= now }

// failed notes why the current attempt has failed.
func (d *dialing) failed(cause error) {
	d.err = &net.OpError{Op: "dial", Net: d.network.Name, Addr: d.addr(), Err: cause}
}

// giveUp notes why there is going to be no other.
func (d *dialing) giveUp(cause error) {
	d.failed(cause)
	d.todo = nil
}

// addr is the address that is being tried; while none is known, what was given to Dial.
func (d *dialing) addr() net.Addr {
	if addr := d.current.Addr(d.network.Type); addr != nil {
		return addr
	}
	return name{d.network.Name, d.address}
}

// name is an address that is not known yet, as it was given to Dial.
type name struct{ network, address string }

func (n name) Network() string { return n.network }
func (n name) String() string  { return n.address }

// over ends a look-up that is still under way.
func (d *dialing) over() {
	if d.cancel != nil {
		d.cancel()
	}
}
