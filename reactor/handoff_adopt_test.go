//go:build linux

package reactor

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What package net or os has opened is adopted: the connection goes on in the context, and the Go object is closed.
func TestAdopt(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (conn any, peer net.Conn){
		"TCPConn": func(t *testing.T) (any, net.Conn) {
			fd, peer := tcpPair(t)
			return connOf(t, own(t, fd)), peer
		},
		"UnixConn": func(t *testing.T) (any, net.Conn) {
			fd, peer := pair(t)
			return connOf(t, own(t, fd)), connOf(t, peer)
		},
		"UDPConn": func(t *testing.T) (any, net.Conn) {
			server := listenDatagrams(t, "udp4", "127.0.0.1:0").(*net.UDPConn)
			peer, err := net.DialUDP("udp4", nil, server.LocalAddr().(*net.UDPAddr))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { peer.Close() })
			peer.SetDeadline(time.Now().Add(patience))
			return server, peer
		},
		"socket as a file": func(t *testing.T) (any, net.Conn) {
			fd, peer := pair(t)
			return os.NewFile(uintptr(fd), "socket"), connOf(t, peer)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := contextFor(t, ContextOptions{})
			a := newActor()
			a.data = sendBack
			conn, peer := open(t)
			put(t, peer, "before") // which nobody has read yet
			want := ClientInfo{}
			if socket, ok := conn.(net.Conn); ok && socket.RemoteAddr() != nil {
				want = clientAt(socket.RemoteAddr())
			} else {
				want.Type = map[string]string{"UDPConn": "udp", "socket as a file": "unix"}[name]
			}
			adopt(t, c, conn, a)
			if got := a.Info(); got != want {
				t.Errorf("it is %+v, want %+v", got, want)
			}
			runtime.GC() // which closes what nobody keeps
			expect(t, peer, "before")
			exchange(t, peer, "after")
			switch conn := conn.(type) {
			case net.Conn:
				if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Write of the original: %v, want net.ErrClosed", err)
				}
			case *os.File:
				if _, err := conn.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
					t.Errorf("Write of the original: %v, want os.ErrClosed", err)
				}
			}
			if name != "UDPConn" {
				peer.Close()
				a.closes(t)
			}
		})
	}
}

// What cannot be adopted stays as it is.
func TestAdoptRefused(t *testing.T) {
	c := contextFor(t, ContextOptions{Factory: greeter("hi"), MaxConnections: 1})
	ours, peer := net.Pipe()
	defer peer.Close()
	defer ours.Close()
	secure := tls.Client(ours, &tls.Config{InsecureSkipVerify: true})
	for says, conn := range map[string]net.Conn{"*tls.Conn": secure, "*net.pipe": ours, "nil": nil} {
		if err := c.Adopt(conn); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%T: %v, want ErrInvalid that says %q", conn, err, says)
		}
	}
	if err := c.AdoptFile(nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("nil file: %v, want ErrInvalid", err)
	}

	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := c.AdoptFile(file); !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a regular file: %v, want EPERM", err)
	}
	put(t, file, "still mine")

	_, first := join(t, c)
	expect(t, first, "hi")
	before := descriptors(t)
	fd, other := pair(t)
	conn := connOf(t, own(t, fd))
	if err := c.Adopt(conn); !errors.Is(err, ErrTooManySockets) {
		t.Errorf("over the limit: %v, want ErrTooManySockets", err)
	}
	send(t, other, "open")
	expect(t, conn, "open")
	closeFD(t, other)
	conn.Close()
	if err := c.Adopt(conn); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed one: %v, want net.ErrClosed", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
