//go:build linux

package exampletest

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
)

// WebSocket is the test's end of one.
type WebSocket struct {
	t        *testing.T
	conn     *protocol.WSConnection
	messages chan string
}

// mostUnread is how many messages may wait for the test.
const mostUnread = 1000

// Open opens a WebSocket, which closes with the test at the latest. What it gets is for Want.
func Open(t *testing.T, url string) *WebSocket {
	t.Helper()
	w, response, err := dial(t, url)
	if err != nil {
		t.Fatalf("%s: %v (%v)", url, err, response)
	}
	return w
}

// Refused expects the server not to open a WebSocket, and returns the status of its answer.
func Refused(t *testing.T, url string) int {
	t.Helper()
	_, response, err := dial(t, url)
	if err == nil || response == nil {
		t.Fatalf("%s: %v (%v), want a refusal", url, err, response)
	}
	return response.StatusCode
}

func dial(t *testing.T, url string) (*WebSocket, *http.Response, error) {
	w := &WebSocket{t: t, messages: make(chan string, mostUnread)}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, response, err := client.Dial(ctx, url, &client.Options{
		Compression: &protocol.Compression{},
		Handler: protocol.Events{
			OnMessage: func(_ *protocol.WSConnection, _ byte, data []byte) { w.messages <- string(data) },
			OnClose:   func(*protocol.WSConnection, int, string) { close(w.messages) },
		},
	})
	if err != nil {
		return nil, response, err
	}
	w.conn = conn
	t.Cleanup(func() { _ = conn.Close() })
	return w, response, nil
}

// Send sends text.
func (w *WebSocket) Send(text string) {
	w.t.Helper()
	if err := w.conn.Send(protocol.OpcodeText, []byte(text)); err != nil {
		w.t.Fatal(err)
	}
}

// Next returns the next message, and waits for it.
func (w *WebSocket) Next() string {
	w.t.Helper()
	select {
	case text, ok := <-w.messages:
		if !ok {
			code, reason := w.conn.CloseStatus()
			w.t.Fatalf("closed with %d %q, want a message", code, reason)
		}
		return text
	case <-time.After(Patience):
		w.t.Fatal("no message")
	}
	return ""
}

// Want expects these to be the next messages.
func (w *WebSocket) Want(messages ...string) {
	w.t.Helper()
	for _, want := range messages {
		if got := w.Next(); got != want {
			w.t.Fatalf("%q, want %q", got, want)
		}
	}
}

// WantContains expects the next message to contain text.
func (w *WebSocket) WantContains(text string) {
	w.t.Helper()
	if got := w.Next(); !strings.Contains(got, text) {
		w.t.Fatalf("%q, want %q in it", got, text)
	}
}

// WantClosed expects the connection to end with this code, and nothing more before.
func (w *WebSocket) WantClosed(code int) {
	w.t.Helper()
	select {
	case text, ok := <-w.messages:
		if ok {
			w.t.Fatalf("%q, want the end", text)
		}
	case <-time.After(Patience):
		w.t.Fatal("no end")
	}
	if got, reason := w.conn.CloseStatus(); got != code {
		w.t.Fatalf("closed with %d %q, want %d", got, reason, code)
	}
}

// DrainedAndClosed is WantClosed for one that may get any number of messages before.
func (w *WebSocket) DrainedAndClosed(code int) {
	w.t.Helper()
	for range w.messages {
	}
	w.WantClosed(code)
}

// Close says goodbye, and waits for the server's.
func (w *WebSocket) Close() {
	w.t.Helper()
	if err := w.conn.Close(); err != nil {
		w.t.Fatal(err)
	}
	select {
	case <-w.conn.Done():
	case <-time.After(Patience):
		w.t.Fatal("no end")
	}
}
