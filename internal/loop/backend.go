package loop

import (
	"fmt"
	"os"
	"syscall"

	"github.com/momentics/hioload-ws/csrc"
)

// backendVariable is the environment variable that chooses the backend where the program does not.
const backendVariable = "HIOLOAD_BACKEND"

// CheckBackend tells whether New would know a Config.Backend of that name: nil, or an error that is syscall.EINVAL. Of ""
// it is the environment variable that may be wrong.
func CheckBackend(name string) error {
	_, err := backendNamed(name)
	return err
}

func backendNamed(name string) (csrc.Backend, error) {
	from := "Config.Backend"
	if name == "" {
		name, from = os.Getenv(backendVariable), backendVariable
	}
	switch name {
	case "":
		return csrc.BackendDefault, nil
	case "epoll":
		return csrc.BackendEpoll, nil
	case "io_uring":
		return csrc.BackendIOUring, nil
	}
	return 0, fmt.Errorf("%s is %q, not epoll or io_uring: %w", from, name, syscall.EINVAL)
}

// Backend names how the loop talks to the kernel: "epoll" or "io_uring". Empty after it has ended.
func (l *Loop) Backend() string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.freed {
		return ""
	}
	return l.core.Backend()
}

// BackendError tells why the backend asked for could not be had, and epoll is used in its place; nil when it could.
func (l *Loop) BackendError() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.freed {
		return nil
	}
	return l.core.BackendError()
}

// BackendReason tells why io_uring is not in use; empty when it is, and after the loop has ended.
func (l *Loop) BackendReason() string {
	if backend := l.Backend(); backend == "" || backend == "io_uring" {
		return ""
	}
	if err := l.BackendError(); err != nil {
		return err.Error()
	}
	if l.asked == csrc.BackendEpoll {
		return "epoll was asked for"
	}
	return "epoll is the default"
}

// Features names what the backend makes use of beyond the necessary: "one_thread" (SINGLE_ISSUER and DEFER_TASKRUN),
// "busy_poll" (Config.BusyPoll). Empty after the loop has ended.
func (l *Loop) Features() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.freed {
		return nil
	}
	var names []string
	for _, feature := range []struct {
		bit  csrc.Feature
		name string
	}{{csrc.FeatureOneThread, "one_thread"}, {csrc.FeatureBusyPoll, "busy_poll"}} {
		if l.core.Features()&feature.bit != 0 {
			names = append(names, feature.name)
		}
	}
	return names
}
