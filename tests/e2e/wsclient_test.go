//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
)

// client is a WebSocket client of a few lines: whole frames only, and nothing is answered by itself, so that a test sees
// and decides everything. One goroutine may write while another reads.
type client struct {
	net.Conn
	r *bufio.Reader
}

// dial connects and performs the opening handshake of section 4.1. Every later wait on the connection is bounded.
func dial(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))

	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", addr, key)
	r := bufio.NewReaderSize(conn, 1<<16)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if want := base64.StdEncoding.EncodeToString(sum[:]); resp.StatusCode != http.StatusSwitchingProtocols ||
		resp.Header.Get("Sec-WebSocket-Accept") != want {
		t.Fatalf("handshake answered with %s, accept %q", resp.Status, resp.Header.Get("Sec-WebSocket-Accept"))
	}
	return &client{conn, r}
}

// frame is one final masked frame, ready to be written (section 5.2).
func frame(opcode byte, payload []byte) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := [4]byte{0x5a, 0xc3, 0x0f, 0x99}
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// send writes one message.
func (c *client) send(opcode byte, payload []byte) error {
	_, err := c.Write(frame(opcode, payload))
	return err
}

// underway is how many bytes have been written that the other end's kernel has not acknowledged (tcp(7), SIOCOUTQ).
func (c *client) underway(t *testing.T) int32 {
	t.Helper()
	n, err := c.unacknowledged()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// unacknowledged is underway for any goroutine.
func (c *client) unacknowledged() (n int32, err error) {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n)))
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return n, err
}

// receive reads one frame, which a server must send final (ours never fragments an echo) and unmasked (section 5.1).
func (c *client) receive() (opcode byte, payload []byte, err error) {
	var h [8]byte
	if _, err = io.ReadFull(c.r, h[:2]); err != nil {
		return 0, nil, err
	}
	if h[0]&0xf0 != 0x80 || h[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("frame begins with %#x: not final, reserved bits, or masked", h[:2])
	}
	opcode, n := h[0]&0xf, uint64(h[1])
	switch n {
	case 126:
		_, err = io.ReadFull(c.r, h[:2])
		n = uint64(binary.BigEndian.Uint16(h[:2]))
	case 127:
		_, err = io.ReadFull(c.r, h[:8])
		n = binary.BigEndian.Uint64(h[:8])
	}
	if err != nil {
		return 0, nil, err
	}
	if n > 1<<28 {
		return 0, nil, fmt.Errorf("frame of %d bytes", n)
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.r, payload)
	return opcode, payload, err
}

// expect reads one frame and fails the test unless it is this one.
func (c *client) expect(t *testing.T, opcode byte, payload []byte) {
	t.Helper()
	gotOp, got, err := c.receive()
	if err != nil {
		t.Fatal(err)
	}
	if gotOp != opcode || !bytes.Equal(got, payload) {
		t.Fatalf("got opcode %d and %d bytes (%.40q...), want opcode %d and %d bytes (%.40q...)",
			gotOp, len(got), got, opcode, len(payload), payload)
	}
}

// goodbye performs the closing handshake of section 7.1.2: the server answers with our status code, then ends TCP.
func (c *client) goodbye(t *testing.T) {
	t.Helper()
	status := []byte{1000 >> 8, 1000 & 0xff}
	if err := c.send(opClose, status); err != nil {
		t.Fatal(err)
	}
	c.expect(t, opClose, status)
	c.expectEOF(t)
}

func (c *client) expectEOF(t *testing.T) {
	t.Helper()
	if b, err := c.r.ReadByte(); err != io.EOF {
		t.Fatalf("after the closing handshake: byte %#x, error %v; want the end of the stream", b, err)
	}
}
