//go:build linux

package reactor

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"
)

func TestBufferIsASlice(t *testing.T) {
	b := Buffer("GET / HTTP/1.0\r\n")
	if b[0] != 'G' || string(b[4:5]) != "/" || len(b) != 16 {
		t.Errorf("b[0] %q, b[4:5] %q, len %d", b[0], b[4:5], len(b))
	}
	kept := append([]byte("> "), b...)
	if string(kept) != "> GET / HTTP/1.0\r\n" || !bytes.HasPrefix(b, []byte("GET")) {
		t.Errorf("append gave %q", kept)
	}
	for i, c := range b {
		if c != b.At(i) || c != b.At(i-len(b)) {
			t.Errorf("At(%d) %q, At(%d) %q, want %q", i, b.At(i), i-len(b), b.At(i-len(b)), c)
		}
	}
}

func TestBufferAtOutOfRange(t *testing.T) {
	for _, i := range []int{3, -4, 1 << 40} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("At(%d) of 3 bytes did not panic", i)
				}
			}()
			Buffer("abc").At(i)
		}()
	}
}

// Slice has what the positions mean one by one, and shares its memory.
func TestBufferSlice(t *testing.T) {
	for size := range 4 {
		b := Buffer("abc")[:size]
		for from := -5; from <= 5; from++ {
			for to := -5; to <= 5; to++ {
				var want []byte
				for i, c := range b {
					after := i >= from && from >= 0 || from < 0 && i-size >= from
					before := i < to && to >= 0 || to < 0 && i-size < to
					if after && before {
						want = append(want, c)
					}
				}
				got := b.Slice(from, to)
				if !bytes.Equal(got, want) {
					t.Errorf("Slice(%d, %d) of %q is %q, want %q", from, to, b, got, want)
				}
				if len(got) > 0 && &got[0] != &b[bytes.Index(b, got)] {
					t.Errorf("Slice(%d, %d) of %q is a copy", from, to, b)
				}
			}
		}
	}
}

func TestBufferSearch(t *testing.T) {
	for _, c := range []struct {
		text, s           string
		first, last, many int
		prefix, suffix    bool
	}{
		{"GET /a/b HTTP/1.0", "/", 4, 13, 3, false, false},
		{"GET /a/b HTTP/1.0", "GET", 0, 0, 1, true, false},
		{"GET /a/b HTTP/1.0", "1.0", 14, 14, 1, false, true},
		{"GET", "GET /", -1, -1, 0, false, false},
		{"\x00\xff\x00", "\x00", 0, 2, 2, true, true},
		{"aaa", "aa", 0, 1, 1, true, true},
		{"", "x", -1, -1, 0, false, false},
		{"", "", 0, 0, 1, true, true},
		{"ab", "", 0, 2, 3, true, true},
	} {
		b := Buffer(c.text)
		if got := b.Find(c.s); got != c.first {
			t.Errorf("%q.Find(%q) is %d, want %d", c.text, c.s, got, c.first)
		}
		if got := b.FindLast(c.s); got != c.last {
			t.Errorf("%q.FindLast(%q) is %d, want %d", c.text, c.s, got, c.last)
		}
		if got := b.Contains(c.s); got != (c.first >= 0) {
			t.Errorf("%q.Contains(%q) is %t", c.text, c.s, got)
		}
		if got := b.Count(c.s); got != c.many {
			t.Errorf("%q.Count(%q) is %d, want %d", c.text, c.s, got, c.many)
		}
		if got := b.HasPrefix(c.s); got != c.prefix {
			t.Errorf("%q.HasPrefix(%q) is %t", c.text, c.s, got)
		}
		if got := b.HasSuffix(c.s); got != c.suffix {
			t.Errorf("%q.HasSuffix(%q) is %t", c.text, c.s, got)
		}
	}
}

func TestBufferCompare(t *testing.T) {
	texts := []string{"", "\x00", "PING", "PINGS", "PONG", "\xff"} // in order
	for i, a := range texts {
		for j, b := range texts {
			want := min(max(i-j, -1), 1)
			if got := Buffer(a).Compare(b); got != want {
				t.Errorf("%q.Compare(%q) is %d, want %d", a, b, got, want)
			}
			if got := Buffer(a).Equal(b); got != (i == j) {
				t.Errorf("%q.Equal(%q) is %t", a, b, got)
			}
		}
	}
	if !Buffer(nil).Equal("") || Buffer(nil).Compare("") != 0 {
		t.Error("a nil Buffer is not the empty text")
	}
}

func TestBufferDecode(t *testing.T) {
	for _, text := range []string{"", "plain", "grüße", "日本語", "\U0001f600", "\ufffd", "\u0000"} {
		if got, err := Buffer(text).Decode(); err != nil || got != text {
			t.Errorf("%q decoded to %q, %v", text, got, err)
		}
	}
	for text, at := range map[string]string{
		"\xff":                 "byte 0 of 1",
		"gr\xfc\xdfe":          "byte 2 of 5",
		"ok\xe6\x97":           "byte 2 of 4", // cut off
		"\xc0\x80":             "byte 0 of 2", // overlong
		"a\xed\xa0\x80":        "byte 1 of 4", // half of a surrogate pair
		"日\xf4\x90\x80\x80":    "byte 3 of 7", // beyond U+10FFFF
		"fine\x80 \ufffd fine": "byte 4 of 14",
	} {
		got, err := Buffer(text).Decode()
		if !errors.Is(err, ErrInvalid) || got != "" || !strings.Contains(err.Error(), at) {
			t.Errorf("%q decoded to %q, %v; want ErrInvalid at %s", text, got, err, at)
		}
	}
}

func FuzzBufferDecode(f *testing.F) {
	f.Add([]byte("grüße"))
	f.Add([]byte("\xed\xa0\x80"))
	f.Fuzz(func(t *testing.T, p []byte) {
		got, err := Buffer(p).Decode()
		if valid := utf8.Valid(p); valid != (err == nil) || valid && got != string(p) {
			t.Errorf("%q decoded to %q, %v", p, got, err)
		}
	})
}

// What is copied stays when the loop reads on.
func TestBufferCopies(t *testing.T) {
	memory := []byte("first")
	b := Buffer(memory)
	text, kept := b.String(), b.Copy()
	decoded, err := b.Decode()
	if err != nil {
		t.Fatal(err)
	}
	copy(memory, "other")
	if text != "first" || decoded != "first" || string(kept) != "first" {
		t.Errorf("%q, %q and %q have changed with the buffer", text, decoded, kept)
	}
	if kept := Buffer(nil).Copy(); kept == nil || len(kept) != 0 {
		t.Errorf("a copy of nothing is %#v", kept)
	}
}

func TestBufferAllocatesNothing(t *testing.T) {
	b := Buffer("GET / HTTP/1.0\r\nHost: example\r\n\r\n")
	var found int
	allocs := testing.AllocsPerRun(100, func() {
		found += b.Find("\r\n\r\n") + b.FindLast(" ") + b.Count("/") + b.Compare("GET") + int(b.At(-1)) + len(b.Slice(4, -2))
		for _, ok := range []bool{b.HasPrefix("GET"), b.HasSuffix("\r\n"), b.Contains("Host"), b.Equal("GET")} {
			if ok {
				found++
			}
		}
	})
	if allocs > 0 || found == 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// The data of DataReceived lies where the loop has read it to, and appending to it does not write beyond.
func TestBufferIsTheLoops(t *testing.T) {
	a := newActor()
	type place struct {
		at       *byte
		len, cap int
		buffer   *byte
	}
	places := make(chan place, 1)
	a.data = func(a *actor, data Buffer) Action {
		loop := a.conn.Load().socket.loop
		places <- place{unsafe.SliceData(data), len(data), cap(data), unsafe.SliceData(loop.buffer)}
		return Close
	}
	put(t, serve(t, a), "hello")
	p := await(t, "data", places)
	if p.at != p.buffer {
		t.Error("the data was copied out of the loop's buffer")
	}
	if p.len != 5 || p.cap != 5 {
		t.Errorf("length %d and capacity %d, want 5", p.len, p.cap)
	}
}
