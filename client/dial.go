package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/momentics/hioload-ws/protocol"
)

// userAgent is sent where Options.Header has none.
const userAgent = "hioload-ws"

// Dial opens a WebSocket. The URL is ws://host[:port]/path?query, or wss:// for TLS; a user and password in it become
// an Authorization header. nil options mean the zero value.
//
// The response is the server's answer, and nil when none came. When it does not open a WebSocket, the error is a
// *[HandshakeError] with the same response. Errors match api.ErrInvalidArgument for a URL or an option that cannot
// be, ctx.Err() when ctx has ended, context.DeadlineExceeded after Options.HandshakeTimeout, and what package net or
// crypto/tls say.
//
// Once Dial has returned, ctx means nothing to the connection. Whoever gets one has to close it. Dial waits, so it is
// not for handlers.
func Dial(ctx context.Context, address string, o *Options) (*Conn, *http.Response, error) {
	if o == nil {
		o = new(Options)
	}
	if err := o.validate(); err != nil {
		return nil, nil, err
	}
	target, err := parseTarget(address)
	if err != nil {
		return nil, nil, err
	}
	d := &dialing{options: o, target: target, loops: o.Loops}
	if d.loops == nil {
		if d.loops, err = processLoops(); err != nil {
			return nil, nil, err
		}
	}
	if timeout := o.timeout(); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	conn, err := d.run(ctx)
	return conn, d.response, err
}

// dialing is a Dial under way.
type dialing struct {
	options  *Options
	target   *target
	loops    *Loops
	key      string
	request  *http.Request
	response *http.Response // nil: there was none
	doing    string         // what it waits for
}

// run does it all.
func (d *dialing) run(ctx context.Context) (*Conn, error) {
	if err := d.makeRequest(); err != nil {
		return nil, err
	}
	proxy, err := d.proxy()
	if err != nil {
		return nil, err
	}
	conn, err := d.dial(ctx, proxy)
	if err != nil {
		return nil, d.explain(ctx, err)
	}
	// From here on the connection ends with the context, which ends whoever waits for it.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	top, a, err := d.open(ctx, conn, proxy)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, d.explain(ctx, err)
	}
	return d.loops.adopt(top, *a)
}

// open is the handshake with all that comes before it.
func (d *dialing) open(ctx context.Context, conn net.Conn, proxy *url.URL) (net.Conn, *protocol.Adoption, error) {
	top, err := d.layers(ctx, conn, proxy)
	if err != nil {
		return nil, nil, err
	}
	a, err := d.handshake(top)
	return top, a, err
}

// explain returns the error for the caller: when the context has ended, whatever else that has caused does not matter.
func (d *dialing) explain(ctx context.Context, err error) error {
	var refused *HandshakeError
	ended := ctx.Err()
	if deadline, ok := ctx.Deadline(); ended == nil && ok && !time.Now().Before(deadline) {
		ended = context.DeadlineExceeded // package net has a timer of its own, which may be the first
	}
	if ended != nil && !errors.As(err, &refused) {
		return fmt.Errorf("client: %s: %w", d.doing, ended)
	}
	return err
}
