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
