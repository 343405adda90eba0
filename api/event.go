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
