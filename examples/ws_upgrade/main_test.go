//go:build linux

package main

import (
	"io"
	"net/http"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// get returns status and body of an answer.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestUpgrade(t *testing.T) {
	p := exampletest.Start(t, "-addr", "127.0.0.1:0")
	p.Err.Want("serving WebSocket")
	addr := p.Addr()
	if status, body := get(t, "http://"+addr+"/health"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/health: %d %q", status, body)
	}
	if status, body := get(t, "http://"+addr+"/echo"); status != http.StatusUnauthorized || body != "who are you?\n" {
		t.Errorf("/echo without a key: %d %q", status, body)
	}
	if status, _ := get(t, "http://"+addr+"/echo?key=letmein"); status != http.StatusUpgradeRequired {
		t.Errorf("/echo, but no WebSocket: %d", status)
	}
	p.Out.Want("^Not upgraded: ")
	if status := exampletest.Refused(t, "ws://"+addr+"/echo?key=wrong"); status != http.StatusUnauthorized {
		t.Errorf("a wrong key: %d", status)
	}
	w := exampletest.Open(t, "ws://"+addr+"/echo?key=letmein")
	for _, text := range []string{"hello", "", "again"} {
		w.Send(text)
		w.Want(text)
	}
	http.DefaultClient.CloseIdleConnections()
	p.Interrupt()
	w.WantClosed(1001)
}

func TestBadAddress(t *testing.T) { exampletest.Fails(t, 1, "missing port", "-addr", "nonsense") }
