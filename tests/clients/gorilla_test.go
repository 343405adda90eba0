package clients

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// gorilla compresses each message for itself and knows no parameters.
var gorillaLibrary = library{
	name:  "gorilla/websocket",
	modes: []*deflate{nil, {}},
	dial: func(ctx context.Context, url string, d *deflate) (peer, error) {
		dialer := websocket.Dialer{EnableCompression: d != nil}
		conn, response, err := dialer.DialContext(ctx, url, nil)
		if err != nil {
			return nil, err
		}
		response.Body.Close()
		return newGorilla(conn), nil
	},
	accept: func(w http.ResponseWriter, r *http.Request, d *deflate) (peer, error) {
		upgrader := websocket.Upgrader{EnableCompression: d != nil}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return nil, err
		}
		return newGorilla(conn), nil
	},
}

type gorilla struct {
	*inbox
	conn *websocket.Conn
}

func newGorilla(conn *websocket.Conn) *gorilla {
	g := &gorilla{newInbox(), conn}
	conn.SetReadLimit(maxMessage)
	conn.SetPongHandler(func(payload string) error {
		g.pongs <- payload
		return nil
	})
	go g.receive()
	return g
}

func (g *gorilla) receive() {
	defer g.conn.Close()
	for {
		kind, payload, err := g.conn.ReadMessage()
		if err != nil {
			var end *websocket.CloseError
			if errors.As(err, &end) && end.Code != websocket.CloseAbnormalClosure {
				err = &closed{end.Code, end.Text}
			}
			g.end(err)
			return
		}
		g.messages <- message{kind == websocket.TextMessage, payload}
	}
}

// write makes fragments of pieces that are longer than the write buffer; gorilla cannot be told where to cut.
func (g *gorilla) write(text bool, pieces ...[]byte) error {
	kind := websocket.BinaryMessage
	if text {
		kind = websocket.TextMessage
	}
	if len(pieces) == 1 {
		return g.conn.WriteMessage(kind, pieces[0])
	}
	w, err := g.conn.NextWriter(kind)
	if err != nil {
		return err
	}
	for _, piece := range pieces {
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return w.Close()
}

func (g *gorilla) ping(payload string) error {
	err := g.conn.WriteControl(websocket.PingMessage, []byte(payload), time.Now().Add(patience))
	return errors.Join(err, g.awaitPong(payload))
}

func (g *gorilla) close(code int, reason string) error {
	frame := websocket.FormatCloseMessage(code, reason)
	if err := g.conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(patience)); err != nil {
		return err
	}
	return g.awaitAnswer(code)
}
