//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/momentics/hioload-ws/examples/internal/exampletest"
)

func TestMain(m *testing.M) { exampletest.Main(m) }

// start runs the server, by default without a limit of lines per second that a test could notice.
func start(t *testing.T, args ...string) (p *exampletest.Process, addr string) {
	t.Helper()
	p = exampletest.Start(t, append([]string{"-addr", "127.0.0.1:0", "-rate", "1000000000"}, args...)...)
	return p, p.Addr()
}

// guest is a client of the test's own.
type guest struct {
	net.Conn
	t     *testing.T
	lines *bufio.Reader
}

// join connects, and gives a name.
func join(t *testing.T, addr, name string) *guest {
	t.Helper()
	g := &guest{Conn: exampletest.Dial(t, "tcp", addr), t: t}
	g.lines = bufio.NewReader(g.Conn)
	g.want("* Welcome. What is your name?")
	g.say(name)
	if line := g.next(); !strings.HasPrefix(line, "* Here: ") {
		t.Fatalf("%s is greeted with %q", name, line)
	}
	return g
}

func (g *guest) say(line string) {
	g.t.Helper()
	exampletest.Send(g.t, g, line+"\n")
}

func (g *guest) next() string {
	g.t.Helper()
	line, err := g.lines.ReadString('\n')
	if err != nil {
		g.t.Fatalf("read %q, %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (g *guest) want(lines ...string) {
	g.t.Helper()
	for _, want := range lines {
		if line := g.next(); line != want {
			g.t.Fatalf("read %.100q, want %.100q", line, want)
		}
	}
}

// The session in README.md.
func TestNetcat(t *testing.T) {
	p, addr := start(t)
	host, port, _ := net.SplitHostPort(addr)
	ann := exampletest.Client(t, "nc", host, port)
	ann.Out.Want(`^\* Welcome\. What is your name\?$`)
	ann.Write("ann\n")
	ann.Out.Want(`^\* Here: ann$`)
	p.Out.Want(`^ann joined from 127\.0\.0\.1:\d+$`)

	bob := exampletest.Client(t, "nc", host, port)
	bob.Out.Want(`^\* Welcome\. What is your name\?$`)
	bob.Write("Ann\n")
	bob.Out.Want(`^\* Ann is here already\. What is your name\?$`)
	bob.Write("b o b\n")
	bob.Out.Want(`^\* A name has up to 20 letters, digits, - or _\. What is yours\?$`)
	bob.Write("bob\n")
	bob.Out.Want(`^\* Here: ann, bob$`)
	ann.Out.Want(`^\* bob has joined$`)

	ann.Write("hello\n")
	bob.Out.Want(`^ann: hello$`)
	bob.Write("/who\n/help\nhi ann\n/quit\n")
	bob.Out.Want(`^\* Here: ann, bob$`)
	bob.Out.Want(`^\* Commands are /who and /quit$`)
	ann.Out.Want(`^bob: hi ann$`)
	bob.CloseInput()
	if status, rest := bob.Exit(), bob.Out.Rest(); status != 0 || len(rest) != 0 {
		t.Errorf("after /quit, nc ends with status %d and %q", status, rest)
	}
	ann.Out.Want(`^\* bob has left$`)

	ann.CloseInput() // the server is to end with a member in it
	p.Interrupt()
	ann.Out.Want(`^\* The chat is over$`)
}

// Clients that send all they have to say at once, and leave, are heard.
func TestPython(t *testing.T) {
	_, addr := start(t)
	ann := join(t, addr, "ann")
	got := exampletest.Python(t, addr, `
s = connect()
s.sendall("Zoë\r\nred\tgreen\r\n\r\n\x1b[2J".encode() + b"\xff\nthe last one")
s.shutdown(socket.SHUT_WR)
for line in end(s).decode().splitlines():
    print(line)
`)
	if want := []string{"* Welcome. What is your name?", "* Here: Zoë, ann"}; !slices.Equal(got, want) {
		t.Errorf("python read %q, want %q", got, want)
	}
	ann.want("* Zoë has joined", "Zoë: red green", "Zoë: .[2J.", "Zoë: the last one", "* Zoë has left")
}

// Everybody hears what everybody says, whole lines in the order in which each has said them.
func TestManyMembers(t *testing.T) {
	const members, lines = 20, 50
	_, addr := start(t)
	var all []*guest
	for i := range members {
		g := join(t, addr, fmt.Sprintf("member%d", i))
		for _, other := range all {
			other.want(fmt.Sprintf("* member%d has joined", i))
		}
		all = append(all, g)
	}
	for n := range lines {
		for _, g := range all {
			g.say(fmt.Sprint(n))
		}
	}
	for i, g := range all {
		heard := make(map[string]int)
		for range (members - 1) * lines {
			name, text, _ := strings.Cut(g.next(), ": ")
			if text != fmt.Sprint(heard[name]) {
				t.Fatalf("member%d hears %q from %s, want %d", i, text, name, heard[name])
			}
			heard[name]++
		}
	}
}

// A member that does not read is sent away when too much waits for it. Nobody else loses a line.
func TestSlowReader(t *testing.T) {
	p, addr := start(t)
	ann, bob := join(t, addr, "ann"), join(t, addr, "bob")
	ann.want("* bob has joined")
	slow := join(t, addr, "slow")
	if err := slow.Conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	ann.want("* slow has joined")
	bob.want("* slow has joined")

	const most = 64 << 20 / maxLine // far more lines than kernel and server may keep
	text := strings.Repeat("x", maxLine)
	for n := 0; ; n++ {
		if n == most {
			t.Fatal("the member that reads nothing is still there")
		}
		ann.say(text)
		line := bob.next()
		if line == "* slow has left: reads too slowly" {
			break
		}
		if line != "ann: "+text {
			t.Fatalf("bob hears %.100q", line)
		}
	}
	ann.want("* slow has left: reads too slowly")
	p.Out.Await(1, `^slow has left: reads too slowly$`)
	bob.want("ann: " + text)
	bob.say("still here")
	ann.want("bob: still here")
}

// Who says more than a fair share is slowed down, and loses nothing.
func TestRate(t *testing.T) {
	_, addr := start(t, "-rate", "200")
	ann, bob := join(t, addr, "ann"), join(t, addr, "bob")
	ann.want("* bob has joined")
	const lines = 100
	text := strings.Repeat("x", 1000) // so that the server does not get many of them at a time
	begin := time.Now()
	for n := range lines {
		ann.say(fmt.Sprint(n, " ", text))
	}
	for n := range lines {
		bob.want(fmt.Sprint("ann: ", n, " ", text))
	}
	// All but those that may come at once, and those that one read brings, have had to wait for their turn.
	if least := (lines - burst - atATime/1000 - 1) * time.Second / 200; time.Since(begin) < least {
		t.Errorf("%d lines took %v, less than %v", lines, time.Since(begin), least)
	}
}

func TestLongLine(t *testing.T) {
	p, addr := start(t)
	ann, bob := join(t, addr, "ann"), join(t, addr, "bob")
	ann.want("* bob has joined")
	ann.say(strings.Repeat("x", maxLine+1))
	ann.want(fmt.Sprintf("* That was not sent: it has %d bytes, more than %d", maxLine+1, maxLine))
	ann.say(strings.Repeat("x", maxLine))
	bob.want("ann: " + strings.Repeat("x", maxLine))

	exampletest.Send(t, ann, strings.Repeat("x", hardLine+1)) // without an end
	bob.want("* ann has left: line too long")
	p.Out.Await(1, `message too long`)
}

func TestTooManyClients(t *testing.T) {
	p, addr := start(t, "-max", "2")
	ann, bob := join(t, addr, "ann"), join(t, addr, "bob")
	ann.want("* bob has joined")
	exampletest.ExpectEnd(t, exampletest.Dial(t, "tcp", addr))
	p.Out.Await(1, "too many connections")
	bob.say("/quit")
	ann.want("* bob has left")
	bob.Close()
	exampletest.Until(t, "there is room for another", func() bool {
		_, err := exampletest.Dial(t, "tcp", addr).Read(make([]byte, 1)) // of the greeting
		return err == nil
	})
}

func TestTerminate(t *testing.T) {
	p, addr := start(t)
	ann, bob := join(t, addr, "ann"), join(t, addr, "bob")
	ann.want("* bob has joined")
	stranger := exampletest.Dial(t, "tcp", addr) // who has no name yet
	exampletest.Expect(t, stranger, "* Welcome. What is your name?\n")
	p.Signal(syscall.SIGTERM)
	for _, conn := range []net.Conn{ann, bob, stranger} {
		exampletest.Expect(t, conn, "* The chat is over\n")
		exampletest.ExpectEnd(t, conn)
		conn.Close()
	}
	if status := p.Exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestBadArguments(t *testing.T) {
	exampletest.Fails(t, 1, "address already in use", "-addr", exampletest.Taken(t))
	exampletest.Fails(t, 1, "nowhere", "-addr", "nowhere")
	exampletest.Fails(t, 2, "-rate is 0", "-rate", "0")
	exampletest.Fails(t, 1, "MaxConns is -1", "-max", "-1")
}
