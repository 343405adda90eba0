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

// DrainHandler is a [Handler] that may take a [DrainEvent], too. Middleware around one should be one itself, as that of
// package adapters and a server's chain are: it passes on what HandlesDrain of the handler inside says.
type DrainHandler interface {
	Handler
	// HandlesDrain tells whether DrainEvents are wanted.
	HandlesDrain() bool
}

// HandlesDrain tells whether h is a [DrainHandler] that wants a [DrainEvent].
func HandlesDrain(h Handler) bool {
	d, ok := h.(DrainHandler)
	return ok && d.HandlesDrain()
}

// Around returns f as the [Handler] that stands around inner: it takes DrainEvents if inner does.
func Around(inner Handler, f HandlerFunc) Handler {
	if HandlesDrain(inner) {
		return drainFunc{f}
	}
	return f
}

// drainFunc is a HandlerFunc that wants DrainEvents.
type drainFunc struct{ HandlerFunc }

func (drainFunc) HandlesDrain() bool { return true }
