package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/protocol"
	"github.com/momentics/hioload-ws/server"
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

// Both ends stream and compress: fragments of a compressed message are written on one side, expanded piece by piece on the
// other, and come back the same way.
func TestStreamingCompressed(t *testing.T) {
	for name, compression := range map[string]*protocol.Compression{
		"takeover":    {},
		"no takeover": {ServerNoContextTakeover: true, ClientNoContextTakeover: true},
	} {
		t.Run(name, func(t *testing.T) {
			config := server.DefaultConfig()
			config.Streaming = true
			config.Compression = compression
			address := serveWith(t, protocol.Events{OnOpen: func(c *protocol.WSConnection, _ *http.Request) {
				go func() {
					for echoStream(c) == nil {
					}
				}()
			}}, config)
			o := direct(t)
			o.Streaming, o.Compression = true, compression
			c := dial(t, "ws://"+address, o)
			for _, size := range []int{0, 1, 100, 70_000, 5_000_000} {
				text := strings.Repeat("so it goes on and on; ", size/22+1)[:size]
				w, err := c.NextWriter(within(t), protocol.OpcodeText)
				if err != nil {
					t.Fatal(err)
				}
				for rest := text; len(rest) > 0; {
					n := min(len(rest), 9999)
					if _, err := io.WriteString(w, rest[:n]); err != nil {
						t.Fatal(err)
					}
					rest = rest[n:]
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				opcode, r, err := c.NextReader(within(t))
				if err != nil || opcode != protocol.OpcodeText {
					t.Fatalf("%d bytes: opcode %d, %v", size, opcode, err)
				}
				if got, err := io.ReadAll(r); err != nil || string(got) != text {
					t.Fatalf("%d bytes: %d came back, %v", size, len(got), err)
				}
			}
			if stats := c.GetStats(); stats["bytes_sent"] > 500_000 {
				t.Errorf("%d bytes were sent: they were not compressed", stats["bytes_sent"])
			}
		})
	}
}

// echoStream sends one message back while it comes.
func echoStream(c *protocol.WSConnection) error {
	opcode, r, err := c.NextReader(context.Background())
	if err != nil {
		return err
	}
	w, err := c.NextWriter(context.Background(), opcode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Close()
}
