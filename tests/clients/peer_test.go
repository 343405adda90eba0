// Package clients has other people's WebSocket libraries talk to this one: gorilla/websocket, coder/websocket and gws as
// clients of its server and as servers of its client. It is a module of its own because the root module requires no
// other.
package clients

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait of these tests: when it is over, something is wrong.
const patience = 60 * time.Second

// maxMessage is what each side is told to accept, in bytes.
const maxMessage = 16 << 20

// peer is one end of a connection, whatever library it is of. Its methods may be called while another goroutine calls
// read.
type peer interface {
	// write sends one message, in as many fragments as there are pieces.
	write(text bool, pieces ...[]byte) error

	// read returns the next message, or how the connection ended: a *closed, if there was a closing handshake.
	read() (message, error)

	// ping sends a ping and waits for its pong.
	ping(payload string) error

	// close begins the closing handshake and ends it; an answer with another code is an error.
	close(code int, reason string) error
}

type message struct {
	text    bool
	payload []byte
}

// closed is the end of a connection after a closing handshake.
type closed struct {
	code   int
	reason string
}

func (c *closed) Error() string { return fmt.Sprintf("closed with %d %q", c.code, c.reason) }

// deflate is what is asked for of permessage-deflate (RFC 7692); nil: nothing.
type deflate struct {
	serverTakeover, clientTakeover bool
	serverBits, clientBits         int // 0: not limited
}

func (d *deflate) String() string {
	if d == nil {
		return "plain"
	}
	name := "deflate"
	if d.serverTakeover {
		name += ", server takeover"
	}
	if d.clientTakeover {
		name += ", client takeover"
	}
	if d.serverBits != 0 {
		name += fmt.Sprintf(", windows of %d and %d bits", d.serverBits, d.clientBits)
	}
	return name
}

// library is somebody else's.
type library struct {
	name  string
	modes []*deflate // what it can do

	// dial opens a connection to a URL.
	dial func(ctx context.Context, url string, d *deflate) (peer, error)

	// accept makes a server's side of a connection out of a request.
	accept func(w http.ResponseWriter, r *http.Request, d *deflate) (peer, error)
}

var libraries = []library{gorillaLibrary, coderLibrary, gwsLibrary}

// goodbye is a message that asks a server to close the connection.
func goodbye(code int, reason string) []byte {
	return []byte(fmt.Sprintf("goodbye %d %s", code, reason))
}

// asGoodbye understands it.
func asGoodbye(payload []byte) (code int, reason string, ok bool) {
	rest, ok := strings.CutPrefix(string(payload), "goodbye ")
	if !ok {
		return 0, "", false
	}
	number, reason, _ := strings.Cut(rest, " ")
	_, err := fmt.Sscan(number, &code)
	return code, reason, err == nil
}

// echo answers each message with itself until the connection ends, and returns how it did.
func echo(p peer) error {
	for {
		m, err := p.read()
		if err != nil {
			return err
		}
		if code, reason, ok := asGoodbye(m.payload); ok {
			err = p.close(code, reason)
		} else {
			err = p.write(m.text, m.payload)
		}
		if err != nil {
			return err
		}
	}
}

// inbox keeps what comes on a connection until it is read.
type inbox struct {
	messages chan message
	pongs    chan string
	done     chan struct{} // closed behind the last message
	err      error         // how it ended; to be read after done
}

func newInbox() *inbox {
	return &inbox{messages: make(chan message, 1000), pongs: make(chan string, 1), done: make(chan struct{})}
}

// end tells that nothing more comes.
func (b *inbox) end(err error) {
	b.err = err
	close(b.done)
}

func (b *inbox) read() (message, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case m := <-b.messages:
		return m, nil
	default:
	}
	select {
	case m := <-b.messages:
		return m, nil
	case <-b.done:
	case <-late.C:
		return message{}, errors.New("nothing came")
	}
	select {
	case m := <-b.messages: // it came just before the end
		return m, nil
	default:
		return message{}, b.err
	}
}

// awaitAnswer waits for the close frame that answers one with that code.
func (b *inbox) awaitAnswer(code int) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-b.done:
		var end *closed
		if !errors.As(b.err, &end) || end.code != code {
			return fmt.Errorf("a close frame with %d was answered by %w", code, b.err)
		}
		return nil
	case <-late.C:
		return errors.New("nothing answered the close frame")
	}
}

// awaitPong waits for a pong with that payload.
func (b *inbox) awaitPong(payload string) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case got := <-b.pongs:
		if got != payload {
			return fmt.Errorf("pong %q, want %q", got, payload)
		}
		return nil
	case <-b.done:
		return b.err
	case <-late.C:
		return errors.New("no pong came")
	}
}

// dialled is the peer that a dial function has returned.
func dialled(t *testing.T, dial func(ctx context.Context) (peer, error)) peer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
