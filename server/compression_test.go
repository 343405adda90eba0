package server

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// offering is a good request that offers extensions.
func offering(extensions string) string {
	return strings.Replace(request, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: "+extensions+"\r\n\r\n", 1)
}

// dialOffering opens a WebSocket and returns it with the extensions that the server answers.
func dialOffering(t testing.TB, addr net.Addr, extensions string) (*client, string) {
	t.Helper()
	c := connect(t, addr)
	c.write([]byte(offering(extensions)))
	response, body := c.response()
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s: %s", response.Status, body)
	}
	return c, response.Header.Get("Sec-Websocket-Extensions")
}

// deflate compresses one message without context (RFC 7692 section 7.2.1).
func deflate(t testing.TB, message []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(message); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

// sendCompressed sends a message in one compressed frame.
func (c *client) sendCompressed(opcode byte, payload []byte) {
	c.t.Helper()
	f := encode(true, opcode, payload)
	f[0] |= 0x40
	c.write(f)
}

// expectCompressed reads a message of one compressed frame, of up to 65535 bytes of payload, with the window of those
// before it.
func (c *client) expectCompressed(opcode byte, want, window []byte) {
	c.t.Helper()
	var head [4]byte
	read := func(b []byte) {
		c.t.Helper()
		if _, err := io.ReadFull(c.in, b); err != nil {
			c.t.Fatal(err)
		}
	}
	read(head[:2])
	size := int(head[1])
	if size == 126 {
		read(head[2:])
		size = int(binary.BigEndian.Uint16(head[2:]))
	}
	if head[0] != 0xc0|opcode {
		c.t.Fatalf("a frame that begins with %#x", head[0])
	}
	payload := make([]byte, size)
	read(payload)
	tail := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff") // the final block is for package flate alone
	got, err := io.ReadAll(flate.NewReaderDict(io.MultiReader(bytes.NewReader(payload), tail), window))
	if err != nil || !bytes.Equal(got, want) {
		c.t.Fatalf("%d bytes, want %d: %v", len(got), len(want), err)
	}
}

// What clients offer, and what the server agrees to: RFC 7692 section 7.1. Everything else is package protocol's to test.
func TestCompressionIsNegotiated(t *testing.T) {
	cfg := local()
	cfg.Compression = &protocol.Compression{Threshold: 10}
	s := start(t, cfg, api.HandlerFunc(echo))
	s.HandleWebSocket("/plain", api.HandlerFunc(echo), WithCompression(nil))
	s.HandleWebSocket("/chat", api.HandlerFunc(echo))

	c, agreed := dialOffering(t, s.Addr(), "permessage-deflate; client_no_context_takeover")
	if agreed != "permessage-deflate; client_no_context_takeover" {
		t.Errorf("agreed on %q", agreed)
	}
	long := []byte(strings.Repeat("a message that is worth it, ", 1000))
	c.sendCompressed(protocol.OpcodeBinary, deflate(t, long))
	c.expectCompressed(protocol.OpcodeBinary, long, nil)
	c.sendCompressed(protocol.OpcodeBinary, deflate(t, long[:100]))
	c.expectCompressed(protocol.OpcodeBinary, long[:100], long)
	c.sendCompressed(protocol.OpcodeBinary, deflate(t, []byte("short")))
	c.expect(protocol.OpcodeBinary, []byte("short"))
	c.send(protocol.OpcodePing, []byte("a ping, and longer than that"))
	c.expect(protocol.OpcodePong, []byte("a ping, and longer than that"))

	for _, path := range []string{"", "/plain"} { // no offer; a route without
		c := connect(t, s.Addr())
		if path == "" {
			c.write([]byte(request))
		} else {
			c.write([]byte(strings.Replace(offering("permessage-deflate"), "/chat", path, 1)))
		}
		response, _ := c.response()
		if got := response.Header["Sec-Websocket-Extensions"]; got != nil {
			t.Errorf("%q: agreed on %q", path, got)
		}
		c.send(protocol.OpcodeBinary, long[:200])
		c.expect(protocol.OpcodeBinary, long[:200])
	}

	bad := connect(t, s.Addr())
	bad.write([]byte(offering("permessage-deflate; =")))
	if response, _ := bad.response(); response.StatusCode != http.StatusBadRequest {
		t.Errorf("malformed: %s", response.Status)
	}
}

// A few bytes that stand for many end with 1009 where the limit is, and cost no more memory than that.
func TestDecompressionBomb(t *testing.T) {
	cfg := local()
	cfg.Compression = &protocol.Compression{}
	s := start(t, cfg, api.HandlerFunc(echo))
	s.HandleWebSocket("/chat", api.HandlerFunc(echo), WithMaxMessageSize(1<<20))
	piece := deflate(t, make([]byte, 1<<20)) // ends with an empty block, but for its last 4 bytes
	bomb := bytes.Join(slices.Repeat([][]byte{piece}, 128), []byte("\x00\x00\xff\xff"))
	if len(bomb) > 1<<18 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	before := s.GetControl().Stats()
	c, _ := dialOffering(t, s.Addr(), "permessage-deflate")
	c.sendCompressed(protocol.OpcodeBinary, bomb)
	c.expectClose(1009)
	after := s.GetControl().Stats()
	const key = "memory.reserved"
	if grown := after[key].(int64) - before[key].(int64); grown > 24<<20 { // chunks of 2 MiB for each size of block
		t.Errorf("%d bytes were taken", grown)
	}
}

func TestCompressionOutOfBounds(t *testing.T) {
	cfg := local()
	cfg.Compression = &protocol.Compression{Level: 10}
	if _, err := NewServer(cfg); !errors.Is(err, api.ErrInvalidArgument) || !strings.Contains(fmt.Sprint(err), "Level") {
		t.Errorf("%v", err)
	}
}
