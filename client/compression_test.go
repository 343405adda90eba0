package client

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
)

// With and without compression on either side, all messages come back; with it on both, few bytes go over the wire.
func TestCompression(t *testing.T) {
	for name, c := range map[string]struct{ client, server *protocol.Compression }{
		"neither":    {},
		"the client": {client: &protocol.Compression{}},
		"the server": {server: &protocol.Compression{}},
		"both":       {&protocol.Compression{}, &protocol.Compression{}},
		"small windows": {
			&protocol.Compression{Level: 1, ClientBits: 9, ServerBits: 10},
			&protocol.Compression{Level: 9, ClientBits: 12},
		},
		"no takeover": {
			&protocol.Compression{ServerNoContextTakeover: true}, &protocol.Compression{ClientNoContextTakeover: true},
		},
		"little memory": {&protocol.Compression{MaxMemory: 40 << 10}, &protocol.Compression{MaxMemory: 60 << 10}},
	} {
		t.Run(name, func(t *testing.T) {
			config := server.DefaultConfig()
			config.Compression = c.server
			address := serveWith(t, nil, config)
			o := direct(t)
			o.Compression = c.client
			conn := dial(t, "ws://"+address, o)
			var total int64
			for _, size := range []int{0, 1, 500, 1000, 70_000, 1000, 1 << 20} {
				exchangeText(t, conn, strings.Repeat("compress me! ", size/13+1)[:size])
				total += int64(size)
			}
			sent, received := conn.GetStats()["bytes_sent"], conn.GetStats()["bytes_received"]
			compressed := sent < total/10 && received < total/10
			if compressed != (c.client != nil && c.server != nil) {
				t.Errorf("%d bytes took %d to send and %d to receive", total, sent, received)
			}
		})
	}
}

// A server that answers what was not offered is not talked to (RFC 7692 section 7.1, RFC 6455 section 4.1).
func TestCompressionAnswers(t *testing.T) {
	for answer, offered := range map[string]*protocol.Compression{
		"permessage-deflate":                                     nil,
		"permessage-bzip2":                                       {},
		"permessage-deflate; server_max_window_bits=7":           {},
		"permessage-deflate; client_max_window_bits=15":          {ClientBits: 12},
		"permessage-deflate, permessage-deflate":                 {},
		"permessage-deflate; server_max_window_bits=15":          {ServerBits: 10},
		"permessage-deflate; client_no_context_takeover=because": {},
	} {
		address := answering(t, func(r *http.Request) string {
			return accepting(r, "Sec-WebSocket-Extensions: "+answer+"\r\n")
		})
		o := direct(t)
		o.Compression = offered
		c, _, err := Dial(within(t), "ws://"+address, o)
		var refused *HandshakeError
		if c != nil || !errors.As(err, &refused) || !says(err, "Sec-WebSocket-Extensions") {
			t.Errorf("%s: %v", answer, err)
		}
	}
}
