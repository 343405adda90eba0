package reactor

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/momentics/hioload-ws/internal/loop"
)

// Options says what a Loop is made with. The zero value is useful.
type Options struct {
	// Backend is how the loop talks to the kernel: "epoll", or "io_uring", which is replaced by epoll where the kernel
	// does not have it or a sandbox forbids it (Stats tells). "": what the environment variable HIOLOAD_BACKEND says,
	// else epoll.
	Backend string

	// ReadBuffer is the size in bytes of the one buffer that is handed to each OnReadable. 0: 512 KiB.
	ReadBuffer int

	// LowPriorityBudget is how many sockets whose handlers say that they are LowPriority are served per turn. 0: 8.
	LowPriorityBudget int

	// TimerResolution is what timeouts are rounded up to, whole milliseconds from 1 ms to 1 h. 0: 1 ms. With a coarser
	// one, 2 s say, timeouts fall due together, a loop with thousands of idle connections wakes up that rarely, and
	// each comes up to that much later. Connect timeouts are not rounded.
	TimerResolution time.Duration

	// MaxSockets is how many sockets and listeners the loop has at most, up to 1<<24. 0: 1<<20.
	MaxSockets int

	// Resolver looks up the names that Dial is given. nil: net.DefaultResolver.
	Resolver *net.Resolver

	// Logger gets reports of panics in callbacks and of what listeners run short of. nil: slog.Default().
	Logger *slog.Logger
}

const (
	defaultReadBuffer        = 512 << 10
	defaultLowPriorityBudget = 8
	defaultMaxSockets        = 1 << 20

	maxReadBuffer      = 1 << 30
	maxSockets         = 1 << 24
	maxTimerResolution = time.Hour
)

// withDefaults returns the options with their zero values filled in; the error is an ErrInvalid that names the option.
func (o Options) withDefaults() (Options, error) {
	if err := number("ReadBuffer", &o.ReadBuffer, defaultReadBuffer, maxReadBuffer); err != nil {
		return o, err
	}
	if err := number("LowPriorityBudget", &o.LowPriorityBudget, defaultLowPriorityBudget, maxSockets); err != nil {
		return o, err
	}
	if err := number("MaxSockets", &o.MaxSockets, defaultMaxSockets, maxSockets); err != nil {
		return o, err
	}
	if o.TimerResolution == 0 {
		o.TimerResolution = time.Millisecond
	}
	if r := o.TimerResolution; r < time.Millisecond || r > maxTimerResolution || r%time.Millisecond != 0 {
		return o, fmt.Errorf("%w: Options.TimerResolution is %v, not whole milliseconds up to %v", ErrInvalid, r,
			maxTimerResolution)
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}

func number(name string, value *int, fallback, most int) error {
	if *value == 0 {
		*value = fallback
	}
	if *value < 1 || *value > most {
		return fmt.Errorf("%w: Options.%s is %d, not within 1 to %d", ErrInvalid, name, *value, most)
	}
	return nil
}

// core is what the C core is told. Loops of this package receive into buffers of Go's and stage nothing.
func (o Options) core() loop.Config {
	return loop.Config{
		Backend:   o.Backend,
		RecvSize:  8 << 10,
		StageSize: 4 << 10,
		Slots:     uint32(o.MaxSockets),
		Logger:    o.Logger,
	}
}
