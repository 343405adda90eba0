// Package api holds the interfaces and small types that the packages of hioload-ws share with their users: handlers and
// the events they are given, buffers, the control surface, errors. It contains no implementation; adapters and server
// provide those.
//
// A handler sees three kinds of data, in this order for each connection: one [OpenEvent], any number of messages, one
// [CloseEvent]; and a [DrainEvent] now and then, if it asks for that. A message is a [Buffer]; [FromContext] applied to [ContextFromData] tells which connection it came from.
package api
