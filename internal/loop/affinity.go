package loop

import (
	"log/slog"

	"github.com/momentics/hioload-ws/internal/numa"
)

// pin binds the calling thread to the loop's CPUs, if it was given any, and returns what undoes it. A machine that
// forbids it costs speed, not service: it is reported.
func (l *Loop) pin() (unpin func()) {
	if len(l.cpus) == 0 {
		return func() {}
	}
	mask, err := numa.MaskOf(l.cpus)
	if err == nil {
		unpin, err = numa.BindThread(&mask)
	}
	if err != nil {
		l.log.Warn("hioload: event loop is not pinned", slog.Any("cpus", l.cpus), slog.Any("error", err))
		return func() {}
	}
	l.pinned.Store(true)
	return unpin
}
