package adapters_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
)

// tag returns middleware that writes its name before and after what it wraps.
func tag(trace *[]string, name string) func(api.Handler) api.Handler {
	return func(next api.Handler) api.Handler {
		return adapters.HandlerFunc(func(data any) error {
			*trace = append(*trace, name)
			defer func() { *trace = append(*trace, "/"+name) }()
			return next.Handle(data)
		})
	}
}

func TestMiddlewareHandlerOrder(t *testing.T) {
	var trace []string
	failure := errors.New("failure")
	h := adapters.NewMiddlewareHandler(api.HandlerFunc(func(data any) error {
		trace = append(trace, data.(string))
		return failure
	}))
	if h.Use(tag(&trace, "a")).Use(tag(&trace, "b")) != h {
		t.Error("Use must return its receiver")
	}
	if err := h.Handle("x"); err != failure {
		t.Errorf("got %v, want the handler's error", err)
	}
	if got := strings.Join(trace, " "); got != "a b x /b /a" {
		t.Errorf("got %q", got)
	}
}

func TestContextualHandler(t *testing.T) {
	var seen any
	h := adapters.ContextualHandler(api.HandlerFunc(func(data any) error {
		seen = data
		return nil
	}))
	for _, event := range []any{
		api.OpenEvent{Conn: 1}, api.CloseEvent{Conn: 1},
		api.OpenEvent{Conn: 1, Ctx: context.Background()}, api.CloseEvent{Conn: 1, Ctx: context.Background()},
	} {
		if err := h.Handle(event); err != nil {
			t.Fatal(err)
		}
		if got := api.FromContext(api.ContextFromData(seen)); got != 1 {
			t.Errorf("%T: connection %v, want 1", event, got)
		}
		if fmt.Sprintf("%T", seen) != fmt.Sprintf("%T", event) {
			t.Errorf("%T arrived as %T", event, seen)
		}
	}
	carried := api.OpenEvent{Conn: 1, Ctx: api.ContextWithConnection(context.Background(), 2)}
	if h.Handle(carried); api.FromContext(api.ContextFromData(seen)) != 2 {
		t.Error("a context that carries a connection must be left alone")
	}
	if h.Handle("text"); seen != "text" {
		t.Errorf("a message arrived as %v", seen)
	}
}

// draining wants drain events.
type draining struct{ adapters.HandlerFunc }

func (draining) HandlesDrain() bool { return true }

// Middleware hands drain events to handlers that want them, and does not want any where they do not.
func TestDrainEventsPassMiddleware(t *testing.T) {
	for name, wrap := range map[string]func(api.Handler) api.Handler{
		"logging":    adapters.LoggingMiddleware,
		"recovery":   adapters.RecoveryMiddleware,
		"metrics":    adapters.HandlerMetricsMiddleware(adapters.NewControlAdapter()),
		"contextual": adapters.ContextualHandler,
		"chain": func(h api.Handler) api.Handler {
			return adapters.NewMiddlewareHandler(h).Use(adapters.RecoveryMiddleware)
		},
	} {
		seen := 0
		base := adapters.HandlerFunc(func(data any) error {
			if _, ok := data.(api.DrainEvent); ok {
				seen++
			}
			return nil
		})
		if api.HandlesDrain(wrap(base)) {
			t.Errorf("%s wants drain events for a handler that does not", name)
		}
		h := wrap(draining{base})
		if err := h.Handle(api.DrainEvent{Conn: 1}); err != nil || !api.HandlesDrain(h) || seen != 1 {
			t.Errorf("%s: %v, wants them: %v, seen %d", name, err, api.HandlesDrain(h), seen)
		}
	}
}
