package netfd

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
)

func network(t testing.TB, name string) Network {
	t.Helper()
	n, err := NetworkNamed(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLiteral(t *testing.T) {
	for _, test := range []struct{ network, address, want string }{
		{"tcp", "127.0.0.1:80", "127.0.0.1:80"},
		{"tcp", "[::1]:80", "[::1]:80"},
		{"tcp4", "[::ffff:127.0.0.1]:80", "127.0.0.1:80"},
		{"tcp", ":80", "127.0.0.1:80"},
		{"udp6", ":80", "[::1]:80"},
		{"unix", "/run/x", "/run/x"},
		{"unixgram", "@x", "@x"},
	} {
		n := network(t, test.network)
		to, ok, err := n.Literal(test.address)
		if !ok || err != nil || to.Addr(n.Type).String() != test.want {
			t.Errorf("%s %q: %v, %t, %v", test.network, test.address, to.Addr(n.Type), ok, err)
		}
	}
	for _, name := range []string{"localhost:80", "127.0.0.1:http", "example.org:http", "999.1.1.1:80"} {
		if _, ok, err := network(t, "tcp").Literal(name); ok || err != nil {
			t.Errorf("%q: %t, %v; want a look-up", name, ok, err)
		}
	}
	for _, test := range []struct{ network, address string }{
		{"tcp", "127.0.0.1"}, {"tcp", ""}, {"tcp", "1:2:3"}, {"tcp", "127.0.0.1:65536"}, {"tcp", "127.0.0.1:-1"},
		{"tcp", "127.0.0.1:"}, {"tcp4", "[::1]:80"}, {"tcp6", "127.0.0.1:80"}, {"unix", ""},
	} {
		var addr *net.AddrError
		if _, ok, err := network(t, test.network).Literal(test.address); ok || !errors.As(err, &addr) {
			t.Errorf("%s %q: %t, %v; want a net.AddrError", test.network, test.address, ok, err)
		}
	}
	if _, err := NetworkNamed("tcp5"); err != net.UnknownNetworkError("tcp5") {
		t.Errorf("tcp5: %v", err)
	}
}

func TestLookup(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct{ network, address string }{
		{"tcp", "localhost:80"}, {"tcp4", "localhost:http"}, {"udp", "127.0.0.1:domain"}, {"tcp", ":http"},
	} {
		n := network(t, test.network)
		found, err := n.Lookup(ctx, net.DefaultResolver, test.address)
		if err != nil || len(found) == 0 {
			t.Errorf("%s %q: %v, %v", test.network, test.address, found, err)
			continue
		}
		for _, to := range found {
			ap := to.AddrPort()
			if !ap.Addr().IsLoopback() || ap.Port() != 80 && ap.Port() != 53 || n.Name == "tcp4" && !ap.Addr().Is4() {
				t.Errorf("%s %q: %v", test.network, test.address, ap)
			}
		}
	}
	down := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, syscall.ENETDOWN
	}}
	for _, test := range []struct{ network, address string }{
		{"tcp", "nobody.test:80"}, {"tcp", "localhost:no-such-service"}, {"tcp", "localhost"}, {"tcp6", "127.0.0.1:http"},
	} {
		if found, err := network(t, test.network).Lookup(ctx, down, test.address); err == nil {
			t.Errorf("%s %q: %v", test.network, test.address, found)
		}
	}
}
