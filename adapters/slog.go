package adapters

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/report"
	"github.com/momentics/hioload-ws/protocol"
)

// SlogMiddleware logs the life of connections with logger; nil: slog's default one, whatever that is at the time.
//
//   - At info level that a connection was opened: remote, path, and the subprotocol if there is one; and that it was
//     closed: remote, code, and the reason if there is one. Codes that say that something was wrong are logged at warning
//     level: those of RFC 6455 section 7.4.1 from 1002 on, but for 1005 and 1006, which only say that the peer was
//     brief.
//   - At error level what handlers return, with the connection's remote; at debug level if it only says that the peer has
//     left (api.ErrTransportClosed). The same error is logged at most once a second, with the number of those left out.
//   - At debug level each message: remote, opcode, bytes.
//
// It calls RemoteAddr, so that each connection keeps its peer's address.
func SlogMiddleware(logger *slog.Logger) func(api.Handler) api.Handler {
	m := &slogMiddleware{logger: logger}
	return func(next api.Handler) api.Handler {
		return api.Around(next, func(data any) error {
			m.before(data)
			err := next.Handle(data)
			if err != nil {
				m.failed(data, err)
			}
			return err
		})
	}
}

type slogMiddleware struct {
	logger  *slog.Logger // nil: the default
	limiter report.Limiter
}

// before logs what is about to be handled.
func (m *slogMiddleware) before(data any) {
	c, ok := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection)
	if !ok {
		return
	}
	switch event := data.(type) {
	case api.OpenEvent:
		m.opened(c)
	case api.CloseEvent:
		m.closed(c)
	case api.Buffer:
		if m.enabled(slog.LevelDebug) {
			m.log(slog.LevelDebug, "message", remote(c), slog.Int("opcode", int(protocol.MessageOpcode(data))),
				slog.Int("bytes", len(event.Bytes())))
		}
	}
}

func (m *slogMiddleware) opened(c *protocol.WSConnection) {
	attributes := []slog.Attr{remote(c)}
	if r := c.Request(); r != nil {
		attributes = append(attributes, slog.String("path", r.URL.Path))
	}
	if name := c.Subprotocol(); name != "" {
		attributes = append(attributes, slog.String("subprotocol", name))
	}
	m.log(slog.LevelInfo, "connection opened", attributes...)
}

func (m *slogMiddleware) closed(c *protocol.WSConnection) {
	code, reason := c.CloseStatus()
	attributes := []slog.Attr{remote(c), slog.Int("code", code)}
	if reason != "" {
		attributes = append(attributes, slog.String("reason", reason))
	}
	level := slog.LevelInfo
	switch code {
	case protocol.CloseNoStatusReceived, protocol.CloseAbnormalClosure:
	default:
		if code >= protocol.CloseProtocolError && code < 3000 {
			level = slog.LevelWarn
		}
	}
	m.log(level, "connection closed", attributes...)
}

// failed logs what a handler has returned.
func (m *slogMiddleware) failed(data any, err error) {
	level := slog.LevelError
	if errors.Is(err, api.ErrTransportClosed) {
		level = slog.LevelDebug
	}
	if !m.enabled(level) {
		return
	}
	ok, suppressed := m.limiter.Allow(err.Error(), time.Now())
	if !ok {
		return
	}
	attributes := []slog.Attr{slog.String("data", typeName(data)), slog.Any("error", err)}
	if c, ok := api.FromContext(api.ContextFromData(data)).(*protocol.WSConnection); ok {
		attributes = append(attributes, remote(c))
	}
	if suppressed > 0 {
		attributes = append(attributes, slog.Int("suppressed", suppressed))
	}
	m.log(level, "handler failed", attributes...)
}

func (m *slogMiddleware) log(level slog.Level, message string, attributes ...slog.Attr) {
	m.to().LogAttrs(context.Background(), level, message, attributes...)
}

func (m *slogMiddleware) enabled(level slog.Level) bool {
	return m.to().Enabled(context.Background(), level)
}

func (m *slogMiddleware) to() *slog.Logger {
	if m.logger == nil {
		return slog.Default()
	}
	return m.logger
}

// remote is the peer's address, empty where it is not known.
func remote(c *protocol.WSConnection) slog.Attr {
	if addr := c.RemoteAddr(); addr != nil {
		return slog.String("remote", addr.String())
	}
	return slog.String("remote", "")
}
