package tcpio

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// patient bounds a Shutdown that is expected to come to an end.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// Clients send numbers as fast as they can; each one that was answered must have been counted, each answer that was
// written must arrive, and nothing may end with a reset.
func TestShutdownUnderLoad(t *testing.T) {
	for mode, options := range modes {
		t.Run(mode, func(t *testing.T) {
			const clients = 20
			var mu sync.Mutex
			answered := map[string]uint64{} // numbers, by client
			answer := func(conn net.Conn, data []byte) error {
				mu.Lock()
				answered[conn.RemoteAddr().String()] += uint64(len(data))
				mu.Unlock()
				_, err := conn.Write(data)
				return err
			}
			if options.OnData != nil {
				options.OnData = answer
			} else {
				options.OnConnEvent = func(conn net.Conn) error {
					buf := make([]byte, 1000)
					n, err := conn.Read(buf)
					if n == 0 {
						return err
					}
					return answer(conn, buf[:n])
				}
			}
			options.Loops = 2
			s := serve(t, options)
			var all sync.WaitGroup
			busy := make(chan struct{}, clients)
			for range clients {
				conn := s.dial()
				all.Add(2)
				window, gone := make(chan struct{}, 1000), make(chan struct{}) // so that it ends in our lifetime
				go func() {
					defer all.Done()
					for i := uint64(0); ; i++ { // until the server is gone
						select {
						case window <- struct{}{}:
						case <-gone:
							return
						}
						if err := binary.Write(conn, binary.BigEndian, i); err != nil {
							return
						}
					}
				}()
				go func() {
					defer all.Done()
					defer close(gone)
					r := bufio.NewReader(conn)
					var got, n uint64
					for {
						var word [8]byte
						k, err := io.ReadFull(r, word[:])
						got += uint64(k)
						if err == io.EOF || err == io.ErrUnexpectedEOF {
							break
						}
						if err != nil {
							t.Errorf("after %d bytes: %v", got, err)
							break
						}
						if x := binary.BigEndian.Uint64(word[:]); x != n {
							t.Errorf("answered %d, want %d", x, n)
							break
						}
						<-window
						if n++; n == 1000 {
							busy <- struct{}{}
						}
					}
					mu.Lock()
					if want := answered[conn.LocalAddr().String()]; got != want {
						t.Errorf("%d bytes of %d answers arrived", got, want)
					}
					mu.Unlock()
					conn.Close()
				}()
			}
			for range clients {
				wait(t, "the load", busy)
			}
			if err := s.Shutdown(patient(t)); err != nil {
				t.Error(err)
			}
			wait(t, "Start to return", s.ended)
			all.Wait()
		})
	}
}

// What has reached the machine when Shutdown comes is still handled: the loop is kept from it until then.
func TestShutdownHandlesWhatHasCome(t *testing.T) {
	for mode, options := range modes {
		t.Run(mode, func(t *testing.T) {
			s := serve(t, options)
			clients := []*net.TCPConn{s.dial(), s.dial(), s.dial()}
			until(t, "they are accepted", func() bool { return s.Stats().Conns == 3 })
			held, hold := make(chan struct{}), make(chan struct{})
			_ = s.workers[0].loop.Do(func() { close(held); <-hold })
			wait(t, "the loop", held)
			for _, c := range clients[:2] {
				send(t, c, "come in time")
			}
			clients[1].CloseWrite()
			for _, c := range clients {
				delivered(t, c)
			}
			done := make(chan error, 1)
			go func() { done <- s.Shutdown(patient(t)) }()
			until(t, "it listens no more", func() bool { return s.GetListener().SetDeadline(time.Time{}) != nil })
			close(hold)
			expect(t, clients[0], "come in time")
			expect(t, clients[1], "come in time")
			for _, c := range clients {
				expectEnd(t, c)
				c.Close()
			}
			if err := wait(t, "Shutdown", done); err != nil {
				t.Error(err)
			}
			wait(t, "Start to return", s.ended)
			if n := len(s.closes); n != 3 {
				t.Errorf("OnClose was called %d times", n)
			}
		})
	}
}

// Connections of goroutines are told by the end of their input, and are waited for.
func TestShutdownWaitsForGoroutines(t *testing.T) {
	ask, finish := make(chan struct{}), make(chan struct{})
	s := serve(t, ListenerOptions{OnOpen: func(conn net.Conn) error {
		go func() {
			defer conn.Close()
			ask <- struct{}{}
			if got, err := io.ReadAll(conn); string(got) != "question" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
			<-finish
			if _, err := conn.Write([]byte("answer")); err != nil {
				t.Error(err)
			}
		}()
		return nil
	}})
	client := s.dial()
	send(t, client, "question")
	wait(t, "the goroutine", ask)
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(patient(t)) }()
	finish <- struct{}{}
	expect(t, client, "answer")
	expectEnd(t, client)
	client.Close()
	if err := wait(t, "Shutdown", done); err != nil {
		t.Error(err)
	}
}

func TestShutdownThatTakesTooLong(t *testing.T) {
	conns := make(chan net.Conn, 1)
	s := serve(t, ListenerOptions{OnOpen: func(conn net.Conn) error {
		conns <- conn
		return nil
	}})
	client := s.dial()
	conn := wait(t, "OnOpen", conns)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- s.Shutdown(ctx) }()
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF { // and yet it is not closed
		t.Error(n, err)
	}
	cancel()
	for range 2 {
		if err := wait(t, "Shutdown", done); !errors.Is(err, context.Canceled) && err != ErrListenerClosed {
			t.Error(err)
		}
	}
	wait(t, "Start to return", s.ended)
	expectEnd(t, client)
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	is(t, wait(t, "OnClose", s.closes), ErrListenerClosed)
}

func TestCloseCutsShutdownShort(t *testing.T) {
	conns := make(chan net.Conn, 1)
	s := serve(t, ListenerOptions{OnOpen: func(conn net.Conn) error {
		conns <- conn
		return nil
	}})
	s.dial()
	conn := wait(t, "OnOpen", conns)
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(patient(t)) }()
	conn.Read(make([]byte, 1))
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := wait(t, "Shutdown", done); err != ErrListenerClosed {
		t.Error(err)
	}
}

func TestShutdownWithoutConnections(t *testing.T) {
	s := serve(t, ListenerOptions{OnConnEvent: echo})
	if err := s.Shutdown(patient(t)); err != nil {
		t.Error(err)
	}
	wait(t, "Start to return", s.ended)
	l, err := Listen(&ListenerOptions{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Shutdown(patient(t)); err != nil { // it has not started
		t.Error(err)
	}
	l.Start()
}

// Edge-triggered connections and paused ones hear of the end, too.
func TestShutdownReachesTheSilent(t *testing.T) {
	read, ended := make(chan *Conn, 10), make(chan *Conn, 10)
	s := serve(t, ListenerOptions{EdgeTriggered: true, OnConnEvent: func(conn net.Conn) error {
		c := conn.(*Conn)
		buf := make([]byte, 2)
		n, err := c.TryRead(buf)
		if n > 0 {
			err = c.SetReading(buf[0] != 'p')
			read <- c
		} else if err == io.EOF {
			ended <- c
		}
		return err
	}})
	watched, paused := s.dial(), s.dial()
	send(t, watched, "x")
	wait(t, "an event", read)
	send(t, paused, "p")
	quiet := wait(t, "an event", read)
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(patient(t)) }()
	if c := wait(t, "the end", ended); c == quiet {
		t.Error("called while it was paused")
	}
	until(t, "it was told", quiet.gate.isDraining)
	if err := quiet.SetReading(true); err != nil {
		t.Error(err)
	}
	if c := wait(t, "the end", ended); c != quiet {
		t.Error("called for another connection")
	}
	watched.Close()
	paused.Close()
	if err := wait(t, "Shutdown", done); err != nil {
		t.Error(err)
	}
}

// An edge-triggered connection that a goroutine is busy with is not given to a second one for its end, which is told of
// when everything before it was read.
func TestShutdownOfBusyEdgeTriggered(t *testing.T) {
	for name, first := range map[string]int{"part was read": 2, "all was read": 4} {
		t.Run(name, func(t *testing.T) {
			events := make(chan *Conn, 10)
			s := serve(t, ListenerOptions{EdgeTriggered: true, OnConnEvent: func(conn net.Conn) error {
				events <- conn.(*Conn)
				return nil
			}})
			client := s.dial()
			send(t, client, "abcd")
			conn := wait(t, "an event", events)
			buf := make([]byte, 10)
			if n, err := conn.TryRead(buf[:first]); n != first || err != nil {
				t.Fatal(n, err)
			}
			done := make(chan error, 1)
			go func() { done <- s.Shutdown(patient(t)) }()
			until(t, "it was told", conn.gate.isDraining)
			if first < 4 {
				for range 2 { // turns of the loop, in which there could be a call
					onLoop(t, conn.worker, func() {})
				}
				if len(events) > 0 {
					t.Error("called while somebody was busy with it")
				}
				send(t, client, "too late") // which is there, and is not to be read
				received(t, conn.fd, 4-first+len("too late"))
				if n, err := conn.TryRead(buf[:4-first]); string(buf[:n]) != "cd" || err != nil {
					t.Fatal(n, err)
				}
			}
			wait(t, "the event of the end", events)
			send(t, conn, "answer")
			if n, err := conn.TryRead(buf); n != 0 || err != io.EOF {
				t.Errorf("read %q, %v", buf[:n], err)
			}
			conn.Close()
			expect(t, client, "answer")
			expectEnd(t, client)
			client.Close()
			if err := wait(t, "Shutdown", done); err != nil {
				t.Error(err)
			}
		})
	}
}

// So it is for a callback that takes exactly what was there while Shutdown waits for its loop.
func TestShutdownDuringEdgeTriggeredCallback(t *testing.T) {
	events, hold := make(chan struct{}, 10), make(chan struct{})
	s := serve(t, ListenerOptions{EdgeTriggered: true, OnConnEvent: func(conn net.Conn) error {
		events <- struct{}{}
		<-hold
		_, err := io.ReadFull(conn, make([]byte, 4))
		return err
	}})
	client := s.dial()
	send(t, client, "abcd")
	wait(t, "an event", events)
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(patient(t)) }()
	until(t, "it has begun", s.isDraining)
	close(hold)
	wait(t, "the event of the end", events)
	if err := s.failed(); err != io.EOF {
		t.Errorf("OnErrorEvent was told %v", err)
	}
	expectEnd(t, client)
	client.Close()
	if err := wait(t, "Shutdown", done); err != nil {
		t.Error(err)
	}
}

// Shutdown does not outlast its context for an OnClose that takes its time.
func TestShutdownDoesNotWaitForOnClose(t *testing.T) {
	for mode, options := range modes {
		t.Run(mode, func(t *testing.T) {
			inside, hold := make(chan struct{}), make(chan struct{})
			options.OnClose = func(net.Conn, error) {
				close(inside)
				<-hold
			}
			s := serve(t, options)
			defer close(hold)
			client := s.dial()
			send(t, client, "x")
			expect(t, client, "x")
			client.Close()
			wait(t, "OnClose", inside)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- s.Shutdown(ctx) }()
			until(t, "it has begun", s.isDraining)
			cancel()
			is(t, wait(t, "Shutdown", done), context.Canceled)
		})
	}
}

// Connections that were kept when their peers had ended, and those that nobody is interested in, are closed.
func TestShutdownEndsTheIdle(t *testing.T) {
	ended := make(chan struct{}, 1)
	keep := func(conn net.Conn) error {
		if n, err := conn.Read(make([]byte, 10)); n != 0 || err != io.EOF {
			t.Errorf("read %d bytes, %v", n, err)
		}
		ended <- struct{}{}
		return nil
	}
	wrap := func(conn net.Conn) (net.Conn, error) { return conn, nil }
	for name, options := range map[string]ListenerOptions{
		"kept":                 {OnConnEvent: keep},
		"kept, wrapped":        {OnConnEvent: keep, Wrap: wrap},
		"no callback":          {},
		"no callback, wrapped": {Wrap: wrap},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, options)
			client := s.dial()
			if options.OnConnEvent != nil {
				client.CloseWrite()
				wait(t, "the end", ended)
			} else {
				send(t, client, "dropped")
				until(t, "it is accepted", func() bool { return s.Stats().Conns == 1 })
			}
			done := make(chan error, 1)
			go func() { done <- s.Shutdown(patient(t)) }()
			expectEnd(t, client)
			client.Close()
			if err := wait(t, "Shutdown", done); err != nil {
				t.Error(err)
			}
			if err := wait(t, "OnClose", s.closes); err != nil {
				t.Errorf("OnClose was told %v", err)
			}
		})
	}
}
