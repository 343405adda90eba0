package api

import "context"

// connectionKey is the key under which a context carries its connection. It is a plain string because
// ctx.Value("connection") is part of the public contract.
const connectionKey = "connection"

// connectionContext adds a connection to a context.
type connectionContext struct {
	context.Context
	conn any
}

// Value answers for the connection and passes every other key on.
func (c connectionContext) Value(key any) any {
	if key == connectionKey {
		return c.conn
	}
	return c.Context.Value(key)
}

// ContextWithConnection returns a context that carries conn: [FromContext] and Value("connection") give it back. A nil
// ctx stands for context.Background().
func ContextWithConnection(ctx context.Context, conn any) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return connectionContext{ctx, conn}
}

// FromContext returns the connection that ctx carries, or nil when it carries none or is nil itself.
func FromContext(ctx context.Context) any {
	if ctx == nil {
		return nil
	}
	return ctx.Value(connectionKey)
}

// ContextFromData returns the context that data, as a [Handler] is given it, carries: data.Ctx() when data has such a
// method, the field Ctx of an [OpenEvent], [DrainEvent] or [CloseEvent], and context.Background() otherwise. It never returns nil.
func ContextFromData(data any) context.Context {
	var ctx context.Context
	switch d := data.(type) {
	case interface{ Ctx() context.Context }:
		ctx = d.Ctx()
	case OpenEvent:
		ctx = d.Ctx
	case CloseEvent:
		ctx = d.Ctx
	case DrainEvent:
		ctx = d.Ctx
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return ctx
}

// Context is a bag of named values, safe for use by many goroutines. It is unrelated to context.Context.
type Context interface {
	// Set stores value under key, without expiry. A propagated value is one that Clone passes on.
	Set(key string, value any, propagated bool)
	// Get returns the value under key, and whether there is one that has not expired.
	Get(key string) (any, bool)
	// Delete removes key; a key that is not there is fine.
	Delete(key string)
	// Clone returns a new Context with the propagated values of this one, which keep their expiry.
	Clone() Context
	// WithExpiration lets the value that key has now expire ttlNanos nanoseconds from now; 0 or less means at once.
	WithExpiration(key string, ttlNanos int64)
	// IsPropagated tells whether key has a value that Clone passes on.
	IsPropagated(key string) bool
	// Keys returns the keys that have a value, in no promised order.
	Keys() []string
}

// ContextFactory makes empty Contexts.
type ContextFactory interface {
	NewContext() Context
}
