//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"math/rand"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/api"
	wsclient "github.com/momentics/hioload-ws/client"
	"github.com/momentics/hioload-ws/protocol"
)

// runServer runs somebody else's server until the test ends and returns its URL. It prints its port in a line.
func runServer(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	var errors safeBuffer
	cmd.Stderr = &errors
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // nothing else ends it
		_ = cmd.Wait()
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, errors.String())
	}
	return "ws://127.0.0.1:" + strings.TrimSpace(port) + "/"
}

// agreement is what our client and a server are to agree upon: what either asks for, and what comes out.
type agreement struct {
	name         string
	compression  *protocol.Compression // what we ask for; nil: none
	node, python string                // the server's options, in JSON
	out, in      bool                  // we, and the server, remember earlier messages
}

var agreements = []agreement{
	{"plain", nil, `false`, `none`, false, false},
	{"takeover", &protocol.Compression{}, `{}`, `{}`, true, true},
	{"the server wants none", &protocol.Compression{}, `{"serverNoContextTakeover": true, "clientNoContextTakeover": true}`,
		`{"server_no_context_takeover": true, "client_no_context_takeover": true}`, false, false},
	{"we want none", &protocol.Compression{ServerNoContextTakeover: true, ClientNoContextTakeover: true}, `{}`, `{}`,
		false, false},
	{"small windows", &protocol.Compression{ServerBits: 10, ClientBits: 11}, `{}`, `{}`, true, true},
}

// dialog is a connection of our client.
type dialog struct {
	t      *testing.T
	ctx    context.Context
	conn   *wsclient.Conn
	queued []api.Buffer
}

// dial connects to a server by others.
func (a agreement) dial(t *testing.T, loops *wsclient.Loops, url string) *dialog {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	conn, response, err := wsclient.Dial(ctx, url, &wsclient.Options{Loops: loops, Compression: a.compression})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // it may have ended
	if got := response.Header.Get("Sec-WebSocket-Extensions"); (got != "") != (a.compression != nil) {
		t.Errorf("extensions: %q", got)
	}
	return &dialog{t: t, ctx: ctx, conn: conn}
}

// echo sends a message, which has to come back, and tells how many bytes went each way.
func (d *dialog) echo(opcode byte, payload []byte) (sent, came int64) {
	d.t.Helper()
	before := d.conn.GetStats()
	if err := d.conn.Write(d.ctx, opcode, payload); err != nil {
		d.t.Fatal(err)
	}
	if len(d.queued) == 0 {
		var err error
		if d.queued, err = d.conn.RecvZeroCopy(); err != nil {
			d.t.Fatal(err)
		}
	}
	got := d.queued[0]
	d.queued = d.queued[1:]
	defer got.Release()
	if protocol.MessageOpcode(got) != opcode || !bytes.Equal(got.Bytes(), payload) {
		d.t.Fatalf("the echo of %d bytes has %d, opcode %d of %d", len(payload), len(got.Bytes()),
			protocol.MessageOpcode(got), opcode)
	}
	after := d.conn.GetStats()
	return after["bytes_sent"] - before["bytes_sent"], after["bytes_received"] - before["bytes_received"]
}

// ended waits for the end of the connection and checks how that came.
func (d *dialog) ended(code int, reason string) {
	d.t.Helper()
	select {
	case <-d.conn.Done():
	case <-d.ctx.Done():
		d.t.Fatal("the connection has not ended")
	}
	if gotCode, got := d.conn.CloseStatus(); gotCode != code || got != reason {
		d.t.Errorf("closed with %d %q, want %d %q", gotCode, got, code, reason)
	}
}

func (a agreement) check(t *testing.T, loops *wsclient.Loops, url string) {
	d := a.dial(t, loops, url)
	largest := 10_000_000
	if a.compression != nil {
		largest = 300_000 // for the sake of time
	}
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, largest} {
		d.echo(protocol.OpcodeText, bytes.Repeat([]byte("ein wenig Text, "), size/16+1)[:size])
		d.echo(protocol.OpcodeBinary, bytes.Repeat([]byte{0xff, 0, 0x80}, size/3+1)[:size])
	}
	sent, came := d.echo(protocol.OpcodeText, bytes.Repeat([]byte("ein wenig Text, "), 6000))
	if compressed := a.compression != nil; compressed != (sent < 2000) || compressed != (came < 2000) {
		t.Errorf("96000 bytes of text went as %d and came as %d", sent, came)
	}
	// Noise can't be compressed, but the second time it is known, if the first is remembered.
	noise := make([]byte, 600)
	rand.New(rand.NewSource(1)).Read(noise)
	d.echo(protocol.OpcodeBinary, noise)
	if sent, came := d.echo(protocol.OpcodeBinary, noise); a.out != (sent < 100) || a.in != (came < 100) {
		t.Errorf("600 bytes went as %d and came as %d the second time", sent, came)
	}
	if _, err := d.conn.Ping(d.ctx); err != nil {
		t.Error(err)
	}
	if _, err := d.conn.Ping(d.ctx); err != nil {
		t.Error(err)
	}
	if err := d.conn.Write(d.ctx, protocol.OpcodeText, []byte("goodbye 4321 why")); err != nil {
		t.Fatal(err)
	}
	// Reading on is what tells the connection that nothing more will be said, and the close frame may be answered.
	if buffers, err := d.conn.RecvZeroCopy(); err != io.EOF {
		t.Errorf("got %d messages, %v", len(buffers), err)
	}
	d.ended(4321, "why")

	d = a.dial(t, loops, url)
	if err := d.conn.CloseWith(4000, "bye"); err != nil {
		t.Fatal(err)
	}
	d.ended(4000, "bye")
}

// Our client talks to servers by others.
func TestRealServers(t *testing.T) {
	dir := clients(t)
	for _, backend := range backends {
		t.Run(backend, func(t *testing.T) {
			needsBackend(t, backend)
			loops, err := wsclient.NewLoops(1, wsclient.WithBackend(backend))
			if err != nil {
				t.Fatal(err)
			}
			defer loops.Close()
			for _, a := range agreements {
				t.Run("npm ws, "+a.name, func(t *testing.T) {
					a.check(t, loops, runServer(t, "node", "clients/ws_server.cjs", filepath.Join(dir, "node"), a.node))
				})
				t.Run("Python websockets, "+a.name, func(t *testing.T) {
					python := filepath.Join(dir, "python", "bin", "python")
					a.check(t, loops, runServer(t, python, "clients/ws_server.py", a.python))
				})
			}
		})
	}
}
