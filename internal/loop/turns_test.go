package loop

import (
	"errors"
	"runtime"
	"testing"

	"github.com/momentics/hioload-ws/csrc"
)

func driven(t *testing.T, cfg Config) *Loop {
	t.Helper()
	cfg.Logger = quiet
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		wait(t, "the loop to end", l.Done())
	})
	return l
}

// Drive turns the loop as often as it is told to, and when it returns, what was asked for until then has been done.
func TestDrive(t *testing.T) {
	l := driven(t, Config{})
	fired, asked, ran := 0, 0, false
	c := &Conn{}
	err := l.Drive(func() (int64, bool) {
		switch asked++; asked {
		case 1:
			if err := l.Timer(c, target(func(ev *csrc.Event) { fired++ }), 0); err != nil {
				t.Error(err)
			}
			return -1, true
		case 4:
			if err := errors.Join(c.Abort(false), l.Do(func() { ran = true })); err != nil {
				t.Error(err)
			}
			return 0, false
		}
		return 0, true
	})
	stats := l.Stats()
	if err != nil || asked != 4 || fired != 1 || !ran {
		t.Errorf("Drive: %v; asked %d times, %d timeouts, function run: %t", err, asked, fired, ran)
	}
	if stats.Turns != 3 || stats.Flushes != 1 || stats.Ops != 2 {
		t.Errorf("%d turns and %d flushes for %d operations; want 3, 1, 2", stats.Turns, stats.Flushes, stats.Ops)
	}
	if _, err := l.Turn(0); err != nil {
		t.Errorf("Turn: %v", err)
	}
	if fired != 2 {
		t.Errorf("%d events of the timer, the last of them its end; want 2", fired)
	}
}

// What next does wrong does not end the loop.
func TestDriveSurvivesNext(t *testing.T) {
	l := driven(t, Config{})
	asked := 0
	if err := l.Drive(func() (int64, bool) {
		if asked++; asked == 1 {
			panic("on purpose")
		}
		return 0, asked < 3
	}); err != nil || asked != 3 {
		t.Errorf("Drive: %v; asked %d times", err, asked)
	}
	exited := make(chan bool)
	go func() {
		returned := false
		defer func() { exited <- !returned }()
		_ = l.Drive(func() (int64, bool) { runtime.Goexit(); return 0, true })
		returned = true
	}()
	if !wait(t, "the goroutine to end", exited) {
		t.Error("runtime.Goexit did not end the goroutine")
	}
	if n := l.Stats().Panics; n != 2 {
		t.Errorf("%d panics counted, want 2", n)
	}
	if _, err := l.Turn(0); err != nil {
		t.Errorf("Turn: %v", err)
	}
}

func TestDriveRefuses(t *testing.T) {
	l := driven(t, Config{})
	never := func() (int64, bool) { t.Error("asked"); return 0, false }
	if err := l.Drive(func() (int64, bool) {
		if err := l.Drive(never); !errors.Is(err, ErrBusy) {
			t.Errorf("while it is driven: %v, want ErrBusy", err)
		}
		l.Close()
		return -1, true
	}); !errors.Is(err, ErrLoopClosed) {
		t.Errorf("closed meanwhile: %v, want ErrLoopClosed", err)
	}
	wait(t, "the loop to end", l.Done())
	if err := l.Drive(never); !errors.Is(err, ErrLoopClosed) {
		t.Errorf("closed before: %v, want ErrLoopClosed", err)
	}
	if err := driven(t, Config{RunOnly: true}).Drive(never); !errors.Is(err, errRunOnly) {
		t.Errorf("with RunOnly: %v", err)
	}
}
