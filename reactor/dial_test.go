//go:build linux

package reactor

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDialNetworks(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ network, listen, dial string }{
		{"tcp", "127.0.0.1:0", "127.0.0.1:%"}, {"tcp", "127.0.0.1:0", "localhost:%"}, {"tcp", "127.0.0.1:0", ":%"},
		{"tcp4", "127.0.0.1:0", "localhost:%"}, {"tcp6", "[::1]:0", "[::1]:%"}, {"udp", "127.0.0.1:0", "127.0.0.1:%"},
		{"udp6", "[::1]:0", "[::1]:%"}, {"tcp", "127.0.0.1:0", "[::ffff:127.0.0.1]:%"},
		{"unix", filepath.Join(dir, "s"), ""}, {"unix", abstract("s"), ""},
		{"unixpacket", filepath.Join(dir, "p"), ""},
	} {
		t.Run(test.network+" "+test.dial, func(t *testing.T) {
			if strings.Contains(test.listen, "::1") {
				needsIPv6(t)
			}
			addr := peerFor(t, test.network, test.listen)
			address := addr.String()
			if test.dial != "" {
				_, port, _ := net.SplitHostPort(address)
				address = strings.ReplaceAll(test.dial, "%", port)
			}
			l := running(t, Options{})
			o, token := dial(t, l, test.network, address, patience)
			for _, want := range []string{"connected", "hello"} {
				if got := await(t, want, o.events); got != want {
					t.Fatalf("%q, want %q; %v", got, want, errOf(o))
				}
			}
			on(t, l, func() {
				s := l.sockets.named(token)
				if got := s.RemoteAddr(); got.String() != addr.String() || got.Network() != addr.Network() {
					t.Errorf("RemoteAddr is %v, want %v", got, addr)
				}
				if s.dial != nil || s.asked != s.wants {
					t.Errorf("after it has connected: %+v", s)
				}
			})
			if err := l.Remove(token); err != nil {
				t.Fatal(err)
			}
			if err := o.failure(t); err != nil {
				t.Errorf("Err after Remove: %v", err)
			}
		})
	}
}

func TestDialRefusesWhatIsNoAddress(t *testing.T) {
	l := newLoop(t, Options{})
	for _, test := range []struct{ network, address, text string }{
		{"ip", "127.0.0.1", "ip"}, {"tcp", "127.0.0.1", "missing port"}, {"tcp", "127.0.0.1:99999", "99999"},
		{"tcp", "127.0.0.1:", "port"}, {"tcp4", "[::1]:80", "not an IPv4"}, {"tcp6", "127.0.0.1:80", "not an IPv6"},
		{"unix", "", "empty"}, {"unix", strings.Repeat("x", 108), "too long"},
	} {
		var op *net.OpError
		_, err := l.Dial(test.network, test.address, 0, &hooks{})
		if !errors.As(err, &op) || op.Op != "dial" || !strings.Contains(err.Error(), test.text) {
			t.Errorf("Dial(%q, %q): %v; want a net.OpError with %q", test.network, test.address, err, test.text)
		}
	}
	if _, err := l.Dial("tcp", "127.0.0.1:80", 0, nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("without a handler: %v", err)
	}
	if n := l.Stats().Sockets; n != 0 {
		t.Errorf("%d sockets are left", n)
	}
}

// Whatever goes wrong later comes to OnClose, as an error that names the address.
func TestDialFailures(t *testing.T) {
	closedPort := freeAddr(t)
	_, port, _ := net.SplitHostPort(closedPort)
	full := fullBacklog(t)
	for name, test := range map[string]struct {
		network, address string
		timeout          time.Duration
		want             error
		text             string
	}{
		"refused":         {"tcp", closedPort, patience, syscall.ECONNREFUSED, closedPort},
		"refused by name": {"tcp4", "localhost:" + port, patience, syscall.ECONNREFUSED, closedPort},
		"no such file":    {"unix", filepath.Join(t.TempDir(), "nobody"), 0, syscall.ENOENT, "nobody"},
		"connect timeout": {"tcp", full, 50 * time.Millisecond, os.ErrDeadlineExceeded, full},
	} {
		t.Run(name, func(t *testing.T) {
			before := descriptors(t)
			l := running(t, Options{})
			opened := descriptors(t) - before
			o, token := dial(t, l, test.network, test.address, test.timeout)
			l.SetTimeout(token, time.Hour) // which has nothing to do with it
			err := o.failure(t)
			var op *net.OpError
			if !errors.Is(err, test.want) || !errors.As(err, &op) || op.Op != "dial" || op.Net != test.network ||
				!strings.Contains(err.Error(), test.text) {
				t.Errorf("Err: %v; want %v, and %q", err, test.want, test.text)
			}
			if timeout := errors.Is(test.want, os.ErrDeadlineExceeded); op != nil && op.Timeout() != timeout {
				t.Errorf("Timeout() of %v is %t", err, !timeout)
			}
			on(t, l, func() {})
			if n := descriptors(t) - before - opened; n != 0 {
				t.Errorf("%d descriptors are left", n)
			}
			if err := l.Remove(token); !errors.Is(err, ErrNoSocket) {
				t.Errorf("Remove: %v", err)
			}
		})
	}
}

// Called off while it connects.
func TestRemoveWhileConnecting(t *testing.T) {
	full := fullBacklog(t)
	l := running(t, Options{})
	o, token := dial(t, l, "tcp", full, 0)
	if _, err := l.Release(token); !errors.Is(err, ErrConnecting) {
		t.Errorf("Release: %v, want ErrConnecting", err)
	}
	var fd int
	on(t, l, func() { fd = l.sockets.named(token).fd })
	if err := l.Remove(token); err != nil {
		t.Fatal(err)
	}
	if err := o.failure(t); err != nil {
		t.Errorf("Err: %v, want none", err)
	}
	on(t, l, func() {})
	if isOpen(uintptr(fd)) {
		t.Error("its descriptor is open")
	}
	// At once, before the loop has got round to it.
	on(t, l, func() {
		o, token = dial(t, l, "tcp", full, 0)
		if err := l.Remove(token); err != nil {
			t.Error(err)
		}
	})
	if err := o.failure(t); err != nil {
		t.Errorf("Err: %v, want none", err)
	}
}

// With no room in the loop.
func TestDialTooMany(t *testing.T) {
	l := newLoop(t, Options{MaxSockets: 1})
	connPair(t, l, &hooks{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // nobody accepts, which would take descriptors
	addr := ln.Addr().String()
	before := descriptors(t)
	if _, err := l.Dial("tcp", "name.test:80", 0, &hooks{}); !errors.Is(err, ErrTooManySockets) {
		t.Errorf("Dial of a name: %v", err)
	}
	o, _ := dial(t, l, "tcp", addr, 0)
	pollUntil(t, l, "the end", func() bool { return len(o.err) == 1 })
	if err := <-o.err; !errors.Is(err, ErrTooManySockets) || !strings.Contains(err.Error(), addr) {
		t.Errorf("Dial of an address: %v", err)
	}
	if stats := l.Stats(); stats.Sockets != 1 || descriptors(t) != before {
		t.Errorf("%d sockets, %d descriptors more", stats.Sockets, descriptors(t)-before)
	}
}
