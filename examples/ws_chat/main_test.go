//go:build linux

package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
	"github.com/momentics/hioload-ws/protocol"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

func start(t *testing.T) (p *exampletest.Process, addr string) {
	t.Helper()
	p = exampletest.Start(t, "-addr", "127.0.0.1:0")
	addr = p.Addr()
	p.Err.Want("serving WebSocket")
	return p, addr
}

func TestPage(t *testing.T) {
	p, addr := start(t)
	for path, want := range map[string]int{
		"/":        http.StatusOK,
		"/nothing": http.StatusNotFound,
		"/rooms/x": http.StatusUpgradeRequired,
	} {
		response, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != want {
			t.Errorf("%s: %d, %v", path, response.StatusCode, err)
		}
		if path == "/" && !strings.Contains(string(body), "new WebSocket(") {
			t.Errorf("the page is %q", body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	p.Interrupt()
}

func TestRooms(t *testing.T) {
	p, addr := start(t)
	room := func(name, who string) *exampletest.WebSocket {
		return exampletest.Open(t, "ws://"+addr+"/rooms/"+name+"?name="+who)
	}
	ann := room("tea", "Ann")
	ann.Want(`{"text":"Ann has come"}`)
	bob := room("tea", "Bob")
	ann.Want(`{"text":"Bob has come"}`)
	bob.Want(`{"text":"Bob has come"}`)
	other := room("%2B", "Eve") // a room called +, which is no wildcard
	other.Want(`{"text":"Eve has come"}`)
	ann.Send("<b>hello</b> \u2603")
	for _, w := range []*exampletest.WebSocket{ann, bob} {
		w.WantContains(`"from":"Ann"`)
	}
	bob.Close()
	ann.Want(`{"text":"Bob has left"}`)
	other.Send("alone")
	other.Want(`{"from":"Eve","text":"alone"}`)
	p.Terminate()
	ann.WantClosed(protocol.CloseGoingAway)
	other.WantClosed(protocol.CloseGoingAway)
}

func TestWhatIsNotAllowed(t *testing.T) {
	_, addr := start(t)
	exampletest.Open(t, "ws://"+addr+"/rooms/tea").WantClosed(protocol.ClosePolicyViolation)
	exampletest.Open(t, "ws://"+addr+"/rooms/tea?name="+strings.Repeat("x", maxName+1)).WantClosed(protocol.ClosePolicyViolation)
	exampletest.Open(t, "ws://"+addr+"/rooms/"+strings.Repeat("x", 2000)+"?name=Ann").WantClosed(protocol.ClosePolicyViolation)
	long := exampletest.Open(t, "ws://"+addr+"/rooms/tea?name=Ann")
	long.Want(`{"text":"Ann has come"}`)
	long.Send(strings.Repeat("x", maxText+1))
	long.WantClosed(protocol.ClosePolicyViolation)
	if status := exampletest.Refused(t, "ws://"+addr+"/elsewhere"); status != http.StatusNotFound {
		t.Errorf("no such route: %d", status)
	}
}

func TestBadAddress(t *testing.T) { exampletest.Fails(t, 1, "missing port", "-addr", "nonsense") }
