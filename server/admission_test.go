package server

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// expectRefusal reads an answer that says no, and the end.
func (c *client) expectRefusal(status int) {
	c.t.Helper()
	response, body := c.response()
	if response.StatusCode != status || response.Header.Get("Retry-After") == "" {
		c.t.Errorf("got %s, %v, %q; want %d with Retry-After", response.Status, response.Header, body, status)
	}
	c.expectEnd()
}

func TestMaxHandshakes(t *testing.T) {
	cfg := local()
	cfg.MaxHandshakes = 2
	s := start(t, cfg, api.HandlerFunc(echo))
	first, second := connect(t, s.Addr()), connect(t, s.Addr())
	first.write([]byte(request[:1]))
	second.write([]byte(request[:1]))
	eventually(t, func() bool { return s.GetControl().Stats()["handshakes.active"] == int64(2) })
	connect(t, s.Addr()).expectRefusal(http.StatusServiceUnavailable) // before it has said a word
	first.write([]byte(request[1:]))
	first.expectUpgrade()
	third := dial(t, s.Addr()) // now there is room
	third.speak("x")
	second.conn.Close()
	eventually(t, func() bool { return s.GetControl().Stats()["handshakes.active"] == int64(0) })
	stats := s.GetControl().Stats()
	if stats["handshakes.excess"] != int64(1) || stats["connections.rejected"] != int64(1) {
		t.Errorf("excess %v, rejected %v", stats["handshakes.excess"], stats["connections.rejected"])
	}
}

func TestHandshakeRate(t *testing.T) {
	cfg := local()
	cfg.HandshakeRate = 1
	cfg.HandshakeBurst = 3
	cfg.HTTP = say("pages are not handshakes")
	s := start(t, cfg, api.HandlerFunc(echo))
	began := time.Now()
	for range 3 {
		dial(t, s.Addr())
	}
	refused := connect(t, s.Addr())
	refused.write([]byte(request))
	response, _ := refused.response()
	if took := time.Since(began); took < time.Second && // else the next one is due by right
		(response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "1") {
		t.Errorf("the fourth within %v: %s, %v", took, response.Status, response.Header)
	} else if got := s.GetControl().Stats()["handshakes.rate"]; took < time.Second && got != int64(1) {
		t.Errorf("handshakes.rate is %v", got)
	}
	for range 5 {
		if status, _ := get(t, browser(t), s.Addr(), "/"); status != http.StatusOK {
			t.Errorf("a page: %d", status)
		}
	}
}

// Connections of an address count whatever they are: in their handshake, open, or of net/http, and one that becomes another
// counts once.
func TestMaxConnectionsPerIP(t *testing.T) {
	cfg := local()
	cfg.MaxConnectionsPerIP = 3
	cfg.MaxConnections = 3
	cfg.HTTP = say("x")
	s := start(t, cfg, api.HandlerFunc(echo))
	open := dial(t, s.Addr())
	silent := connect(t, s.Addr())
	page := connect(t, s.Addr())
	page.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	page.response()
	connect(t, s.Addr()).expectRefusal(http.StatusTooManyRequests)
	page.write([]byte(request))
	page.expectUpgrade()
	page.speak("still one")
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := other.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := over(t, conn)
	elsewhere.write([]byte(request))
	elsewhere.expectUpgrade()
	for _, leaves := range []func(){
		func() { silent.conn.Close() }, func() { open.goodbye() }, func() { page.goodbye() },
	} {
		leaves()
		var next *client
		eventually(t, func() bool { // its end may not have been seen yet
			next = connect(t, s.Addr())
			next.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
			response, err := http.ReadResponse(next.in, nil)
			return err == nil && response.StatusCode != http.StatusTooManyRequests
		})
	}
	if got := s.GetControl().Stats()["connections.per_ip"].(int64); got < 1 {
		t.Errorf("connections.per_ip is %d", got)
	}
}

// Connections that net/http has brought count for their addresses, too.
func TestMaxConnectionsPerIPElsewhere(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxConnectionsPerIP = 1
	s, err := NewUpgrader(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	web := serveHTTP(t, s.WebSocket(api.HandlerFunc(echo)))
	first := dial(t, web)
	second := connect(t, web)
	second.write([]byte(request))
	if response, _ := second.response(); response.StatusCode != http.StatusTooManyRequests {
		t.Errorf("got %s", response.Status)
	}
	first.goodbye()
	eventually(t, func() bool { return s.GetActiveConnections() == 0 })
	second.write([]byte(request))
	second.expectUpgrade()
}

// dribble sends its bytes one by one until somebody hangs up, or has answered.
func (c *client) dribble(head string) (answered <-chan error) {
	done := make(chan error, 1)
	go func() {
		_, err := c.in.Peek(1)
		done <- err
	}()
	for i := 0; ; i++ {
		select {
		case err := <-done:
			done <- err
			return done
		case <-time.After(5 * time.Millisecond):
		}
		if i == len(head) {
			c.t.Fatal("all of it was taken, however slowly it came")
		}
		_, _ = c.conn.Write([]byte{head[i]}) // fails when somebody has hung up
	}
}

// A head that comes byte by byte does not come for ever, neither on a loop nor in net/http.
func TestSlowLoris(t *testing.T) {
	cfg := local()
	cfg.HandshakeTimeout = 100 * time.Millisecond
	cfg.HTTP = say("x")
	s := start(t, cfg, api.HandlerFunc(echo))
	slow := connect(t, s.Addr())
	<-slow.dribble(string(asking("/", "X-Long: "+string(make([]byte, 2000)))))
	if response, _ := slow.response(); response.StatusCode != http.StatusRequestTimeout {
		t.Errorf("on a loop: %s", response.Status)
	}
	later := connect(t, s.Addr())
	later.write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	later.response()
	err := <-later.dribble(string(asking("/", "X-Long: "+string(make([]byte, 2000)))))
	if err == nil {
		_, err = io.Copy(io.Discard, later.in)
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) { // a reset: we had sent on
		t.Errorf("in net/http: %v", err)
	}
}

func TestMaxMessageSize(t *testing.T) {
	cfg := local()
	cfg.MaxMessageSize = 1000
	s := start(t, cfg, api.HandlerFunc(echo))
	c := dial(t, s.Addr())
	c.send(protocol.OpcodeBinary, make([]byte, 1000))
	c.expect(protocol.OpcodeBinary, make([]byte, 1000))
	c.write(encode(true, protocol.OpcodeBinary, make([]byte, 1001))[:8]) // the header says it all
	c.expectClose(protocol.CloseMessageTooBig)
}

// What goes beyond SendLimit is refused, and, by choice, the connection closed.
func TestSendLimit(t *testing.T) {
	for _, policy := range []protocol.SlowConsumerPolicy{protocol.SlowConsumerRefuse, protocol.SlowConsumerClose} {
		cfg := local()
		cfg.SendLimit = 1 << 20
		cfg.SlowConsumer = policy
		opened := make(chan *protocol.WSConnection, 1)
		s := start(t, cfg, opens(opened, api.HandlerFunc(echo)))
		c := dial(t, s.Addr()) // and does not read
		conn := <-opened
		var err error
		sent := 0
		for ; err == nil && sent < 100; sent++ {
			err = conn.Send(protocol.OpcodeBinary, make([]byte, 1<<19))
		}
		if !errors.Is(err, protocol.ErrBackpressure) {
			t.Errorf("after %d messages of 512 KiB: %v", sent, err)
		}
		for range sent - 1 {
			c.expect(protocol.OpcodeBinary, make([]byte, 1<<19))
		}
		if policy == protocol.SlowConsumerClose {
			c.expectClose(protocol.ClosePolicyViolation)
		} else {
			c.speak("still there")
		}
	}
}

// Above HighWater a peer is not read from.
func TestHighWater(t *testing.T) {
	cfg := local()
	cfg.HighWater, cfg.LowWater = 1000, 10
	s := start(t, cfg, api.HandlerFunc(echo))
	c := dial(t, s.Addr())
	large := make([]byte, 1<<20)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range 20 {
			_, _ = c.conn.Write(encode(true, protocol.OpcodeBinary, large))
		}
	}()
	eventually(t, func() bool { return s.GetControl().Stats()["loop.read_pauses"].(int64) > 0 })
	for range 20 {
		c.expect(protocol.OpcodeBinary, large)
	}
	<-sent
}

// A peer that answers pings stays; one that is as silent as the dead does not.
func TestPingInterval(t *testing.T) {
	cfg := local()
	cfg.PingInterval = 50 * time.Millisecond
	cfg.ReadTimeout = 1500 * time.Millisecond
	s := start(t, cfg, api.HandlerFunc(echo))
	c := dial(t, s.Addr())
	began := time.Now()
	enough := began.Add(patience)
	for answered, silence := began, time.Duration(0); time.Since(began) < cfg.ReadTimeout*6/5; {
		f, err := c.next()
		silence = max(silence, time.Since(answered))
		if err == nil && f.opcode == protocol.OpcodeClose && silence > cfg.ReadTimeout/2 && time.Now().Before(enough) {
			c, began = dial(t, s.Addr()), time.Now() // for want of a processor we have been as the dead
			answered, silence = began, 0
			continue
		}
		if err != nil || f.opcode != protocol.OpcodePing {
			t.Fatalf("got %+v, %v; want a ping", f, err)
		}
		c.send(protocol.OpcodePong, nil)
		silence = max(silence, time.Since(answered))
		answered = time.Now()
	}
	for { // from here on it does not answer
		f, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if f.opcode == protocol.OpcodeClose {
			break
		}
	}
}

func TestCloseTimeout(t *testing.T) {
	cfg := local()
	cfg.CloseTimeout = 50 * time.Millisecond
	opened := make(chan *protocol.WSConnection, 1)
	s := start(t, cfg, opens(opened, api.HandlerFunc(echo)))
	c := dial(t, s.Addr())
	conn := <-opened
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	c.expectClose(protocol.CloseNormalClosure) // and does not answer
	select {
	case <-conn.Done():
	case <-time.After(3 * time.Second): // the default is 5
		t.Error("it waits for an answer that does not come")
	}
}

// A panic in CheckOrigin gives back what was counted for the client's address.
func TestPanicInCheckOriginIsNotCounted(t *testing.T) {
	cfg := local()
	cfg.MaxConnectionsPerIP = 1
	var asked atomic.Int32
	cfg.CheckOrigin = func(*http.Request) bool {
		if asked.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		return true
	}
	s, err := NewUpgrader(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	h := httptest.NewServer(s.WebSocket(api.HandlerFunc(echo)))
	t.Cleanup(h.Close)
	c := connect(t, h.Listener.Addr())
	c.write([]byte(request))
	c.expectEnd()
	dial(t, h.Listener.Addr())
}
