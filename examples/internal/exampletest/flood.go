//go:build linux

package exampletest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"
)

const (
	floodMost  = 256 << 20 // bytes that the kernel never holds for one connection, whatever it was told
	floodBlock = 65521     // a prime: no buffer is a multiple of it, and what is out of place shows
	standstill = 500 * time.Millisecond
)

// Flood sends to an echo server and reads nothing until the server takes no more, as one has to that is not to run out
// of memory. Then it sends as much again as one block, finishes, and expects everything back, to the last byte. What it
// sends is one line.
func Flood(t *testing.T, conn net.Conn, prefix string) {
	t.Helper()
	block := make([]byte, floodBlock)
	for i := range block {
		block[i] = 'a' + byte(rand.IntN(26))
	}
	sent := untilHeldUp(t, conn, block)
	if err := conn.SetDeadline(time.Now().Add(Patience)); err != nil {
		t.Fatal(err)
	}
	last := make(chan error, 1)
	go func() {
		_, err := conn.Write(block[sent%floodBlock:])
		last <- errors.Join(err, conn.(interface{ CloseWrite() error }).CloseWrite())
	}()
	Expect(t, conn, prefix)
	back := make([]byte, floodBlock)
	for blocks := sent/floodBlock + 1; blocks > 0; blocks-- {
		if n, err := io.ReadFull(conn, back); err != nil || !bytes.Equal(back, block) {
			t.Fatalf("%d of %d bytes were sent back, then %d others (%v)", sent-sent%floodBlock, sent, n, err)
		}
	}
	ExpectEnd(t, conn)
	if err := <-last; err != nil {
		t.Fatal(err)
	}
}

// untilHeldUp writes blocks until for a while not one byte is taken, and returns how many were. On a machine that
// stands still it may stop early, which does no harm.
func untilHeldUp(t *testing.T, conn net.Conn, block []byte) (sent int) {
	t.Helper()
	for sent < floodMost {
		if err := conn.SetWriteDeadline(time.Now().Add(standstill)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Write(block[sent%len(block):])
		sent += n
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			return sent
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	t.Fatalf("the server has taken %d bytes of which it could send back none", sent)
	return sent
}
