//go:build linux

package reactor

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// listenDatagrams listens for datagrams until the test ends.
func listenDatagrams(t testing.TB, network, address string) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// adopt gives a connection of package net to a, which is made.
func adopt(t testing.TB, c *Context, conn any, a *actor) {
	t.Helper()
	c.SetFactory(func() Protocol { return a })
	var err error
	switch conn := conn.(type) {
	case *os.File:
		err = c.AdoptFile(conn)
	case net.Conn: // *net.UDPConn and *net.UnixConn, too
		err = c.Adopt(conn)
	}
	if err != nil {
		t.Fatal(err)
	}
	await(t, "ConnectionMade", a.ready)
}

// echoDatagram sends each datagram back, empty ones too.
func echoDatagram(a *actor, data Buffer) Action {
	if len(data) == 0 {
		a.Write(nil)
		return Continue
	}
	a.WriteBuffer.Write(data)
	return WritePending
}

// An unconnected socket answers whoever has asked, each with its own.
func TestUnconnectedDatagrams(t *testing.T) {
	dir := t.TempDir()
	for network, address := range map[string][3]string{
		"udp4":     {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"},
		"unixgram": {filepath.Join(dir, "server"), filepath.Join(dir, "a"), filepath.Join(dir, "b")},
	} {
		t.Run(network, func(t *testing.T) {
			server := listenDatagrams(t, network, address[0])
			clients := []net.PacketConn{listenDatagrams(t, network, address[1]), listenDatagrams(t, network, address[2])}
			a := newActor()
			a.data = echoDatagram
			c := contextFor(t, ContextOptions{})
			to := server.LocalAddr()
			adopt(t, c, server, a)
			buf := make([]byte, 2048)
			for i := range 30 {
				client, text := clients[i%2], pattern(i*10, i) // the first two are empty
				if i < 2 {
					text = nil
				}
				if _, err := client.WriteTo(text, to); err != nil {
					t.Fatal(err)
				}
				n, from, err := client.ReadFrom(buf)
				if err != nil || !bytes.Equal(buf[:n], text) || from.String() != to.String() {
					t.Fatalf("got %q from %v, %v; want %q", buf[:n], from, err, text)
				}
			}
			for _, client := range clients { // who has to wait for his turn
				client.WriteTo([]byte(client.LocalAddr().String()), to)
			}
			for _, client := range clients {
				n, _, err := client.ReadFrom(buf)
				if err != nil || string(buf[:n]) != client.LocalAddr().String() {
					t.Errorf("%v got the answer for %q, %v", client.LocalAddr(), buf[:n], err)
				}
			}
			if n := c.Connections(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// A sender that cannot be answered does not keep others from being served.
func TestDatagramThatCannotBeAnswered(t *testing.T) {
	dir := t.TempDir()
	server := listenDatagrams(t, "unixgram", filepath.Join(dir, "server"))
	client := listenDatagrams(t, "unixgram", filepath.Join(dir, "client"))
	gone := listenDatagrams(t, "unixgram", filepath.Join(dir, "gone"))
	to := server.LocalAddr().(*net.UnixAddr)
	nameless, err := net.DialUnix("unixgram", nil, to)
	if err != nil {
		t.Fatal(err)
	}
	defer nameless.Close()
	a := newActor()
	a.data = echoDatagram
	var failures []error
	a.room = func(*actor) Action {
		if _, err := a.Flush(); err != nil {
			failures = append(failures, err)
		}
		if n := a.WriteBuffer.Len(); n > 0 {
			t.Errorf("%d bytes are left to be sent to somebody else", n)
		}
		return ReadPending
	}
	nameless.Write([]byte("from nobody"))
	gone.WriteTo([]byte("from the dead"), to)
	gone.Close()
	adopt(t, contextFor(t, ContextOptions{}), server, a)
	buf := make([]byte, 100)
	client.WriteTo([]byte("mine"), to)
	n, _, err := client.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "mine" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	a.do(t, func() Action {
		if len(failures) == 0 {
			t.Error("no write has failed: nothing was shown")
		}
		return Continue
	})

	// Nor with WriteReady of Base.
	a.do(t, func() Action { a.room = nil; return Continue })
	nameless.Write([]byte("from nobody"))
	client.WriteTo([]byte("again"), to)
	n, _, err = client.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "again" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
}

// A connected datagram socket is told of each datagram, and no end.
func TestConnectedDatagrams(t *testing.T) {
	peer := listenDatagrams(t, "udp4", "127.0.0.1:0")
	conn, err := net.Dial("udp4", peer.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	a := newActor()
	a.data = echoDatagram
	from := conn.LocalAddr()
	adopt(t, contextFor(t, ContextOptions{}), conn, a)
	buf := make([]byte, 2048)
	for _, text := range []string{"one", "", "three", string(pattern(1400, 0))} {
		peer.WriteTo([]byte(text), from)
		n, _, err := peer.ReadFrom(buf)
		if err != nil || string(buf[:n]) != text {
			t.Errorf("got %q, %v; want %q", buf[:n], err, text)
		}
	}
}

// A datagram goes out whole, or not at all: one that is too large is an error, not a part of it.
func TestDatagramTooLarge(t *testing.T) {
	peer := listenDatagrams(t, "udp4", "127.0.0.1:0")
	conn, err := net.Dial("udp4", peer.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	a := newActor()
	adopt(t, contextFor(t, ContextOptions{}), conn, a)
	a.do(t, func() Action {
		a.WriteBuffer.Write(make([]byte, 1<<17))
		return WritePending
	})
	if err := a.end(t); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("ended with %v, want EMSGSIZE", err)
	}
}

// One pipe is read to its end, the other written until its reader is gone.
func TestPipes(t *testing.T) {
	c := contextFor(t, ContextOptions{Loops: 2})
	in, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, drainTo, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{feed, out} {
		t.Cleanup(func() { f.Close() })
		f.SetDeadline(time.Now().Add(patience))
	}
	writer := newActor()
	adopt(t, c, drainTo, writer)
	reader := newActor()
	reader.data = func(_ *actor, data Buffer) Action {
		kept, end := data.Copy(), len(data) == 0
		writer.Post(func() Action { // from one connection's loop to another's
			writer.WriteBuffer.Write(kept)
			if end {
				writer.WriteBuffer.WriteString("the end")
			}
			return WritePending
		})
		return Continue
	}
	adopt(t, c, in, reader)
	sent := pattern(300<<10, 3) // more than pipes hold
	go func() {
		feed.Write(sent)
		feed.Close()
	}()
	got := make([]byte, len(sent)+len("the end"))
	if _, err := io.ReadFull(out, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[:len(sent)], sent) || string(got[len(sent):]) != "the end" {
		t.Error("what came out is not what went in")
	}
	reader.closes(t)
	out.Close()
	if err := writer.end(t); err == nil {
		t.Error("ended without an error, though its reader is gone")
	}
}

// The same over the stream sockets there are.
func TestContextListenNetworks(t *testing.T) {
	for network, address := range map[string]string{
		"tcp4":       "127.0.0.1:0",
		"unix":       filepath.Join(t.TempDir(), "s"),
		"unixpacket": abstract("protocol"),
	} {
		t.Run(network, func(t *testing.T) {
			a := newActor()
			a.data = sendBack
			c := contextFor(t, ContextOptions{Factory: func() Protocol { return a }})
			ln, err := c.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			client := dialNet(t, ln.Addr())
			exchange(t, client, "hello")
			want := map[string]string{"tcp4": "tcp"}[network]
			if want == "" {
				want = network
			}
			info := a.Info()
			if tcp, ok := client.LocalAddr().(*net.TCPAddr); ok && (info.Port != tcp.Port || info.Addr != "127.0.0.1") {
				t.Errorf("%+v, want %v", info, tcp)
			}
			if info.Type != want {
				t.Errorf("type %q, want %q", info.Type, want)
			}
			client.Close()
			a.closes(t)
		})
	}
}
