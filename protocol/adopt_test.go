package protocol

import (
	"bytes"
	"errors"
	"net/http"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/api"
)

// sockets is a connected pair of descriptors for two shards.
func sockets(t testing.TB) (a, b int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

func adopt(t *testing.T, s *Shard, fd int, a Adoption) *WSConnection {
	t.Helper()
	c, err := s.Adopt(fd, a)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAdoptBothEnds has a client and a server of our own talk to each other.
func TestAdoptBothEnds(t *testing.T) {
	server, client := shard(t, EndpointConfig{}), shard(t, EndpointConfig{QueueLimit: 4})
	server.endpoint.SetHandler(api.HandlerFunc(func(data any) error {
		message, ok := data.(api.Buffer)
		if !ok {
			return nil
		}
		c := api.FromContext(api.ContextFromData(data)).(*WSConnection)
		return c.SendFrame(&WSFrame{IsFinal: true, Opcode: MessageOpcode(data), Payload: message.Bytes()})
	}), true)
	client.endpoint.SetHandler(ignore, false)
	near, far := sockets(t)
	adopt(t, server, near, Adoption{})
	c := adopt(t, client, far, Adoption{Client: true})
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 3 << 20} {
		sent := bytes.Repeat([]byte{byte(size)}, size)
		if err := c.SendFrame(&WSFrame{IsFinal: true, Opcode: OpcodeBinary, Payload: sent}); err != nil {
			t.Fatal(err)
		}
		messages, err := c.RecvZeroCopy()
		if err != nil || len(messages) != 1 || !bytes.Equal(messages[0].Bytes(), sent) {
			t.Fatalf("%d bytes: %d messages, %v", size, len(messages), err)
		}
		messages[0].Release()
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if code, _ := c.CloseStatus(); code != CloseNormalClosure {
		t.Errorf("closed with %d", code)
	}
}

// TestAdoptOpensBeforeMessages: the event comes first, with the request, also when messages lie there already.
func TestAdoptOpensBeforeMessages(t *testing.T) {
	for _, rest := range []bool{false, true} {
		s := shard(t, EndpointConfig{})
		heard := make(chan string, 3)
		s.endpoint.SetHandler(api.HandlerFunc(func(data any) error {
			switch data := data.(type) {
			case api.OpenEvent:
				heard <- "open " + data.Conn.(*WSConnection).Request().URL.Path
			case api.Buffer:
				heard <- "message " + string(data.Bytes())
			}
			return nil
		}), true)
		fd, peer := pair(t)
		request, err := http.NewRequest(http.MethodGet, "/here", nil)
		if err != nil {
			t.Fatal(err)
		}
		a := Adoption{Request: request}
		early, late := "\x81\x81\x00\x00\x00\x00a", "\x81\x81\x00\x00\x00\x00b"
		if rest {
			a.Rest = []byte(early)
		} else {
			late = early + late
		}
		if _, err := peer.Write([]byte(late)); err != nil {
			t.Fatal(err)
		}
		adopt(t, s, fd, a)
		for _, want := range []string{"open /here", "message a", "message b"} {
			if got := <-heard; got != want {
				t.Errorf("%q, not %q", got, want)
			}
		}
	}
}

func TestAdoptRefuses(t *testing.T) {
	s := shard(t, EndpointConfig{MaxConnections: 1})
	fd, _ := pair(t)
	first := adopt(t, s, fd, Adoption{})
	fd, _ = pair(t)
	if _, err := s.Adopt(fd, Adoption{}); !errors.Is(err, api.ErrResourceExhausted) {
		t.Errorf("one too many: %v", err)
	}
	if err := syscall.Close(fd); err != syscall.EBADF {
		t.Errorf("the descriptor was not closed: %v", err)
	}
	_ = first.conn.Abort(false)
	<-first.Done()
	drained := s.endpoint.Drain()
	<-drained
	fd, _ = pair(t)
	if _, err := s.Adopt(fd, Adoption{}); !errors.Is(err, api.ErrTransportClosed) {
		t.Errorf("while draining: %v", err)
	}
	s.loop.Close()
	<-s.loop.Done()
	fd, _ = pair(t)
	if _, err := s.Adopt(fd, Adoption{}); !errors.Is(err, api.ErrTransportClosed) {
		t.Errorf("when the loop has ended: %v", err)
	}
	if stats := s.endpoint.Stats(); stats.Active != 0 || s.Len() != 0 {
		t.Errorf("%d connections are left, %d of them open", s.Len(), stats.Active)
	}
}

func TestAdoptPanicInOpen(t *testing.T) {
	s := shard(t, EndpointConfig{})
	s.endpoint.SetHandler(api.HandlerFunc(func(data any) error {
		if _, ok := data.(api.OpenEvent); ok {
			panic("on purpose")
		}
		return nil
	}), true)
	fd, peer := pair(t)
	c := adopt(t, s, fd, Adoption{})
	<-c.Done()
	if n, err := peer.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if got := s.endpoint.Stats().HandlerPanics; got != 1 {
		t.Errorf("%d panics", got)
	}
}
