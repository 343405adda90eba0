package tcpio

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// heap is what is in use after a collection, in bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers of the first have let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// cycle opens a connection, has a message echoed, and closes it; the client first, or the server.
func cycle(t *testing.T, addr string, server bool) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	message := []byte("hello")
	if server {
		message[0] = '!'
	}
	if _, err := conn.Write(message); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conn, message); err != nil {
		t.Error(err)
	}
	if !server {
		return
	}
	if n, err := conn.Read(message); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
}

func TestTenThousandConnections(t *testing.T) {
	const workers, rounds = 10, 10_000
	for mode, options := range modes {
		t.Run(mode, func(t *testing.T) {
			rounds := rounds
			if options.Wrap != nil || testing.Short() {
				rounds /= 10
			}
			answer := func(conn net.Conn, message []byte) error {
				if _, err := conn.Write(message); err != nil {
					return err
				}
				if message[0] == '!' {
					return conn.Close()
				}
				return nil
			}
			if options.OnData != nil {
				options.OnData = answer
			} else {
				options.OnConnEvent = func(conn net.Conn) error {
					buf := make([]byte, 100)
					n, err := conn.Read(buf)
					if err != nil {
						return err
					}
					return answer(conn, buf[:n])
				}
			}
			options.OnErrorEvent = func(err error) {
				if err != io.EOF {
					t.Error(err)
				}
			}
			var closed atomic.Int64
			options.OnClose = func(net.Conn, error) { closed.Add(1) }
			options.Loops = 2
			s := serve(t, options)
			addr := s.GetListener().Addr().String()
			run := func(n int) {
				var all sync.WaitGroup
				for w := range workers {
					all.Add(1)
					go func() {
						defer all.Done()
						for i := range n / workers {
							cycle(t, addr, (i+w)%2 == 0)
						}
					}()
				}
				all.Wait()
				until(t, "all are gone", func() bool { return s.Stats().Conns == 0 })
			}
			run(rounds / 10)
			fds, before, reserved := descriptors(t), heap(), s.pool.Stats().Reserved
			run(rounds)
			if more := descriptors(t) - fds; more > 0 {
				t.Errorf("%d descriptors more", more)
			}
			if more := int64(heap() - before); more > 128<<10 { // a connection has more than 500
				t.Errorf("%d bytes more of Go's memory", more)
			}
			if more := int64(s.pool.Stats().Reserved) - int64(reserved); more > 0 {
				t.Errorf("%d bytes more of C's memory", more)
			}
			s.Close()
			wait(t, "Start to return", s.ended) // and with it each OnClose
			if n := closed.Load(); n != int64(rounds+rounds/10) {
				t.Errorf("OnClose was called %d times", n)
			}
		})
	}
}

// Connections that are closed go on being used by goroutines that do not know, while new ones get their descriptor
// numbers: no byte may reach or leave a connection that it is not meant for.
func TestDescriptorsAreReused(t *testing.T) {
	const clients, rounds = 8, 200
	stale := make(chan *Conn, 64)
	var strangers sync.WaitGroup
	for range 4 {
		strangers.Add(1)
		go func() {
			defer strangers.Done()
			for conn := range stale {
				conn.Close()
				for range 20 {
					if n, err := conn.Write([]byte("STRANGER")); n != 0 || err == nil {
						t.Errorf("writing to a closed connection: %d, %v", n, err)
					}
					if n, err := conn.Read(make([]byte, 8)); n != 0 || err == nil {
						t.Errorf("reading from a closed connection: %d, %v", n, err)
					}
					_ = conn.CloseWrite()
					_ = conn.SetReading(true)
				}
			}
		}()
	}
	s := serve(t, ListenerOptions{Loops: 2, OnConnEvent: func(conn net.Conn) error {
		buf := make([]byte, 8)
		n, err := io.ReadFull(conn, buf)
		if err != nil {
			return err
		}
		if _, err = conn.Write(buf[:n]); err != nil {
			return err
		}
		if buf[7] == 9 { // the last of its messages
			stale <- conn.(*Conn)
		}
		return nil
	}})
	var all sync.WaitGroup
	for c := range clients {
		all.Add(1)
		go func() {
			defer all.Done()
			for r := range rounds {
				conn := s.dial()
				message, got := make([]byte, 8), make([]byte, 8)
				for i := range 10 {
					binary.BigEndian.PutUint64(message, uint64(c)<<40|uint64(r)<<8|uint64(i))
					if _, err := conn.Write(message); err != nil {
						t.Error(err)
					}
					if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, message) {
						t.Errorf("got %x, %v, want %x", got, err, message)
					}
				}
				if n, err := conn.Read(got); n != 0 || err != io.EOF {
					t.Errorf("read %x, %v, want the end", got[:n], err)
				}
				conn.Close()
			}
		}()
	}
	all.Wait()
	s.Close()
	wait(t, "Start to return", s.ended)
	close(stale)
	strangers.Wait()
	if len(s.errs) > 0 {
		t.Error(<-s.errs)
	}
}
