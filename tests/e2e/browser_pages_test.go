//go:build linux

package e2e

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/momentics/hioload-ws/server"
)

// A browser loads a page from the server and talks to the same server over a WebSocket.
func TestBrowser(t *testing.T) {
	b := startBrowser(t)
	elsewhere := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	defer elsewhere.Close()
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			addr := serveEcho(t, backend, func(cfg *server.Config) {
				cfg.HTTP = http.FileServer(http.Dir("testdata"))
			})
			page := b.open(t, "http://"+addr+"/echo.html")
			page.waitFor("open, extensions: none")
			for _, expression := range []string{
				`text('')`, `text('κόσμε 😀')`, `text('x'.repeat(1000000))`,
				`binary(0)`, `binary(1)`, `binary(125)`, `binary(126)`, `binary(65535)`, `binary(65536)`, `binary(1000000)`,
			} {
				var same bool
				page.eval(expression, &same)
				if !same {
					t.Errorf("%s: the echo differs", expression)
				}
			}
			page.eval(`socket.close(4321, 'bye')`, nil)
			page.waitFor(`closed with 4321 "", clean: true`)

			// Others' pages may not: the browser sends their origin, and the server refuses it.
			b.open(t, elsewhere.URL+"/echo.html?host="+addr).waitFor("closed with 1006")
		})
	}
}

// Two tabs on the chat's page see each other's messages, and another room does not.
func TestChat(t *testing.T) {
	b := startBrowser(t)
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			p := startOn(t, backend, example(t, "ws_chat"))
			enter := func(room, name string) *tab {
				page := b.open(t, "http://"+p.addr+"/?room="+room+"&name="+name)
				page.waitFor("connected as " + name)
				return page
			}
			ann := enter("tea", "Ann")
			bob := enter("tea", "Bob")
			eve := enter("coffee", "Eve")
			ann.waitFor("Bob has come")

			ann.enter("#text", "Hello, <b>Bob</b>! κόσμε 😀")
			bob.waitFor("Ann: Hello, <b>Bob</b>! κόσμε 😀") // as text, not as HTML
			ann.waitFor("Ann: Hello, <b>Bob</b>! κόσμε 😀")
			bob.enter("#text", "Hello, Ann!")
			ann.waitFor("Bob: Hello, Ann!")
			bob.waitFor("Bob: Hello, Ann!")

			eve.enter("#text", "Anybody here?")
			eve.waitFor("Eve: Anybody here?")
			for page, words := range map[*tab]string{eve: "Hello", ann: "Anybody", bob: "Anybody"} {
				var seen bool
				if page.eval(`document.body.innerText.includes(`+quoted(words)+`)`, &seen); seen {
					t.Errorf("a room sees %q, which was said in another", words)
				}
			}

			bob.close()
			ann.waitFor("Bob has left")
		})
	}
}
