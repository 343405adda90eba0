package protocol

import (
	"io"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
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

// When a connection counts as open no more, there is room for another of its client.
func TestAddressLeavesFirst(t *testing.T) {
	s := shard(t, EndpointConfig{MaxPerClient: 1})
	opened := make(chan struct{})
	s.endpoint.SetHandler(api.HandlerFunc(func(data any) error {
		if _, ok := data.(api.OpenEvent); ok {
			close(opened)
		}
		return nil
	}), true)
	fd, peer := pair(t)
	if _, err := io.WriteString(peer, changed()); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(fd, client); err != nil {
		t.Fatal(err)
	}
	<-opened
	s.endpoint.addresses.mu.Lock() // holds up whoever leaves
	peer.Close()
	for began := time.Now(); time.Since(began) < 50*time.Millisecond; runtime.Gosched() {
		if s.endpoint.active.Load() == 0 {
			t.Error("it has not left yet")
			break
		}
	}
	s.endpoint.addresses.mu.Unlock()
}
