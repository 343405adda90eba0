//go:build linux

package reactor

import (
	"errors"
	"testing"
)

// The default context works like any other, and is one for all.
func TestDefaultContext(t *testing.T) {
	SetProtocolFactory(nil)
	if fallback.context == nil && GetProtocol(0) != nil {
		t.Error("a protocol before there is a context")
	}
	fd, peer := wire(t)
	if err := Handoff(fd, ClientInfo{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no factory: %v, want ErrInvalid", err)
	}
	a := newActor()
	a.data = sendBack
	SetProtocolFactory(func() Protocol { return a })
	defer SetProtocolFactory(nil)
	c, err := DefaultContext()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := DefaultContext(); again != c || err != nil {
		t.Errorf("another default context: %v, %v", again, err)
	}
	if err := Handoff(fd, ClientInfo{}); err != nil {
		t.Fatal(err)
	}
	if GetProtocol(fd) != a {
		t.Error("GetProtocol does not find it")
	}
	put(t, peer, "hello")
	expect(t, peer, "hello")
	if a.Context() != c || c.Connections() != 1 {
		t.Errorf("%d connections of %p, want 1 of %p", c.Connections(), a.Context(), c)
	}
	peer.Close()
	a.closes(t)
}

// A factory that was set before there was a default context is its first one.
func TestDefaultContextIsMadeLate(t *testing.T) {
	fallback.Lock()
	kept := fallback.context
	fallback.context = nil
	fallback.Unlock()
	SetProtocolFactory(greeter("early"))
	defer SetProtocolFactory(nil)
	fd, peer := wire(t)
	if GetProtocol(fd) != nil {
		t.Error("a protocol before there is a context")
	}
	if err := Handoff(fd, ClientInfo{}); err != nil {
		t.Fatal(err)
	}
	expect(t, peer, "early")
	c, err := DefaultContext()
	if err != nil {
		t.Fatal(err)
	}
	closeContext(t, c)
	fallback.Lock()
	fallback.context = kept
	fallback.Unlock()
}
