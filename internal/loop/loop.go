package loop

import (
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/momentics/hioload-ws/csrc"
	"github.com/momentics/hioload-ws/internal/gid"
	"github.com/momentics/hioload-ws/internal/numa"
)

// Config says what a loop is made with. The zero value is useful; numbers out of the bounds in hl_loop.h are refused.
type Config struct {
	Ring         uint32        // entries of each ring, a power of two; 0: 1024
	Batch        uint32        // ready descriptors taken from the kernel at a time; 0: 256
	RecvSize     uint32        // most bytes received from one stream at a time; 0: 65536
	StageSize    uint32        // bytes of the staging area for small messages; 0: 262144
	Slots        uint32        // most slots alive at a time; 0: 1048576
	HighWater    uint32        // bytes of unsent output at which a stream pauses reading; 0: 1 MiB, or QueueLimit if less
	LowWater     uint32        // bytes at which it resumes; 0: a quarter of HighWater
	CloseTimeout time.Duration // how long an orderly close waits for the peer; 0: 5 s
	MaxMessage   uint64        // bytes of a received WebSocket message; 0: 16 MiB
	QueueLimit   uint64        // unsent bytes above which Send queues no more for a stream; 0: 64 MiB
	Backend      string        // "epoll", "io_uring"; "": what HIOLOAD_BACKEND says, else epoll
	Spin         time.Duration // how long to stay awake before sleeping, while that pays, up to 1 ms; 0: not at all
	BusyPoll     time.Duration // io_uring: how long a wait polls the network card itself, up to 10 ms; 0: not at all
	RunOnly      bool          // Turn will not be called: Run may claim a thread for itself, which io_uring likes
	Pool         *Pool         // where memory comes from; nil: one of the loop's own, without a limit
	CPUs         []int         // Run pins its thread to these; none: to no CPU in particular
	Logger       *slog.Logger  // for panics in callbacks; nil: slog.Default
}

const (
	defaultSlots      = 1 << 20
	defaultQueueLimit = 64 << 20
	defaultHighWater  = 1 << 20
	leastHighWater    = 2 // hl_loop.h
)

// Stats are the counters of a loop.
type Stats struct {
	csrc.LoopStats
	Crossings uint64 // calls of hl_loop_enter, the one crossing of a turn
	Panics    uint64 // callbacks that panicked or called runtime.Goexit
	Pinned    bool   // Run has pinned its thread to Config.CPUs
}

// Loop is an event loop: an hl_loop and what drives it. It is driven either by Run or by calls of Turn, by one
// goroutine at a time, and has to be closed. Methods are safe from any goroutine unless they say otherwise.
type Loop struct {
	core   *csrc.Loop
	shared *csrc.Shared
	pool   *Pool
	limit  uint64 // Config.QueueLimit
	cpus   []int
	asked  csrc.Backend
	log    *slog.Logger

	highWater uint64
	lowWater  uint64
	runOnly   bool

	owner   atomic.Uintptr // gid of the goroutine that is driving; 0: none, or not known
	driving atomic.Bool    // somebody is, or has torn the loop down
	closing atomic.Bool
	done    chan struct{}
	err     error // why it ended, before done is closed

	// Everybody but the owner calls into C with mu read-locked: once teardown has had it locked, nobody does any more.
	mu    sync.RWMutex
	freed bool
	final Stats // as of when the core was freed

	table *table
	funcs funcs

	// The rest is the owner's.
	ops      []csrc.Op
	events   []csrc.Event
	stageMax uint64   // bytes of a payload that is worth a flush when the staging area is full
	tail     uint32   // of the submission ring; published before each Enter
	run      *csrc.Op // a run that small messages may be added to, if it is the entry queued last
	head     uint32   // of the completion ring; likewise
	turn     uint32   // counts calls of Enter
	unsent   bool     // the last of them may have left output for the next to send
	current  *csrc.Event
	conn     *Conn // whose event is being handled
	calling  bool  // a function given to Do is running
	lent     []*Buffer
	spare    []*Buffer
	started  time.Time
	yielded  time.Duration // when the goroutine last yielded, since started
	panics   atomic.Uint64
	pinned   atomic.Bool
}

// New makes a loop.
func New(cfg Config) (*Loop, error) {
	l := &Loop{
		pool:    cfg.Pool,
		limit:   cfg.QueueLimit,
		cpus:    cfg.CPUs,
		log:     cfg.Logger,
		runOnly: cfg.RunOnly,
		done:    make(chan struct{}),
		started: time.Now(),
	}
	if cfg.Slots == 0 {
		cfg.Slots = defaultSlots
	}
	if l.limit == 0 {
		l.limit = defaultQueueLimit
	}
	if cfg.HighWater == 0 {
		cfg.HighWater = uint32(max(min(defaultHighWater, l.limit), leastHighWater))
	}
	if cfg.LowWater == 0 {
		cfg.LowWater = max(cfg.HighWater/4, 1)
	}
	l.highWater, l.lowWater = uint64(cfg.HighWater), uint64(cfg.LowWater)
	if l.log == nil {
		l.log = slog.Default()
	}
	if l.pool == nil {
		pool, err := NewPool(PoolConfig{})
		if err != nil {
			return nil, err
		}
		defer pool.release() // the loop remains its user, the only one
		l.pool = pool
	}
	if cfg.Pool != nil && cfg.Pool.closed.Load() || !l.pool.acquire() {
		return nil, ErrPoolClosed
	}
	backend, err := backendNamed(cfg.Backend)
	if err != nil {
		l.pool.release()
		return nil, err
	}
	l.asked = backend
	core, err := csrc.NewLoop(&csrc.LoopConfig{
		Backend:    backend,
		OneThread:  cfg.RunOnly,
		Home:       home(cfg.CPUs),
		Ring:       cfg.Ring,
		Batch:      cfg.Batch,
		RecvSize:   cfg.RecvSize,
		StageSize:  cfg.StageSize,
		Slots:      cfg.Slots,
		HighWater:  cfg.HighWater,
		LowWater:   cfg.LowWater,
		CloseMs:    uint32(min(milliseconds(cfg.CloseTimeout), math.MaxUint32)),
		BusyPollUs: uint32(min(units(cfg.BusyPoll, time.Microsecond), math.MaxUint32)),
		SpinUs:     uint32(min(units(cfg.Spin, time.Microsecond), math.MaxUint32)),
		Slab:       l.pool.slab,
		MaxMessage: cfg.MaxMessage,
	})
	if err != nil {
		l.pool.release()
		return nil, err
	}
	l.core, l.shared, l.ops, l.events = core, core.Shared(), core.Ops(), core.Events()
	l.stageMax = l.shared.Stage.Size() / stageShare
	l.table = newTable(cfg.Slots)
	return l, nil
}

// home returns 1 + the memory node that the processors share, or 0 when there is none.
func home(cpus []int) uint32 {
	node := -1
	for i, cpu := range cpus {
		n := numa.NodeOf(cpu)
		if i > 0 && n != node {
			return 0
		}
		node = n
	}
	return uint32(node + 1)
}

// milliseconds rounds up, so that nothing fires early; 0 for 0 and below.
func milliseconds(d time.Duration) uint64 { return units(d, time.Millisecond) }

// units returns d in units, rounded up; 0 for 0 and below.
func units(d, unit time.Duration) uint64 {
	if d <= 0 {
		return 0
	}
	return uint64((d-1)/unit) + 1
}

// OnLoop tells whether the caller's goroutine is the one that is driving the loop, which is the case in HandleEvent and
// in functions given to Do. In builds that do not know their goroutines (see package gid) it is always false, and
// everything works by letters.
func (l *Loop) OnLoop() bool {
	g := gid.Current()
	return g != 0 && g == l.owner.Load()
}

// Close asks the loop to end and returns; Done tells when it has. Queued operations are still performed, each slot that
// is still open is closed at once and gets its csrc.EvClosed, with a Result of -ECANCELED. This happens on the
// goroutine that is driving the loop, or in this call when there is none. For a gentle end close the connections first.
func (l *Loop) Close() {
	l.mu.RLock()
	if l.closing.Swap(true) {
		l.mu.RUnlock()
		return
	}
	idle := l.driving.CompareAndSwap(false, true)
	if !idle && !l.freed {
		l.core.Wake()
	}
	l.mu.RUnlock()
	if idle {
		l.owner.Store(gid.Current())
		l.teardown()
	}
}

// Done is closed when the loop has ended and let go of everything but its pool's memory.
func (l *Loop) Done() <-chan struct{} { return l.done }

// Pool is where the loop takes its memory from.
func (l *Loop) Pool() *Pool { return l.pool }

// Stats returns the counters, of a loop that has ended the last ones.
func (l *Loop) Stats() Stats {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.freed {
		return l.final
	}
	return l.stats()
}

func (l *Loop) stats() Stats {
	return Stats{
		LoopStats: l.core.Stats(),
		Crossings: l.core.Crossings(),
		Panics:    l.panics.Load(),
		Pinned:    l.pinned.Load(),
	}
}

// Pollable tells whether fd can be watched: an error that is syscall.EBADF when it is not open, and syscall.EPERM for
// what is always ready (regular files, directories).
func Pollable(fd int) error { return csrc.Pollable(fd) }
