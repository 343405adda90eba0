package protocol

import (
	"net/netip"
	"sync"
)

// addresses counts connections by client. The zero value has no limit and counts nothing.
type addresses struct {
	limit int // connections of one client; 0: no limit
	mu    sync.Mutex
	count map[netip.Addr]int
}

// clientOf is what counts as one client: an IPv4 address, or the first 64 bits of an IPv6 one, since a site has all
// addresses behind them (RFC 6177, RFC 7421).
func clientOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		network, _ := a.Prefix(64) // fails for more bits than there are
		return network.Addr()
	}
	return a
}

// enter counts a connection, unless its client has as many as it may. Addresses that are none are not counted.
func (t *addresses) enter(a netip.Addr) bool {
	if t.limit == 0 || !a.IsValid() {
		return true
	}
	client := clientOf(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count[client] >= t.limit {
		return false
	}
	if t.count == nil {
		t.count = make(map[netip.Addr]int)
	}
	t.count[client]++
	return true
}

// leave takes back what enter has counted.
func (t *addresses) leave(a netip.Addr) {
	if t.limit == 0 || !a.IsValid() {
		return
	}
	client := clientOf(a)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count[client]--; t.count[client] == 0 {
		delete(t.count, client)
	}
}
