package client

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/protocol"
)

// accepting is the answer that opens a WebSocket, with more headers.
func accepting(r *http.Request, headers string) string {
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		protocol.AcceptKey(r.Header.Get("Sec-WebSocket-Key")) + "\r\n" + headers + "\r\n"
}

// What a server may answer that opens no WebSocket (RFC 6455 section 4.1).
func TestRefusals(t *testing.T) {
	leaks(t)
	for _, c := range []struct {
		name   string
		answer func(*http.Request) string
		status int
		body   string
		want   string
	}{
		{"another status", func(*http.Request) string {
			return "HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\nno way\n"
		}, 403, "no way\n", "the server answers \"403 Forbidden\": the status is 403, not 101"},
		{"a page", func(*http.Request) string {
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
		}, 200, "hello", "the status is 200"},
		{"a body that never ends", func(*http.Request) string {
			return "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n" + strings.Repeat("x", 100<<10)
		}, 500, strings.Repeat("x", maxRefusal), "the status is 500"},
		{"a body that is chopped into single bytes", func(*http.Request) string {
			return "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n", 20<<10)
		}, 500, "", "the status is 500"},
		{"a body that stops coming", func(*http.Request) string {
			return "HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nbecause"
		}, 500, "because", "the status is 500"},
		{"a redirect", func(*http.Request) string {
			return "HTTP/1.1 301 Moved\r\nLocation: ws://example.com/there\r\nContent-Length: 0\r\n\r\n"
		}, 301, "", `redirects are not followed; it is to "ws://example.com/there"`},
		{"another key's answer", func(r *http.Request) string {
			return strings.Replace(accepting(r, ""), "Accept: ", "Accept: x", 1)
		}, 101, "", "Sec-WebSocket-Accept"},
		{"no key's answer", func(r *http.Request) string {
			return strings.Replace(accepting(r, ""), "Sec-WebSocket-Accept", "X-Accept", 1)
		}, 101, "", "Sec-WebSocket-Accept is []"},
		{"another upgrade", func(r *http.Request) string {
			return strings.Replace(accepting(r, ""), "Upgrade: websocket", "Upgrade: h2c", 1)
		}, 101, "", `header Upgrade is ["h2c"]`},
		{"a subprotocol that was not offered", func(r *http.Request) string {
			return accepting(r, "Sec-WebSocket-Protocol: other\r\n")
		}, 101, "", `subprotocol "other", which was not offered`},
		{"an extension that was not offered", func(r *http.Request) string {
			return accepting(r, "Sec-WebSocket-Extensions: x-other\r\n")
		}, 101, "", `"x-other", which was not offered`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := direct(t)
			o.Subprotocols = []string{"one", "two"}
			conn, response, err := Dial(within(t), "ws://"+answering(t, c.answer), o)
			var refused *HandshakeError
			if conn != nil || !errors.As(err, &refused) || !says(err, c.want) {
				t.Fatalf("got %v; want %q", err, c.want)
			}
			if response == nil || refused.Response != response || refused.Proxy != "" ||
				response.StatusCode != c.status {
				t.Fatalf("the response is %+v", response)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil || c.body != "" && string(body) != c.body || len(body) > maxRefusal {
				t.Errorf("the body is %.60q of %d bytes, %v", body, len(body), err)
			}
		})
	}
}

// What is no answer at all.
func TestNoAnswer(t *testing.T) {
	leaks(t)
	for name, c := range map[string]struct{ answer, want string }{
		"not HTTP":          {"hello\r\n\r\n", "reading the answer: malformed HTTP response"},
		"a huge head":       {"HTTP/1.1 101 OK\r\nX: " + strings.Repeat("x", 1<<20), "has more than 65536 bytes"},
		"many headers":      {"HTTP/1.1 101 OK\r\n" + strings.Repeat("X: y\r\n", 1<<17), "more than 65536 bytes"},
		"always on its way": {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 10), "more than 5 interim answers"},
	} {
		t.Run(name, func(t *testing.T) {
			address := answering(t, func(*http.Request) string { return c.answer })
			conn, response, err := Dial(within(t), "ws://"+address, direct(t))
			if conn != nil || response != nil || !says(err, c.want) {
				t.Errorf("got %+v, %v; want %q", response, err, c.want)
			}
		})
	}
	for name, part := range map[string]string{
		"nothing": "", "half an answer": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n",
	} {
		t.Run("the end after "+name, func(t *testing.T) {
			address := listen(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(newReader(conn)); err == nil {
					_, _ = io.WriteString(conn, part)
				}
			})
			conn, response, err := Dial(within(t), "ws://"+address, direct(t))
			if conn != nil || response != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got %+v, %v", response, err)
			}
		})
	}
}

// Good answers in unusual clothes; frames that come with them are not lost, however the bytes are cut.
func TestAnswers(t *testing.T) {
	leaks(t)
	frames := "\x81\x05hello" + "\x82\x7e\x13\x88" + strings.Repeat("y", 5000)
	type change func(string) string
	replacing := func(old, new string) change {
		return func(answer string) string { return strings.ReplaceAll(answer, old, new) }
	}
	for name, changed := range map[string]change{
		"plain":                func(answer string) string { return answer },
		"another reason":       replacing(" Switching Protocols", " "),
		"other cases":          replacing("websocket", "WEBSOCKET"),
		"after interim ones":   func(a string) string { return "HTTP/1.1 103 Early\r\n\r\n" + a },
		"more in Connection":   replacing("Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"),
		"bare line feeds":      replacing("\r\n", "\n"),
		"with the subprotocol": replacing("Connection:", "Sec-WebSocket-Protocol: two\r\nConnection:"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1 << 20, 7} {
				address := listen(t, func(conn net.Conn) {
					reader := newReader(conn)
					request, err := http.ReadRequest(reader)
					if err != nil {
						return
					}
					for rest := changed(accepting(request, "")) + frames; rest != ""; {
						n, err := io.WriteString(conn, rest[:min(step, len(rest))])
						if err != nil {
							return
						}
						rest = rest[n:]
					}
					_, _ = io.Copy(io.Discard, reader)
				})
				o := direct(t)
				o.Subprotocols = []string{"one", "two"}
				c := dial(t, "ws://"+address, o)
				var got []string
				for len(got) < 2 {
					messages, err := c.RecvZeroCopy()
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range messages {
						got = append(got, string(m.Bytes()))
						m.Release()
					}
				}
				if got[0] != "hello" || got[1] != strings.Repeat("y", 5000) {
					t.Errorf("got %.60q", got)
				}
				o.Loops.Close() // the server does not answer a close frame
				await(t, "the end", c.Done())
			}
		})
	}
}

// The subprotocols that are offered, and the server's choice.
func TestSubprotocols(t *testing.T) {
	address := answering(t, func(r *http.Request) string {
		if got := r.Header.Get("Sec-WebSocket-Protocol"); got != "one, two" {
			return "HTTP/1.1 400 " + got + "\r\n\r\n"
		}
		return accepting(r, "Sec-WebSocket-Protocol: two\r\n")
	})
	o := direct(t)
	o.Subprotocols = []string{"one", "two"}
	c := dial(t, "ws://"+address, o)
	if got := c.Subprotocol(); got != "two" {
		t.Errorf("the subprotocol is %q", got)
	}
}

// Cookies of the answer are kept, those of a refusal too.
func TestCookies(t *testing.T) {
	for _, good := range []bool{true, false} {
		address := answering(t, func(r *http.Request) string {
			answer := accepting(r, "Set-Cookie: a=b\r\nContent-Length: 0\r\n")
			if !good {
				answer = strings.Replace(answer, "101 Switching Protocols", "401 Unauthorized", 1)
			}
			return answer
		})
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		o := direct(t)
		o.Jar = jar
		if _, _, err := Dial(within(t), "ws://"+address, o); (err == nil) != good {
			t.Fatal(err)
		}
		cookies := jar.Cookies(&url.URL{Scheme: "http", Host: address})
		if len(cookies) != 1 || cookies[0].String() != "a=b" {
			t.Errorf("the jar holds %v", cookies)
		}
	}
}
