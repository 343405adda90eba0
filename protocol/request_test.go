package protocol

import (
	"bufio"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
)

func TestNewKey(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		key, err := NewKey()
		if err != nil {
			t.Fatal(err)
		}
		nonce, err := base64.StdEncoding.Strict().DecodeString(key)
		if err != nil || len(nonce) != 16 || seen[key] {
			t.Errorf("key %q: %d bytes, %v", key, len(nonce), err)
		}
		seen[key] = true
	}
}

// The rules of RFC 6455 section 4.1 for the server's answer, with the key of section 1.3.
func TestCheckResponse(t *testing.T) {
	const good = "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n"
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for _, c := range []struct{ name, response, chosen, fails string }{
		{"the example", good, "", ""},
		{"1: another reason", replace("Switching Protocols", "All right"), "", ""},
		{"1: another status", replace("101", "200"), "", "status is 200"},
		{"HTTP/1.0", replace("HTTP/1.1", "HTTP/1.0"), "", "HTTP/1.0"},
		{"2: in another case", replace("websocket", "WebSocket"), "", ""},
		{"2: missing", replace("Upgrade: websocket\n", ""), "", "header Upgrade is []"},
		{"2: something else", replace("websocket", "h2c"), "", `header Upgrade is ["h2c"]`},
		{"2: something more", replace("websocket", "websocket, h2c"), "", "header Upgrade"},
		{"3: in another case", replace("Connection: Upgrade", "connection: upgrade"), "", ""},
		{"3: in a list", replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"), "", ""},
		{"3: missing", replace("Connection: Upgrade\n", ""), "", "header Connection is []"},
		{"3: something else", replace("Connection: Upgrade", "Connection: keep-alive"), "",
			`header Connection is ["keep-alive"]`},
		{"4: missing", replace("Sec-WebSocket-Accept", "X"), "", "header Sec-WebSocket-Accept is []"},
		{"4: of another key", replace("s3pP", "S3pP"), "", `Sec-WebSocket-Accept is ["S3pP`},
		{"4: blanks around it do not count", replace("xOo=", "xOo= \t"), "", ""},
		{"4: twice", good + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n", "", "Sec-WebSocket-Accept"},
		{"6: chosen", good + "Sec-WebSocket-Protocol: b\n", "b", ""},
		{"6: not offered", good + "Sec-WebSocket-Protocol: c\n", "", `"c", which was not offered`},
		{"6: in another case", good + "Sec-WebSocket-Protocol: B\n", "", `"B", which was not offered`},
		{"6: two", good + "Sec-WebSocket-Protocol: a, b\n", "", `"a, b", which was not offered`},
		{"6: twice", good + "Sec-WebSocket-Protocol: a\nSec-WebSocket-Protocol: a\n", "", "2 times"},
	} {
		text := strings.ReplaceAll(c.response, "\n", "\r\n") + "\r\n"
		r, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		chosen, err := CheckResponse(r, "dGhlIHNhbXBsZSBub25jZQ==", []string{"a", "b"})
		if c.fails == "" && (err != nil || chosen != c.chosen) {
			t.Errorf("%s: %q, %v; want %q", c.name, chosen, err, c.chosen)
		}
		if c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: %q, %v; want an error that says %q", c.name, chosen, err, c.fails)
		}
	}
}
