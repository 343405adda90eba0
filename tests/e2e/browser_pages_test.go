//go:build linux

package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// A browser's WebSocket, on a page of another origin.
func TestBrowser(t *testing.T) {
	b := startBrowser(t)
	pages := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	defer pages.Close()
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			p := startOn(t, backend, conformanceEcho(t))
			page := b.open(t, pages.URL+"/echo.html?server="+url.QueryEscape("ws://"+p.addr+"/"))
			page.waitFor("open")
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
		})
	}
}
