package protocol

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/internal/loop"
)

// linked makes both ends of a connection, each on a shard of its own.
func linked(t *testing.T, server, client *Shard, streamed bool) (s, c *WSConnection) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = server.Adopt(fds[0], Adoption{Streamed: streamed}); err != nil {
		t.Fatal(err)
	}
	if c, err = client.Adopt(fds[1], Adoption{Streamed: streamed, Client: true}); err != nil {
		t.Fatal(err)
	}
	return s, c
}

// silent is a shard whose messages no handler takes.
func silent(t *testing.T, workers bool) *Shard {
	s := tight(t, EndpointConfig{}, workers)
	s.endpoint.SetHandler(ignore, false)
	return s
}

// numbers is a reader of so many bytes that differ from place to place.
type numbers struct{ at, size int64 }

func (n *numbers) Read(p []byte) (int, error) {
	if n.at == n.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), n.size-n.at)]
	for i := range p {
		p[i] = byte(uint64(n.at+int64(i)) * 0x9E3779B97F4A7C15 >> 56)
	}
	n.at += int64(len(p))
	return len(p), nil
}

// A message much larger than what may be in memory goes through writer and reader, and neither Go's heap nor the pools of
// the loops hold more than a small part of it at any time.
func TestStreamOfALargeMessage(t *testing.T) {
	size := int64(128 << 20)
	if testing.Short() {
		size >>= 3
	}
	server, client := silent(t, false), silent(t, false)
	s, c := linked(t, server, client, true)
	ctx := background(t)
	result := make(chan error, 1)
	go func() {
		w, err := c.NextWriter(ctx, OpcodeBinary)
		if err == nil {
			_, err = w.(io.ReaderFrom).ReadFrom(&numbers{size: size})
			err = errors.Join(err, w.Close())
		}
		result <- err
	}()
	opcode, r, err := s.NextReader(ctx)
	if err != nil || opcode != OpcodeBinary {
		t.Fatal(opcode, err)
	}
	got, want := fnv.New64a(), fnv.New64a()
	most := int64(0)
	for left := size; left > 0; {
		n, err := io.CopyN(got, r, min(left, size/8))
		if err != nil {
			t.Fatal(err)
		}
		left -= n
		var heap runtime.MemStats
		runtime.GC() // what is garbage is not held
		runtime.ReadMemStats(&heap)
		held := int64(heap.HeapInuse)
		for _, l := range []*loop.Loop{server.loop, client.loop} {
			for _, class := range l.Pool().Stats().Classes {
				held += int64(class.InUse * class.Size)
			}
		}
		most = max(most, held)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(want, &numbers{size: size}); err != nil || got.Sum64() != want.Sum64() {
		t.Error("what arrives is not what was sent", err)
	}
	if most > 40<<20 { // two rings of io_uring have 16 MiB of buffers, and straight receives on top
		t.Errorf("%d MiB were in use for a message of %d MiB", most>>20, size>>20)
	}
}

// Messages of many sizes, read in many ways, streamed and not.
func TestReaders(t *testing.T) {
	ways := map[string]func(r io.Reader) ([]byte, error){
		"ReadAll": io.ReadAll,
		"bytes":   func(r io.Reader) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(r)) },
		"WriteTo": func(r io.Reader) ([]byte, error) {
			var b bytes.Buffer
			_, err := r.(io.WriterTo).WriteTo(&b)
			return b.Bytes(), err
		},
	}
	for _, streamed := range []bool{true, false} {
		for _, workers := range []bool{true, false} {
			s, c := linked(t, silent(t, workers), silent(t, workers), streamed)
			ctx := background(t)
			for name, all := range ways {
				for _, size := range []int64{0, 1, 125, 126, 5000, 70000, 200000} {
					want, _ := io.ReadAll(&numbers{size: size})
					result := make(chan error, 1)
					go func() {
						w, err := s.NextWriter(ctx, OpcodeBinary)
						if err == nil {
							_, err = w.Write(want)
							err = errors.Join(err, w.Close())
						}
						result <- err
					}()
					_, r, err := c.NextReader(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := all(r); err != nil || !bytes.Equal(got, want) {
						t.Errorf("streamed %v, %s: %d of %d bytes, %v", streamed, name, len(got), size, err)
					}
					if err := <-result; err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
}

// What was not read of a message is skipped, and its reader is of no use any more.
func TestReaderAbandoned(t *testing.T) {
	s, c := linked(t, silent(t, false), silent(t, false), true)
	ctx := background(t)
	for _, text := range []string{strings.Repeat("first", 10000), "second"} {
		if err := s.Write(ctx, OpcodeText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	_, first, err := c.NextReader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(first, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	_, second, err := c.NextReader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := first.Read(make([]byte, 5)); n != 0 || err != errSuperseded {
		t.Errorf("the first one: %d, %v", n, err)
	}
	if got, err := io.ReadAll(second); err != nil || string(got) != "second" {
		t.Errorf("the second one: %q, %v", got, err)
	}
}

// A message that its sender does not finish never ends in io.EOF; between messages the end depends on how it came.
func TestReaderAtTheEnd(t *testing.T) {
	for _, test := range []struct {
		name, sent   string
		within, next error // what reading the message gives, and NextReader behind it
		code         int
	}{
		{"in good order", masked(0x81, "a") + masked(0x88, "\x03\xe8"), nil, io.EOF, 0},
		{"without a code", masked(0x81, "a") + masked(0x88, ""), nil, io.EOF, 0},
		{"an error", masked(0x81, "a") + masked(0x88, "\x03\xf3no"), nil, io.ErrUnexpectedEOF, 1011},
		{"cut off", masked(0x81, "a"), nil, io.ErrUnexpectedEOF, 1006},
		{"cut off within a message", masked(0x01, "a"), io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, 1006},
		{"closed within a message", masked(0x01, "a") + masked(0x88, "\x03\xe8"), io.ErrUnexpectedEOF, io.EOF, 1000},
		{"bad text", masked(0x01, "a") + masked(0x80, "\xff"), io.ErrUnexpectedEOF, io.ErrUnexpectedEOF, 1006},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := silent(t, false)
			fd, peer := pair(t)
			c, err := s.Adopt(fd, Adoption{Streamed: true})
			if err != nil {
				t.Fatal(err)
			}
			ctx := background(t)
			write(t, peer, test.sent)
			_, r, err := c.NextReader(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if err := peer.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if string(got) != "a" || !errors.Is(err, test.within) {
				t.Errorf("read %q, %v", got, err)
			}
			_, _, next := c.NextReader(ctx)
			if !errors.Is(next, test.next) || test.next == io.EOF && next != io.EOF {
				t.Errorf("then %v", next)
			}
			var closed *CloseError
			if err = errors.Join(err, next); test.code != 0 && (!errors.As(err, &closed) || closed.Code != test.code) {
				t.Errorf("got %v, want code %d", err, test.code)
			}
			if closed != nil && !errors.Is(closed, api.ErrTransportClosed) {
				t.Error("the connection is closed")
			}
		})
	}
}

// ctx ends the waiting and loses nothing.
func TestReaderGivesUp(t *testing.T) {
	s, c := linked(t, silent(t, false), silent(t, false), true)
	ctx, cancel := context.WithCancel(background(t))
	result := make(chan error)
	go func() {
		_, _, err := c.NextReader(ctx)
		result <- err
	}()
	cancel()
	if err := <-result; err != context.Canceled {
		t.Errorf("got %v", err)
	}
	ctx, cancel = context.WithCancel(background(t))
	w, err := s.NextWriter(background(t), OpcodeText)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("one")); err != nil {
		t.Fatal(err)
	}
	_, r, err := c.NextReader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := r.Read(make([]byte, 1))
		result <- err
	}()
	cancel()
	if err := <-result; err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Send(OpcodeText, []byte("two")); err != nil {
		t.Error(err)
	}
	_, r, err = c.NextReader(background(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "two" {
		t.Errorf("got %q, %v", got, err)
	}
}

// A connection that streams has no use for a handler, nor for RecvZeroCopy; one with a handler none for NextReader.
func TestReaderOfWhatAHandlerTakes(t *testing.T) {
	s, c := linked(t, tight(t, EndpointConfig{}, false), silent(t, false), true)
	if _, err := s.RecvZeroCopy(); !errors.Is(err, api.ErrNotSupported) {
		t.Errorf("RecvZeroCopy: %v", err)
	}
	if err := c.Send(OpcodeText, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.NextReader(background(t)); err != nil {
		t.Errorf("with a handler beside: %v", err)
	}
	whole, _ := linked(t, tight(t, EndpointConfig{}, false), silent(t, false), false)
	if _, _, err := whole.NextReader(background(t)); !errors.Is(err, api.ErrNotSupported) {
		t.Errorf("NextReader: %v", err)
	}
}

// While a message is being written nothing but control frames comes in between, and whatever waited goes on behind it.
func TestWriterKeepsOthersOut(t *testing.T) {
	s := tight(t, EndpointConfig{}, false)
	c, peer := open(t, s)
	ctx := background(t)
	w, err := c.NextWriter(ctx, OpcodeText)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- c.Write(ctx, OpcodeText, []byte("later")) }()
	if err := c.Send(OpcodeText, []byte("before")); err != nil { // not begun yet
		t.Error(err)
	}
	if _, err := w.Write([]byte("one")); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		c.Send(OpcodeText, nil),
		c.SendFrame(&WSFrame{IsFinal: true, Opcode: OpcodeText}),
		c.SendFrame(&WSFrame{Opcode: OpcodeText}),
	} {
		if !errors.Is(err, api.ErrInvalidArgument) {
			t.Errorf("in between: %v", err)
		}
	}
	if err := c.SendFrame(&WSFrame{IsFinal: true, Opcode: OpcodePing}); err != nil {
		t.Error(err)
	}
	if _, err := w.Write([]byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), w.Close(), <-written); err != nil {
		t.Error(err)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("after Close: %v", err)
	}
	want := "\x81\x06before\x01\x03one\x89\x00\x00\x03two\x80\x00\x81\x05later"
	if got := string(read(t, peer, len(want))); got != want {
		t.Errorf("got %q", got)
	}
}

// Senders on the loop and elsewhere race with writers: no frame comes where it must not. Senders leave room: those who send
// again and again whatever is unsent would keep writers, who wait for room, waiting.
func TestWritersAmongSenders(t *testing.T) {
	s := tight(t, EndpointConfig{}, false)
	receiver, c := linked(t, silent(t, false), s, false)
	ctx := background(t)
	const writers, messages = 3, 100
	stop := make(chan struct{})
	stopped := make(chan struct{}, 2)
	send := func() {
		if c.Buffered() < testLow {
			_ = c.Send(OpcodeText, []byte("whole")) // refused now and then
		}
		runtime.Gosched()
	}
	go func() {
		defer func() { stopped <- struct{}{} }()
		for {
			select {
			case <-stop:
				return
			default:
				send()
			}
		}
	}()
	go func() {
		defer func() { stopped <- struct{}{} }()
		done := make(chan struct{})
		for {
			select {
			case <-stop:
				return
			default:
				if s.loop.Do(func() { send(); done <- struct{}{} }) == nil {
					<-done
				}
			}
		}
	}()
	for i := 0; i < writers; i++ {
		go func() {
			for range messages {
				w, err := c.NextWriter(ctx, OpcodeBinary)
				if err != nil {
					t.Error(err)
					return
				}
				_, err1 := w.Write([]byte("par"))
				_, err2 := w.Write([]byte("ts"))
				if err := errors.Join(err1, err2, w.Close()); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for parts := 0; parts < writers*messages; {
		opcode, r, err := receiver.NextReader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if want := map[byte]string{OpcodeText: "whole", OpcodeBinary: "parts"}[opcode]; string(got) != want || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		if opcode == OpcodeBinary {
			parts++
		}
	}
	close(stop)
	<-stopped
	<-stopped
}

// A message that cannot be finished does not look finished: the connection ends.
func TestWriterCutShort(t *testing.T) {
	for _, test := range []struct {
		name string
		cut  func(w io.WriteCloser, cancel func()) error
	}{
		{"source fails", func(w io.WriteCloser, _ func()) error {
			_, err := io.Copy(w, io.MultiReader(strings.NewReader("begun"), iotest.ErrReader(io.ErrNoProgress)))
			return err
		}},
		{"cancelled", func(w io.WriteCloser, cancel func()) error {
			_, err := w.Write([]byte("begun"))
			cancel()
			for err == nil {
				_, err = w.Write(make([]byte, fragmentSize))
			}
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, peer := open(t, tight(t, EndpointConfig{}, false))
			ctx, cancel := context.WithCancel(background(t))
			defer cancel()
			w, err := c.NextWriter(ctx, OpcodeBinary)
			if err != nil {
				t.Fatal(err)
			}
			if err := test.cut(w, cancel); err == nil {
				t.Error("nothing went wrong")
			}
			if err := w.Close(); err == nil {
				t.Error("Close finds nothing wrong")
			}
			all, err := io.ReadAll(io.LimitReader(peer, 1<<20))
			if at := bytes.Index(all, []byte("\x03\xf3a message was cut short")); at < 2 || all[at-2] != 0x88 {
				t.Errorf("the peer got %q, %v", all[max(0, len(all)-40):], err)
			}
		})
	}
}

func TestPing(t *testing.T) {
	s, c := linked(t, tight(t, EndpointConfig{}, false), silent(t, false), false)
	ctx := background(t)
	results := make(chan error)
	for i := 0; i < 4; i++ {
		for _, conn := range []*WSConnection{s, c} {
			go func() {
				took, err := conn.Ping(ctx)
				if err == nil && took <= 0 {
					err = errors.New("it took no time")
				}
				results <- err
			}()
		}
	}
	for i := 0; i < 8; i++ {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if len(s.extension().pings.waiting) != 0 {
		t.Error("pings are left behind")
	}
}

// Pongs that answer nothing are ignored; a ping that is not answered gives up with ctx, or the connection.
func TestPingWithoutAnswer(t *testing.T) {
	c, peer := open(t, tight(t, EndpointConfig{}, false))
	write(t, peer, masked(0x8a, "")+masked(0x8a, "short")+masked(0x8a, "12345678"))
	ctx, cancel := context.WithCancel(background(t))
	result := make(chan error)
	ping := func(ctx context.Context) {
		_, err := c.Ping(ctx)
		result <- err
	}
	go ping(ctx)
	frame := read(t, peer, 10)
	if frame[0] != 0x89 || binary.BigEndian.Uint64(frame[2:]) != 1 {
		t.Errorf("sent %x", frame)
	}
	write(t, peer, masked(0x8a, "87654321"))
	cancel()
	if err := <-result; err != context.Canceled {
		t.Errorf("got %v", err)
	}
	if _, err := c.Ping(ctx); err != context.Canceled {
		t.Errorf("got %v", err)
	}
	go ping(background(t))
	read(t, peer, 10)
	peer.Close()
	if err := <-result; err != api.ErrTransportClosed {
		t.Errorf("got %v", err)
	}
	if _, err := c.Ping(background(t)); err != api.ErrTransportClosed {
		t.Errorf("got %v", err)
	}
}
