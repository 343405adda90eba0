package clients

import (
	"context"
	"errors"
	"net/http"

	"github.com/coder/websocket"
)

// coder asks for context takeover both ways or neither way.
var coderLibrary = library{
	name:  "coder/websocket",
	modes: []*deflate{nil, {}, {serverTakeover: true, clientTakeover: true}},
	dial: func(ctx context.Context, url string, d *deflate) (peer, error) {
		conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{CompressionMode: coderMode(d)})
		if err != nil {
			return nil, err
		}
		return newCoder(conn), nil
	},
	accept: func(w http.ResponseWriter, r *http.Request, d *deflate) (peer, error) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: coderMode(d)})
		if err != nil {
			return nil, err
		}
		return newCoder(conn), nil
	},
}

func coderMode(d *deflate) websocket.CompressionMode {
	switch {
	case d == nil:
		return websocket.CompressionDisabled
	case d.serverTakeover:
		return websocket.CompressionContextTakeover
	default:
		return websocket.CompressionNoContextTakeover
	}
}

type coder struct {
	*inbox
	conn *websocket.Conn
}

func newCoder(conn *websocket.Conn) *coder {
	conn.SetReadLimit(maxMessage)
	c := &coder{newInbox(), conn}
	go c.receive()
	return c
}

func (c *coder) receive() {
	defer c.conn.CloseNow()
	for {
		kind, payload, err := c.conn.Read(context.Background())
		if err != nil {
			var end websocket.CloseError
			if errors.As(err, &end) {
				err = &closed{int(end.Code), end.Reason}
			}
			c.end(err)
			return
		}
		c.messages <- message{kind == websocket.MessageText, payload}
	}
}

func (c *coder) write(text bool, pieces ...[]byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kind := websocket.MessageBinary
	if text {
		kind = websocket.MessageText
	}
	if len(pieces) == 1 {
		return c.conn.Write(ctx, kind, pieces[0])
	}
	w, err := c.conn.Writer(ctx, kind)
	if err != nil {
		return err
	}
	for _, piece := range pieces { // each is a frame, and an empty one ends the message
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return w.Close()
}

// ping chooses the payload itself.
func (c *coder) ping(string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.conn.Ping(ctx)
}

func (c *coder) close(code int, reason string) error {
	return c.conn.Close(websocket.StatusCode(code), reason)
}
