package protocol

import "github.com/momentics/hioload-ws/api"

// Close sends what is queued and then a close frame with status code 1000, and waits, in the background and for a limited
// time, for the peer to answer. It returns nil, also when the connection is closing or closed already.
func (c *WSConnection) Close() error {
	if err := c.close(CloseNormalClosure, ""); err != nil && err != api.ErrTransportClosed {
		return err
	}
	return nil
}

// CloseWith is Close with a status code and a reason, UTF-8 of at most 123 bytes. Errors match api.ErrInvalidArgument for
// a code or reason that must not be sent (RFC 6455 sections 5.5.1 and 7.4), api.ErrTransportClosed when the connection is
// closing or closed already.
func (c *WSConnection) CloseWith(code int, reason string) error {
	if err := checkClose(code, reason); err != nil {
		return err
	}
	return c.close(code, reason)
}

// close queues a close frame, the last frame there is. Code 0 repeats the peer's.
func (c *WSConnection) close(code int, reason string) error {
	if !c.setState(stateClosing, true) {
		return api.ErrTransportClosed
	}
	defer c.roomChanged() // there will be none
	err := c.sendError(c.conn.Close(uint16(code), reason))
	if err != nil && err != api.ErrTransportClosed { // no memory: nothing was queued, it may be tried again
		c.setState(stateClosing, false)
	}
	return err
}
