//go:build linux

package differential

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
	"github.com/momentics/hioload-ws/protocol"
)

// handshake is the request that opens each connection.
const handshake = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// patience is how long the server may take for one step.
const patience = 10 * time.Second

// server is an endpoint whose loop is turned by hand, so that it has dealt with each piece before the next one comes.
type server struct {
	loop  *loop.Loop
	shard *protocol.Shard
	conn  *outcome // of the one connection that is open
	ended bool
}

// ours is the server that all cases share, as long as the process lives.
var ours = sync.OnceValues(func() (*server, error) {
	l, err := loop.New(loop.Config{MaxMessage: maxMessage})
	if err != nil {
		return nil, err
	}
	endpoint := protocol.NewEndpoint(protocol.EndpointConfig{QueueLimit: 1, HandshakeTimeout: patience})
	s := &server{loop: l, shard: endpoint.AddShard(l)}
	endpoint.SetHandler(s, true)
	return s, nil
})

// Handle notes what the connection receives, and how it ends.
func (s *server) Handle(data any) error {
	switch event := data.(type) {
	case api.Buffer:
		s.conn.messages = append(s.conn.messages, message(protocol.MessageOpcode(event), event.Bytes()))
		event.Release()
	case api.CloseEvent:
		s.conn.code, s.conn.reason = event.Conn.(*protocol.WSConnection).CloseStatus()
		s.ended = true
	}
	return nil
}

// client is the other end of a connection.
type client struct {
	fd  int
	out []byte // what the server has sent
}

// withOurs is the outcome of this module's server. joined: the first piece comes together with the handshake.
func withOurs(in [][]byte, joined bool) (*outcome, error) {
	s, err := ours()
	if err != nil {
		return nil, err
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	c := &client{fd: pair[1]}
	defer syscall.Close(c.fd)
	s.conn, s.ended = &outcome{}, false
	if err := s.shard.Serve(pair[0], netip.AddrPort{}); err != nil {
		return nil, err
	}
	first := []byte(handshake)
	if joined && len(in) > 0 {
		first, in = append(first, in[0]...), in[1:]
	}
	for _, piece := range append([][]byte{first}, in...) {
		if err := s.feed(c, piece); err != nil {
			return nil, err
		}
	}
	if err := syscall.Shutdown(c.fd, syscall.SHUT_WR); err != nil {
		return nil, err
	}
	for began := time.Now(); !s.ended; {
		if time.Since(began) > patience {
			return nil, fmt.Errorf("the connection has not ended %v after its client", patience)
		}
		if _, err := s.loop.Turn(patience.Milliseconds()); err != nil {
			return nil, err
		}
		if err := c.receive(); err != nil {
			return nil, err
		}
	}
	_, frames, found := bytes.Cut(c.out, []byte("\r\n\r\n"))
	if !found {
		return nil, fmt.Errorf("no answer to the handshake: %q", c.out)
	}
	return s.conn, s.conn.readOutput(frames)
}

// feed has the server receive a piece.
func (s *server) feed(c *client, piece []byte) error {
	for len(piece) > 0 && !s.ended {
		n, err := syscall.Write(c.fd, piece)
		switch {
		case err == nil:
			piece = piece[n:]
		case errors.Is(err, syscall.EPIPE):
			return nil // it has broken off
		case !errors.Is(err, syscall.EAGAIN):
			return err
		}
		for n := 1; n > 0; {
			if n, err = s.loop.Turn(0); err != nil {
				return err
			}
			if err := c.receive(); err != nil {
				return err
			}
		}
	}
	return nil
}

// receive takes what the server has sent until now.
func (c *client) receive() error {
	buffer := make([]byte, 1<<16)
	for {
		n, err := syscall.Read(c.fd, buffer)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.ECONNRESET) || err == nil && n == 0 {
			return nil
		}
		if err != nil {
			return err
		}
		c.out = append(c.out, buffer[:n]...)
	}
}
