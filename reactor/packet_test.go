//go:build linux

package reactor

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func listenPacket(t testing.TB, l *Loop, network, address string, h Handler) (Token, net.Addr) {
	t.Helper()
	token, err := l.ListenPacket(network, address, h)
	if err != nil {
		t.Fatal(err)
	}
	return token, l.sockets.named(token).LocalAddr()
}

func packetConn(t testing.TB, network, address string) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Datagrams go back to whoever has sent them, empty ones too, which are no end of a stream.
func TestDatagrams(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ network, address, peer string }{
		{"udp", "127.0.0.1:0", "127.0.0.1:0"}, {"udp", ":0", "127.0.0.1:0"}, {"udp4", ":0", "127.0.0.1:0"},
		{"udp6", "[::1]:0", "[::1]:0"}, {"udp", ":0", "[::1]:0"},
		{"unixgram", filepath.Join(dir, "a"), filepath.Join(dir, "b")}, {"unixgram", abstract("a"), abstract("b")},
	} {
		t.Run(test.network+" "+test.address+" "+test.peer, func(t *testing.T) {
			if strings.Contains(test.peer, "::1") {
				needsIPv6(t)
			}
			l := newLoop(t, Options{})
			var from []net.Addr
			_, addr := listenPacket(t, l, test.network, test.address, &hooks{readable: func(s *Socket, buffer []byte) {
				n, peer, err := s.ReadFrom(buffer)
				if err == nil {
					_, err = s.WriteTo(buffer[:n], peer)
				}
				if err != nil {
					t.Error(err)
				}
				from = append(from, peer)
				if _, _, err := s.ReadFrom(buffer); err != ErrWouldBlock {
					t.Errorf("with nothing there: %v, want ErrWouldBlock", err)
				}
			}})
			peer := packetConn(t, test.network, test.peer)
			to := addr
			if udp, ok := addr.(*net.UDPAddr); ok && udp.IP.IsUnspecified() {
				to = &net.UDPAddr{IP: peer.LocalAddr().(*net.UDPAddr).IP, Port: udp.Port}
			}
			buf := make([]byte, 100)
			for i, text := range []string{"hello", "", "world"} {
				if _, err := peer.WriteTo([]byte(text), to); err != nil {
					t.Fatal(err)
				}
				pollUntil(t, l, "a datagram", func() bool { return len(from) > i })
				n, _, err := peer.ReadFrom(buf)
				if err != nil || string(buf[:n]) != text {
					t.Fatalf("back came %q, %v; want %q", buf[:n], err, text)
				}
				if from[i].String() != peer.LocalAddr().String() || from[i].Network() != peer.LocalAddr().Network() {
					t.Errorf("from %v, want %v", from[i], peer.LocalAddr())
				}
			}
		})
	}
}

// An empty datagram is no end of a stream, on a connected socket either.
func TestEmptyDatagram(t *testing.T) {
	l := newLoop(t, Options{})
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	own(t, fds[1])
	var sizes []int
	add(t, l, fds[0], &hooks{readable: func(s *Socket, buffer []byte) {
		n, err := s.Read(buffer)
		if err != nil {
			t.Error(err)
		}
		sizes = append(sizes, n)
	}})
	for _, text := range []string{"one", "", "three"} {
		if err := syscall.Sendto(fds[1], []byte(text), 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	pollUntil(t, l, "three datagrams", func() bool { return len(sizes) >= 3 })
	if !slices.Equal(sizes, []int{3, 0, 5}) {
		t.Errorf("sizes %v", sizes)
	}
}

// Datagrams of UDP allocate nothing.
func TestDatagramsAllocateNothing(t *testing.T) {
	l := newLoop(t, Options{})
	received := 0
	_, addr := listenPacket(t, l, "udp", "127.0.0.1:0", &hooks{readable: func(s *Socket, buffer []byte) {
		n, from, err := s.ReadFromAddrPort(buffer)
		if err == nil {
			_, err = s.WriteToAddrPort(buffer[:n], from)
		}
		if err != nil {
			t.Error(err)
		}
		received++
	}})
	peer := packetConn(t, "udp", "127.0.0.1:0").(*net.UDPConn)
	to := addr.(*net.UDPAddr).AddrPort()
	buf := make([]byte, 100)
	round := func() {
		if _, err := peer.WriteToUDPAddrPort(buf, to); err != nil {
			t.Fatal(err)
		}
		for want := received + 1; received < want; {
			if err := l.PollOnce(-1); err != nil {
				t.Fatal(err)
			}
		}
		if n, from, err := peer.ReadFromUDPAddrPort(buf); err != nil || n != len(buf) || from != to {
			t.Fatal(n, from, err)
		}
	}
	if allocs := testing.AllocsPerRun(200, round); allocs > 0 {
		t.Errorf("%v allocations for a datagram and its answer", allocs)
	}
}

func TestDatagramErrors(t *testing.T) {
	l := newLoop(t, Options{})
	token, addr := listenPacket(t, l, "udp4", "127.0.0.1:0", &hooks{})
	s := l.sockets.named(token)
	var op *net.OpError
	for name, err := range map[string]error{
		"IPv6":    second(s.WriteToAddrPort([]byte("x"), netip.MustParseAddrPort("[::1]:80"))),
		"no IP":   second(s.WriteToAddrPort([]byte("x"), netip.AddrPort{})),
		"nil":     second(s.WriteTo([]byte("x"), nil)),
		"an IP":   second(s.WriteTo([]byte("x"), &net.IPAddr{})),
		"too big": second(s.WriteToAddrPort(make([]byte, 1<<16), netip.MustParseAddrPort("127.0.0.1:80"))),
	} {
		if !errors.As(err, &op) || op.Op != "write" || op.Net != "udp" || op.Source.String() != addr.String() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Remove(token); err != nil {
		t.Fatal(err)
	}
	_, _, readErr := s.ReadFrom(l.buffer)
	_, _, portErr := s.ReadFromAddrPort(l.buffer)
	_, writeErr := s.WriteToAddrPort(nil, addr.(*net.UDPAddr).AddrPort())
	for _, err := range []error{readErr, portErr, writeErr} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("of a closed socket: %v", err)
		}
	}
	for _, network := range []string{"tcp", "unix", "ip"} {
		if _, err := l.ListenPacket(network, "127.0.0.1:0", &hooks{}); !errors.As(err, &op) {
			t.Errorf("ListenPacket(%q): %v", network, err)
		}
	}
	if _, err := l.ListenPacket("udp", "127.0.0.1:0", nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("without a handler: %v", err)
	}
	full := newLoop(t, Options{MaxSockets: 1})
	before := descriptors(t)
	listenPacket(t, full, "udp", "127.0.0.1:0", &hooks{})
	if _, err := full.ListenPacket("udp", "127.0.0.1:0", &hooks{}); !errors.Is(err, ErrTooManySockets) {
		t.Errorf("with no room: %v", err)
	}
	if n := descriptors(t) - before; n != 1 {
		t.Errorf("%d descriptors more for one socket", n)
	}
}

func second[T any](_ T, err error) error { return err }

// A connected UDP socket hears that nobody listens at the other end.
func TestConnectedDatagramsRefused(t *testing.T) {
	l := running(t, Options{})
	gone := packetConn(t, "udp", "127.0.0.1:0")
	addr := gone.LocalAddr().String()
	gone.Close()
	failed := make(chan error, 1)
	if _, err := l.Dial("udp", addr, 0, &hooks{
		writable: func(s *Socket) { s.Write([]byte("anybody there?")) },
		readable: func(s *Socket, buffer []byte) {
			_, err := s.Read(buffer)
			failed <- err
			s.Close()
		},
	}); err != nil {
		t.Fatal(err)
	}
	if err := await(t, "the error", failed); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Read: %v, want ECONNREFUSED", err)
	}
}
