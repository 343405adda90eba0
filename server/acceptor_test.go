package server

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// sockaddr is an address as the kernel writes it: family, port, and what comes then.
func sockaddr(family, port uint16, rest ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, family)
	return append(binary.BigEndian.AppendUint16(b, port), rest...)
}

func TestRemoteAddr(t *testing.T) {
	v4 := []byte{192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0}
	v6 := append(make([]byte, 4), netip.MustParseAddr("2001:db8::1").AsSlice()...)
	mapped := append(make([]byte, 4), netip.MustParseAddr("::ffff:192.0.2.7").AsSlice()...)
	for _, test := range []struct {
		name string
		in   []byte
		want string // empty: the zero value
	}{
		{"IPv4", sockaddr(syscall.AF_INET, 80, v4...), "192.0.2.7:80"},
		{"IPv6", sockaddr(syscall.AF_INET6, 8080, append(v6, 0, 0, 0, 0)...), "[2001:db8::1]:8080"},
		{"IPv4 as IPv6", sockaddr(syscall.AF_INET6, 8080, mapped...), "192.0.2.7:8080"},
		{"cut off IPv6", sockaddr(syscall.AF_INET6, 8080, v6[:10]...), ""},
		{"Unix", sockaddr(syscall.AF_UNIX, 0, v4...), ""},
		{"nothing", nil, ""},
	} {
		var want netip.AddrPort
		if test.want != "" {
			want = netip.MustParseAddrPort(test.want)
		}
		if got := remoteAddr(test.in); got != want {
			t.Errorf("%s: got %v, want %v", test.name, got, want)
		}
	}
}

func TestIPv6(t *testing.T) {
	if probe, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6: ", err)
	} else {
		probe.Close()
	}
	cfg := local()
	cfg.ListenAddr = "[::1]:0"
	opened := make(chan *protocol.WSConnection, 1)
	remote := make(chan string, 1)
	s := start(t, cfg, opens(opened, api.HandlerFunc(func(data any) error {
		if event, ok := data.(api.OpenEvent); ok {
			remote <- event.Conn.(*protocol.WSConnection).Request().RemoteAddr
			return nil
		}
		return echo(data)
	})))
	c := dial(t, s.Addr())
	if got := <-remote; got != c.conn.LocalAddr().String() {
		t.Errorf("the peer is %s, not %s", got, c.conn.LocalAddr())
	}
	c.send(protocol.OpcodeText, []byte("x"))
	c.expect(protocol.OpcodeText, []byte("x"))
}
