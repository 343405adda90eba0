//go:build linux

package reactor

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// A Unix socket that the loop does not take leaves no file behind, wherever that has failed.
func TestFailedListenLeavesNoFile(t *testing.T) {
	netPoller()
	for network, listen := range map[string]func(l *Loop, path string) error{
		"unix":       func(l *Loop, path string) error { return second(l.Listen("unix", path, func(*Accepted) {})) },
		"unixpacket": func(l *Loop, path string) error { return second(l.Listen("unixpacket", path, func(*Accepted) {})) },
		"unixgram":   func(l *Loop, path string) error { return second(l.ListenPacket("unixgram", path, &hooks{})) },
	} {
		t.Run(network, func(t *testing.T) {
			l := newLoop(t, Options{MaxSockets: 1})
			path := filepath.Join(t.TempDir(), "s")
			fails := func(when string, want error) {
				t.Helper()
				if err := listen(l, path); !errors.Is(err, want) || exists(path) {
					t.Errorf("%s: %v, want %v; the file is there: %t", when, err, want, exists(path))
				}
			}
			restore := spareDescriptors(t, 1) // for the socket of package net, and none for the loop's
			fails("descriptors run out", syscall.EMFILE)
			restore()
			token, _ := connPair(t, l, &hooks{})
			fails("no room", ErrTooManySockets)
			if err := l.Remove(token); err != nil {
				t.Error(err)
			}
			pollUntil(t, l, "room", func() bool { return l.Stats().Sockets == 0 })
			if err := listen(l, path); err != nil {
				t.Errorf("at the same place, later: %v", err)
			}
			l.Close()
			if network != "unixgram" && exists(path) {
				t.Error("the file is left")
			}
			path += "2"
			fails("the loop is closed", ErrClosed)
		})
	}
}
