// Package server is a WebSocket server: it accepts connections, spreads them over event loops, one for each processor, and
// passes what they receive to a handler.
//
//	srv, err := server.NewServer(server.DefaultConfig())
//	...
//	err = srv.Run(api.HandlerFunc(func(data any) error { ... }))
//
// # What a handler is given
//
// For each connection an api.OpenEvent, its messages as api.Buffer, and an api.CloseEvent, one after the other. The
// connection is a *protocol.WSConnection: api.FromContext(api.ContextFromData(data)).
//
// # Where handlers run
//
// On the loop that has received the message, unless the server has an executor (Config.ExecutorWorkers,
// WithExecutorWorkers): then on its workers, in order for each connection. A handler on a loop must not block, because
// every other connection of that loop waits for it.
//
// # Routes and HTTP
//
// Handle and HandleWebSocket give patterns handlers of their own; Config.HTTP has the rest of the ordinary requests. These
// are served by net/http, on goroutines of their own. WebSocket and Upgrade open WebSockets behind routers and middleware
// of net/http, in this server or any other; NewUpgrader returns a server that does nothing else.
//
// # Stats
//
// GetControl().Stats() shows, next to what users and middleware put there, these keys (int64 where nothing else is said):
//
//	server.addr                          address (string)
//	server.backend                       how the loops talk to the kernel: epoll or io_uring (string)
//	server.backend_reason                why that is not io_uring (string)
//	server.backend_features              what io_uring does for it beyond the necessary: one_thread, busy_poll (string)
//	server.cpus                          processors that loops are bound to, 0-3 say (string)
//	server.loops, server.workers         loops; workers of the executor, 0 without one
//	connections.active                   open now
//	connections.opened                   handshakes completed so far
//	connections.refused                  handshakes refused (4xx, 505)
//	connections.rejected                 refused with 503 or 429: too many, or shutting down
//	connections.per_ip                   of these: beyond Config.MaxConnectionsPerIP
//	handshakes.excess, handshakes.rate   of these: beyond Config.MaxHandshakes, beyond Config.HandshakeRate
//	handshakes.active                    connections that have not sent their first request yet
//	connections.read_timeouts            closed because nothing came for Config.ReadTimeout
//	connections.write_timeouts           aborted because the peer took nothing for Config.WriteTimeout, HTTP apart
//	connections.unsent                   ended with bytes that could not be sent
//	connections.queue_full               frames not sent because the peer had left too much unread
//	http.active                          connections that net/http serves now
//	http.connections                     connections handed over to net/http so far
//	http.requests                        requests that it has served
//	messages.received                    messages passed to handlers
//	topics.subscriptions                 there are now
//	topics.published, topics.refused     messages published; refused because too much waited for a loop
//	topics.delivered                     messages given to subscribers' connections
//	topics.slow_closed                   connections closed because they did not take what they subscribe to
//	topics.dropped, topics.replaced      messages not sent to slow subscribers; that gave way to later ones
//	bytes.received, bytes.sent           with all framing and handshakes
//	handler.errors, handler.panics       returned by handlers; raised by handlers, recovered by middleware or not
//	handler.processed                    calls of handlers, if adapters.HandlerMetricsMiddleware is in use
//	loop.turns, loop.flushes, loop.crossings, loop.ops, loop.events, loop.waits, loop.wakeups, loop.spins,
//	loop.spin_hits, loop.letters, loop.stale_ops, loop.stale_events, loop.accepted, loop.accept_pauses, loop.read_pauses, loop.nomem, loop.panics,
//	loop.pinned                          sums over the loops; loop.pinned: how many are bound to processors
//	memory.reserved, memory.failures, memory.forgotten   bytes mapped; blocks refused; buffers nobody released
//	memory.in_use.128 ... memory.in_use.large            blocks in use by size in bytes
//	memory.returned                      bytes given back to the kernel after use had dropped
//	memory.node.N.plain, memory.node.N.transparent, memory.node.N.huge   for each memory node, N = -1 if it is not known:
//	                                     bytes mapped as plain pages, as ones that may be huge, from the reserve of huge ones
//	memory.node.N.fallbacks              blocks asked of the node that lie elsewhere because it was full
//	memory.node.N.in_use.128 ...         blocks in use of those made for the node
package server
