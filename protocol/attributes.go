package protocol

import "net"

// SetValue makes v what Value returns, in place of what it was. The connection keeps it until it is garbage itself.
func (c *WSConnection) SetValue(v any) {
	x := c.extension()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.value = v
}

// Value returns what SetValue was given last; nil when it was not called.
func (c *WSConnection) Value() any {
	x := c.extra.Load()
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.value
}

// RemoteAddr returns the peer's address, or nil: a connection that a server has accepted forgets it when the handler of the
// api.OpenEvent has returned, unless that, or middleware, has called RemoteAddr. Who does not need it does not pay for it.
func (c *WSConnection) RemoteAddr() net.Addr {
	if x := c.extra.Load(); x != nil {
		x.mu.Lock()
		remote := x.remote
		x.mu.Unlock()
		if remote != nil {
			return remote
		}
	}
	o := c.opening.Load()
	if o == nil || !o.remote.IsValid() {
		return nil
	}
	remote := net.TCPAddrFromAddrPort(o.remote)
	c.extension().setRemote(remote)
	return remote
}

func (x *extension) setRemote(remote net.Addr) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remote = remote
}
