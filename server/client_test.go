package server

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/protocol"
)

// patience bounds every wait of these tests: when it is over, something is wrong.
const patience = 30 * time.Second

// frame is one frame as it came.
type frame struct {
	fin     bool
	opcode  byte
	payload []byte
}

// client is a WebSocket client, written by hand so that it can also say what no client should.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader

	// inflate decompresses the payloads of frames with RSV1 (RFC 7692); nil: there must be none.
	inflate func(payload []byte) ([]byte, error)
}

// request is a good opening handshake; keyed by the example of RFC 6455 section 1.2.
const request = "GET /chat?x=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

// connect makes a TCP connection that closes with the test.
func connect(t testing.TB, addr net.Addr) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr.String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

// dial opens a WebSocket.
func dial(t testing.TB, addr net.Addr) *client {
	t.Helper()
	c := connect(t, addr)
	c.write([]byte(request))
	c.expectUpgrade()
	return c
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// response reads an HTTP answer with its body.
func (c *client) response() (*http.Response, string) {
	c.t.Helper()
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if response.StatusCode == http.StatusSwitchingProtocols {
		return response, ""
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return response, string(body)
}

func (c *client) expectUpgrade() {
	c.t.Helper()
	response, body := c.response()
	if response.StatusCode != http.StatusSwitchingProtocols {
		c.t.Fatalf("handshake: %s: %s", response.Status, body)
	}
	if got := response.Header.Get("Sec-Websocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		c.t.Fatalf("Sec-WebSocket-Accept is %q", got)
	}
}

// encode makes a masked frame.
func encode(fin bool, opcode byte, payload []byte) []byte {
	first := opcode
	if fin {
		first |= 0x80
	}
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 65536:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	var mask [4]byte
	rand.Read(mask[:])
	b = append(b, mask[:]...)
	start := len(b)
	b = append(b, payload...)
	for i := range payload {
		b[start+i] ^= mask[i&3]
	}
	return b
}

func (c *client) send(opcode byte, payload []byte) {
	c.t.Helper()
	c.write(encode(true, opcode, payload))
}

// next reads a frame.
func (c *client) next() (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return frame{}, err
	}
	compressed := head[0]&0x40 != 0
	if head[0]&0x30 != 0 || compressed && c.inflate == nil || head[1]&0x80 != 0 {
		return frame{}, fmt.Errorf("reserved bits or mask in a server's frame: % x", head)
	}
	size := uint64(head[1])
	extended := map[uint64]int{126: 2, 127: 8}[size]
	if extended > 0 {
		var b [8]byte
		if _, err := io.ReadFull(c.in, b[8-extended:]); err != nil {
			return frame{}, err
		}
		size = binary.BigEndian.Uint64(b[:])
	}
	f := frame{fin: head[0]&0x80 != 0, opcode: head[0] & 0x0f, payload: make([]byte, size)}
	_, err := io.ReadFull(c.in, f.payload)
	if err == nil && compressed {
		f.payload, err = c.inflate(f.payload)
	}
	return f, err
}

func (c *client) expect(opcode byte, payload []byte) {
	c.t.Helper()
	f, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	if !f.fin || f.opcode != opcode || !bytes.Equal(f.payload, payload) {
		c.t.Fatalf("got fin %v, opcode %#x, %d bytes %.40q; want opcode %#x, %d bytes %.40q",
			f.fin, f.opcode, len(f.payload), f.payload, opcode, len(payload), payload)
	}
}

// expectClose reads a close frame and what follows it: nothing.
func (c *client) expectClose(code uint16) {
	c.t.Helper()
	f, err := c.next()
	if err != nil {
		c.t.Fatal(err)
	}
	if f.opcode != protocol.OpcodeClose || len(f.payload) < 2 || binary.BigEndian.Uint16(f.payload) != code {
		c.t.Fatalf("got opcode %#x, % x; want a close frame with %d", f.opcode, f.payload, code)
	}
}

// expectEnd reads the end of the stream.
func (c *client) expectEnd() {
	c.t.Helper()
	if n, err := io.Copy(io.Discard, c.in); n > 0 || err != nil {
		c.t.Fatalf("got %d more bytes, %v; want the end", n, err)
	}
}

// closePayload is the payload of a close frame.
func closePayload(code uint16, reason string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, code), reason...)
}

// goodbye closes the connection as a client should.
func (c *client) goodbye() {
	c.t.Helper()
	c.send(protocol.OpcodeClose, closePayload(protocol.CloseNormalClosure, ""))
	c.expectClose(protocol.CloseNormalClosure)
	c.expectEnd()
}
