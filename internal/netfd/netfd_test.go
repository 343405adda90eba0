package netfd

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// pair makes two connected, non-blocking sockets that are closed when the test ends.
func pair(t testing.TB, sotype int) (a, b int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, sotype|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Close(fds[0])
		syscall.Close(fds[1])
	})
	return fds[0], fds[1]
}

func TestStream(t *testing.T) {
	a, b := pair(t, syscall.SOCK_STREAM)
	buf := make([]byte, 100)
	if n, err := Read(a, buf); n != 0 || err != syscall.EAGAIN {
		t.Errorf("Read of nothing: %d, %v; want EAGAIN", n, err)
	}
	for name, write := range map[string]func(int, []byte) (int, error){"Write": Write, "Send": Send} {
		if n, err := write(b, []byte(name)); n != len(name) || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		if n := Unread(a); n != len(name) {
			t.Errorf("Unread: %d, want %d", n, len(name))
		}
		if n, err := Read(a, buf); string(buf[:n]) != name || err != nil {
			t.Errorf("Read: %q, %v", buf[:n], err)
		}
	}
	if n, err := Read(a, nil); n != 0 || err != nil {
		t.Errorf("Read into nothing: %d, %v", n, err)
	}
	big := make([]byte, 8<<20)
	if n, err := Send(b, big); n == 0 || n >= len(big) || err != nil {
		t.Errorf("Send of more than there is room for: %d, %v", n, err)
	}
	if n, err := Send(b, big); n != 0 || err != syscall.EAGAIN {
		t.Errorf("Send to a full socket: %d, %v", n, err)
	}
	if err := Close(a); err != nil {
		t.Error(err)
	}
	if n, err := Send(b, buf); n != 0 || err != syscall.EPIPE {
		t.Errorf("Send to nobody: %d, %v; want EPIPE", n, err)
	}
	if err := Close(a); err != syscall.EBADF {
		t.Errorf("second Close: %v", err)
	}
	for what, err := range map[string]error{
		"Read": second(Read(a, buf)), "Write": second(Write(a, buf)), "Send": second(Send(a, buf)),
		"Dup": second(Dup(a)), "SetNonblock": SetNonblock(a),
	} {
		if err != syscall.EBADF {
			t.Errorf("%s of a closed descriptor: %v, want EBADF", what, err)
		}
	}
	if Unread(a) != 0 || SocketType(a) != 0 {
		t.Error("a closed descriptor has bytes, or a type")
	}
	// The end: what the peer had sent is read first.
	c, d := pair(t, syscall.SOCK_STREAM)
	syscall.Shutdown(d, syscall.SHUT_WR)
	if n, err := Read(c, buf); n != 0 || err != nil {
		t.Errorf("Read at the end: %d, %v", n, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestDescriptors(t *testing.T) {
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fds[1])
	flags := func(fd, what int) int {
		t.Helper()
		n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), uintptr(what), 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		return int(n)
	}
	for range 2 { // again changes nothing
		if err := SetNonblock(fds[0]); err != nil || flags(fds[0], syscall.F_GETFL)&syscall.O_NONBLOCK == 0 {
			t.Errorf("SetNonblock: %v", err)
		}
	}
	dup, err := Dup(fds[0])
	if err != nil || flags(dup, syscall.F_GETFD)&syscall.FD_CLOEXEC == 0 {
		t.Fatalf("Dup: %d, %v", dup, err)
	}
	defer Close(dup)
	Close(fds[0])
	if _, err := Write(fds[1], []byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := Read(dup, make([]byte, 9)); n != 1 || err != nil {
		t.Errorf("Read of the duplicate: %d, %v", n, err)
	}
	a, _ := pair(t, syscall.SOCK_DGRAM)
	if SocketType(a) != syscall.SOCK_DGRAM || SocketType(dup) != 0 {
		t.Errorf("types %d, %d", SocketType(a), SocketType(dup))
	}
}

func TestDatagram(t *testing.T) {
	aFD, aAddr, err := ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer Close(aFD)
	bFD, bAddr, err := ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer Close(bFD)
	var to, from Sockaddr
	if err := to.SetAddr(bAddr, 0); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"hello", ""} {
		if n, err := SendTo(aFD, []byte(text), &to); n != len(text) || err != nil {
			t.Errorf("SendTo: %d, %v", n, err)
		}
		buf := make([]byte, 100)
		n, err := ReceiveFrom(bFD, buf, &from)
		if string(buf[:n]) != text || err != nil || from.Addr(syscall.SOCK_DGRAM).String() != aAddr.String() {
			t.Errorf("ReceiveFrom: %q, %v from %v", buf[:n], err, from.AddrPort())
		}
	}
	if n, err := ReceiveFrom(bFD, nil, &from); n != 0 || err != syscall.EAGAIN {
		t.Errorf("ReceiveFrom of nothing: %d, %v", n, err)
	}
	if _, err := SendTo(-1, nil, &to); err != syscall.EBADF {
		t.Errorf("SendTo of a closed descriptor: %v", err)
	}
}

// What a listener accepts, and what Connect makes, is without Nagle's algorithm; Connected tells what became of it.
func TestConnect(t *testing.T) {
	fd, addr, err := Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var to Sockaddr
	if err := to.SetAddr(addr, 0); err != nil {
		t.Fatal(err)
	}
	client, err := Connect(&to, syscall.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(client)
	server, _, err := syscall.Accept4(fd, syscall.SOCK_CLOEXEC) // waits: the descriptor is given back non-blocking
	for err == syscall.EAGAIN {
		server, _, err = syscall.Accept4(fd, syscall.SOCK_CLOEXEC)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer Close(server)
	if err := Connected(client); err != nil {
		t.Errorf("Connected: %v", err)
	}
	for _, fd := range []int{client, server} {
		if on, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY); on == 0 || err != nil {
			t.Errorf("TCP_NODELAY: %d, %v", on, err)
		}
	}
	if LocalAddr(client).String() != RemoteAddr(server).String() || RemoteAddr(client).String() != addr.String() {
		t.Errorf("addresses %v - %v, %v - %v", LocalAddr(client), RemoteAddr(client), LocalAddr(server), RemoteAddr(server))
	}
	Close(fd)
	refused, err := Connect(&to, syscall.SOCK_STREAM) // may fail at once or later
	if err == nil {
		defer Close(refused)
		for err = syscall.EINPROGRESS; err == syscall.EINPROGRESS; {
			err = Connected(refused)
		}
	}
	if err != syscall.ECONNREFUSED {
		t.Errorf("with nobody there: %v", err)
	}
	if err := Connected(-1); err != syscall.EBADF {
		t.Errorf("Connected of no descriptor: %v", err)
	}
	if _, err := RemoteName(server + 1000); err != syscall.EBADF {
		t.Errorf("RemoteName of no descriptor: %v", err)
	}
	if LocalAddr(-1) != nil || RemoteAddr(-1) != nil {
		t.Error("no descriptor has an address")
	}
	if _, err := Connect(&Sockaddr{}, syscall.SOCK_STREAM); err == nil {
		t.Error("Connect to nothing")
	}
}

func TestListenRefuses(t *testing.T) {
	var op *net.OpError
	for _, network := range []string{"udp", "unixgram", "ip", ""} {
		if _, _, err := Listen(network, "127.0.0.1:0"); !errors.As(err, &op) || !strings.Contains(err.Error(), network) {
			t.Errorf("Listen(%q): %v", network, err)
		}
	}
	for _, network := range []string{"tcp", "unix", "ip", ""} {
		_, _, err := ListenPacket(network, "127.0.0.1:0")
		if !errors.As(err, &op) || !strings.Contains(err.Error(), network) {
			t.Errorf("ListenPacket(%q): %v", network, err)
		}
	}
	for _, err := range []error{third(Listen("tcp", "nonsense")), third(ListenPacket("udp", "nonsense"))} {
		if !errors.As(err, &op) || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("a bad address: %v", err)
		}
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }

// A Unix listener leaves its file to its owner; net's own would take it along.
func TestUnixListenerKeepsItsFile(t *testing.T) {
	path := t.TempDir() + "/s"
	fd, addr, err := Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(fd)
	if _, err := os.Stat(path); err != nil || addr.String() != path {
		t.Errorf("%v: %v", addr, err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// Who asks for a datagram that is not there yet still knows whom the last came from.
func TestReceiveFromKeepsTheLastSender(t *testing.T) {
	dir := t.TempDir()
	server, addr, err := ListenPacket("unixgram", dir+"/server")
	if err != nil {
		t.Fatal(err)
	}
	defer Close(server)
	client, err := net.DialUnix("unixgram", &net.UnixAddr{Name: dir + "/client", Net: "unixgram"}, addr.(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	var from Sockaddr
	buf := make([]byte, 100)
	if n, err := ReceiveFrom(server, buf, &from); err != nil || string(buf[:n]) != "hello" {
		t.Fatalf("got %q, %v", buf[:n], err)
	}
	last := from
	if _, err := ReceiveFrom(server, buf, &from); err != syscall.EAGAIN || from != last {
		t.Errorf("of nothing: %v, want EAGAIN; the sender is %v", err, from.Addr(syscall.SOCK_DGRAM))
	}
	if _, err := SendTo(server, []byte("reply"), &from); err != nil {
		t.Errorf("SendTo: %v", err)
	}
}

func TestHungUp(t *testing.T) {
	a, b := pair(t, syscall.SOCK_STREAM)
	if HungUp(a) {
		t.Error("an open socket is hung up")
	}
	syscall.Shutdown(b, syscall.SHUT_WR)
	if HungUp(a) {
		t.Error("one direction is still open")
	}
	Close(b)
	if !HungUp(a) {
		t.Error("the peer has closed")
	}
	Close(a)
	if HungUp(a) {
		t.Error("a closed descriptor is hung up")
	}
}
