package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/api"
	"github.com/momentics/hioload-ws/protocol"
)

// stall is how long a peer takes nothing until these tests believe that it will not.
const stall = 500 * time.Millisecond

// pour writes the first total bytes of piece, piece, piece ... from the one numbered from on, until that is done or the
// peer takes nothing any more. It returns how far it has come.
func (c *client) pour(piece []byte, from, total int64) (int64, error) {
	for from < total {
		offset := from % int64(len(piece))
		if err := c.conn.SetWriteDeadline(time.Now().Add(stall)); err != nil {
			return from, err
		}
		n, err := c.conn.Write(piece[offset:min(int64(len(piece)), offset+total-from)])
		from += int64(n)
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return from, err
		}
	}
	return from, nil
}

// drink reads count frames that must all be alike.
func (c *client) drink(opcode byte, payload []byte, count int) error {
	for i := 0; i < count; i++ {
		f, err := c.next()
		if err != nil {
			return err
		}
		if f.opcode != opcode || !bytes.Equal(f.payload, payload) {
			return errors.New("an echo differs from what was sent")
		}
	}
	return nil
}

// A peer that sends 400 MB and does not read is slowed down by TCP; memory stays bounded, others do not notice, and when
// it reads at last nothing is missing.
func TestPeerThatDoesNotRead(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			total := 400_000_000
			if testing.Short() {
				total /= 10
			}
			s := start(t, local(), api.HandlerFunc(echo), mode.options...)
			bystander := dial(t, s.Addr())
			c := dial(t, s.Addr())
			payload := bytes.Repeat([]byte("never read "), 5_000)
			piece := encode(true, protocol.OpcodeBinary, payload)
			count := total / len(piece)
			size := int64(count * len(piece))
			warm(t, s)
			before := reserved(s)
			sent, err := c.pour(piece, 0, size)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("sent %d of %d bytes with %v; the server should have stopped reading", sent, size, err)
			}
			stalled := sent
			if grown := reserved(s) - before; grown > 32<<20 {
				t.Errorf("one peer took %d bytes of memory", grown)
			}
			bystander.send(protocol.OpcodeText, []byte("meanwhile"))
			bystander.expect(protocol.OpcodeText, []byte("meanwhile"))
			drunk := make(chan error, 1)
			go func() { drunk <- c.drink(protocol.OpcodeBinary, payload, count) }()
			for sent < size {
				if sent, err = c.pour(piece, sent, size); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(err)
				}
			}
			if err := <-drunk; err != nil {
				t.Fatal(err)
			}
			if grown := reserved(s) - before; grown > 32<<20 {
				t.Errorf("one peer took %d bytes of memory", grown)
			}
			t.Logf("stalled after %d bytes of %d; memory %d -> %d", stalled, sent, before, reserved(s))
			if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil { // that of the last write may have passed
				t.Fatal(err)
			}
			c.goodbye()
		})
	}
}

// A message of which little comes takes little memory, whatever it announces.
func TestAnnouncedLengthTakesNoMemory(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	warm(t, s)
	before := reserved(s)
	for i := 0; i < 100; i++ {
		c := dial(t, s.Addr())
		c.write(append(announce(16<<20), "a little"...))
		c.send(protocol.OpcodePing, nil) // part of the payload
	}
	bystander := dial(t, s.Addr())
	bystander.send(protocol.OpcodeText, []byte("x"))
	bystander.expect(protocol.OpcodeText, []byte("x"))
	if grown := reserved(s) - before; grown > 64<<20 {
		t.Errorf("100 announcements of 16 MiB took %d bytes", grown)
	}
}

func TestResetInMidFrame(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			ended := make(chan *protocol.WSConnection, 1)
			s := start(t, local(), ends(ended, api.HandlerFunc(echo)), mode.options...)
			bystander := dial(t, s.Addr())
			whole := encode(true, protocol.OpcodeBinary, make([]byte, 100_000))
			for _, cut := range []int{1, 2, 5, 13, 14, 15, 50_000, len(whole) - 1} {
				c := dial(t, s.Addr())
				c.write(whole[:cut])
				if err := c.conn.(*net.TCPConn).SetLinger(0); err != nil {
					t.Fatal(err)
				}
				c.conn.Close()
				conn := <-ended
				if code, _ := conn.CloseStatus(); code != protocol.CloseAbnormalClosure {
					t.Errorf("reset after %d bytes: closed with %d", cut, code)
				}
				if err := conn.SendFrame(&protocol.WSFrame{IsFinal: true, Opcode: protocol.OpcodeText}); !errors.Is(err,
					api.ErrTransportClosed) {
					t.Errorf("SendFrame after the reset: %v", err)
				}
				bystander.send(protocol.OpcodeText, []byte("x"))
				bystander.expect(protocol.OpcodeText, []byte("x"))
			}
		})
	}
}

func TestBytesOneAtATime(t *testing.T) {
	s := start(t, local(), api.HandlerFunc(echo))
	c := connect(t, s.Addr())
	all := []byte(request)
	all = append(all, encode(true, protocol.OpcodePing, []byte("p"))...)
	all = append(all, encode(false, protocol.OpcodeText, bytes.Repeat([]byte("ä"), 70))...)
	all = append(all, encode(true, protocol.OpcodeContinuation, bytes.Repeat([]byte("ö"), 70))...)
	all = append(all, encode(true, protocol.OpcodeClose, closePayload(1000, "done"))...)
	for i := range all {
		c.write(all[i : i+1])
	}
	c.expectUpgrade()
	c.expect(protocol.OpcodePong, []byte("p"))
	c.expect(protocol.OpcodeText, append(bytes.Repeat([]byte("ä"), 70), bytes.Repeat([]byte("ö"), 70)...))
	c.expectClose(1000)
	c.expectEnd()
}

// One who sends ever more after the close frame is not listened to for ever.
func TestChatterAfterClose(t *testing.T) {
	ended := make(chan *protocol.WSConnection, 1)
	s := start(t, local(), ends(ended, api.HandlerFunc(echo)))
	c := dial(t, s.Addr())
	c.send(protocol.OpcodeClose, closePayload(1000, ""))
	for i := 0; ; i++ {
		if _, err := c.conn.Write(encode(true, protocol.OpcodeText, []byte("and another thing"))); err != nil {
			break // it has hung up
		}
	}
	<-ended
	f, err := c.next()
	if err == nil && (f.opcode != protocol.OpcodeClose || binary.BigEndian.Uint16(f.payload) != 1000) {
		t.Errorf("got %v", f)
	}
	if err == nil {
		if _, err = c.next(); err == nil {
			t.Error("what came after the close frame was answered")
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || err == io.ErrUnexpectedEOF {
		t.Errorf("the end: %v", err)
	}
}
