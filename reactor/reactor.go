package reactor

// FDEventType is a set of events.
type FDEventType int

// What a descriptor is ready for.
const (
	EventRead  FDEventType = 1 << iota // a read returns data, or the end of the stream
	EventWrite                         // a write takes at least some bytes
	EventError                         // error or hang-up; delivered whether asked for or not
)

// FDCallback is told that fd is ready. events holds what it is ready for, out of what it was registered for, and
// EventError.
type FDCallback func(fd uintptr, events FDEventType)

// Reactor watches descriptors and calls back. See the package documentation for what holds for all of its methods.
type Reactor interface {
	// Register watches fd for events, a non-empty set, and has cb called for them until Unregister. It fails at once
	//   - with syscall.EBADF when fd is not open,
	//   - with syscall.EPERM for what is always ready and cannot be waited for: regular files, directories,
	//   - with ErrRegistered when fd is registered already (Unregister first to change events or callback); a number
	//     whose socket or pipe was closed without Unregister is taken for what it is, a new file,
	//   - with ErrInvalid for no events, unknown events, or a nil callback,
	//   - with ErrClosed after Close,
	// and with an error of the system when descriptors cannot be watched for lack of memory. errors.Is recognises each.
	// If the kernel refuses the descriptor only later, on the next turn, cb is called once with EventError.
	Register(fd uintptr, events FDEventType, cb FDCallback) error

	// Unregister ends the registration of fd. It fails with ErrNotRegistered, which also is the answer after a callback
	// of fd has panicked, and with ErrClosed after Close. It does not block.
	Unregister(fd uintptr) error

	// Poll waits until descriptors are ready, calls their callbacks and returns nil. It waits at most timeoutMs
	// milliseconds, without limit if that is negative, not at all if it is 0; nil also says that the time has passed.
	// While another goroutine is in Poll, and in a callback, it returns ErrPolling; after Close, and when Close is
	// called meanwhile, ErrClosed. Any other error means that the reactor is broken and can only be closed.
	Poll(timeoutMs int) error

	// Close ends all registrations, makes a Poll under way return as soon as the callback it is in has returned, and
	// frees what the reactor holds; it does not wait for that. The first call and every other return nil.
	Close() error
}
