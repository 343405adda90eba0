//go:build linux

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// curl returns the body of an answer, and its status.
func curl(t *testing.T, args ...string) (body, status string) {
	t.Helper()
	p := exampletest.Client(t, "curl", append([]string{"-sS", "-w", "%{http_code}\n"}, args...)...)
	body = p.Out.Next()
	return body, p.Out.Next()
}

func TestNotes(t *testing.T) {
	p := exampletest.Start(t, "-addr", "127.0.0.1:0")
	p.Err.Want("serving WebSocket")
	addr := p.Addr()
	url := "http://" + addr
	if body, status := curl(t, "-d", `{"text":"buy milk"}`, url+"/notes"); body != `{"id":1,"text":"buy milk"}` || status != "201" {
		t.Errorf("POST: %s %s", status, body)
	}
	watcher := exampletest.Open(t, "ws://"+addr+"/notes/watch")
	watcher.Want(`{"id":1,"text":"buy milk"}`)
	watcher.Send(`{"text":"and bread"}`)
	watcher.Want(`{"id":2,"text":"and bread"}`)
	if body, status := curl(t, "-d", `{"text":"and tea"}`, url+"/notes"); status != "201" {
		t.Errorf("POST: %s %s", status, body)
	}
	watcher.Want(`{"id":3,"text":"and tea"}`)
	watcher.Send(`{"text":`)
	watcher.WantContains(`"error"`)
	watcher.Send(`{"text":""}`)
	watcher.Want(`{"error":"` + errText.Error() + `"}`)

	if body, _ := curl(t, url+"/notes/2"); body != `{"id":2,"text":"and bread"}` {
		t.Errorf("one note: %s", body)
	}
	var list []note
	if body, _ := curl(t, url+"/notes"); json.Unmarshal([]byte(body), &list) != nil || len(list) != 3 {
		t.Errorf("all notes: %s", body)
	}
	if body, _ := curl(t, url+"/stats"); !strings.Contains(body, `"connections.active":`) {
		t.Errorf("the counters: %s", body)
	}
	for _, bad := range [][]string{
		{"404", url + "/notes/77"},
		{"404", url + "/notes/x"},
		{"400", "-d", `{"text":`, url + "/notes"},
		{"400", "-d", `{"text":"` + strings.Repeat("x", maxText+1) + `"}`, url + "/notes"},
		{"413", "-d", `{"text":"` + strings.Repeat("x", 70<<10) + `"}`, url + "/notes"},
	} {
		if body, status := curl(t, bad[1:]...); status != bad[0] || !strings.Contains(body, `"error"`) {
			t.Errorf("%.80s: %s %s, want %s", bad[1:], status, body, bad[0])
		}
	}
	p.Terminate()
	watcher.WantClosed(1001)
}

func TestNotesAreBounded(t *testing.T) {
	var n notes
	for range maxNotes {
		if _, err := n.add("x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.add("x"); err != errFull {
		t.Errorf("one too many: %v", err)
	}
}

func TestBadAddress(t *testing.T) { exampletest.Fails(t, 1, "missing port", "-addr", "nonsense") }
