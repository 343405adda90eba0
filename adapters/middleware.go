package adapters

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/report"
)

// LoggingMiddleware logs the type of whatever passes at debug level and the errors that next returns at error level,
// with slog's default logger. An error that only says that the peer has left (api.ErrTransportClosed) is ordinary and is
// logged at debug level.
func LoggingMiddleware(next api.Handler) api.Handler {
	return api.Around(next, func(data any) error {
		ctx := context.Background()
		logger := slog.Default()
		if logger.Enabled(ctx, slog.LevelDebug) {
			logger.LogAttrs(ctx, slog.LevelDebug, "handling", slog.String("data", typeName(data)))
		}
		err := next.Handle(data)
		if err != nil {
			level := slog.LevelError
			if errors.Is(err, api.ErrTransportClosed) {
				level = slog.LevelDebug
			}
			if logger.Enabled(ctx, level) {
				logger.LogAttrs(ctx, level, "handler failed", slog.String("data", typeName(data)), slog.Any("error", err))
			}
		}
		return err
	})
}

// RecoveryMiddleware turns a panic of next into a nil error and reports it with slog's default logger: one line at
// warning level for a panic on an open or close event, which handlers that expect only messages raise all the time, and
// at error level with the stack for any other. The same panic is reported at most once a second, with the number of
// repetitions left out. A server counts the panics recovered here in its stats as handler.panics.
func RecoveryMiddleware(next api.Handler) api.Handler {
	limiter := new(report.Limiter)
	return api.Around(next, func(data any) (err error) {
		defer func() {
			if cause := recover(); cause != nil {
				err = nil
				reportPanic(limiter, data, cause)
			}
		}()
		return next.Handle(data)
	})
}

// reportPanic counts and logs a recovered panic.
func reportPanic(limiter *report.Limiter, data, cause any) {
	report.CountPanic(api.ContextFromData(data))
	text, name := fmt.Sprint(cause), typeName(data)
	ok, suppressed := limiter.Allow(name+": "+text, time.Now())
	if !ok {
		return
	}
	attributes := []slog.Attr{slog.String("data", name), slog.String("panic", text)}
	if suppressed > 0 {
		attributes = append(attributes, slog.Int("suppressed", suppressed))
	}
	level := slog.LevelWarn
	switch data.(type) {
	case api.OpenEvent, api.CloseEvent:
	default:
		level = slog.LevelError
		attributes = append(attributes, slog.String("stack", string(debug.Stack())))
	}
	slog.LogAttrs(context.Background(), level, "handler panicked", attributes...)
}

func typeName(data any) string { return fmt.Sprintf("%T", data) }

// processedKey is the name under which HandlerMetricsMiddleware counts.
const processedKey = "handler.processed"

// HandlerMetricsMiddleware counts every call, open and close events included, before it goes on: c.Stats() shows the
// count as handler.processed, an int64. On a *ControlAdapter all middleware made here shares one counter; with another
// implementation of api.Control the last one made is shown.
func HandlerMetricsMiddleware(c api.Control) func(api.Handler) api.Handler {
	var counter *atomic.Int64
	if adapter, ok := c.(*ControlAdapter); ok {
		counter = adapter.Counter(processedKey)
	} else {
		counter = new(atomic.Int64)
		c.RegisterDebugProbe(processedKey, func() any { return counter.Load() })
	}
	return func(next api.Handler) api.Handler {
		return api.Around(next, func(data any) error {
			counter.Add(1)
			return next.Handle(data)
		})
	}
}
