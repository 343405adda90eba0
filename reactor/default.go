package reactor

import "sync"

// The default context: made when it is first needed, with the zero ContextOptions, and there for as long as the
// process.
var fallback struct {
	sync.Mutex
	context *Context
	factory Factory
}

// DefaultContext is the context that SetProtocolFactory, GetProtocol and Handoff are about. It has one loop and is made
// when first asked for; the error is NewContext's, and it is tried again next time.
func DefaultContext() (*Context, error) {
	fallback.Lock()
	defer fallback.Unlock()
	if fallback.context == nil {
		c, err := NewContext(ContextOptions{Factory: fallback.factory})
		if err != nil {
			return nil, err
		}
		fallback.context = c
	}
	return fallback.context, nil
}

// SetProtocolFactory is Context.SetFactory of the default context.
func SetProtocolFactory(f Factory) {
	fallback.Lock()
	defer fallback.Unlock()
	fallback.factory = f
	if fallback.context != nil {
		fallback.context.SetFactory(f)
	}
}

// GetProtocol is Context.Protocol of the default context.
func GetProtocol(fd int) Protocol {
	fallback.Lock()
	c := fallback.context
	fallback.Unlock()
	if c == nil {
		return nil
	}
	return c.Protocol(fd)
}

// Handoff is Context.Handoff of the default context.
func Handoff(fd int, info ClientInfo) error {
	c, err := DefaultContext()
	if err != nil {
		return err
	}
	return c.Handoff(fd, info)
}
