package netfd

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

func TestInternetAddresses(t *testing.T) {
	for _, test := range []struct {
		addr   string
		family int
		want   int
		back   string
	}{
		{"127.0.0.1:80", 0, syscall.AF_INET, "127.0.0.1:80"},
		{"127.0.0.1:80", syscall.AF_INET, syscall.AF_INET, "127.0.0.1:80"},
		{"127.0.0.1:80", syscall.AF_INET6, syscall.AF_INET6, "127.0.0.1:80"}, // mapped, and back
		{"[::ffff:1.2.3.4]:65535", 0, syscall.AF_INET, "1.2.3.4:65535"},
		{"[::1]:258", 0, syscall.AF_INET6, "[::1]:258"},
		{"[fe80::1%7]:1", 0, syscall.AF_INET6, "[fe80::1%7]:1"},
		{"[fe80::1%lo]:1", 0, syscall.AF_INET6, "[fe80::1%1]:1"},
	} {
		var a, copied Sockaddr
		if err := a.SetAddrPort(netip.MustParseAddrPort(test.addr), test.family); err != nil {
			t.Errorf("%s: %v", test.addr, err)
			continue
		}
		copied.SetRaw(unsafe.Slice((*byte)(unsafe.Pointer(&a.raw)), a.size))
		if a.Family() != test.want || a.AddrPort().String() != test.back || copied != a {
			t.Errorf("%s, family %d: family %d, %v", test.addr, test.family, a.Family(), a.AddrPort())
		}
		if tcp := a.Addr(syscall.SOCK_STREAM).(*net.TCPAddr); tcp.AddrPort() != a.AddrPort() {
			t.Errorf("%s is %v to TCP", test.addr, tcp)
		}
		if udp := a.Addr(syscall.SOCK_DGRAM).(*net.UDPAddr); udp.AddrPort() != a.AddrPort() {
			t.Errorf("%s is %v to UDP", test.addr, udp)
		}
		if a.Unix() != "" {
			t.Errorf("%s is the Unix socket %s", test.addr, a.Unix())
		}
	}
}

func TestUnixAddresses(t *testing.T) {
	longest := strings.Repeat("p", 107)
	for _, name := range []string{"/run/x", "relative", longest, "@abstract", "@" + longest, "@with\x00zero"} {
		var a Sockaddr
		if err := a.SetUnix(name); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if a.Unix() != name || a.Family() != syscall.AF_UNIX || a.AddrPort().IsValid() {
			t.Errorf("%q came back as %q", name, a.Unix())
		}
		for sotype, network := range map[int]string{
			syscall.SOCK_STREAM: "unix", syscall.SOCK_DGRAM: "unixgram", syscall.SOCK_SEQPACKET: "unixpacket",
		} {
			if addr := a.Addr(sotype); addr.Network() != network || addr.String() != name {
				t.Errorf("%q is %v of %s", name, addr, addr.Network())
			}
		}
	}
	var nameless Sockaddr
	nameless.SetRaw([]byte{syscall.AF_UNIX, 0})
	if nameless.Unix() != "" || nameless.Addr(syscall.SOCK_STREAM).String() != "@" {
		t.Errorf("nameless: %q, %v", nameless.Unix(), nameless.Addr(syscall.SOCK_STREAM))
	}
}

func TestNoAddress(t *testing.T) {
	var a Sockaddr
	if a.Family() != 0 || a.Addr(syscall.SOCK_STREAM) != nil || a.AddrPort().IsValid() || a.Unix() != "" {
		t.Errorf("the zero value is an address: %+v", a)
	}
	for what, err := range map[string]error{
		"no IP":            a.SetAddrPort(netip.AddrPort{}, 0),
		"an IPv6 address":  a.SetAddrPort(netip.MustParseAddrPort("[::1]:1"), syscall.AF_INET),
		"an unknown zone":  a.SetAddrPort(netip.MustParseAddrPort("[fe80::1%no-such-if]:1"), 0),
		"an empty name":    a.SetUnix(""),
		"a long name":      a.SetUnix(strings.Repeat("p", 108)),
		"a long @name":     a.SetUnix("@" + strings.Repeat("p", 108)),
		"nil":              a.SetAddr(nil, 0),
		"an IPAddr":        a.SetAddr(&net.IPAddr{IP: net.IPv4zero}, 0),
		"an empty TCPAddr": a.SetAddr(&net.TCPAddr{}, 0),
	} {
		var addr *net.AddrError
		if !errors.As(err, &addr) {
			t.Errorf("%s: %v, want a net.AddrError", what, err)
		}
	}
}

func TestSetAddr(t *testing.T) {
	var a Sockaddr
	for _, addr := range []net.Addr{
		&net.TCPAddr{IP: net.IPv4(1, 2, 3, 4), Port: 5}, &net.UDPAddr{IP: net.IPv6loopback, Port: 6},
		&net.UnixAddr{Name: "/run/x", Net: "unix"},
	} {
		sotype := syscall.SOCK_STREAM
		if addr.Network() == "udp" {
			sotype = syscall.SOCK_DGRAM
		}
		if err := a.SetAddr(addr, 0); err != nil || a.Addr(sotype).String() != addr.String() {
			t.Errorf("%v: %v, %v", addr, err, a.Addr(sotype))
		}
	}
}
