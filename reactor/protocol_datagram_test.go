//go:build linux

package reactor

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A client that does not read what it is sent loses that. It neither keeps the server busy nor keeps others from being
// served.
func TestDeafDatagramClient(t *testing.T) {
	dir := t.TempDir()
	server := listenDatagrams(t, "unixgram", filepath.Join(dir, "server"))
	deaf := listenDatagrams(t, "unixgram", filepath.Join(dir, "deaf"))
	client := listenDatagrams(t, "unixgram", filepath.Join(dir, "client"))
	to := server.LocalAddr()
	a := newActor()
	rooms, received := 0, "" // belong to the loop
	var failure error
	a.data = func(_ *actor, data Buffer) Action {
		received = data.String()
		return sendBack(a, data)
	}
	a.room = func(*actor) Action {
		rooms++
		done, err := a.Flush()
		if err != nil {
			failure = err
		}
		if !done || a.WriteBuffer.Len() > 0 {
			return Continue
		}
		return ReadPending
	}
	adopt(t, contextFor(t, ContextOptions{}), server, a)
	for lost := false; !lost; {
		if _, err := deaf.WriteTo([]byte("x"), to); err != nil {
			t.Fatalf("the server does not read any more: %v", err)
		}
		a.do(t, func() Action { lost = failure != nil; return Continue })
	}
	if !errors.Is(failure, syscall.ENOBUFS) {
		t.Errorf("Flush to the deaf: %v, want ENOBUFS", failure)
	}
	if _, err := client.WriteTo([]byte("hello"), to); err != nil {
		t.Fatal(err)
	}
	a.until(t, "the client's datagram", func() bool { return received == "hello" })
	if queue(t) < 100 { // else what waits for the deaf is all that the server's socket may send
		buf := make([]byte, 100)
		if n, _, err := client.ReadFrom(buf); err != nil || string(buf[:n]) != "hello" {
			t.Errorf("got %q, %v", buf[:n], err)
		}
	}
	before := 0
	a.do(t, func() Action { before = rooms; return Continue })
	a.quiet(t)
	a.do(t, func() Action {
		if rooms != before {
			t.Errorf("WriteReady was called %d times for nothing", rooms-before)
		}
		return Continue
	})
}

// queue is how many datagrams may wait for who does not read them.
func queue(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Who looks for more datagrams and finds none still answers the sender of the last one.
func TestAnswerAfterReadingOn(t *testing.T) {
	for network, address := range map[string]func(name string) string{
		"udp4":     func(string) string { return "127.0.0.1:0" },
		"unixgram": func(name string) string { return filepath.Join(t.TempDir(), name) },
	} {
		t.Run(network, func(t *testing.T) {
			server := listenDatagrams(t, network, address("server"))
			client := listenDatagrams(t, network, address("client"))
			a := newActor()
			a.data = func(_ *actor, data Buffer) Action {
				if n, err := a.Read(make([]byte, 100)); err != ErrWouldBlock {
					t.Errorf("Read of nothing: %d, %v; want ErrWouldBlock", n, err)
				}
				if _, err := a.Write(data); err != nil {
					t.Error(err)
				}
				return Continue
			}
			to := server.LocalAddr()
			adopt(t, contextFor(t, ContextOptions{}), server, a)
			if _, err := client.WriteTo([]byte("hello"), to); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			if n, _, err := client.ReadFrom(buf); err != nil || string(buf[:n]) != "hello" {
				t.Errorf("got %q, %v", buf[:n], err)
			}
		})
	}
}
