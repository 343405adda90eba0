package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"
)

// exercise has connections to a server that echoes go through what they have to do.
func exercise(t *testing.T, d *deflate, dial func(ctx context.Context) (peer, error)) {
	largest := 3_000_000
	if d != nil {
		largest = 300_000 // for the sake of time: some of these compressors are slow
	}
	t.Run("sizes", func(t *testing.T) { echoesSizes(t, dialled(t, dial), largest) })
	t.Run("fragments", func(t *testing.T) { echoesFragments(t, dialled(t, dial)) })
	t.Run("ping", func(t *testing.T) { answersPings(t, dialled(t, dial)) })
	t.Run("pipelining", func(t *testing.T) { echoesInOrder(t, dialled(t, dial)) })
	t.Run("server closes", func(t *testing.T) {
		if strings.HasPrefix(t.Name(), "TestServers/gws/deflate") {
			t.Skip("gws 1.8.9 races with itself: writeClose (compress.go:152) with the end of ReadLoop (conn.go:119)")
		}
		closesWhenAsked(t, dial)
	})
	t.Run("many", func(t *testing.T) { echoesOnMany(t, dial) })
}

// leave ends a connection on which all went well.
func leave(t *testing.T, p peer) {
	t.Helper()
	if err := p.close(1000, ""); err != nil {
		t.Error(err)
	}
}

// roundTrip sends a message, which has to come back.
func roundTrip(p peer, text bool, pieces ...[]byte) error {
	failed := make(chan error, 1)
	go func() { failed <- p.write(text, pieces...) }() // beside read, for the sake of messages that no buffer holds
	want := bytes.Join(pieces, nil)
	got, err := p.read()
	if err != nil {
		return fmt.Errorf("echo of %d bytes: %w", len(want), err)
	}
	if err := <-failed; err != nil {
		return err
	}
	if got.text != text || !bytes.Equal(got.payload, want) {
		return fmt.Errorf("got %d bytes %.40q, text %v; want %d bytes %.40q, text %v",
			len(got.payload), got.payload, got.text, len(want), want, text)
	}
	return nil
}

// prose is compressible text of n bytes that does not repeat itself.
func prose(n int) []byte {
	words := strings.Fields("one loop takes what many send and gives each of them back as it was, word by word, κόσμε")
	random := rand.New(rand.NewSource(int64(n)))
	var b []byte
	for len(b) < n {
		b = append(append(b, words[random.Intn(len(words))]...), ' ')
	}
	return bytes.ToValidUTF8(b[:n], []byte("?"))
}

// noise is n bytes that cannot be compressed.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	return b
}

func echoesSizes(t *testing.T, p peer, largest int) {
	for _, size := range []int{0, 1, 125, 126, 127, 511, 512, 4096, 65535, 65536, largest} {
		if err := roundTrip(p, true, prose(size)); err != nil {
			t.Fatal(err)
		}
		if err := roundTrip(p, false, noise(size)); err != nil {
			t.Fatal(err)
		}
	}
	leave(t, p)
}

func echoesFragments(t *testing.T, p peer) {
	text := prose(500_000)
	for _, cuts := range [][]int{{1, 2}, {5000, 10_000, 20_000}, {131_072, 262_144, 400_001}} {
		var pieces [][]byte
		from := 0
		for _, to := range cuts {
			pieces = append(pieces, text[from:to])
			from = to
		}
		if err := roundTrip(p, true, append(pieces, text[from:])...); err != nil {
			t.Fatal(err)
		}
	}
	leave(t, p)
}

func answersPings(t *testing.T, p peer) {
	for _, payload := range []string{"p", strings.Repeat("p", 125)} {
		if err := p.ping(payload); err != nil {
			t.Fatal(err)
		}
	}
	if err := roundTrip(p, true, []byte("still there")); err != nil {
		t.Fatal(err)
	}
	leave(t, p)
}

func echoesInOrder(t *testing.T, p peer) {
	const count = 500
	failed := make(chan error, 1)
	go func() {
		for i := 0; i < count; i++ {
			if err := p.write(i%2 == 0, prose(i)); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	for i := 0; i < count; i++ {
		got, err := p.read()
		if err != nil {
			t.Fatal(err)
		}
		if want := prose(i); got.text != (i%2 == 0) || !bytes.Equal(got.payload, want) {
			t.Fatalf("message %d is %.40q, want %.40q", i, got.payload, want)
		}
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	leave(t, p)
}

// A server that closes says why, and what it had to say before arrives before.
func closesWhenAsked(t *testing.T, dial func(ctx context.Context) (peer, error)) {
	for _, want := range []closed{{1000, ""}, {1001, "going away"}, {1011, "κόσμε"}, {4999, strings.Repeat("r", 123)}} {
		p := dialled(t, dial)
		if err := p.write(true, []byte("last words")); err != nil {
			t.Fatal(err)
		}
		if err := p.write(true, goodbye(want.code, want.reason)); err != nil {
			t.Fatal(err)
		}
		if m, err := p.read(); err != nil || string(m.payload) != "last words" {
			t.Fatalf("got %q, %v", m.payload, err)
		}
		_, err := p.read()
		var got *closed
		if !errors.As(err, &got) || *got != want {
			t.Errorf("got %v, want %v", err, &want)
		}
	}
}

func echoesOnMany(t *testing.T, dial func(ctx context.Context) (peer, error)) {
	const count = 30
	var peers []peer
	for i := 0; i < count; i++ {
		peers = append(peers, dialled(t, dial))
	}
	failed := make(chan error, count)
	for i, p := range peers {
		go func() { failed <- roundTrip(p, i%2 == 0, prose(100*i)) }()
	}
	for range peers {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for _, p := range peers {
		leave(t, p)
	}
}
