package loop

import (
	"log/slog"

	"github.com/momentics/hioload-ws/internal/numa"
)

// pin binds the calling thread to the loop's CPUs, if it was given any. A machine that forbids it costs speed, not
// service: it is reported.
func (l *Loop) pin() {
	if len(l.cpus) == 0 {
		return
	}
	mask, err := numa.MaskOf(l.cpus)
	if err == nil {
		err = numa.SetAffinity(0, &mask)
	}
	if err != nil {
		l.log.Warn("hioload: event loop is not pinned", slog.Any("cpus", l.cpus), slog.Any("error", err))
		return
	}
	l.pinned.Store(true)
}
