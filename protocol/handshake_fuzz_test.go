package protocol

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// headLine is one header line of a request: its name in lower case and its value.
type headLine struct{ name, value string }

// head reads the head of a request without net/http: its first line, cut at blanks, and its header lines, continued ones
// joined (RFC 9112 sections 2.2, 3 and 5.2).
func head(text []byte) (first []string, lines []headLine) {
	rows := strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	for _, row := range rows[1:] {
		if row == "" {
			break
		}
		if row[0] == ' ' || row[0] == '\t' {
			last := &lines[len(lines)-1]
			last.value = strings.Trim(last.value+" "+strings.Trim(row, " \t"), " \t")
			continue
		}
		name, value, _ := strings.Cut(row, ":")
		lines = append(lines, headLine{strings.ToLower(name), strings.Trim(value, " \t")})
	}
	return strings.Split(rows[0], " "), lines
}

// violation names the rule of RFC 6455 section 4.2.1 that a request head breaks, "" when it breaks none. It shares no code
// with what it checks, net/http included.
func violation(text []byte) string {
	first, lines := head(text)
	values := func(name string) (values []string) {
		for _, l := range lines {
			if l.name == name {
				values = append(values, l.value)
			}
		}
		return values
	}
	lists := func(name, token string) bool {
		return slices.ContainsFunc(strings.Split(strings.Join(values(name), ","), ","), func(item string) bool {
			return strings.ToLower(strings.Trim(item, " \t")) == token
		})
	}
	if len(first) != 3 || first[0] != "GET" || len(first[2]) != 8 || first[2] < "HTTP/1.1" || first[2] > "HTTP/1.9" {
		return "1: a GET request of HTTP/1.1 or higher"
	}
	target := strings.ToLower(first[1])
	if !strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "http://") &&
		!strings.HasPrefix(target, "https://") {
		return "1: a resource name, or an absolute HTTP or HTTPS URI"
	}
	if host := values("host"); len(host) != 1 || host[0] == "" && target[0] == '/' {
		return "2: a Host header"
	}
	if !lists("upgrade", "websocket") {
		return "3: an Upgrade header with websocket"
	}
	if !lists("connection", "upgrade") {
		return "4: a Connection header with Upgrade"
	}
	key := values("sec-websocket-key")
	if len(key) != 1 || len(key[0]) != 24 {
		return "5: a Sec-WebSocket-Key header"
	}
	nonce, err := base64.StdEncoding.DecodeString(key[0])
	if err != nil || len(nonce) != 16 || base64.StdEncoding.EncodeToString(nonce) != key[0] {
		return "5: a key of 16 bytes in base64"
	}
	if !slices.Equal(values("sec-websocket-version"), []string{"13"}) {
		return "6: a Sec-WebSocket-Version header of 13"
	}
	return ""
}

// handshakeSeeds are requests of all kinds, good and bad.
func handshakeSeeds() []string {
	key := goodRequest[4] + "\r\n"
	seeds := []string{
		changed(),
		changed() + "\x81\x80abcd",
		strings.ReplaceAll(changed(), "\r\n", "\n"),
		strings.Replace(changed(), key, key+key, 1),
		strings.Replace(changed(), key, key+" \t\r\n", 1),
		changed("Connection: keep-alive,\r\n\tUpgrade"),
		"GET / HTTP/1.1\n\n",
		"\r\n\r\n" + changed(),
	}
	for _, change := range []string{
		"Content-Length: 5", "Transfer-Encoding: chunked", "Host:", "Upgrade: h2c", "Connection: keep-alive, Upgrade",
		"Sec-WebSocket-Version: 13, 8", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==", "nonsense",
		"Host: a\r\nHost: b", "Host: @", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "Sec-WebSocket-Protocol: a, b",
	} {
		seeds = append(seeds, changed(change))
	}
	for _, first := range []string{
		"GET http://server.example.com/chat HTTP/1.1", "GET ftp://server.example.com/chat HTTP/1.1", "GET * HTTP/1.1",
		"GET /chat HTTP/1.0", "GET /chat HTTP/2.0", "POST /chat HTTP/1.1", "CONNECT server.example.com:80 HTTP/1.1",
		"GET /%zz HTTP/1.1", "GET //chat HTTP/1.1", "GET /chat?a=%00#b HTTP/1.1", "GET server.example.com HTTP/1.1", "GET http: HTTP/1.1",
		"GET http:/chat HTTP/1.1",
	} {
		seeds = append(seeds, strings.Replace(changed(), goodRequest[0], first, 1))
	}
	return append(seeds, strings.Replace(changed("Host:"), "/chat", "http://server.example.com/chat", 1))
}

// Whatever a client sends, there is a verdict: a request that meets all that RFC 6455 section 4.2.1 asks for, or a refusal
// with an answer that can be read.
func FuzzReadHandshake(f *testing.F) {
	for _, seed := range handshakeSeeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, received []byte) {
		request, size, err := ReadHandshake(received)
		if err != nil {
			var refusal *HandshakeError
			if !errors.As(err, &refusal) || refusal.Status < 400 || request != nil {
				t.Fatalf("refused with %v, request %v", err, request)
			}
			readAnswer(t, refusal.Response(), refusal.Status)
			return
		}
		if size <= 0 || size > len(received) || size > MaxHandshakeSize || !HandshakeComplete(received[:size], 0) {
			t.Fatalf("a request of %d bytes in %d", size, len(received))
		}
		if broken := violation(received[:size]); broken != "" {
			t.Fatalf("accepted against section 4.2.1, %s", broken)
		}
		readAnswer(t, AcceptResponse(request), http.StatusSwitchingProtocols)
	})
}

func readAnswer(t *testing.T, text []byte, status int) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
	if err != nil || r.StatusCode != status {
		t.Fatalf("the answer is read as %v, %v; want %d\n%s", r, err, status, text)
	}
}

// The verdict on a request does not depend on the pieces that it comes in, nor on what follows it.
func FuzzHandshakePieces(f *testing.F) {
	for i, seed := range handshakeSeeds() {
		f.Add([]byte(seed), []byte{byte(i), byte(3 * i), 1, 1, 1, 200})
	}
	f.Fuzz(func(t *testing.T, received, cuts []byte) {
		whole := HandshakeComplete(received, 0)
		n := 0
		for n < len(received) {
			before := n
			if n = len(received); len(cuts) > 0 {
				n, cuts = min(n, before+int(cuts[0])+1), cuts[1:]
			}
			complete := HandshakeComplete(received[:n], before)
			if complete != HandshakeComplete(received[:n], 0) {
				t.Fatalf("%d bytes complete: %v, when %d of them had been looked at", n, complete, before)
			}
			if complete {
				break
			}
		}
		if HandshakeComplete(received[:n], 0) != whole {
			t.Fatalf("complete as a whole: %v; after %d of %d bytes: %v", whole, n, len(received), !whole)
		}
		if whole {
			if early, late := verdict(received[:n]), verdict(received); early != late {
				t.Fatalf("after %d bytes %s, after %d %s", n, early, len(received), late)
			}
		}
	})
}

// verdict is what ReadHandshake makes of a request.
func verdict(received []byte) string {
	request, size, err := ReadHandshake(received)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(size, request.URL, request.Host, request.Header)
}
