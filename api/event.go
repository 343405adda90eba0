package api

import "context"

// OpenEvent tells that the opening handshake of a connection is done. It is delivered by value, before the connection's
// first message.
type OpenEvent struct {
	Conn any             // the connection: a *protocol.WSConnection when a server delivers the event
	Ctx  context.Context // the connection's context; FromContext(Ctx) is Conn
}

// CloseEvent tells that a connection has ended. It is delivered by value, after everything else about that connection.
type CloseEvent struct {
	Conn any             // as in OpenEvent; sending on it fails by now
	Ctx  context.Context // as in OpenEvent; done by now
}

// DrainEvent tells that a connection has room again: what it still had to send has fallen to the server's low mark after it
// had reached the high one. It is delivered by value, to a [DrainHandler] that handles it and to no other.
type DrainEvent struct {
	Conn any             // as in OpenEvent
	Ctx  context.Context // as in OpenEvent
}
