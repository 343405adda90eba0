package protocol

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/report"
)

// EndpointConfig is what all connections of an [Endpoint] share.
type EndpointConfig struct {
	Executor         api.Executor  // runs handlers; its queue must have room for one task per connection. nil: the loops do
	QueueLimit       int           // messages that may wait per connection for a worker or RecvZeroCopy, at least 1
	HandshakeTimeout time.Duration // how long a client may take for its opening handshake
	ReadTimeout      time.Duration // a connection that receives nothing for that long is closed; 0: never
	WriteTimeout     time.Duration // one whose peer takes nothing for that long is aborted; 0: never
	PingInterval     time.Duration // a peer that was silent for that long is pinged, again and again; 0: never
	SlowConsumer     SlowConsumerPolicy
	MaxConnections   int64 // connections open at a time; a handshake beyond is refused with 503. 0: no limit

	MaxHandshakes  int // under way on the loops at a time; one more is refused with 503. 0: no limit
	HandshakeRate  int // per second; beyond, they are refused with 503 and Retry-After. 0: no limit
	HandshakeBurst int // how many may come at once, at least 1
	MaxPerClient   int // connections of one address (IPv6: a /64); beyond: 429. 0: no limit

	Route RouteConfig // of the endpoint's own route

	// Match chooses the route of a connection by its first request, whatever that asks for; nil (the route): the
	// connection is for TakeOver. It runs on the loop and must not block. nil: all are on the endpoint's own route.
	Match func(*http.Request) *Route

	// TakeOver is given connections that Match has no route for. It runs on the loop and must not block.
	TakeOver func(*HandOver)

	Topics TopicLimits // what subscriptions and publications may cost
}

// EndpointStats are the counters of an [Endpoint].
type EndpointStats struct {
	Active          int64 // connections open now
	Plain           int64 // connections handed over that are not done
	HandedOver      int64 // connections handed over so far
	Opened          int64 // handshakes completed so far
	Refused         int64 // handshakes refused for what they were
	Rejected        int64 // connections refused because there were too many, or during shutdown
	Handshakes      int64 // under way on the loops now
	Excess          int64 // of those rejected: beyond MaxHandshakes
	Hurried         int64 // of those rejected: beyond HandshakeRate
	Crowded         int64 // of those rejected: beyond MaxPerClient
	Messages        int64 // messages received
	HandlerErrors   int64 // errors that handlers returned
	HandlerPanics   int64 // panics of handlers, recovered by middleware or not
	ReadTimeouts    int64 // connections closed because nothing came
	WriteTimeouts   int64 // connections aborted because the peer took nothing
	UnsentOnClosing int64 // connections that ended with bytes not sent
	QueueFull       int64 // messages not sent because too much waited for the peer already
	SlowClosed      int64 // connections closed for that, by SlowConsumerClose
	Topics          TopicStats
	Traffic
}

// Endpoint is the server's side of many WebSocket connections: what happens in them and who is told. Its connections are
// spread over [Shard]s, one for each loop.
type Endpoint struct {
	config   EndpointConfig
	own      Route // of connections that are on no other
	wrapping atomic.Pointer[wrapping]
	shards   []*Shard
	topics   topicIndex
	admission

	active, plain                                                atomic.Int64
	opened, handedOver, refused, rejected, handlerErrors, panics atomic.Int64
	readTimeouts, writeTimeouts, unsent, queueFull, slowClosed   atomic.Int64

	live     atomic.Int64 // connections that exist, with those in their handshake and those handed over
	draining atomic.Bool
	drained  chan struct{} // closed when draining and live is 0
	emptied  atomic.Bool   // drained has been closed

	limiter report.Limiter // of reports about handlers
}

// NewEndpoint returns an endpoint without shards. SetHandler has to be called before the first connection comes.
func NewEndpoint(config EndpointConfig) *Endpoint {
	config.Topics = config.Topics.complete()
	e := &Endpoint{config: config, own: Route{config: config.Route}, drained: make(chan struct{})}
	e.addresses.limit = config.MaxPerClient
	e.rate.setRate(config.HandshakeRate, config.HandshakeBurst)
	return e
}

// Stats returns the counters.
func (e *Endpoint) Stats() EndpointStats {
	stats := EndpointStats{
		Active:          e.active.Load(),
		Plain:           e.plain.Load(),
		HandedOver:      e.handedOver.Load(),
		Opened:          e.opened.Load(),
		Refused:         e.refused.Load(),
		Rejected:        e.rejected.Load(),
		Handshakes:      e.handshakes.Load(),
		Excess:          e.excess.Load(),
		Hurried:         e.hurried.Load(),
		Crowded:         e.crowded.Load(),
		HandlerErrors:   e.handlerErrors.Load(),
		HandlerPanics:   e.panics.Load(),
		ReadTimeouts:    e.readTimeouts.Load(),
		WriteTimeouts:   e.writeTimeouts.Load(),
		UnsentOnClosing: e.unsent.Load(),
		QueueFull:       e.queueFull.Load(),
		Topics:          e.topicStats(),
		SlowClosed:      e.slowClosed.Load(),
	}
	for _, s := range e.shards {
		stats.Messages += int64(s.loop.Stats().Messages)
		traffic := s.traffic()
		stats.BytesReceived += traffic.BytesReceived
		stats.BytesSent += traffic.BytesSent
	}
	return stats
}

// Drain ends all connections in good order: what has been received is handled, what handlers have sent is flushed, then
// comes a close frame with CloseGoingAway. Handshakes under way, and connections that come later, are refused with 503.
// The channel it returns is closed when no connection is left. Any goroutine; the second call only returns the channel.
func (e *Endpoint) Drain() <-chan struct{} {
	if !e.draining.Swap(true) {
		for _, s := range e.shards {
			s.drain()
		}
		e.checkDrained()
	}
	return e.drained
}

// Abort ends all connections at once. What waits to be handled is handled, what waits to be sent is lost.
func (e *Endpoint) Abort() {
	for _, s := range e.shards {
		s.abort()
	}
}

// checkDrained is called when draining has begun and whenever a connection has gone: whichever is last sees both.
func (e *Endpoint) checkDrained() {
	if e.draining.Load() && e.live.Load() == 0 && !e.emptied.Swap(true) {
		close(e.drained)
	}
}

// report logs something about a handler, unless the same was logged just now.
func (e *Endpoint) report(level slog.Level, message, key string, attributes ...any) {
	ok, suppressed := e.limiter.Allow(message+key, time.Now())
	if !ok {
		return
	}
	if suppressed > 0 {
		attributes = append(attributes, "suppressed", suppressed)
	}
	slog.Log(context.Background(), level, message, attributes...)
}
