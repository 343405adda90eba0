package clients

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"github.com/lxzan/gws"
)

// gws can do everything of RFC 7692.
var gwsLibrary = library{
	name: "gws",
	modes: []*deflate{
		nil,
		{},
		{serverTakeover: true},
		{clientTakeover: true},
		{serverTakeover: true, clientTakeover: true},
		{serverTakeover: true, clientTakeover: true, serverBits: 10, clientBits: 11},
	},
	dial: func(_ context.Context, url string, d *deflate) (peer, error) {
		g := &gwsPeer{inbox: newInbox()}
		conn, _, err := gws.NewClient(g, &gws.ClientOption{
			Addr: url, HandshakeTimeout: patience, PermessageDeflate: gwsDeflate(d), CheckUtf8Enabled: true,
			ReadMaxPayloadSize: maxMessage, WriteMaxPayloadSize: maxMessage,
		})
		if err != nil {
			return nil, err
		}
		g.conn = conn
		go conn.ReadLoop()
		return g, nil
	},
	accept: func(w http.ResponseWriter, r *http.Request, d *deflate) (peer, error) {
		g := &gwsPeer{inbox: newInbox()}
		conn, err := gws.NewUpgrader(g, &gws.ServerOption{
			PermessageDeflate: gwsDeflate(d), CheckUtf8Enabled: true,
			ReadMaxPayloadSize: maxMessage, WriteMaxPayloadSize: maxMessage,
		}).Upgrade(w, r)
		if err != nil {
			return nil, err
		}
		g.conn = conn
		go conn.ReadLoop()
		return g, nil
	},
}

func gwsDeflate(d *deflate) gws.PermessageDeflate {
	if d == nil {
		return gws.PermessageDeflate{}
	}
	return gws.PermessageDeflate{
		Enabled:               true,
		ServerContextTakeover: d.serverTakeover,
		ClientContextTakeover: d.clientTakeover,
		ServerMaxWindowBits:   d.serverBits,
		ClientMaxWindowBits:   d.clientBits,
	}
}

// gwsPeer is a connection and its handler.
type gwsPeer struct {
	*inbox
	conn *gws.Conn
}

func (g *gwsPeer) OnOpen(*gws.Conn) {}

func (g *gwsPeer) OnClose(_ *gws.Conn, err error) {
	var end *gws.CloseError
	if errors.As(err, &end) {
		err = &closed{int(end.Code), string(end.Reason)}
	}
	g.end(err)
}

func (g *gwsPeer) OnPing(conn *gws.Conn, payload []byte) { _ = conn.WritePong(payload) } // it may be closing

func (g *gwsPeer) OnPong(_ *gws.Conn, payload []byte) { g.pongs <- string(payload) }

func (g *gwsPeer) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	g.messages <- message{m.Opcode == gws.OpcodeText, bytes.Clone(m.Bytes())}
}

func (g *gwsPeer) write(text bool, pieces ...[]byte) error {
	kind := gws.OpcodeBinary
	if text {
		kind = gws.OpcodeText
	}
	if len(pieces) == 1 {
		return g.conn.WriteMessage(kind, pieces[0])
	}
	return g.conn.WriteFile(kind, bytes.NewReader(bytes.Join(pieces, nil))) // in frames of 128 KiB
}

func (g *gwsPeer) ping(payload string) error {
	return errors.Join(g.conn.WritePing([]byte(payload)), g.awaitPong(payload))
}

// close sends a close frame and hangs up: gws does not wait for the answer.
func (g *gwsPeer) close(code int, reason string) error {
	return g.conn.WriteClose(uint16(code), []byte(reason))
}
