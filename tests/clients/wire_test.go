package clients

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
)

// wire is what lies between a client and a server, and counts the bytes that pass.
type wire struct {
	url      string       // of the server, as seen through it
	up, down atomic.Int64 // from the client, from the server
}

// throughWire lays a wire to the server at a URL, until the test ends.
func throughWire(t *testing.T, to string) *wire {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := new(wire)
	target := u.Host
	u.Host = l.Addr().String()
	w.url = u.String()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			go pass(server, client, &w.up)
			go pass(client, server, &w.down)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return w
}

// pass copies what comes until there is no more, and counts it before it is there.
func pass(to, from net.Conn, count *atomic.Int64) {
	defer to.Close()
	_, _ = io.Copy(to, io.TeeReader(from, counter{count})) // ends with either connection
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// cost does something and tells how many bytes it took each way.
func (w *wire) cost(t *testing.T, do func() error) (up, down int64) {
	t.Helper()
	up, down = w.up.Load(), w.down.Load()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	return w.up.Load() - up, w.down.Load() - down
}

// compresses tells by the bytes on a wire whether both sides compress, and whether they remember earlier messages.
func compresses(t *testing.T, url string, d *deflate, dial func(ctx context.Context, url string) (peer, error)) {
	t.Helper()
	w := throughWire(t, url)
	p := dialled(t, func(ctx context.Context) (peer, error) { return dial(ctx, w.url) })

	const size = 200_000
	up, down := w.cost(t, func() error { return roundTrip(p, true, prose(size)) })
	if d == nil {
		if up < size || down < size {
			t.Errorf("%d bytes of text went as %d and came as %d without compression", size, up, down)
		}
	} else if up > size/2 || down > size/2 {
		t.Errorf("%d bytes of text went as %d and came as %d", size, up, down)
	}

	// What cannot be compressed can, the second time, if the first is remembered.
	again := func() error { return roundTrip(p, false, noise(600)) }
	w.cost(t, again)
	up, down = w.cost(t, again)
	if takeover := d != nil && d.clientTakeover; takeover != (up < 100) {
		t.Errorf("a message sent before took %d bytes; client's context takeover: %v", up, takeover)
	}
	if takeover := d != nil && d.serverTakeover; takeover != (down < 100) {
		t.Errorf("a message received before took %d bytes; server's context takeover: %v", down, takeover)
	}
	leave(t, p)
}
