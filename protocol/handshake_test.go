package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// goodRequest is the request of RFC 6455 section 1.2, as lines to change.
var goodRequest = []string{
	"GET /chat HTTP/1.1",
	"Host: server.example.com",
	"Upgrade: websocket",
	"Connection: Upgrade",
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	"Origin: http://example.com",
	"Sec-WebSocket-Version: 13",
}

// changed returns goodRequest with the lines that begin as one of changes replaced by it (nothing after the colon: left
// out), and the changes that replace nothing added.
func changed(changes ...string) string {
	lines := append([]string{}, goodRequest...)
	for _, change := range changes {
		name, value, _ := strings.Cut(change, ":")
		found := false
		for i := range lines {
			if strings.HasPrefix(lines[i], name+":") {
				lines[i], found = change, true
				if value == "" {
					lines = append(lines[:i], lines[i+1:]...)
				}
				break
			}
		}
		if !found {
			lines = append(lines, change)
		}
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func TestReadHandshakeAccepts(t *testing.T) {
	for name, text := range map[string]string{
		"the example of the RFC":      changed(),
		"tokens in another case":      changed("Upgrade: WebSocket", "Connection: upgrade"),
		"tokens in a list":            changed("Upgrade: foo/1, websocket", "Connection: keep-alive, Upgrade"),
		"a list over two lines":       changed("Connection: keep-alive") + "",
		"header names in other cases": strings.Replace(changed(), "Sec-WebSocket-Key", "SEC-WEBSOCKET-KEY", 1),
		"an empty body":               changed("Content-Length: 0"),
		"extensions and protocols":    changed("Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Protocol: a, b"),
		"an absolute URI":             strings.Replace(changed(), "/chat", "http://server.example.com/chat", 1),
		"line ends without return":    strings.ReplaceAll(changed(), "\r\n", "\n"),
	} {
		if name == "a list over two lines" {
			text = strings.Replace(text, "Connection: keep-alive", "Connection: keep-alive\r\nConnection: Upgrade", 1)
		}
		const rest = "\x81\x80abcd"
		if !HandshakeComplete([]byte(text), 0) {
			t.Errorf("%s: not found complete", name)
		}
		r, size, err := ReadHandshake([]byte(text + rest))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if size != len(text) {
			t.Errorf("%s: takes %d bytes of %d", name, size, len(text))
		}
		if r.URL.Path != "/chat" || r.Host != "server.example.com" {
			t.Errorf("%s: got path %q, host %q", name, r.URL.Path, r.Host)
		}
	}
}

func TestReadHandshakeRefuses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		status     int
	}{
		{"not HTTP", "hello\r\n\r\n", 400},
		{"nothing", "\r\n\r\n", 400},
		{"a header without colon", changed("nonsense"), 400},
		{"another method", strings.Replace(changed(), "GET", "POST", 1), 405},
		{"HTTP/1.0", strings.Replace(changed(), "HTTP/1.1", "HTTP/1.0", 1), 400},
		{"HTTP/2", strings.Replace(changed(), "HTTP/1.1", "HTTP/2.0", 1), 505},
		{"no host", changed("Host:"), 400},
		{"a host in the URI alone", strings.Replace(changed("Host:"), "/chat", "http://example.com/chat", 1), 400},
		{"a URI that is not of HTTP", strings.Replace(changed(), "/chat", "ftp://example.com/chat", 1), 400},
		{"no path", strings.Replace(changed(), "/chat", "*", 1), 400},
		{"no upgrade", changed("Upgrade:"), 426},
		{"an upgrade to something else", changed("Upgrade: h2c"), 400},
		{"no connection", changed("Connection:"), 400},
		{"a connection that is to stay", changed("Connection: keep-alive"), 400},
		{"no version", changed("Sec-WebSocket-Version:"), 426},
		{"an old version", changed("Sec-WebSocket-Version: 8"), 426},
		{"two versions", changed("Sec-WebSocket-Version: 13, 8"), 426},
		{"no key", changed("Sec-WebSocket-Key:"), 400},
		{"a short key", changed("Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="), 400},
		{"a key that is not base64", changed("Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="), 400},
		{"a key with stray bits", changed("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="), 400},
		{"two keys", changed() + "", 400},
		{"a body", changed("Content-Length: 5"), 400},
		{"a chunked body", changed("Transfer-Encoding: chunked"), 400},
		{"a contradictory length", changed("Content-Length: 5", "Transfer-Encoding: gzip"), 400},
		{"a head that is too large", changed("X: " + strings.Repeat("x", MaxHandshakeSize)), 431},
	} {
		if c.name == "two keys" {
			key := goodRequest[4] + "\r\n"
			c.text = strings.Replace(c.text, key, key+key, 1)
		}
		_, _, err := ReadHandshake([]byte(c.text))
		var refusal *HandshakeError
		if !errors.As(err, &refusal) || refusal.Status != c.status {
			t.Errorf("%s: got %v, want %d", c.name, err, c.status)
		}
	}
}

// Whatever is wrong, the answer is one that net/http can read, and does not repeat what the client has said.
func TestHandshakeErrorResponse(t *testing.T) {
	for _, status := range []int{400, 405, 408, 426, 431, 503, 505} {
		b := (&HandshakeError{status, "reason"}).Response()
		source := bufio.NewReader(bytes.NewReader(b))
		r, err := http.ReadResponse(source, nil)
		if err != nil {
			t.Errorf("%d: %v", status, err)
			continue
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "reason\n" || source.Buffered() != 0 {
			t.Errorf("%d: body %q, %v, %d bytes too many", status, body, err, source.Buffered())
		}
		if r.StatusCode != status || !r.Close {
			t.Errorf("%d: got %d, to be closed: %v", status, r.StatusCode, r.Close)
		}
		wantVersion := ""
		if status == http.StatusUpgradeRequired {
			wantVersion = "13"
		}
		if got := r.Header.Get("Sec-Websocket-Version"); got != wantVersion {
			t.Errorf("%d: version %q, want %q", status, got, wantVersion)
		}
	}
	_, _, err := ReadHandshake([]byte("evil<script>\r\n\r\n"))
	var refusal *HandshakeError
	if !errors.As(err, &refusal) || bytes.Contains(refusal.Response(), []byte("script")) {
		t.Errorf("the answer repeats the request: %v", err)
	}
}

func TestAcceptResponse(t *testing.T) {
	request, _, err := ReadHandshake([]byte(changed()))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(AcceptResponse(request))), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
	}
	for name, value := range want {
		if r.Header.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, r.Header.Get(name), value)
		}
	}
	if r.StatusCode != 101 || len(r.Header) != len(want) {
		t.Errorf("got %d with %v", r.StatusCode, r.Header)
	}
}

func TestHandshakeCompleteFindsEverySplit(t *testing.T) {
	text := []byte(changed())
	for split := 0; split < len(text); split++ {
		if HandshakeComplete(text[:split], 0) {
			t.Fatalf("%d bytes of %d found complete", split, len(text))
		}
		if !HandshakeComplete(text, split) {
			t.Fatalf("not found complete when the last %d bytes came separately", len(text)-split)
		}
	}
}
