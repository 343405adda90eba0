package tcpio

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/momentics/hioload-ws/internal/loop"
)

// ListenerOptions say what a listener does. The zero value of each field but Addr is useful, and every callback may be
// nil. Callbacks of one connection never run at the same time; see "Callbacks" in the package documentation for where
// they run and what an error does.
type ListenerOptions struct {
	// Addr is where to listen: "host:port", as for net.Listen. An empty host is every address of the machine, port 0
	// one of the system's choice, which GetListener().Addr() tells. It has to be set.
	Addr string

	// OnConnEvent is called when there is something to read on a connection: data, the end of the stream, or an error
	// of the connection, which Read tells. It is called again as long as unread data remains, until Read has returned
	// io.EOF. Without OnConnEvent and OnData, connections are the goroutines' that OnOpen starts; without any of the
	// three, what arrives is dropped.
	OnConnEvent func(conn net.Conn) error

	// OnErrorEvent is told of what callbacks return, unchanged, and of everything else that goes wrong: failing to
	// accept, time-outs, panics (*PanicError), in OnData's mode also errors of a connection. With several Loops, or
	// with Wrap, it may be called on several goroutines at once.
	OnErrorEvent func(err error)

	// OnData replaces OnConnEvent: it is handed the bytes that have come, at most ReadBuffer of them, or with Framing
	// one message. They lie where they were received: data is valid, and may be changed, until OnData returns. conn
	// is a *Stream, unless there is a Wrap.
	OnData func(conn net.Conn, data []byte) error

	// OnEnd is called, in OnData's mode, when the peer sends no more, and after it the connection lives until it is
	// closed. Without OnEnd it is closed then, when all that was written has been sent.
	OnEnd func(conn net.Conn) error

	// OnDrain is called when the unsent bytes of a *Stream, having reached WriteBuffer, have fallen to a quarter of it.
	OnDrain func(conn net.Conn) error

	// OnOpen is the first callback of each connection. An error closes the connection.
	OnOpen func(conn net.Conn) error

	// OnClose is the last callback of each connection. err is why it was closed: what a callback has returned, a
	// time-out, ErrListenerClosed, an error of the connection; nil when the program, or the peer, has just closed it.
	OnClose func(conn net.Conn, err error)

	// Wrap puts a layer between the connection and the callbacks, which get what it returns: the seam for TLS. It runs
	// on a goroutine of the connection's own, where it may block, within HandshakeTimeout, and so do all callbacks of
	// this connection from then on. An error closes the connection without OnOpen or OnClose, and so does a time-out
	// before it has returned. To Close what it returns has to close conn. OnConnEvent gets it inside a net.Conn that
	// has a method NetConn() net.Conn to get at it.
	Wrap func(conn net.Conn) (net.Conn, error)

	// Framing cuts what OnData is given into messages: Lines, LengthPrefix, or one of your own.
	Framing Framing

	// EdgeTriggered has OnConnEvent called only when a connection becomes readable: once it was called, it is called
	// again when a Read, TryRead say, has taken all there was and more has come.
	EdgeTriggered bool

	// Time-outs, which close the connection; 0: none. Their resolution is 1 ms.
	IdleTimeout      time.Duration // nothing was received and nothing sent (ErrIdleTimeout)
	ReadTimeout      time.Duration // nothing was received; also bounds each Read that waits (ErrReadTimeout)
	WriteTimeout     time.Duration // there is something to send and the peer has taken not a byte (ErrWriteTimeout)
	HandshakeTimeout time.Duration // no first byte has come, or Wrap has not returned (ErrHandshakeTimeout)

	// CloseTimeout is how long a connection that was closed in good order may wait for the peer to close its end, too;
	// 0: 5 s.
	CloseTimeout time.Duration

	// KeepAlive is the time between TCP keep-alive probes of an idle connection, in whole seconds, at most 32767; 0:
	// 15 s, negative: none.
	KeepAlive time.Duration

	Loops       int // event loops, each with a goroutine; 0: 1. A connection stays on the loop it was given to
	MaxConns    int // connections at a time; 0: no limit. Further ones are closed at once (ErrTooManyConns)
	ReadBuffer  int // bytes received from one *Stream at a time, 512 to 4 MiB; 0: 64 KiB
	WriteBuffer int // unsent bytes, at least 1 KiB, at which a *Stream is not read any more, see OnDrain; 0: 1 MiB
	MaxUnsent   int // unsent bytes of a *Stream, more than that, above which Write fails (ErrQueueFull); 0: 64 MiB

	// Backend is how the loops talk to the kernel: "epoll", or "io_uring", which is replaced by epoll where the kernel
	// does not have it or a sandbox forbids it (Stats tells). "": what the environment's HIOLOAD_BACKEND says, else
	// epoll.
	Backend string

	// Logger is told of panics, of failing to accept when there is no OnErrorEvent, and of a Backend that is not to be
	// had; nil: slog.Default().
	Logger *slog.Logger
}

const (
	defaultCloseTimeout = 5 * time.Second
	defaultKeepAlive    = 15 * time.Second
	defaultWriteBuffer  = 1 << 20
	defaultMaxUnsent    = 64 << 20            // internal/loop's
	maxKeepAlive        = 32767 * time.Second // tcp(7)
	maxLoops            = 1024
	minWriteBuffer      = 1 << 10
	minReadBuffer       = 512
	maxReadBuffer       = 4 << 20
)

// check tells what is wrong with the options, and fills in the defaults.
func (o *ListenerOptions) check() error {
	if err := errors.Join(o.checkTimes(), o.checkNumbers(), o.checkCallbacks(), o.checkNames()); err != nil {
		return err
	}
	if o.CloseTimeout == 0 {
		o.CloseTimeout = defaultCloseTimeout
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = defaultKeepAlive
	}
	if o.Loops == 0 {
		o.Loops = 1
	}
	if o.WriteBuffer == 0 {
		o.WriteBuffer = defaultWriteBuffer
		if o.MaxUnsent != 0 {
			o.WriteBuffer = min(o.WriteBuffer, o.MaxUnsent/2) // reading pauses before writing fails
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return nil
}

func (o *ListenerOptions) checkTimes() error {
	notNegative := func(name string, d time.Duration) error {
		if d < 0 {
			return fmt.Errorf("%s is %v, less than 0", name, d)
		}
		return nil
	}
	var keepAlive error
	if o.KeepAlive > maxKeepAlive {
		keepAlive = fmt.Errorf("KeepAlive is %v, more than %v", o.KeepAlive, maxKeepAlive)
	}
	return errors.Join(
		notNegative("IdleTimeout", o.IdleTimeout),
		notNegative("ReadTimeout", o.ReadTimeout),
		notNegative("WriteTimeout", o.WriteTimeout),
		notNegative("HandshakeTimeout", o.HandshakeTimeout),
		notNegative("CloseTimeout", o.CloseTimeout),
		keepAlive,
	)
}

func (o *ListenerOptions) checkNames() error {
	switch {
	case o.Backend != "" && o.Backend != "epoll" && o.Backend != "io_uring":
		return fmt.Errorf("no such Backend: %q is neither epoll nor io_uring", o.Backend)
	case o.Addr == "":
		return errors.New("no Addr to listen on, such as \":8080\"")
	}
	return nil
}

func (o *ListenerOptions) checkNumbers() error {
	between := func(name string, n, least, most int) error {
		if n != 0 && (n < least || n > most) {
			return fmt.Errorf("%s is %d, not between %d and %d", name, n, least, most)
		}
		return nil
	}
	return errors.Join(
		between("Loops", o.Loops, 1, maxLoops),
		between("MaxConns", o.MaxConns, 1, math.MaxInt32),
		between("ReadBuffer", o.ReadBuffer, minReadBuffer, maxReadBuffer),
		between("WriteBuffer", o.WriteBuffer, minWriteBuffer, math.MaxInt32),
		between("MaxUnsent", o.MaxUnsent, 2*minWriteBuffer, math.MaxInt),
		o.checkUnsent(),
	)
}

// checkUnsent refuses a Write that fails before reading would pause.
func (o *ListenerOptions) checkUnsent() error {
	unsent := o.MaxUnsent
	if unsent == 0 {
		unsent = defaultMaxUnsent
	}
	if o.WriteBuffer >= unsent {
		return fmt.Errorf("MaxUnsent is %d, not more than WriteBuffer, %d", unsent, o.WriteBuffer)
	}
	return nil
}

// checkCallbacks refuses what would never be called or never be heeded.
func (o *ListenerOptions) checkCallbacks() error {
	switch {
	case o.OnConnEvent != nil && o.OnData != nil:
		return errors.New("both OnConnEvent and OnData are set: a connection's bytes go to one of them")
	case o.Framing != nil && o.OnData == nil:
		return errors.New("there is a Framing without OnData, to which its messages would go")
	case o.OnEnd != nil && o.OnData == nil:
		return errors.New("OnEnd is set without OnData: in OnConnEvent, Read tells of the end")
	case !o.streams() && (o.OnDrain != nil || o.ReadBuffer != 0 || o.WriteBuffer != 0 || o.MaxUnsent != 0):
		return errors.New("OnDrain, ReadBuffer, WriteBuffer and MaxUnsent are for a Stream: OnData without Wrap")
	case o.EdgeTriggered && (o.OnConnEvent == nil || o.Wrap != nil):
		return errors.New("EdgeTriggered is set, but it is for OnConnEvent without Wrap")
	}
	if f, ok := o.Framing.(interface{ check() error }); ok {
		return f.check()
	}
	return nil
}

// streams tells whether connections are Streams.
func (o *ListenerOptions) streams() bool { return o.OnData != nil && o.Wrap == nil }

// loopConfig is what the options mean for each loop.
func (o *ListenerOptions) loopConfig(pool *loop.Pool) loop.Config {
	return loop.Config{
		RecvSize:     uint32(o.ReadBuffer),
		HighWater:    uint32(o.WriteBuffer),
		CloseTimeout: o.CloseTimeout,
		QueueLimit:   uint64(o.MaxUnsent),
		Backend:      o.Backend,
		Pool:         pool,
		Logger:       o.Logger,
	}
}
