package api_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/momentics/hioload-ws/api"
)

type message struct{ ctx context.Context }

func (m message) Ctx() context.Context { return m.ctx }

func TestContextFromData(t *testing.T) {
	ctx := api.ContextWithConnection(context.Background(), "peer")
	for name, data := range map[string]any{
		"message": message{ctx},
		"open":    api.OpenEvent{Conn: "peer", Ctx: ctx},
		"close":   api.CloseEvent{Conn: "peer", Ctx: ctx},
	} {
		got := api.ContextFromData(data)
		if api.FromContext(got) != "peer" || got.Value("connection") != "peer" {
			t.Errorf("%s: the context does not carry its connection", name)
		}
	}
	for name, data := range map[string]any{
		"nil": nil, "number": 1, "message without context": message{}, "event without context": api.OpenEvent{},
	} {
		if got := api.ContextFromData(data); got != context.Background() {
			t.Errorf("%s: got %v, want the background context", name, got)
		}
	}
}

func TestContextWithConnectionKeepsTheParent(t *testing.T) {
	type key struct{}
	parent, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, 7))
	ctx := api.ContextWithConnection(parent, "inner")
	if ctx.Value(key{}) != 7 {
		t.Error("a value of the parent is lost")
	}
	if outer := api.ContextWithConnection(ctx, "outer"); api.FromContext(outer) != "outer" {
		t.Error("the latest connection must win")
	}
	cancel()
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Error("cancelling the parent must reach the context")
	}
}

func TestFromContextWithoutConnection(t *testing.T) {
	if got := api.FromContext(context.Background()); got != nil {
		t.Errorf("got %v, want nil", got)
	}
	var none context.Context
	if got := api.FromContext(none); got != nil {
		t.Errorf("nil context: got %v, want nil", got)
	}
	if got := api.FromContext(api.ContextWithConnection(none, 3)); got != 3 {
		t.Errorf("nil parent: got %v, want 3", got)
	}
}

func TestErrorMatchesItsSentinel(t *testing.T) {
	sentinels := map[api.ErrorCode]error{
		api.ErrCodeInvalidArgument:   api.ErrInvalidArgument,
		api.ErrCodeResourceExhausted: api.ErrResourceExhausted,
		api.ErrCodeTimeout:           api.ErrOperationTimeout,
		api.ErrCodeNotSupported:      api.ErrNotSupported,
		api.ErrCodeAlreadyExists:     api.ErrAlreadyExists,
		api.ErrCodeNotFound:          api.ErrNotFound,
	}
	for code, sentinel := range sentinels {
		err := fmt.Errorf("wrapped: %w", api.NewError(code, "x"))
		for other, otherSentinel := range sentinels {
			if errors.Is(err, otherSentinel) != (other == code) {
				t.Errorf("code %d against %v: wrong answer", code, otherSentinel)
			}
		}
		if errors.Is(api.NewError(api.ErrCodeInternal, "x"), sentinel) {
			t.Errorf("an internal error matches %v", sentinel)
		}
	}
}

func TestErrTransportClosedIsNetErrClosed(t *testing.T) {
	if !errors.Is(fmt.Errorf("send: %w", api.ErrTransportClosed), net.ErrClosed) {
		t.Error("ErrTransportClosed must match net.ErrClosed")
	}
}

func TestErrorText(t *testing.T) {
	err := api.NewError(api.ErrCodeNotFound, "no such node")
	if err.Error() != "no such node" {
		t.Errorf("got %q", err)
	}
	if got := err.WithContext("node", 3).WithContext("known", 1).Error(); got != "no such node (known: 1, node: 3)" {
		t.Errorf("got %q", got)
	}
}

func TestAffinityScopeString(t *testing.T) {
	for scope, want := range map[api.AffinityScope]string{
		api.ScopeProcess: "process", api.ScopeThread: "thread", api.ScopeGoroutine: "goroutine", 9: "AffinityScope(9)",
	} {
		if got := scope.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func ExampleFromContext() {
	handler := api.HandlerFunc(func(data any) error {
		fmt.Println("from", api.FromContext(api.ContextFromData(data)))
		return nil
	})
	conn := "connection 7" // a server passes a *protocol.WSConnection
	_ = handler.Handle(api.OpenEvent{Conn: conn, Ctx: api.ContextWithConnection(context.Background(), conn)})
	// Output: from connection 7
}
