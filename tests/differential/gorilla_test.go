package differential

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// pieces is the server's end of a connection whose client sends the given pieces and then no more. What the server writes is
// kept.
type pieces struct {
	in  [][]byte
	out bytes.Buffer
}

func (p *pieces) Read(b []byte) (int, error) {
	for len(p.in) > 0 && len(p.in[0]) == 0 {
		p.in = p.in[1:]
	}
	if len(p.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.in[0])
	p.in[0] = p.in[0][n:]
	return n, nil
}

func (p *pieces) Write(b []byte) (int, error)      { return p.out.Write(b) }
func (p *pieces) Close() error                     { return nil }
func (p *pieces) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (p *pieces) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (p *pieces) SetDeadline(time.Time) error      { return nil }
func (p *pieces) SetReadDeadline(time.Time) error  { return nil }
func (p *pieces) SetWriteDeadline(time.Time) error { return nil }

// hijacked is an http.ResponseWriter that gives its connection away.
type hijacked struct {
	http.ResponseWriter
	conn *pieces
}

func (h hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// withGorilla is the outcome of gorilla/websocket as a server.
func withGorilla(in [][]byte) (*outcome, error) {
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader([]byte(handshake))))
	if err != nil {
		return nil, err
	}
	conn := &pieces{in: in}
	ws, err := (&websocket.Upgrader{}).Upgrade(hijacked{conn: conn}, request, nil)
	if err != nil {
		return nil, err
	}
	conn.out.Reset() // the answer
	ws.SetReadLimit(maxMessage)
	o := &outcome{code: abnormal}
	err = o.receive(ws)
	if outputErr := o.readOutput(conn.out.Bytes()); outputErr != nil {
		return nil, fmt.Errorf("gorilla: %w", outputErr)
	}
	var closed *websocket.CloseError
	switch {
	case errors.Is(err, errNotUTF8):
		o.sent = notUTF8
	case errors.Is(err, websocket.ErrReadLimit):
		o.sent = tooBig
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		o.code, o.reason = closed.Code, closed.Text
	}
	return o, nil
}

var errNotUTF8 = errors.New("not UTF-8")

// receive collects messages until an error, and validates text as section 8.1 has it: a byte that can't be is an error at
// once, not only at the end of the message.
func (o *outcome) receive(ws *websocket.Conn) error {
	buffer := make([]byte, 4096)
	for {
		opcode, r, err := ws.NextReader()
		if err != nil {
			return err
		}
		var payload []byte
		checked := 0
		for err == nil {
			var n int
			n, err = r.Read(buffer)
			payload = append(payload, buffer[:n]...)
			if opcode == websocket.TextMessage {
				if checked += text(payload[checked:]); checked < len(payload) && utf8.FullRune(payload[checked:]) {
					return errNotUTF8
				}
			}
		}
		if err != io.EOF {
			return err
		}
		if opcode == websocket.TextMessage && checked < len(payload) {
			return errNotUTF8
		}
		o.messages = append(o.messages, message(byte(opcode), payload))
	}
}

// text is how many bytes of b are whole characters in UTF-8.
func text(b []byte) (n int) {
	for n < len(b) {
		r, size := utf8.DecodeRune(b[n:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		n += size
	}
	return n
}
