package adapters_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/momentics/hioload-ws/adapters"
	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/report"
)

// captureLog makes slog write to the returned buffer until the test ends.
func captureLog(t *testing.T, level slog.Level) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &out
}

func failing(err error) api.Handler { return api.HandlerFunc(func(any) error { return err }) }

func TestLoggingMiddleware(t *testing.T) {
	failure := errors.New("out of paper")
	gone := fmt.Errorf("send: %w", api.ErrTransportClosed)
	for _, c := range []struct {
		name     string
		level    slog.Level
		err      error
		contains []string // nil: nothing may be logged
	}{
		{"message at default level", slog.LevelInfo, nil, nil},
		{"message at debug level", slog.LevelDebug, nil, []string{"level=DEBUG", "data=int"}},
		{"error", slog.LevelInfo, failure, []string{"level=ERROR", "out of paper", "data=int"}},
		{"peer gone", slog.LevelInfo, gone, nil},
		{"peer gone at debug level", slog.LevelDebug, gone, []string{"handler failed", "transport is closed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := captureLog(t, c.level)
			if err := adapters.LoggingMiddleware(failing(c.err)).Handle(5); err != c.err {
				t.Errorf("got error %v, want %v", err, c.err)
			}
			if c.contains == nil && out.Len() > 0 {
				t.Errorf("logged %q", out)
			}
			for _, part := range c.contains {
				if !strings.Contains(out.String(), part) {
					t.Errorf("logged %q, want %q in it", out, part)
				}
			}
		})
	}
}

func TestRecoveryMiddleware(t *testing.T) {
	out := captureLog(t, slog.LevelInfo)
	h := adapters.RecoveryMiddleware(api.HandlerFunc(func(data any) error {
		_ = data.(api.Buffer)
		return nil
	}))
	for i := 0; i < 100; i++ {
		if err := h.Handle(api.OpenEvent{}); err != nil {
			t.Fatalf("a panic became %v, want nil", err)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("100 equal panics made %d lines:\n%s", n, out)
	}
	if !strings.Contains(out.String(), "level=WARN") || strings.Contains(out.String(), "goroutine") {
		t.Errorf("an event's panic belongs at warning level without a stack, got %s", out)
	}
	out.Reset()
	h.Handle("message")
	if !strings.Contains(out.String(), "level=ERROR") || !strings.Contains(out.String(), "middleware_test.go") {
		t.Errorf("a message's panic belongs at error level with the stack, got %s", out)
	}
	failure := errors.New("failure")
	if err := adapters.RecoveryMiddleware(failing(failure)).Handle(1); err != failure {
		t.Errorf("an error became %v", err)
	}
}

func TestRecoveredPanicIsCountedForItsServer(t *testing.T) {
	captureLog(t, slog.LevelInfo)
	var counter atomic.Int64
	ctx := context.WithValue(context.Background(), report.PanicsKey, &counter)
	h := adapters.RecoveryMiddleware(api.HandlerFunc(func(any) error { panic("no") }))
	h.Handle(api.OpenEvent{Ctx: ctx})
	h.Handle(api.CloseEvent{Ctx: ctx})
	if counter.Load() != 2 {
		t.Errorf("counted %d, want 2", counter.Load())
	}
}

// otherControl hides the adapter's own type.
type otherControl struct{ api.Control }

func TestHandlerMetricsMiddleware(t *testing.T) {
	for name, control := range map[string]api.Control{
		"adapter": adapters.NewControlAdapter(),
		"other":   otherControl{adapters.NewControlAdapter()},
	} {
		metrics := adapters.HandlerMetricsMiddleware(control)
		if got := control.Stats()["handler.processed"]; got != int64(0) {
			t.Errorf("%s: starts with %v", name, got)
		}
		a, b := metrics(failing(nil)), metrics(failing(errors.New("failure")))
		a.Handle(1)
		b.Handle(2)
		func() {
			defer func() { _ = recover() }()
			metrics(api.HandlerFunc(func(any) error { panic("no") })).Handle(3)
		}()
		if got := control.Stats()["handler.processed"]; got != int64(3) {
			t.Errorf("%s: got %v (%T), want int64 3", name, got, got)
		}
	}
	control := adapters.NewControlAdapter()
	for i := 0; i < 2; i++ {
		adapters.HandlerMetricsMiddleware(control)(failing(nil)).Handle(i)
	}
	if got := control.Stats()["handler.processed"]; got != int64(2) {
		t.Errorf("two pieces of middleware on one control: got %v, want 2", got)
	}
}

func TestMiddlewareAllocatesNothing(t *testing.T) {
	captureLog(t, slog.LevelInfo)
	control := adapters.NewControlAdapter()
	h := adapters.LoggingMiddleware(adapters.RecoveryMiddleware(
		adapters.HandlerMetricsMiddleware(control)(failing(nil))))
	var data any = &struct{ n int }{}
	if n := testing.AllocsPerRun(1000, func() { h.Handle(data) }); n != 0 {
		t.Errorf("%v allocations for each message", n)
	}
}

func ExampleHandlerMetricsMiddleware() {
	control := adapters.NewControlAdapter()
	count := adapters.HandlerMetricsMiddleware(control)
	h := count(api.HandlerFunc(func(any) error { return nil }))
	for _, message := range []string{"one", "two"} {
		_ = h.Handle(message)
	}
	fmt.Println(control.Stats()["handler.processed"])
	// Output: 2
}
