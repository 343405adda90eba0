package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/momentics/hioload-ws/protocol"
)

// A message of 64 MiB, more than a connection may hold, is read while it comes, and one as large is written. Next
// comes a small one.
func TestStreaming(t *testing.T) {
	const pieces, size = 1024, 64 << 10
	piece := func(i int) []byte { return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, size/2) }
	sent := make(chan hash.Hash, 1)
	address := listen(t, func(conn net.Conn) {
		reader := newReader(conn)
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, accepting(request, ""))
		sum := sha256.New()
		for i := range pieces {
			head := []byte{0, 127} // a continuation
			if i == 0 {
				head[0] = protocol.OpcodeBinary
			}
			if i == pieces-1 {
				head[0] |= 0x80
			}
			b := piece(i)
			sum.Write(b)
			if _, err := conn.Write(append(binary.BigEndian.AppendUint64(head, size), b...)); err != nil {
				return
			}
		}
		sent <- sum
		_, _ = conn.Write([]byte("\x81\x05small"))
		_, _ = io.Copy(io.Discard, reader)
	})
	o := direct(t)
	o.Streaming = true
	c := dial(t, "ws://"+address, o)
	opcode, r, err := c.NextReader(within(t))
	if err != nil || opcode != protocol.OpcodeBinary {
		t.Fatalf("opcode %d, %v", opcode, err)
	}
	sum := sha256.New()
	if n, err := io.Copy(sum, r); n != pieces*size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if want := (<-sent).Sum(nil); !bytes.Equal(sum.Sum(nil), want) {
		t.Error("other bytes than were sent")
	}
	opcode, r, err = c.NextReader(within(t))
	if err != nil || opcode != protocol.OpcodeText {
		t.Fatalf("opcode %d, %v", opcode, err)
	}
	if small, err := io.ReadAll(r); string(small) != "small" || err != nil {
		t.Errorf("%q, %v", small, err)
	}
	o.Loops.Close()
	var end *protocol.CloseError
	if _, _, err := c.NextReader(within(t)); !errors.As(err, &end) || end.Code != protocol.CloseAbnormalClosure {
		t.Errorf("at the end: %v", err)
	}
}
