package loop

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/momentics/hioload-ws/csrc"
)

const rsv1 = 0x40

// attachAs makes a WebSocket's stream of a descriptor.
func attachAs(t testing.TB, l *Loop, fd int, u UpgradeConfig, rest []byte, handle func(*stream, *csrc.Event)) *stream {
	t.Helper()
	s := &stream{handle: handle, closed: make(chan csrc.Event, 1)}
	on(t, l, func() {
		if err := l.Attach(&s.Conn, s, fd, false); err != nil {
			t.Error(err)
		}
		if err := s.Upgrade(rest, u); err != nil {
			t.Error(err)
		}
	})
	return s
}

// deflate compresses one message as RFC 7692 section 7.2.1 says, inflate expands it (7.2.2).
func deflate(t testing.TB, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

func inflate(t testing.TB, p []byte) []byte {
	t.Helper()
	tail := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff") // the final block is for package flate alone
	data, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(p), tail)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Against compress/flate: what comes compressed is echoed compressed, short messages plain; sent by handlers, by other
// goroutines and as frames encoded for many.
func TestDeflate(t *testing.T) {
	l := start(t, Config{})
	fd, peer := pair(t)
	first := frame(csrc.WSText, deflate(t, []byte("hello hello hello")))
	first[0] |= rsv1
	config := csrc.DeflateConfig{Threshold: 10, OutTakeover: true}
	s := attachAs(t, l, fd, UpgradeConfig{Deflate: &config}, first, echoMessage)
	expect := func(want []byte) {
		t.Helper()
		head, p := readFrame(t, peer)
		if compressed := len(want) >= 10; compressed != (head&rsv1 != 0) {
			t.Errorf("a message of %d bytes: compressed: %v", len(want), !compressed)
		} else if compressed {
			p = inflate(t, p)
		}
		if !bytes.Equal(p, want) {
			t.Errorf("%.40q, want %.40q", p, want)
		}
	}
	expect([]byte("hello hello hello"))
	block, payload, err := csrc.DeflateOnce(l.pool.slab, &config, []byte("news for everybody"))
	if err != nil {
		t.Fatal(err)
	}
	defer block.Unref()
	whole := block.Bytes()[csrc.DeflateHeadroom-2 : csrc.DeflateHeadroom+len(payload)]
	whole[0], whole[1] = 0x80|rsv1|csrc.WSText, byte(len(payload))
	for _, want := range []string{"short", "", strings.Repeat("a longer message ", 10000)} {
		f := frame(csrc.WSText, deflate(t, []byte(want)))
		f[0] |= rsv1
		go peer.Write(f) // a message may be larger than what the socket takes
		expect([]byte(want))
		if err := s.SendEncoded(block, whole); err != nil { // without context, which the next must not have either
			t.Fatal(err)
		}
		expect([]byte("news for everybody"))
	}
	if err := s.Send(csrc.WSText, []byte("posted, posted")); err != nil {
		t.Fatal(err)
	}
	expect([]byte("posted, posted"))
}

// Both ends are ours, with context takeover, in pieces or whole.
func TestDeflateBothEnds(t *testing.T) {
	for _, streamed := range []bool{false, true} {
		l := start(t, Config{})
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		u := UpgradeConfig{Deflate: &csrc.DeflateConfig{
			Level: 1, OutBits: 12, InBits: 12, OutTakeover: true, InTakeover: true,
		}}
		attachAs(t, l, fds[0], u, nil, echoMessage)
		var got []byte
		echoed := make(chan []byte, 1)
		u.Client, u.Streamed = true, streamed
		client := attachAs(t, l, fds[1], u, nil, func(_ *stream, ev *csrc.Event) {
			if ev.Type != csrc.EvMessage {
				return
			}
			got = append(got, ev.Bytes()...)
			if ev.Flags&csrc.More == 0 {
				echoed <- got
				got = nil
			}
		})
		for _, n := range []int{1, 100, 100, 70000, 3 << 20, 0} {
			want := pattern(n)
			if err := client.Send(csrc.WSBinary, want); err != nil {
				t.Fatal(err)
			}
			if got := wait(t, "the echo", echoed); !bytes.Equal(got, want) {
				t.Errorf("%d bytes came back as %d", n, len(got))
			}
		}
		stats, err := client.Stats()
		if err != nil || stats.Sent > 1<<20 {
			t.Errorf("%d bytes went over the wire, %v", stats.Sent, err)
		}
		if err := client.Conn.Close(1000, ""); err != nil {
			t.Fatal(err)
		}
		wait(t, "the client to close", client.closed)
	}
}

func TestDeflateOutOfBounds(t *testing.T) {
	l := start(t, Config{})
	s, _ := attach(t, l, false, nil)
	if err := s.Upgrade(nil, UpgradeConfig{Deflate: &csrc.DeflateConfig{OutBits: 8}}); err != ErrDeflate {
		t.Errorf("%v", err)
	}
}
