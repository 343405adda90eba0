package tcpio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// cut feeds a framer with stream in pieces of a size, and returns what it delivers.
func cut(f Framing, stream string, size int, end bool) (messages []string, err error) {
	in := framer{framing: f}
	deliver := func(message []byte) (bool, error) {
		messages = append(messages, string(message))
		return true, nil
	}
	for len(stream) > 0 && err == nil {
		piece := []byte(stream[:min(size, len(stream))])
		stream = stream[len(piece):]
		err = in.feed(piece, deliver)
		clear(piece) // it is not the framer's to keep
	}
	if end && err == nil {
		err = in.end(deliver)
	}
	return messages, err
}

func TestFraming(t *testing.T) {
	for _, test := range []struct {
		name    string
		framing Framing
		stream  string
		want    []string
		err     error
	}{
		{"lines", Lines{}, "one\ntwo\r\n\n\r\nfive", []string{"one", "two", "", "", "five"}, nil},
		{"the last line", Lines{}, "one\ntwo\r", []string{"one", "two"}, nil},
		{"a lone return", Lines{}, "a\rb\n", []string{"a\rb"}, nil},
		{"a line of Max", Lines{Max: 3}, "abc\nabc\r\n", []string{"abc", "abc"}, nil},
		{"a longer one", Lines{Max: 3}, "abc\nabcd\n", []string{"abc"}, ErrMessageTooLong},
		{"without an end", Lines{Max: 3}, "abcd", nil, ErrMessageTooLong},
		{"prefix", LengthPrefix{}, "\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00\x00\x01d", []string{"abc", "", "d"}, nil},
		{"prefix 1", LengthPrefix{Bytes: 1}, "\x03abc\x01d", []string{"abc", "d"}, nil},
		{"prefix 2", LengthPrefix{Bytes: 2}, "\x00\x03abc", []string{"abc"}, nil},
		{"prefix 2, little", LengthPrefix{Bytes: 2, LittleEndian: true}, "\x03\x00abc", []string{"abc"}, nil},
		{"prefix 8", LengthPrefix{Bytes: 8}, "\x00\x00\x00\x00\x00\x00\x00\x03abc", []string{"abc"}, nil},
		{"prefix 8, little", LengthPrefix{Bytes: 8, LittleEndian: true}, "\x03\x00\x00\x00\x00\x00\x00\x00abc",
			[]string{"abc"}, nil},
		{"prefix of Max", LengthPrefix{Max: 3}, "\x00\x00\x00\x03abc", []string{"abc"}, nil},
		{"above Max", LengthPrefix{Max: 3}, "\x00\x00\x00\x03abc\x00\x00\x00\x04", []string{"abc"}, ErrMessageTooLong},
		{"all bits", LengthPrefix{Bytes: 8}, "\xff\xff\xff\xff\xff\xff\xff\xff", nil, ErrMessageTooLong},
		{"cut off", LengthPrefix{}, "\x00\x00\x00\x03ab", nil, io.ErrUnexpectedEOF},
		{"cut off in the prefix", LengthPrefix{}, "\x00\x00\x00", nil, io.ErrUnexpectedEOF},
		{"none", nil, "abc", []string{"abc"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for size := 1; size <= len(test.stream); size++ {
				if test.framing == nil && size < len(test.stream) {
					continue
				}
				got, err := cut(test.framing, test.stream, size, true)
				if !slices.Equal(got, test.want) || !errors.Is(err, test.err) {
					t.Errorf("in pieces of %d: %q, %v; want %q, %v", size, got, err, test.want, test.err)
				}
			}
		})
	}
}

func TestFramingAppends(t *testing.T) {
	for _, test := range []struct {
		framing Framing
		message string
		want    string
		fails   bool
	}{
		{Lines{}, "abc", "abc\n", false},
		{Lines{}, "a\nc", "", true},
		{Lines{Max: 2}, "abc", "", true},
		{LengthPrefix{}, "abc", "\x00\x00\x00\x03abc", false},
		{LengthPrefix{Bytes: 1}, "abc", "\x03abc", false},
		{LengthPrefix{Bytes: 1}, strings.Repeat("x", 255), "\xff" + strings.Repeat("x", 255), false},
		{LengthPrefix{Bytes: 1}, strings.Repeat("x", 256), "", true},
		{LengthPrefix{Bytes: 2, LittleEndian: true}, "abc", "\x03\x00abc", false},
		{LengthPrefix{Bytes: 8, LittleEndian: true}, "abc", "\x03\x00\x00\x00\x00\x00\x00\x00abc", false},
		{LengthPrefix{Bytes: 8}, "abc", "\x00\x00\x00\x00\x00\x00\x00\x03abc", false},
		{LengthPrefix{Max: 2}, "abc", "", true},
	} {
		var out bytes.Buffer
		err := WriteMessage(&out, test.framing, []byte(test.message))
		if out.String() != test.want || (err != nil) != test.fails {
			t.Errorf("%#v, %.10q: %.20q, %v", test.framing, test.message, out.String(), err)
		}
		if strings.Contains(test.message, "\n") {
			continue // refused for another reason than its length
		}
		if test.fails && !errors.Is(err, ErrMessageTooLong) {
			t.Error(err)
		}
	}
}

// A large message does not leave its buffer behind, and a small rest does not keep it.
func TestFramerLetsGo(t *testing.T) {
	in := framer{framing: LengthPrefix{}}
	frame, _ := LengthPrefix{}.Append(nil, make([]byte, 1<<20))
	deliver := func([]byte) (bool, error) { return true, nil }
	for _, piece := range [][]byte{frame[:1<<19], frame[1<<19:], frame[:10]} {
		if err := in.feed(piece, deliver); err != nil {
			t.Fatal(err)
		}
	}
	if cap(in.rest) > keptBuffer {
		t.Errorf("a buffer of %d bytes is kept for 10", cap(in.rest))
	}
}

func TestFramedMessages(t *testing.T) {
	for mode, options := range modes {
		if options.OnData == nil {
			continue
		}
		t.Run(mode, func(t *testing.T) {
			framing := LengthPrefix{Max: 3 << 20}
			options.Framing = framing
			options.OnData = func(conn net.Conn, message []byte) error {
				if string(message) == "bug" {
					return errors.New("bug")
				}
				return WriteMessage(conn, framing, message)
			}
			s := serve(t, options)
			client := s.dial()
			var stream []byte
			for _, size := range []int{0, 1, 1000, 70_000, 3 << 20, 5} {
				stream, _ = framing.Append(stream, []byte(text(size)))
			}
			go client.Write(stream)
			expect(t, client, string(stream))
			go client.Write([]byte{0xff, 0, 0, 0})
			is(t, s.failed(), ErrMessageTooLong)
			expectEnd(t, client)
		})
	}
}

// What the peer leaves unfinished is told; what Shutdown cuts off is not the peer's fault.
func TestUnfinishedMessages(t *testing.T) {
	for mode, options := range modes {
		if options.OnData == nil {
			continue
		}
		t.Run(mode, func(t *testing.T) {
			options.Framing = LengthPrefix{}
			s := serve(t, options)
			client := s.dial()
			send(t, client, "\x00\x00\x00\x05abc")
			client.CloseWrite()
			is(t, s.failed(), io.ErrUnexpectedEOF)
			expectEnd(t, client)

			other := s.dial()
			send(t, other, "\x00\x00\x00\x01a\x00\x00\x00\x05abc")
			expect(t, other, "a")
			client.Close()
			done := make(chan error, 1)
			go func() { done <- s.Shutdown(patient(t)) }()
			expectEnd(t, other)
			other.Close()
			if err := wait(t, "Shutdown", done); err != nil {
				t.Error(err)
			}
			if len(s.errs) > 0 {
				t.Errorf("OnErrorEvent was also told %v", <-s.errs)
			}
		})
	}
}

// However a stream is cut, the same messages come out; and whatever it holds, nothing breaks.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\nfour"), uint8(3))
	f.Add([]byte("\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00\x00\x01d"), uint8(5))
	framings := []Framing{Lines{Max: 20}, LengthPrefix{Max: 20}, LengthPrefix{Bytes: 1},
		LengthPrefix{Bytes: 2, LittleEndian: true}, LengthPrefix{Bytes: 8}}
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		for _, framing := range framings {
			want, wantErr := cut(framing, string(stream), max(1, len(stream)), true)
			got, err := cut(framing, string(stream), max(1, int(size)), true)
			if !slices.Equal(got, want) || (err == nil) != (wantErr == nil) {
				t.Errorf("%#v: whole %q, %v; in pieces of %d %q, %v", framing, want, wantErr, size, got, err)
			}
		}
	})
}
