package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// These tables go through RFC 6455, section by section, with what a client may say and what it must not, to a server
// that echoes messages. tests/conformance runs the public suite on the same subject.

// exchange is what a client sends on an open WebSocket, and what comes back.
type exchange struct {
	section string // of RFC 6455
	rule    string
	send    []byte
	want    []frame
	close   int // status code with which the server then closes; 0: it does not
}

// masked is a frame of the text "Hello" under a mask of the client's choice.
func masked(mask ...byte) []byte {
	b := append([]byte{0x81, 0x85}, mask...)
	for i, c := range []byte("Hello") {
		b = append(b, c^mask[i%4])
	}
	return b
}

// frameRules are the rules for what a client sends on an open WebSocket.
func frameRules() []exchange {
	const (
		more, txt, bin     = protocol.OpcodeContinuation, protocol.OpcodeText, protocol.OpcodeBinary
		shut, ping, ponged = protocol.OpcodeClose, protocol.OpcodePing, protocol.OpcodePong
	)
	// What the client sends.
	whole := func(opcode byte, payload string) []byte { return encode(true, opcode, []byte(payload)) }
	part := func(opcode byte, payload string) []byte { return encode(false, opcode, []byte(payload)) }
	starting := func(first byte, payload string) []byte {
		b := whole(0, payload)
		b[0] = first
		return b
	}
	closing := func(code uint16, reason string) []byte { return encode(true, shut, closePayload(code, reason)) }
	after := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	// What the server answers.
	these := func(frames ...frame) []frame { return frames }
	text := func(payload string) frame { return frame{true, txt, []byte(payload)} }
	octets := func(payload string) frame { return frame{true, bin, []byte(payload)} }
	pong := func(payload string) frame { return frame{true, ponged, []byte(payload)} }

	rows := []exchange{
		{"5.1", "a client's frames are masked", []byte("\x81\x05Hello"), nil, 1002},
		{"5.1", "control frames too", []byte("\x89\x00"), nil, 1002},

		{"5.2", "RSV1 has no meaning", starting(0xc1, "x"), nil, 1002},
		{"5.2", "RSV2 has no meaning", starting(0xa1, "x"), nil, 1002},
		{"5.2", "RSV3 has no meaning", starting(0x91, "x"), nil, 1002},
		{"5.2", "nor on a control frame", starting(0xc9, "x"), nil, 1002},
		{"5.2", "nor on a continuation", after(part(txt, "a"), starting(0xc0, "b")), nil, 1002},
		{"5.2", "what came before is answered", after(whole(txt, "a"), starting(0xf1, "b")), these(text("a")), 1002},
		{"5.2", "126 bytes in 16 bits", whole(txt, strings.Repeat("x", 126)), these(text(strings.Repeat("x", 126))), 0},
		{"5.2", "65535 bytes in 16 bits", whole(bin, strings.Repeat("x", 65535)),
			these(octets(strings.Repeat("x", 65535))), 0},
		{"5.2", "65536 bytes in 64 bits", whole(bin, strings.Repeat("x", 65536)),
			these(octets(strings.Repeat("x", 65536))), 0},
		{"5.2", "125 bytes in 16 bits", header(0x81, 0x80|126, 0, 125), nil, 1002},
		{"5.2", "65535 bytes in 64 bits", announce(65535), nil, 1002},
		{"5.2", "0 bytes in 64 bits", announce(0), nil, 1002},
		{"5.2", "the length's top bit is 0", announce(1 << 63), nil, 1002},
		{"5.2", "even of 2^64-1", announce(1<<64 - 1), nil, 1002},

		{"5.3", "a mask of zeros", masked(0, 0, 0, 0), these(text("Hello")), 0},
		{"5.3", "the mask of section 5.7", masked(0x37, 0xfa, 0x21, 0x3d), these(text("Hello")), 0},
		{"5.3", "each frame has its own", after(masked(1, 2, 3, 4), masked(0xff, 0xfe, 0xfd, 0xfc)),
			these(text("Hello"), text("Hello")), 0},

		{"5.4", "the fragments of section 5.7", after(part(txt, "Hel"), whole(more, "lo")), these(text("Hello")), 0},
		{"5.4", "empty ones", after(part(bin, ""), part(more, ""), whole(more, "")), these(octets("")), 0},
		{"5.4", "only the last is empty", after(part(bin, "a"), part(more, "b"), whole(more, "")), these(octets("ab")), 0},
		{"5.4", "control frames come between", after(part(txt, "a"), whole(ping, "1"), part(more, "b"), whole(ping, "2"),
			whole(more, "c")), these(pong("1"), pong("2"), text("abc")), 0},
		{"5.4", "a continuation of nothing", whole(more, "x"), nil, 1002},
		{"5.4", "an unfinished one of nothing", part(more, "x"), nil, 1002},
		{"5.4", "of a message that is complete", after(part(txt, "a"), whole(more, "b"), whole(more, "c")),
			these(text("ab")), 1002},
		{"5.4", "a message within a message", after(part(txt, "a"), whole(txt, "b")), nil, 1002},
		{"5.4", "of another kind", after(part(txt, "a"), part(bin, "b")), nil, 1002},

		{"5.5", "a control frame of 125 bytes", whole(ping, strings.Repeat("p", 125)),
			these(pong(strings.Repeat("p", 125))), 0},
		{"5.5", "of 126", header(0x89, 0x80|126, 0, 126), nil, 1002},
		{"5.5", "a close frame of 126", header(0x88, 0x80|126, 0, 126), nil, 1002},
		{"5.5", "a ping in fragments", part(ping, "x"), nil, 1002},
		{"5.5", "a pong in fragments", part(ponged, "x"), nil, 1002},
		{"5.5", "a close frame in fragments", part(shut, ""), nil, 1002},

		{"5.5.1", "close without a code", whole(shut, ""), nil, protocol.CloseNoStatusReceived},
		{"5.5.1", "half a code", whole(shut, "\x03"), nil, 1002},
		{"5.5.1", "a reason of 123 bytes", closing(1000, strings.Repeat("r", 123)), nil, 1000},
		{"5.5.1", "the reason is UTF-8", closing(1000, "\xf0\x9f\x98\x80"), nil, 1000},
		{"5.5.1", "and nothing else", closing(1000, "\xf0\x9f\x98"), nil, 1007},
		{"5.5.1", "frames after it mean nothing", after(closing(1000, ""), whole(txt, "x"), whole(ping, "x")), nil, 1000},
		{"5.5.1", "nor does what is not even a frame", after(closing(1000, ""), []byte("\xff\xff\xff")), nil, 1000},
		{"5.5.1", "it may interrupt a message", after(part(txt, "a"), closing(1001, "")), nil, 1001},
		{"5.5.2", "a ping is answered with its bytes", whole(ping, "\x00\xff"), these(pong("\x00\xff")), 0},
		{"5.5.2", "an empty one too", whole(ping, ""), these(pong("")), 0},
		{"5.5.2", "in order", after(whole(ping, "1"), whole(ping, ""), whole(ping, "3")),
			these(pong("1"), pong(""), pong("3")), 0},
		{"5.5.3", "a pong nobody asked for", after(whole(ponged, "x"), whole(txt, "y")), these(text("y")), 0},

		{"5.6", "text stays text", whole(txt, "κόσμε"), these(text("κόσμε")), 0},
		{"5.6", "binary is anything", whole(bin, "\xff\xfe\x00"), these(octets("\xff\xfe\x00")), 0},
		{"5.6", "a fragment may cut a character", after(part(txt, "\xce"), whole(more, "\xba")), these(text("κ")), 0},

		{"7.4.1", "1009: what is too big is not read", announce(16<<20 + 1), nil, 1009},
		{"7.4.1", "nor what no machine can hold", announce(1<<63 - 1), nil, 1009},
		{"7.4.1", "fragments count together", after(part(bin, "12345678"), header(0x80, 0x80|127,
			binary.BigEndian.AppendUint64(nil, 16<<20-7)...)), nil, 1009},

		{"8.1", "a text that ends within a character", whole(txt, "abc\xe2\x82"), nil, 1007},
		{"8.1", "the same in fragments", after(part(txt, "abc\xe2"), whole(more, "\x82")), nil, 1007},
		// At the first bad byte, though neither the fragment nor the message is complete.
		{"8.1", "fragments fail fast", part(txt, "\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80"), nil, 1007},
		{"8.1", "frames fail fast", whole(txt, "\xff and some more")[:7], nil, 1007},
		{"8.1", "a character cut in two fails fast", after(part(txt, "\xf4"), part(more, "\x90")), nil, 1007},
	}
	for opcode := byte(0); opcode <= 0xf; opcode++ {
		if opcode >= 3 && opcode <= 7 || opcode >= 0xb {
			rows = append(rows, exchange{"5.2", fmt.Sprintf("opcode %#x is reserved", opcode), whole(opcode, "x"), nil, 1002})
		}
	}
	for _, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
		4999} {
		rows = append(rows, exchange{"7.4", fmt.Sprintf("%d may be sent", code), closing(code, "why"), nil, int(code)})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		rows = append(rows, exchange{"7.4", fmt.Sprintf("%d must not", code), closing(code, "why"), nil, 1002})
	}
	// RFC 3629 section 3 says what UTF-8 is.
	for _, good := range []string{"\x00", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
		"\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"} {
		rows = append(rows, exchange{"8.1", fmt.Sprintf("% x is UTF-8", good), whole(txt, good), these(text(good)), 0})
	}
	for _, bad := range []string{"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x80\x80",
		"\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xf8\x88\x80\x80\x80", "\xfe", "\xff"} {
		rows = append(rows, exchange{"8.1", fmt.Sprintf("% x is not", bad), whole(txt, "text "+bad), nil, 1007})
	}

	return rows
}

func TestRFC6455Frames(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	bystander := dial(t, s.Addr())
	for _, row := range frameRules() {
		t.Run(row.section+" "+row.rule, func(t *testing.T) {
			c := dial(t, s.Addr())
			c.write(row.send)
			for _, want := range row.want {
				c.expect(want.opcode, want.payload)
			}
			switch row.close {
			case 0:
				c.goodbye()
			case protocol.CloseNoStatusReceived:
				c.expect(protocol.OpcodeClose, nil)
				c.expectEnd()
			default:
				c.expectClose(uint16(row.close))
				c.expectEnd()
			}
			bystander.send(protocol.OpcodeText, []byte(row.rule)) // nobody else has noticed
			bystander.expect(protocol.OpcodeText, []byte(row.rule))
		})
	}
}

func TestRFC6455Handshake(t *testing.T) {
	const (
		key     = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
		version = "Sec-WebSocket-Version: 13"
	)
	s := start(t, local(), api.HandlerFunc(echo))
	for _, row := range []struct {
		section  string // of RFC 6455
		rule     string
		old, new string // what is replaced in a good request
		status   int
	}{
		{"1.2", "the example", "", "", 101},
		{"4.1", "headers that say nothing about WebSockets", key, "Cookie: a=b\r\nUser-Agent: someone\r\n" + key, 101},
		{"4.2.1", "1: a GET request", "GET", "POST", 405},
		{"4.2.1", "1: not in lower case", "GET", "get", 405},
		{"4.2.1", "1: HTTP/1.1", "HTTP/1.1", "HTTP/1.0", 400},
		{"4.2.1", "1: not 2.0", "HTTP/1.1", "HTTP/2.0", 505},
		{"4.2.1", "1: nothing else at all", "GET /chat?x=1 HTTP/1.1", "\x16\x03\x01", 400},
		{"4.2.1", "2: a host", "Host: example.com\r\n", "", 400},
		{"4.2.1", "2: not two", "Host: example.com", "Host: example.com\r\nHost: example.org", 400},
		{"4.2.1", "3: Upgrade", "Upgrade: websocket\r\n", "", 426},
		{"4.2.1", "3: to websocket", "Upgrade: websocket", "Upgrade: h2c", 400},
		{"4.2.1", "3: in whatever case", "Upgrade: websocket", "UPGRADE: WebSocket", 101},
		{"4.2.1", "3: or something else", "Upgrade: websocket", "Upgrade: h2c, websocket", 101},
		{"4.2.1", "4: Connection", "Connection: Upgrade\r\n", "", 400},
		{"4.2.1", "4: names Upgrade", "Connection: Upgrade", "Connection: keep-alive", 400},
		{"4.2.1", "4: in whatever case", "Connection: Upgrade", "connection: UPGRADE", 101},
		{"4.2.1", "4: among others", "Connection: Upgrade", "Connection: keep-alive ,\tUpgrade", 101},
		{"4.2.1", "4: in several lines", "Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade", 101},
		{"4.2.1", "5: a key", key + "\r\n", "", 400},
		{"4.2.1", "5: not two", key, key + "\r\n" + key, 400},
		{"4.2.1", "5: of 16 bytes, not 15", key, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA", 400},
		{"4.2.1", "5: nor 17", key, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=", 400},
		{"4.2.1", "5: in base64", key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==", 400},
		{"4.2.1", "5: without loose ends", key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==", 400},
		{"4.2.1", "6: a version", version + "\r\n", "", 426},
		{"4.4", "version 13", version, "Sec-WebSocket-Version: 8", 426},
		{"4.4", "and no other", version, "Sec-WebSocket-Version: 13, 8", 426},
		{"4.2.1", "8: subprotocols that are not spoken", key, "Sec-WebSocket-Protocol: soap, wamp\r\n" + key, 101},
		{"10.2", "a page from the same host", key, "Origin: http://example.com\r\n" + key, 101},
		{"10.2", "no page from another", key, "Origin: http://example.org\r\n" + key, 403},
		{"10.2", "nor of no host at all", key, "Origin: null\r\n" + key, 403},
		{"9.1", "extensions that are not known", key, "Sec-WebSocket-Extensions: foo; bar=\"1\", x-baz\r\n" + key, 101},
	} {
		t.Run(row.section+" "+row.rule, func(t *testing.T) {
			c := connect(t, s.Addr())
			if !strings.Contains(request, row.old) {
				t.Fatalf("the request has no %q", row.old)
			}
			c.write([]byte(strings.Replace(request, row.old, row.new, 1)))
			response, body := c.response()
			if response.StatusCode != row.status {
				t.Fatalf("got %s: %s; want %d", response.Status, body, row.status)
			}
			switch row.status {
			case http.StatusSwitchingProtocols: // 4.2.2, point 5
				for name, want := range map[string]string{
					"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
					"Sec-Websocket-Protocol": "", "Sec-Websocket-Extensions": "",
				} {
					if got := response.Header.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
				c.send(protocol.OpcodeText, []byte("open"))
				c.expect(protocol.OpcodeText, []byte("open"))
				c.goodbye()
				return
			case http.StatusUpgradeRequired: // 4.4
				if got := response.Header.Get("Sec-Websocket-Version"); got != "13" {
					t.Errorf("Sec-WebSocket-Version is %q, want 13", got)
				}
			case http.StatusMethodNotAllowed: // RFC 9110 section 15.5.6
				if got := response.Header.Get("Allow"); got != "GET" {
					t.Errorf("Allow is %q, want GET", got)
				}
			}
			if body == "" || !response.Close {
				t.Errorf("got body %q, to be closed: %v", body, response.Close)
			}
			c.expectEnd()
		})
	}
}
