// Package protocol speaks WebSocket (RFC 6455): the connection that handlers are given, the frames they send, the opening
// handshake. Bytes are received, checked and assembled into messages by the C core; this package sees whole messages.
//
// A [WSConnection] comes from a server, by way of api.FromContext. [Endpoint] and [Shard] are what a server is made of:
// package server puts them together, and most programs need neither.
//
// A message for many connections is a [PreparedMessage], or is published to a topic that they subscribe to
// ([WSConnection.Subscribe], [Endpoint.Publish]). A [TopicPolicy] says what becomes of it where the peer takes too little,
// and a [Broker] carries it to endpoints elsewhere.
package protocol
