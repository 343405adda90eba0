package api

// Handler takes one piece of data: a message ([Buffer]), an [OpenEvent] or a [CloseEvent] when a server calls it.
//
// A server calls the handler for one connection from one goroutine at a time, in the order in which things happened; for
// different connections it may be called at the same time. A handler that runs on a loop (the default) must not block.
type Handler interface {
	Handle(data any) error
}

// HandlerFunc lets an ordinary function be a [Handler].
type HandlerFunc func(data any) error

// Handle calls f(data).
func (f HandlerFunc) Handle(data any) error { return f(data) }
