package server

import (
	"net/http"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// RouteOption changes what the server's configuration says for the connections of one route.
type RouteOption func(*protocol.RouteConfig)

// WithSubprotocols replaces Config.Subprotocols: the first that the client offers, too, is agreed on.
func WithSubprotocols(names ...string) RouteOption {
	return func(c *protocol.RouteConfig) { c.Subprotocols = names }
}

// WithCheckOrigin replaces Config.CheckOrigin; nil: same origin.
func WithCheckOrigin(check func(*http.Request) bool) RouteOption {
	return func(c *protocol.RouteConfig) { c.CheckOrigin = orSameOrigin(check) }
}

// WithCompression replaces Config.Compression; nil: nothing is compressed.
func WithCompression(compression *protocol.Compression) RouteOption {
	return func(c *protocol.RouteConfig) { c.Compression = compression }
}

// WithResponseHeader adds header to the answers that complete handshakes.
func WithResponseHeader(header http.Header) RouteOption {
	return func(c *protocol.RouteConfig) { c.Header = header.Clone() }
}

// WithMaxMessageSize replaces Config.MaxMessageSize.
func WithMaxMessageSize(bytes int) RouteOption {
	return func(c *protocol.RouteConfig) { c.MaxMessage = int64(bytes) }
}

// WithStreaming has messages of any length received in pieces, with WSConnection.NextReader on a goroutine that is begun
// at the api.OpenEvent, say; the route's handler gets open and close events only. WithMaxMessageSize then bounds what
// NextReader gives out, Config.MaxMessageSize does not.
func WithStreaming() RouteOption {
	return func(c *protocol.RouteConfig) { c.Streamed = true }
}

// AnyOrigin is a Config.CheckOrigin that lets pages of any site connect, with the cookies of whoever looks at them.
func AnyOrigin(*http.Request) bool { return true }

func orSameOrigin(check func(*http.Request) bool) func(*http.Request) bool {
	if check == nil {
		return protocol.SameOrigin
	}
	return check
}

// routeConfig is what the configuration says.
func (c *Config) routeConfig() protocol.RouteConfig {
	return protocol.RouteConfig{
		Subprotocols: c.Subprotocols,
		CheckOrigin:  orSameOrigin(c.CheckOrigin),
		Compression:  c.Compression,
		Streamed:     c.Streaming,
	}
}

// newRoute returns a route on which h handles what happens.
func (s *Server) newRoute(h api.Handler, opts []RouteOption) (*protocol.Route, error) {
	config := s.config.routeConfig()
	for _, option := range opts {
		option(&config)
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return protocol.NewRoute(h, config), nil
}
