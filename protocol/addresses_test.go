package protocol

import (
	"net/netip"
	"testing"
)

func TestAddresses(t *testing.T) {
	table := addresses{limit: 2}
	for _, step := range []struct {
		addr  string
		leave bool
		want  bool
	}{
		{addr: "192.0.2.1", want: true}, {addr: "::ffff:192.0.2.1", want: true}, {addr: "192.0.2.1"},
		{addr: "192.0.2.2", want: true}, {addr: "192.0.2.1", leave: true}, {addr: "192.0.2.1", want: true},
		{addr: "2001:db8::1", want: true}, {addr: "2001:db8::ffff", want: true}, {addr: "2001:db8::2"}, // one network
		{addr: "2001:db8:0:1::1", want: true}, {addr: "fe80::1%eth0", want: true}, {addr: "fe80::1%eth1", want: true},
		{addr: "fe80::1"},
	} {
		addr := netip.MustParseAddr(step.addr)
		if step.leave {
			table.leave(addr)
		} else if got := table.enter(addr); got != step.want {
			t.Errorf("%s: %v", step.addr, got)
		}
	}
	for range 3 {
		if !table.enter(netip.Addr{}) {
			t.Error("what has no address was refused")
		}
	}
	empty := addresses{limit: 1}
	empty.enter(netip.MustParseAddr("192.0.2.1"))
	empty.leave(netip.MustParseAddr("192.0.2.1"))
	if len(empty.count) != 0 {
		t.Errorf("%d clients are remembered", len(empty.count))
	}
}
